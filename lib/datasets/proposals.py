"""Files of object proposals.

.mat   the layout selective search is published in: cells `boxes` of (R, 4) 1-based [ymin xmin ymax xmax] in the order
       of the image set, and `images` (names; may be missing)
.npz   `boxes` (N, 4) of all images one after the other, `counts` (images,); may have `order`, `first_pixel`, `images`
.json  {"order": "x1 y1 x2 y2", "first_pixel": 0, "boxes": {"<image name>": [[...], ...], ...}}
.pkl   a list of (R, 4 or more) arrays, 0-based [x1 y1 x2 y2 ...], as the original's own tools write.  Reading a pickle
       runs what its maker put in, so it is refused unless the user trusts it.

order is a key of ORDERS, first_pixel the number of the first row and column (0, the default, or 1).  What our own tools
write, a .mat or an .npz, also has `image_sha256`, the hash of each image file that the boxes were made from.
"""
import os
import pickle
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from utils.errors import UserError
from utils.whole_file import remove_parts, whole_file

from datasets.npz_headers import require_small_headers
from datasets.proposals_mat import load_mat
from datasets.text_files import load_json

ORDERS = {"x1 y1 x2 y2": (0, 1, 2, 3), "y1 x1 y2 x2": (1, 0, 3, 2), "x y w h": (0, 1, 2, 3)}
REMEDY = "make them with tools/propose.py; first move away a file that it did not write"


class Proposals(NamedTuple):
    box_list: list      # of (R, 4) float32, 0-based [x1 y1 x2 y2], one an image
    names: list = []    # of the images; may be missing
    hashes: list = []   # of the image files; may be missing


def load_proposals(path, names, trust_pickle=False, hashes=None):
    """Boxes of every image of `names`: a list of (R, 4) float32, 0-based [x1 y1 x2 y2], nothing removed.

    hashes: datasets.content_hash of the image files; a file that tells which ones it was made from must agree.
    """
    load = LOADERS.get(os.path.splitext(path)[1])
    if load is None:
        raise UserError("proposal file %s: expected one of %s; convert it" % (path, " ".join(LOADERS)))
    if load is _load_pkl and not trust_pickle:
        raise UserError("proposal file %s is a pickle, and reading one runs whatever code its maker put in; convert it "
                        "to .npz, or, if you trust its maker, add --set TRUST_PICKLE True" % path)
    if not os.path.exists(path):
        raise UserError("proposal file %s does not exist; make it with tools/propose.py, or download it, see "
                        "data/README.md" % path)
    found = load(path, names)
    if len(found.box_list) != len(names):
        raise UserError("proposal file %s has boxes of %d images, the image set has %d images; %s"
                        % (path, len(found.box_list), len(names), REMEDY))
    _check_images(path, found, names, hashes)
    return found.box_list


def find_proposals(stem):
    """The proposal file called `stem` with an extension of LOADERS; stem.mat where there is none yet."""
    found = [stem + extension for extension in LOADERS if os.path.exists(stem + extension)]
    if len(found) > 1:
        raise UserError("which proposals are meant? there are %s; keep one" % " and ".join(found))
    return found[0] if found else stem + ".mat"


def save_proposals(path, imdb, box_list):
    """Write the boxes of every image of imdb, a list of (R, 4) [x1 y1 x2 y2], whole or not at all.

    path: a .npz, which also tells of which image files the boxes are.
    """
    remove_parts(os.path.dirname(path))
    with whole_file(path) as f:
        np.savez(f, boxes=np.concatenate([np.zeros((0, 4), np.float32), *box_list]),
                 counts=np.array([len(boxes) for boxes in box_list], np.int64),
                 images=imdb.proposal_names(), image_sha256=imdb.image_hashes())


def _check_images(path, found, names, hashes):
    """UserError if a file names other images, or was made from other image files."""
    for k, (found_name, name) in enumerate(zip(found.names, names)):
        if _stem(found_name) != _stem(name):
            raise UserError("proposal file %s: its image %d is %s, the image set's is %s; %s"
                            % (path, k + 1, found_name, name, REMEDY))
    other = [name for name, a, b in zip(names, found.hashes, hashes or ()) if a != b]
    if other:
        raise UserError(f"proposal file {path}: {len(other)} of {len(names)} images were replaced since "
                        f"their boxes were made, the first is {other[0]}; make their boxes again with "
                        "the tool that made it (tools/propose.py, rpn_generate.py)")


def _load_mat(path, names):
    mat = load_mat(path)
    return Proposals([_zero_based(boxes, "y1 x1 y2 x2", 1) for boxes in mat.box_list], mat.names, mat.hashes)


def _stem(name):
    """An image's name without folder and extension, either of which a file of proposals may add or leave out."""
    return os.path.splitext(os.path.basename(name))[0]


def _load_npz(path, names):
    try:
        require_small_headers(path)
        with np.load(path, allow_pickle=False) as stored:
            boxes, counts = stored["boxes"], stored["counts"]
            order = str(stored["order"]) if "order" in stored else "x1 y1 x2 y2"
            first_pixel = int(stored["first_pixel"]) if "first_pixel" in stored else 0
            if counts.ndim != 1 or counts.dtype.kind not in "iu":
                raise ValueError(f"counts are of type {counts.dtype} and shape {counts.shape}, expected whole numbers")
            images, hashes = (stored[key].tolist() if key in stored else [] for key in ("images", "image_sha256"))
    except (OSError, EOFError, KeyError, TypeError, ValueError, OverflowError, MemoryError, NotImplementedError,
            zlib.error, zipfile.BadZipFile) as e:
        raise UserError("proposal file %s: expected an npz with boxes and counts (%s)" % (path, e)) from None
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf" or min(counts, default=0) < 0 \
            or counts.sum() != len(boxes):
        raise UserError("proposal file %s: boxes must have shape (n, 4) with n = %d, the sum of counts; got %s of %s"
                        % (path, counts.sum(), boxes.shape, boxes.dtype))
    _check_declared(path, order, first_pixel)
    return Proposals(np.split(_zero_based(boxes, order, first_pixel), np.cumsum(counts)[:-1]), images, hashes)


def _load_json(path, names):
    try:
        tree = load_json(path)
        order, first_pixel, boxes = tree["order"], tree.get("first_pixel", 0), dict(tree["boxes"])
        missing = [name for name in names if name not in boxes]
        if missing:
            raise UserError("proposal file %s has no boxes of %d of %d images, the first is %s; %s"
                            % (path, len(missing), len(names), missing[0], REMEDY))
        arrays = [np.array(boxes[name], dtype=np.float64).reshape(-1, 4) for name in names]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise UserError('proposal file %s: expected {"order": "x1 y1 x2 y2", "first_pixel": 0, "boxes": {name: [[4 '
                        'numbers], ...]}} (%s: %s)' % (path, type(e).__name__, e)) from None
    _check_declared(path, order, first_pixel)
    return Proposals([_zero_based(array, order, first_pixel) for array in arrays])


def _load_pkl(path, names):
    try:
        with open(path, "rb") as f:
            box_list = pickle.load(f, encoding="latin1")
        return Proposals([np.array(boxes, dtype=np.float32).reshape(len(boxes), -1)[:, :4] if len(boxes)
                          else np.zeros((0, 4), np.float32) for boxes in box_list])
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, ValueError, TypeError) as e:
        raise UserError("proposal file %s: expected a pickled list of (n, 4) arrays (%s: %s)"
                        % (path, type(e).__name__, e)) from None


def _check_declared(path, order, first_pixel):
    if not isinstance(order, str) or order not in ORDERS or first_pixel not in (0, 1):
        raise UserError("proposal file %s: order must be one of '%s', and first_pixel 0 or 1; got '%s' and %s"
                        % (path, "', '".join(ORDERS), order, first_pixel))


def _zero_based(boxes, order, first_pixel):
    """(N, 4) boxes in a declared order -> float32 0-based [x1 y1 x2 y2]."""
    boxes = boxes[:, ORDERS[order]].astype(np.float32)
    if order == "x y w h":
        boxes[:, 2:] += boxes[:, :2] - 1
    return boxes - first_pixel


LOADERS = {".mat": _load_mat, ".npz": _load_npz, ".json": _load_json, ".pkl": _load_pkl}
