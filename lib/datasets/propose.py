"""Writes selective-search proposals of a whole data set to the file where the data set looks for them.

The file stores the hashes of the image files, so that a later run makes only the missing boxes.  The
boxes of each image are first stored separately, in a folder next to the file; an interrupted run
continues from there.  OpenCV releases the GIL while it searches, so the workers are threads.
"""
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed

import cv2
import numpy as np
from utils import selective_search
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress
from utils.whole_file import remove_parts, whole_file

from datasets.content_hash import file_hash
from datasets.proposals import load_proposals
from datasets.proposals_mat import MatFile, load_mat, save_mat

MODE = "compact"                # where neither the user nor a file that is there says otherwise
WIDTHS = {"compact": 250, "quick": 500, "fast": 500, "quality": 500}
SAME_AS = {"original": "fast"}  # other names of modes


def propose(imdb, path, mode=None, width=None, workers=1):
    """Write the proposals of imdb to `path`, a .mat in the published layout, and print what was done.

    mode: of utils.selective_search, or original, which is fast.  width: wider images are scaled down to it for the
    search; 0: no scaling.  None for both: as in the existing file, otherwise MODE and its width in WIDTHS.  Boxes of
    unchanged images are kept, and a file that another program wrote is not changed.  Raises UserError if such a
    file does not fit imdb, or if the existing file was made with another mode or width.
    """
    stored = load_mat(path) if os.path.exists(path) else MatFile([], [], [], "")
    if stored.box_list and not stored.search:
        _leave(imdb, path)
        return
    search = _chosen_search(path, stored, mode, width)
    names = list(imdb.proposal_names())
    hashes = imdb.image_hashes()
    if (stored.names, stored.hashes) == (names, hashes):
        print(f"{path} is there already, for the {len(names)} images of {imdb.name}; "
              "remove it to make it again")
        return
    print("Proposals of %s: %d images, mode %s, width %d, %d workers, into %s"
          % (imdb.name, len(names), *search, workers, path), flush=True)
    _add_missing(imdb, path, stored, search, workers)


def _add_missing(imdb, path, stored, search, workers):
    hashes = imdb.image_hashes()
    boxes = {digest: _zero_based(rows) for digest, rows in zip(stored.hashes, stored.box_list)}
    images = {digest: imdb.image_path_at(i) for i, digest in enumerate(hashes) if digest not in boxes}
    boxes.update(_search_all(images, len(set(hashes)), path + ".parts", search, workers, imdb.name))
    box_list = [boxes[digest] for digest in hashes]
    save_mat(path, imdb.proposal_names(), box_list, hashes, "%s %d" % search)
    shutil.rmtree(path + ".parts")
    print(f"Wrote {path}: {np.mean([len(boxes) for boxes in box_list]):.0f} boxes an image", flush=True)


def search_boxes(image, mode=MODE, width=None, seed=0):
    """Boxes (N, 4) uint16 [x1 y1 x2 y2] of an image (H, W, 3) uint8 BGR, in a random order drawn from `seed`.

    width: that of WIDTHS if None.  The order matters if only the first N boxes are used: OpenCV's own ranking is random
    too.
    """
    mode = SAME_AS.get(mode, mode)
    width = WIDTHS.get(mode) if width is None else width
    scale = min(1, width / image.shape[1]) if width else 1
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    boxes = selective_search.boxes(small, mode)
    ratio = np.divide(image.shape[1::-1], small.shape[1::-1])                           # (2,) of width and height
    low, high = np.floor(boxes[:, :2] * ratio), np.ceil((boxes[:, 2:] + 1) * ratio) - 1
    boxes = np.unique(np.hstack((low, np.minimum(high, np.array(image.shape[1::-1]) - 1))), axis=0).astype(np.uint16)
    return np.random.default_rng(seed).permutation(boxes)


def _leave(imdb, path):
    """Print that the file is not changed; UserError if it has other images."""
    what = (f"{path} has no hashes of its images (downloaded, or of an older version), "
            "so it is not changed")
    try:
        load_proposals(path, imdb.proposal_names())
    except UserError as e:
        raise UserError(f"{what}, and it does not fit {imdb.name}: {e}") from None
    print(f"{what}; it has boxes for the {imdb.num_images} images of {imdb.name}; "
          "move it away to make new ones")


def _chosen_search(path, stored, mode, width):
    """(mode, width); UserError if the existing file was made with another mode or width."""
    there = tuple(kind(word) for kind, word in zip((str, int), stored.search.split()))
    mode = SAME_AS.get(mode, mode) or (there[0] if there else MODE)
    width = (there[1] if there else WIDTHS[mode]) if width is None else width
    chosen = (mode, width)
    if there and chosen != there:
        raise UserError("%s was made with --mode %s --width %d, got --mode %s --width %d; leave these flags "
                        "out, or move the file away to make all boxes again" % (path, *there, *chosen))
    return chosen


def _search_all(images, count, folder, search, workers, name):
    """{hash: boxes} of images {hash: path}, stored in `folder` one by one; existing boxes are kept."""
    os.makedirs(folder, exist_ok=True)
    remove_parts(folder)
    remove_parts(os.path.dirname(folder))
    parts = {digest: os.path.join(folder, "%s_%s_%d.npy" % (digest, *search)) for digest in images}
    todo = [digest for digest, part in parts.items() if not _is_whole(part)]
    if len(todo) < count:
        print("Going on after %d of %d images" % (count - len(todo), count), flush=True)
    _run([(images[digest], digest, parts[digest], search) for digest in todo], workers, "proposals of " + name)
    return {digest: np.load(part) for digest, part in parts.items()}


def _is_whole(part):
    """Whether the file of an image's boxes is complete; a power failure may leave an empty file."""
    try:
        np.load(part)
    except (OSError, EOFError, ValueError):
        return False
    return True


def _run(jobs, workers, desc):
    """Run _make_part on every job; at the first error or Ctrl-C, finish the images in progress and stop."""
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(_make_part, *job) for job in jobs]
            for done in progress(as_completed(futures), desc, len(jobs), "images"):
                done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make_part(image_path, digest, part, search):
    boxes = search_boxes(read_image(image_path), *search, seed=int(digest[:8], 16))
    if file_hash(image_path) != digest:
        raise UserError("image %s changed while it was read; run it again" % image_path)
    with whole_file(part) as f:
        np.save(f, boxes)


def _zero_based(rows):
    """[ymin xmin ymax xmax], 1-based, as [x1 y1 x2 y2], 0-based."""
    return (rows[:, (1, 0, 3, 2)].astype(np.int64) - 1).astype(np.uint16)
