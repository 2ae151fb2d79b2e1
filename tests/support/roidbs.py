"""Small roidb entries made by hand, with an image on disk."""
import cv2
import numpy as np
import scipy.sparse


def make_entry(path, boxes, classes, overlaps=None, num_classes=3, size=(60, 40), seed=0):
    """A prepared entry without targets: boxes (R, 4), classes (R,) of each box's best object, overlaps (R,) with it.

    overlaps None: every row is ground truth.  size (width, height) of the noise image that is written to `path`.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    classes = np.asarray(classes, int)
    overlaps = np.asarray(np.ones(len(boxes)) if overlaps is None else overlaps, np.float32)
    dense = np.zeros((len(boxes), num_classes), np.float32)
    dense[np.arange(len(boxes)), classes] = overlaps
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, size[::-1] + (3,), np.uint8))
    return {"boxes": boxes, "gt_overlaps": scipy.sparse.csr_matrix(dense), "flipped": False, "image": str(path),
            "gt_classes": np.where(overlaps == 1, classes, 0).astype(np.int32), "width": size[0], "height": size[1],
            "max_overlaps": overlaps, "max_classes": np.where(overlaps == 0, 0, classes)}


def random_entries(folder, count, num_classes=3, rois=40, seed=0):
    """`count` entries of different sizes, each with one object and `rois` proposals around it and elsewhere."""
    rng = np.random.default_rng(seed)
    entries = []
    for n in range(count):
        width, height = rng.integers(48, 80, 2)
        gt = np.array([8, 6, 32, 30]) + rng.integers(-4, 5, 4)
        near = gt + rng.integers(-4, 5, (rois // 2, 4))
        x, y = (np.sort(rng.integers(0, side, (rois - len(near), 2)), axis=1) for side in (width, height))
        boxes = np.vstack([gt, near, np.column_stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]])]).astype(np.float32)
        overlaps = np.array([iou(gt, box) for box in boxes])
        entries.append(make_entry(folder / ("%d.png" % n), boxes, np.full(len(boxes), 1 + n % (num_classes - 1)), overlaps,
                                  num_classes, (int(width), int(height)), seed + n))
    return entries


def iou(a, b):
    """Intersection over union of two boxes, both corners inside."""
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return 0.0
    area = sum((x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b))
    return w * h / (area - w * h)
