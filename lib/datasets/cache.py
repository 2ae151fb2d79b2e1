"""Derived data on disk, found by the content it was made from: a changed file or setting is another cache file.

Files are npz without pickles, written whole or not at all; one that cannot be read is remade.
"""
import hashlib
import json
import os
import zipfile

import numpy as np
import scipy.sparse
from utils.whole_file import remove_parts, whole_file

FORMAT = 2      # raise it when what is stored changes, or what the check refuses


def content_key(*parts):
    """Hex digest of anything json can write: names of images, settings, hashes of files (datasets.content_hash).

    No path and no time is part of it: data that was moved or touched is the same data.
    """
    text = json.dumps([FORMAT, parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def cached_arrays(path, build):
    """The dict of arrays stored at `path` (an .npz); where there is none, or a broken one, build() and store."""
    if os.path.exists(path):
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as e:
            print("cache file %s cannot be read (%s); making it again" % (path, e))
    arrays = build()
    try:
        remove_parts(os.path.dirname(path))
        with whole_file(path) as f:
            np.savez(f, **arrays)
    except OSError as e:
        print("cache file %s cannot be written (%s); going on without" % (path, e))
    return arrays


def cached_roidb(path, num_classes, build):
    """As cached_arrays, for a roidb."""
    return unpack_roidb(cached_arrays(path, lambda: pack_roidb(build())), num_classes)


def pack_roidb(roidb):
    """A roidb as a dict of flat arrays: rows of all images one after the other, and how many each image has."""
    def join(arrays, shape, dtype):
        return np.concatenate([np.zeros(shape, dtype)] + arrays).astype(dtype, copy=False)

    overlaps = [entry["gt_overlaps"] for entry in roidb]
    return {"rows": np.array([len(entry["boxes"]) for entry in roidb], dtype=np.int64),
            "sizes": np.array([(e["width"], e["height"]) for e in roidb], dtype=np.int64).reshape(-1, 2),
            "boxes": join([entry["boxes"] for entry in roidb], (0, 4), np.float32),
            "gt_classes": join([entry["gt_classes"] for entry in roidb], 0, np.int32),
            "seg_areas": join([entry["seg_areas"] for entry in roidb], 0, np.float32),
            "overlaps_per_row": join([np.diff(m.indptr) for m in overlaps], 0, np.int32),
            "overlaps_column": join([m.indices for m in overlaps], 0, np.int32),
            "overlaps_value": join([m.data for m in overlaps], 0, np.float32)}


def unpack_roidb(arrays, num_classes):
    """The roidb of pack_roidb; its arrays are views into the flat ones."""
    row_ends = np.concatenate(([0], np.cumsum(arrays["rows"])))
    value_ends = np.concatenate(([0], np.cumsum(arrays["overlaps_per_row"], dtype=np.int64)))
    roidb = []
    for i, (width, height) in enumerate(arrays["sizes"].tolist()):
        rows = slice(row_ends[i], row_ends[i + 1])
        indptr = value_ends[row_ends[i]:row_ends[i + 1] + 1]                   # (R + 1,) into the flat values
        values = slice(indptr[0], indptr[-1])
        csr = (arrays["overlaps_value"][values], arrays["overlaps_column"][values],
               (indptr - indptr[0]).astype(np.int32))
        roidb.append({"boxes": arrays["boxes"][rows], "gt_classes": arrays["gt_classes"][rows],
                      "gt_overlaps": scipy.sparse.csr_matrix(csr, shape=(len(indptr) - 1, num_classes)),
                      "flipped": False, "seg_areas": arrays["seg_areas"][rows], "width": width, "height": height})
    return roidb
