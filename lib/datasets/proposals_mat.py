"""Reads and writes MATLAB files of proposals, in the layout of the published selective search files."""
import io
from typing import NamedTuple

import numpy as np
import scipy.io
from utils.errors import UserError
from utils.whole_file import whole_file

from datasets.mat_tags import Damage, check_tags

# In place of SciPy's, which has the time: the same boxes are the same bytes, by which caches and runs know them.
HEADER = b"MATLAB 5.0 MAT-file".ljust(116)


class MatFile(NamedTuple):
    names: list         # of the images; [] where the file has none
    box_list: list      # of (R, 4) [ymin xmin ymax xmax], 1-based
    hashes: list        # of the image files; [] in a file that tools/propose.py did not make, or an older version of it
    search: str         # how they were searched; '' in such a file


def load_mat(path):
    """The MatFile at `path`."""
    raw = read_mat(path)
    if "boxes" not in raw or raw["boxes"].dtype != object:
        raise UserError("proposal file %s has no cell array 'boxes'; it has: %s"
                        % (path, ", ".join(name for name in raw if name[0] != "_")))
    names = [str(np.squeeze(name)) for name in raw.get("images", np.zeros(0)).ravel()]
    hashes = [str(digest) for digest in raw.get("image_sha256", np.zeros(0)).ravel()]
    box_list = [_checked(path, k, cell) for k, cell in enumerate(raw["boxes"].ravel())]
    return MatFile(names, box_list, hashes, "".join(raw.get("search", np.zeros(0)).ravel()))


def save_mat(path, names, box_list, hashes, search):
    """Write names, their (R, 4) 0-based [x1 y1 x2 y2] boxes, and a MatFile's hashes and search, or nothing."""
    images, boxes = (np.empty((len(names), 1), dtype=object) for _ in range(2))
    for k, (name, rows) in enumerate(zip(names, box_list)):
        images[k, 0], boxes[k, 0] = name, (rows[:, (1, 0, 3, 2)] + 1).astype(np.uint16)
    with whole_file(path) as f:
        scipy.io.savemat(f, {"images": images, "boxes": boxes, "image_sha256": hashes, "search": search},
                         do_compression=True)
        f.seek(0)
        f.write(HEADER)


def read_mat(path):
    """The variables of a .mat file; UserError if it cannot be read."""
    try:
        with open(path, "rb") as f:
            data = f.read()
        check_tags(data)
        return scipy.io.loadmat(io.BytesIO(data))
    except OSError as e:
        raise UserError("proposal file %s cannot be read: %s" % (path, e.strerror or e)) from None
    except Damage as e:
        raise UserError("proposal file %s cannot be read as a MATLAB file up to v7 (%s); fetch it again, or save it "
                        "again with -v7" % (path, e)) from None
    except Exception as e:      # scipy raises nearly anything on a file that is no .mat, NotImplementedError on v7.3
        raise UserError("proposal file %s cannot be read as a MATLAB file up to v7 (%s); save it again with -v7"
                        % (path, e)) from None


def _checked(path, k, cell):
    if cell.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if cell.ndim != 2 or cell.shape[1] != 4:
        raise UserError("proposal file %s, image %d: expected boxes of shape (n, 4), got %s"
                        % (path, k + 1, cell.shape))
    return cell
