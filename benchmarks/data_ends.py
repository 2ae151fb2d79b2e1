"""What comes before and after training: the roidb of 10,000 images with 2000 boxes, VOC's scores of 5000 images.

Each is run once in a process of its own, for its memory; the peers are loops over boxes in Python on a sample, their
time taken for the whole.
"""
import tempfile
import time

import numpy as np
from _data_worker import DETECTIONS, detections
from _inputs import SEED, random_boxes
from _report import Row
from _voc_folder import OBJECTS, write_voc_folder
from _worker import run_worker
from datasets.voc_layout import VOC_CLASSES
from mining_layer import naive_iou

LIMITS = {"roidb": 60.0, "roidb_gb": 4.0, "scores": 30.0}      # seconds and GB that are asked for
SAMPLE = 2000


def cases(sizes):
    """{case name: function of the settings}."""
    return {"ends/roidb": _roidb, "ends/scores": _scores}


def _roidb(settings):
    """Rows: seconds without and with a cache, and memory."""
    images, proposals = settings.sizes.images, settings.sizes.rois
    with tempfile.TemporaryDirectory() as folder:
        name = write_voc_folder(folder + "/voc", images, proposals)
        first, second = (run_worker("_data_worker.py", "roidb", name, folder) for _ in range(2))
    peer = images * proposals * _seconds_of_overlaps() / SAMPLE
    peer_is, note = "loops over boxes, overlaps only, from %d boxes" % SAMPLE, "one run"
    return [Row("ends/roidb", first["seconds"], peer, peer_is, LIMITS["roidb"], 1, "limit", note=note),
            Row("ends/roidb/cached", second["seconds"], first["seconds"], "without the cache", note=note),
            Row("ends/roidb/memory", first["gb"], limit=LIMITS["roidb_gb"], target=1, against="limit", unit="GB",
                note=note)]


def _scores(settings):
    """One row: seconds of evaluate_detections."""
    images = settings.sizes.test_images
    with tempfile.TemporaryDirectory() as folder:
        name = write_voc_folder(folder + "/voc", images, 1)
        taken = run_worker("_data_worker.py", "scores", name, folder)
    count = images * DETECTIONS * len(VOC_CLASSES)
    return [Row("ends/scores", taken["seconds"], count * _seconds_of_matching() / SAMPLE,
                "loops over detections, matching only, from %d" % SAMPLE, LIMITS["scores"], 1, "limit",
                note="one run, %.1f GB" % taken["gb"])]


def _seconds_of_overlaps():
    """IoU of SAMPLE boxes with an image's objects, and which is largest."""
    rng = np.random.default_rng(SEED)
    boxes, objects = (random_boxes(count, 375, 500, rng).tolist() for count in (SAMPLE, OBJECTS))
    start = time.perf_counter()
    for box in boxes:
        overlaps = [naive_iou(box, gt) for gt in objects]
        overlaps.index(max(overlaps))
    return time.perf_counter() - start


def _seconds_of_matching():
    """SAMPLE detections by falling score: the object each overlaps most, and whether that is taken already."""
    rng = np.random.default_rng(SEED)
    dets = detections(rng, SAMPLE // DETECTIONS).reshape(-1, 5).tolist()
    objects, taken = random_boxes(OBJECTS, 375, 500, rng).tolist(), set()
    start = time.perf_counter()
    for det in sorted(dets, key=lambda det: -det[4]):
        overlaps = [naive_iou(det, gt) for gt in objects]
        best = overlaps.index(max(overlaps))
        if overlaps[best] > 0.5:
            taken.add(best)
    return time.perf_counter() - start
