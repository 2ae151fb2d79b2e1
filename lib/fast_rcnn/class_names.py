"""The class names of a detector, stored in its caffemodel.

A caffemodel is a NetParameter message.  Its field CLASS_NAMES is an extension that other Caffes
skip: a JSON list in UTF-8 whose item k names column k of the scores; item 0 is `__background__`.
If the field occurs twice, the last one counts, as for every optional field of protobuf, so names are
set and changed by appending to the file.  Reading skips the weights.  `Net.save` drops the names: a
program that writes a caffemodel from another must write them again.
"""
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError
from utils.errors import UserError
from utils.whole_file import whole_file

CLASS_NAMES = 8266713       # number of the field in NetParameter
LAYER = 100                 # in NetParameter; the next in LayerParameter
NAME, BOTTOM, INNER_PRODUCT, PSROI_POOLING = 1, 3, 117, 10001
BACKGROUND = "__background__"
SHOWN = 8                   # names in a message
COPIED = 2 ** 22            # bytes at a time


def read_class_names(path) -> tuple[str, ...] | None:
    """The names (K,), the background first; None if the file has none, or is not a caffemodel.

    Raises UserError if the field is not a list of names.
    """
    text = None
    try:
        with open(path, "rb") as f:
            for number, length in _fields(f, os.path.getsize(path)):
                if number == CLASS_NAMES:
                    text = f.read(length)
    except (OSError, _Malformed):
        return None         # what is wrong with the file is said by who loads its weights
    return None if text is None else _parsed(text, path)


def write_class_names(path, names: Sequence[str] | None) -> None:
    """Store names (K,), the background first, in a caffemodel, completely or not at all.

    None: the file is not changed.
    """
    if names is None:
        return
    text = json.dumps(list(names), ensure_ascii=False).encode()
    with open(path, "rb") as net, whole_file(path) as f:
        shutil.copyfileobj(net, f, COPIED)
        f.write(_varint(CLASS_NAMES << 3 | 2) + _varint(len(text)) + text)


def count_classes(path) -> int | None:
    """The number of classes of a caffemodel: of its cls_score, or of R-FCN's pooling of rfcn_cls.

    None if the file has neither layer, or is not a caffemodel.
    """
    try:
        with open(path, "rb") as f:
            for number, length in _fields(f, os.path.getsize(path)):
                found = _outputs_of_classes(f, f.tell() + length) if number == LAYER else None
                if found:
                    return found
    except (OSError, _Malformed, DecodeError):
        pass
    return None


def class_columns(names: Sequence[str], wanted: Sequence[str], who: str, whose: str,
                  remedy: str = "use a data set of its classes") -> np.ndarray:
    """(K,) int: for each of the classes `wanted` its column in the scores of the classes `names`.

    Names are compared without regard to case.  Raises UserError if the classes differ; the message
    calls the owner of `names` `who`, and the owner of `wanted` `whose`.
    """
    for these, owner in ((names, who), (wanted, whose)):
        if len(set(map(_folded, these))) < len(these):
            raise UserError(f"{owner}: two of its classes differ only in upper and lower case: "
                            f"{', '.join(these)}; rename one")
    differs = difference(names, wanted)
    if differs:
        raise UserError(f"{who} has other classes than {whose}: {differs}; {remedy}")
    place = {_folded(name): k for k, name in enumerate(names)}
    return np.array([place[_folded(name)] for name in wanted], dtype=int)


def difference(names: Sequence[str], wanted: Sequence[str]) -> str:
    """The differences of `names` from `wanted`: "missing: a, b; unknown: c", or ""."""
    there, here = set(map(_folded, names)), set(map(_folded, wanted))
    lists = {"missing": [name for name in wanted if _folded(name) not in there],
             "unknown": [name for name in names if _folded(name) not in here]}
    return "; ".join(f"{what}: {shorten(found)}" for what, found in lists.items() if found)


def take_columns(scores, boxes, columns):
    """A net's scores (R, K) and boxes (R, 4*K) in the order of class_columns; None: unchanged."""
    if columns is None:
        return scores, boxes
    if scores.shape[1] != len(columns):
        raise UserError(f"the net scores {scores.shape[1]} classes, but has {len(columns)} class "
                        "names; set them with --classes FILE")
    boxes_of_classes = boxes.reshape(len(boxes), len(columns), 4)[:, columns]
    return scores[:, columns], boxes_of_classes.reshape(boxes.shape)


def shorten(names: Sequence[str]) -> str:
    """The first names, joined by commas, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _folded(name):
    return name.strip().lower()


def _parsed(text, path):
    try:
        names = json.loads(text)
    except ValueError:
        names = text
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise UserError(f"{path}: its class names are {names!r:.80}, expected a list of strings; set "
                        "them with --classes FILE")
    return tuple(names)


# ---- the wire format of protobuf

class _Malformed(Exception):
    """The bytes are not a protobuf message, or the message is truncated."""


def _fields(f: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """(number, length) of each field that has a length, from where f stands up to `end`.

    Meanwhile f stands at the field's content.
    """
    while f.tell() < end:
        key = _read_varint(f)
        kind = key & 7
        if kind == 0:
            _read_varint(f)
            continue
        if kind not in (1, 2, 5):
            raise _Malformed
        length = _read_varint(f) if kind == 2 else {1: 8, 5: 4}[kind]
        start = f.tell()
        if start + length > end:
            raise _Malformed
        if kind == 2:
            yield key >> 3, length
        f.seek(start + length)


def _outputs_of_classes(f, end):
    """Classes that the LayerParameter up to `end` scores; None where it is another layer."""
    small = [(number, f.read(length)) for number, length in _fields(f, end)
             if number in (NAME, BOTTOM, INNER_PRODUCT, PSROI_POOLING)]
    text = dict(small)
    if text.get(NAME) == b"cls_score" and INNER_PRODUCT in text:
        return caffe_pb2.InnerProductParameter.FromString(text[INNER_PRODUCT]).num_output
    if (BOTTOM, b"rfcn_cls") in small and PSROI_POOLING in text:
        return caffe_pb2.PSROIPoolingParameter.FromString(text[PSROI_POOLING]).output_dim
    return None


def _read_varint(f):
    value = shift = 0
    while True:
        byte = f.read(1)
        if not byte or shift > 63:
            raise _Malformed
        value |= (byte[0] & 0x7f) << shift
        shift += 7
        if byte[0] < 0x80:
            return value


def _varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))
