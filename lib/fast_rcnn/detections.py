"""Detections of a whole image set, in memory and in a file.

In memory, as the original has them: all_boxes[class][image] = (n, 5) float32 [x1 y1 x2 y2 score], 0-based pixels.
In the file, an .npz without pickles: `rows` (D, 7) float32 [image class x1 y1 x2 y2 score] at full precision, where
image and class count into `image_ids` and `classes`; `image_sha256` are the hashes of the image files ('' for none).
Read, the classes are in the data set's order.
"""
import os
import zipfile

import numpy as np
from utils.errors import UserError
from utils.whole_file import remove_parts, whole_file

from fast_rcnn.class_names import class_columns

DETECTIONS_FILE = 'detections.npz'


def save_detections(path, all_boxes, imdb):
    """Write all_boxes of `imdb` to `path` (.npz), whole or not at all."""
    rows = [np.zeros((0, 7), np.float32)]
    for cls, boxes_of_images in enumerate(all_boxes):
        images = np.repeat(np.arange(len(boxes_of_images)), [len(dets) for dets in boxes_of_images])
        dets = np.concatenate([np.zeros((0, 5), np.float32)] + [np.reshape(dets, (-1, 5)) for dets in boxes_of_images])
        rows.append(np.column_stack((images, np.full(len(dets), cls), dets)).astype(np.float32))
    remove_parts(os.path.dirname(path))
    with whole_file(path) as f:
        np.savez(f, rows=np.vstack(rows), image_ids=[str(id_) for id_ in imdb.image_index], classes=imdb.classes,
                 image_sha256=[digest or '' for digest in imdb.image_hashes()])


def load_detections(path, imdb):
    """all_boxes from `path`; UserError if save_detections did not write the file, or it is of another imdb."""
    try:
        with np.load(path, allow_pickle=False) as f:
            rows, image_ids, classes = f['rows'], f['image_ids'].tolist(), f['classes'].tolist()
            hashes = f['image_sha256'].tolist() if 'image_sha256' in f else []
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise UserError("%s holds no detections (%s); tools/test_net.py writes %s"
                        % (path, ' '.join(str(e).split()), DETECTIONS_FILE)) from e
    if image_ids != [str(id_) for id_ in imdb.image_index]:
        raise UserError("the detections in %s are of other images than %s has (%d there, %d here); test again on %s"
                        % (path, imdb.name, len(image_ids), len(imdb.image_index), imdb.name))
    columns = class_columns(classes, imdb.classes, str(path), imdb.name, "test again on %s" % imdb.name)
    _check_finite(rows, image_ids, classes, path)
    _check_not_replaced(hashes, path, imdb)
    all_boxes = _group(rows, len(classes), len(image_ids))
    return [all_boxes[k] for k in columns]


def _check_finite(rows, image_ids, classes, path):
    bad = rows[~np.isfinite(rows).all(axis=1)]
    if len(bad):
        image, cls = bad[0, :2]
        raise UserError("%s: %d of %d detections are not finite numbers, the first of class %s in image %s; test again"
                        % (path, len(bad), len(rows), classes[int(cls)], image_ids[int(image)]))


def _check_not_replaced(hashes, path, imdb):
    """UserError if an image file has changed since the test; images without a hash are not checked."""
    if not hashes:          # of an older version
        return
    pairs = zip(imdb.image_index, hashes, imdb.image_hashes())
    changed = [id_ for id_, then, now in pairs if now and then and then != now]
    if changed:
        raise UserError(f"the detections in {path} are of other images: {len(changed)} images of "
                        f"{imdb.name} were replaced since, the first is {changed[0]}; "
                        f"test again on {imdb.name}")


def _group(rows, num_classes, num_images):
    """(D, 7) rows -> all_boxes; the order of the rows of one class and image is kept."""
    cell = rows[:, 1].astype(int) * num_images + rows[:, 0].astype(int)
    order = np.argsort(cell, kind='stable')
    ends = np.searchsorted(cell[order], np.arange(1, num_classes * num_images))
    cells = np.split(rows[order, 2:], ends)
    return [cells[c * num_images:(c + 1) * num_images] for c in range(num_classes)]
