"""Selective-search proposals of a whole data set, in a file it then finds.

The boxes of each image are first stored by themselves, in a folder beside the file to be; a run that was ended, in
whatever way, goes on there.  OpenCV lets go of Python's lock while it searches, so the workers are threads.
"""
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed

import cv2
import numpy as np
from utils import selective_search
from utils.blob import read_image
from utils.progress import progress
from utils.whole_file import remove_parts, whole_file

from datasets.cache import content_key, file_stamp
from datasets.proposals_mat import save_mat

KEY_FILE = "made_from.json"


def propose(imdb, path, mode="fast", width=500, workers=1):
    """Write proposals of all images of imdb to `path`, a .mat in the published layout; returns boxes per image.

    mode: of utils.selective_search.  width: wider images are scaled down to it for the search, 0: none are.
    """
    images = [imdb.image_path_at(i) for i in range(imdb.num_images)]
    folder = path + ".parts"
    _open_parts(folder, content_key(mode, width, [file_stamp(image) for image in images]), imdb.name)
    parts = [os.path.join(folder, "%06d.npy" % i) for i in range(len(images))]
    todo = [i for i, part in enumerate(parts) if not os.path.exists(part)]
    if len(todo) < len(parts):
        print("Going on after %d of %d images" % (len(parts) - len(todo), len(parts)), flush=True)
    _run([(images[i], parts[i], mode, width, i) for i in todo], workers, "proposals of " + imdb.name)
    box_list = [np.load(part) for part in parts]
    save_mat(path, imdb.proposal_names(), box_list)
    shutil.rmtree(folder)
    return np.mean([len(boxes) for boxes in box_list])


def search(image, mode="fast", width=500, seed=0):
    """Boxes (N, 4) uint16 [x1 y1 x2 y2] of an image (H, W, 3) uint8 BGR, in a random order drawn from `seed`.

    The order is for those who take the first so many: OpenCV's own ranking is random too.
    """
    scale = min(1, width / image.shape[1]) if width else 1
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    boxes = selective_search.boxes(small, mode)
    ratio = np.divide(image.shape[1::-1], small.shape[1::-1])                           # (2,) of width and height
    low, high = np.floor(boxes[:, :2] * ratio), np.ceil((boxes[:, 2:] + 1) * ratio) - 1
    boxes = np.unique(np.hstack((low, np.minimum(high, np.array(image.shape[1::-1]) - 1))), axis=0).astype(np.uint16)
    return np.random.default_rng(seed).permutation(boxes)


def _run(jobs, workers, desc):
    """_make_part on every job; ends at the first error, or Ctrl-C, as soon as the images in work are done."""
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(_make_part, *job) for job in jobs]
            for done in progress(as_completed(futures), desc, len(jobs), "images"):
                done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make_part(image_path, part, mode, width, seed):
    boxes = search(read_image(image_path), mode, width, seed)
    with whole_file(part) as f:
        np.save(f, boxes)


def _open_parts(folder, key, name):
    """Make the folder of parts, anew where its parts are of other images or settings."""
    key_file = os.path.join(folder, KEY_FILE)
    if os.path.isdir(folder) and _read_key(key_file) != key:
        print("The parts in %s are of other images or settings; starting anew" % folder)
        shutil.rmtree(folder)
    os.makedirs(folder, exist_ok=True)
    remove_parts(folder)
    remove_parts(os.path.dirname(folder))
    with open(key_file, "w") as f:
        json.dump({"imdb": name, "key": key}, f)


def _read_key(key_file):
    try:
        with open(key_file) as f:
            return json.load(f)["key"]
    except (OSError, ValueError, KeyError):
        return None
