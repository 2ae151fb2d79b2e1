"""Where digits and photographs come from: files that lie inside installed packages, nothing is downloaded.

Training and test halves are disjoint in both: other scans of digits, other regions of the photographs.
"""
from importlib.resources import as_file, files

import cv2
import numpy as np
from sklearn.datasets import load_digits
from utils.errors import UserError

SPLITS = ("trainval", "test")
TEST_SHARE = 1 / 3

# (package, folder, file): all inside the wheels of scikit-image and scikit-learn
PHOTOGRAPHS = (
    ("skimage", "data", "astronaut.png"), ("skimage", "data", "brick.png"), ("skimage", "data", "camera.png"),
    ("skimage", "data", "chelsea.png"), ("skimage", "data", "coffee.png"), ("skimage", "data", "grass.png"),
    ("skimage", "data", "gravel.png"), ("skimage", "data", "hubble_deep_field.jpg"),
    ("skimage", "data", "motorcycle_left.png"), ("skimage", "data", "rocket.jpg"),
    ("sklearn.datasets", "images", "china.jpg"), ("sklearn.datasets", "images", "flower.jpg"),
)


def digit_cells(split, seed):
    """The split's scans as 10 arrays (n_digit, 8, 8) float32 in [0, 1]; the splits share no scan."""
    scans = load_digits()
    order = np.random.default_rng([seed, 0]).permutation(len(scans.target))
    n_test = int(round(TEST_SHARE * len(order)))
    mine = order[:n_test] if split == "test" else order[n_test:]
    cells = scans.images.astype(np.float32) / 16.0
    return [cells[mine[scans.target[mine] == digit]] for digit in range(10)]


def photographs(split):
    """The split's regions of all photographs, BGR uint8: test has the right third, training the rest.

    Every photograph is first scaled to a short side of 400 pixels.
    """
    regions = []
    for package, folder, name in PHOTOGRAPHS:
        image = _read(package, folder, name)
        scale = 400.0 / min(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        border = int(round((1 - TEST_SHARE) * image.shape[1]))
        regions.append(image[:, border:] if split == "test" else image[:, :border])
    return regions


def _read(package, folder, name):
    with as_file(files(package) / folder / name) as path:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError("photograph %s/%s of package %s cannot be read; reinstall requirements.txt"
                        % (folder, name, package))
    return image
