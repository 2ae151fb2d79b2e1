"""Files of object proposals."""
import zipfile

import numpy as np
import scipy.io
from utils.errors import UserError

REMEDY = "make the proposals for exactly this image set"


def load_proposals(path, image_index):
    """Boxes of every image of image_index: a list of (R, 4) float32, 0-based [x1 y1 x2 y2], nothing removed.

    path ends in .mat: the layout selective search is published in, cells `boxes` of (R, 4) 1-based
    [ymin xmin ymax xmax] in the order of the image set, and `images` (names; may be missing);
    .npz: `boxes` (N, 4) 0-based [x1 y1 x2 y2] of all images one after the other, `counts` (images,).
    Pickles are refused: reading one runs what its maker put in.
    """
    if path.endswith(".mat"):
        box_list = _load_mat(path, image_index)
    elif path.endswith(".npz"):
        box_list = _load_npz(path)
    else:
        raise UserError("proposal file %s: expected a .mat or .npz file; convert it (pickles are never read)" % path)
    if len(box_list) != len(image_index):
        raise UserError("proposal file %s has boxes of %d images, the image set has %d images; %s"
                        % (path, len(box_list), len(image_index), REMEDY))
    return box_list


def _load_mat(path, image_index):
    try:
        raw = scipy.io.loadmat(path)
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as e:      # scipy raises nearly anything on a file that is no .mat, NotImplementedError on v7.3
        raise UserError("proposal file %s cannot be read as a MATLAB file up to v7 (%s); save it again with -v7"
                        % (path, e)) from None
    if "boxes" not in raw or raw["boxes"].dtype != object:
        raise UserError("proposal file %s has no cell array 'boxes'; it has: %s"
                        % (path, ", ".join(name for name in raw if name[0] != "_")))
    _check_order(path, raw.get("images", np.zeros(0)).ravel(), image_index)
    return [_from_matlab(path, k, cell) for k, cell in enumerate(raw["boxes"].ravel())]


def _from_matlab(path, k, cell):
    """1-based [ymin xmin ymax xmax] -> 0-based [x1 y1 x2 y2]."""
    if cell.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if cell.ndim != 2 or cell.shape[1] != 4:
        raise UserError("proposal file %s, image %d: expected boxes of shape (n, 4), got %s"
                        % (path, k + 1, cell.shape))
    return cell[:, (1, 0, 3, 2)].astype(np.float32) - 1


def _check_order(path, names, image_index):
    """Where the file names its images, they must not be this set's in another order."""
    known = set(image_index)
    for k, (name, index) in enumerate(zip(names, image_index)):
        name = str(np.squeeze(name))
        if name != index and name in known:
            raise UserError("proposal file %s: its image %d is %s, the image set's is %s; %s"
                            % (path, k + 1, name, index, REMEDY))


def _load_npz(path):
    try:
        with np.load(path, allow_pickle=False) as stored:
            boxes, counts = stored["boxes"], stored["counts"]
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as e:
        raise UserError("proposal file %s: expected an npz with boxes and counts (%s)" % (path, e)) from None
    if boxes.ndim != 2 or boxes.shape[1] != 4 or counts.sum() != len(boxes):
        raise UserError("proposal file %s: boxes must have shape (n, 4) with n = %d, the sum of counts; got %s"
                        % (path, counts.sum(), boxes.shape))
    return np.split(boxes.astype(np.float32), np.cumsum(counts)[:-1])


def _missing(path):
    return UserError("proposal file %s does not exist; download or make it, see data/README.md" % path)
