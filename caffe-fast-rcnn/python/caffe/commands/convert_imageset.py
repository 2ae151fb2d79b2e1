"""caffe convert_imageset: a list of image files and labels as an LMDB of Datums."""
import os

import torch

from .. import common
from ..common import CaffeError, log
from ..proto import caffe_pb2
from ..util.datum_images import decode_image, encode_image, resize_image
from ..util.image_list import read_bytes, read_list
from ..util.lmdb_files import DatumWriter
from .flags import Flag, need_arguments

USAGE = """ROOTFOLDER/ LISTFILE DB_NAME

Each line of LISTFILE is a file's name below ROOTFOLDER, a space and a label (a whole number)."""
BACKEND = Flag("backend", "lmdb", "database to use; only lmdb is supported", ("lmdb",))
FLAGS = [Flag("gray", False, "treat the images as grayscale"),
         Flag("shuffle", False, "put the images in a random order"), BACKEND,
         Flag("resize_width", 0, "width that images are resized to"),
         Flag("resize_height", 0, "height that images are resized to"),
         Flag("check_size", False, "check that all images have the same size"),
         Flag("encoded", False, "keep the images encoded, as in their files"),
         Flag("encode_type", "", "encoding of the images: png, jpg, ... (default: that of the file)")]


def run(flags, arguments):
    """Write the LMDB; files that are not images are logged and skipped, as in Caffe."""
    need_arguments(arguments, ("ROOTFOLDER/", "LISTFILE", "DB_NAME"))
    root, list_file, path = arguments
    if bool(flags.resize_width) != bool(flags.resize_height) or min(flags.resize_width, flags.resize_height) < 0:
        raise CaffeError("-resize_width %d -resize_height %d: give both, 1 or more, or neither"
                         % (flags.resize_width, flags.resize_height))
    lines = read_list(list_file)
    if flags.shuffle:
        log("convert_imageset.cpp:82", "Shuffling data")
        lines = [lines[i] for i in torch.randperm(len(lines), generator=_cpu_generator())]
    log("convert_imageset.cpp:85", "A total of %d images." % len(lines))
    with DatumWriter(path) as db:
        count = _write(db, root, lines, flags)
    if not count:
        raise CaffeError("%s: none of its %d images could be read from %s" % (list_file, len(lines), root))
    log("convert_imageset.cpp:147", "Processed %d files." % count)


def _cpu_generator():
    generator = torch.Generator()
    generator.manual_seed(common.generator().initial_seed())
    return generator


def _write(db, root, lines, flags):
    """Write the images to the database with keys in the order of `lines`; returns their number."""
    count, first = 0, None
    for number, (name, label) in enumerate(lines):
        path = root + name
        data = read_bytes(path)
        image = decode_image(data, 1 if flags.gray else 3)
        if image is None:
            log("io.cpp:83", "Could not open or find file %s, or it is not an image" % path, "E")
            continue
        if flags.resize_height:
            image = resize_image(image, flags.resize_height, flags.resize_width)
        first = first or image.shape
        if flags.check_size and image.shape != first:
            raise CaffeError("-check_size: %s is %dx%dx%d (height, width, channels), those before it are %dx%dx%d; "
                             "give -resize_height and -resize_width" % (path, *image.shape, *first))
        db.put("%08d_%s" % (number, name), make_datum(path, data, image, label, flags))
        count += 1
        if count % 1000 == 0:
            log("convert_imageset.cpp:137", "Processed %d files." % count)
    return count


def make_datum(path, data, image, label, flags):
    """The Datum of an image, whose file at `path` holds `data`."""
    if flags.encoded:       # Caffe states no shape then
        return caffe_pb2.Datum(label=label, encoded=True, data=_encoded(path, data, image, flags))
    height, width, channels = image.shape
    return caffe_pb2.Datum(label=label, channels=channels, height=height, width=width,
                           data=image.transpose(2, 0, 1).tobytes())     # (H, W, C) -> (C, H, W)


def _encoded(path, data, image, flags):
    """The file's own bytes if they have the right encoding, else the image encoded."""
    own = os.path.splitext(path)[1].lstrip(".").lower()
    kind = flags.encode_type.lower() or own
    if not kind:
        raise CaffeError("%s: its extension does not give an encoding for the image; give -encode_type" % path)
    same = kind.replace("jpeg", "jpg") == own.replace("jpeg", "jpg")
    return data if same and not flags.gray and not flags.resize_height else encode_image(image, kind)
