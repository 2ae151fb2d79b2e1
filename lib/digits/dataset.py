"""Writing the demo data set in the VOC layout, image by image, in any order, with any number of workers.

    <out>/JPEGImages/<id>.jpg  Annotations/<id>.xml  ImageSets/Main/{trainval,test}.txt  classes.txt
    <out>/selective_search_data/digits_{trainval,test}.mat   cells `images`, `boxes` (1-based [ymin xmin ymax xmax])
    <out>/settings.json   written last: the settings and a hash of all other files

Each image depends on (seed, split, index) alone, so an interrupted run goes on where it stopped: `parts-<settings>/`
holds the boxes of every finished image until the whole set is there.
"""
import hashlib
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat
from utils import selective_search
from utils.errors import UserError
from utils.progress import progress
from utils.whole_file import remove_parts, whole_file

from digits.annotation import annotation_xml
from digits.glyphs import CLASSES
from digits.scenes import scene
from digits.sources import SPLITS, digit_cells, photographs

MIN_SIDE = 10  # pixels: smaller proposals can hold no digit
MAX_PROPOSALS = 400


def make(out, seed, counts, workers):
    """Make the data set in folder `out`, or leave it as it is when it is there with these settings.

    counts: images of each split, e.g. {"trainval": 600, "test": 300}. -> (settings dict, whether it was made now)
    """
    out = Path(out)
    settings = {"seed": seed, "counts": {split: counts[split] for split in SPLITS}, "source": source_hash()}
    if is_complete(out, settings):
        return json.loads((out / "settings.json").read_text()), False
    parts = _open(out, settings)
    jobs = [(str(out), str(parts), seed, split, index) for split in SPLITS for index in range(counts[split])
            if not (parts / (image_id(split, index) + ".npy")).exists()]
    for _ in progress(_run(jobs, workers), "digits", total=len(jobs), unit="image"):
        pass
    ids = {split: [image_id(split, index) for index in range(counts[split])] for split in SPLITS}
    _finish(out, parts, ids)
    settings["content"] = content_hash(out)
    _write(out / "settings.json", json.dumps(settings, indent=1) + "\n")
    shutil.rmtree(parts)
    return settings, True


def is_complete(out, settings):
    """Whether `out` holds the data set of these settings, unchanged since it was made."""
    path = Path(out) / "settings.json"
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    content = found.pop("content", None)
    return found == settings and content == content_hash(out)


def source_hash():
    """Hash of the code that makes the pictures and their boxes: another generator, another data set."""
    here = Path(__file__).resolve().parent
    names = sorted(here.glob("*.py")) + [Path(selective_search.__file__)]
    return _hash(path.read_bytes() for path in names)


def content_hash(out):
    """Hash of the names and bytes of all files of the data set, except settings.json.

    A .mat file carries the date in its first 116 bytes (free text), which are left out.
    """
    out = Path(out)
    paths = sorted(path for path in out.glob("*/**/*") if path.is_file() and ".part" not in path.name)
    paths.append(out / "classes.txt")
    pieces = (str(path.relative_to(out)).encode() + b"\0" + path.read_bytes()[116 * (path.suffix == ".mat"):]
              for path in paths if path.exists() and not path.relative_to(out).parts[0].startswith("parts-"))
    return _hash(pieces)


def image_id(split, index):
    """Name of an image without suffix, unique over both splits, such as trainval_00017."""
    return "%s_%05d" % (split, index)


def make_image(out, parts, seed, split, index):
    """Draw one image; write its picture, its annotation and, last of all, its proposals."""
    cv2.setNumThreads(1)
    name = image_id(split, index)
    rng = np.random.default_rng([seed, 1 + SPLITS.index(split), index])
    image, objects, others = scene(_cells(split, seed), _photographs(split), rng)
    _write(Path(out) / "JPEGImages" / (name + ".jpg"),
           cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 92))[1].tobytes())
    _write(Path(out) / "Annotations" / (name + ".xml"), annotation_xml(name, image.shape, objects, others))
    with whole_file(Path(parts) / (name + ".npy")) as f:
        np.save(f, propose(image))


def propose(image):
    """At most MAX_PROPOSALS selective search boxes of an image, (n, 4) float32 [x1 y1 x2 y2]; of more, a fixed draw."""
    boxes = selective_search.boxes(image, "quick")
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    boxes = boxes[(sides >= MIN_SIDE).all(axis=1)]
    if len(boxes) <= MAX_PROPOSALS:
        return boxes
    keep = np.random.default_rng(len(boxes)).permutation(len(boxes))[:MAX_PROPOSALS]
    return boxes[np.sort(keep)]


@cache
def _cells(split, seed):
    return digit_cells(split, seed)


@cache
def _photographs(split):
    return photographs(split)


def _job(arguments):
    make_image(*arguments)


def _run(jobs, workers):
    """Do all jobs, yielding once for each that is done."""
    if workers <= 1:
        yield from map(_job, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_job, jobs, chunksize=4)


def _open(out, settings):
    """Empty `out` of any other data set and return the folder for this one's parts."""
    parts = out / ("parts-" + _hash([json.dumps(settings, sort_keys=True).encode()])[:16])
    folders = ("JPEGImages", "Annotations", "ImageSets/Main", "selective_search_data")
    known = {"classes.txt", "settings.json"} | {folder.split("/")[0] for folder in folders}
    remove_parts(out)
    strange = [p.name for p in out.glob("*") if p.name not in known and not p.name.startswith("parts-")]
    if strange:
        raise UserError("%s holds %s, which is no part of the digits data set; give an empty folder with --out"
                        % (out, strange[0]))
    if not parts.exists():
        for path in out.glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (out / "settings.json").unlink(missing_ok=True)
    for folder in (*folders, parts.name):
        (out / folder).mkdir(parents=True, exist_ok=True)
        remove_parts(out / folder)
    return parts


def _finish(out, parts, ids):
    """The files that speak of all images: image sets, class list, proposals."""
    _write(out / "classes.txt", "\n".join(CLASSES) + "\n")
    for split in SPLITS:
        _write(out / "ImageSets" / "Main" / (split + ".txt"), "".join(name + "\n" for name in ids[split]))
        images, boxes = (np.empty((n, m), object) for n, m in ((len(ids[split]), 1), (1, len(ids[split]))))
        for i, name in enumerate(ids[split]):
            images[i, 0] = name
            # [x1 y1 x2 y2] 0-based -> [ymin xmin ymax xmax] 1-based, as the published files
            boxes[0, i] = (np.load(parts / (name + ".npy"))[:, (1, 0, 3, 2)] + 1).astype(np.uint16)
        savemat(out / "selective_search_data" / ("digits_%s.mat" % split), {"images": images, "boxes": boxes},
                do_compression=True)


def _write(path, content):
    """Write text or bytes to `path`, whole or not at all."""
    with whole_file(path) as f:
        f.write(content.encode() if isinstance(content, str) else content)


def _hash(pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(hashlib.sha256(piece).digest())
    return digest.hexdigest()
