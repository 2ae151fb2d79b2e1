"""Images whose headers state more pixels than there is memory for are one line, before they are decoded."""
import struct
import zlib

import cv2
import numpy as np
import pytest
from datasets.image_files import image_geometry, require_whole
from utils.errors import UserError
from utils.images import read_image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg(width, height):
    data = bytearray(cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0") + 5        # start of frame: length, precision, height, width
    data[at:at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("read", [image_geometry, require_whole, read_image])
@pytest.mark.parametrize("data", [png(65000, 65000, 8, 2), jpeg(65000, 65000)], ids=["png", "jpeg"])
def test_header_of_too_many_pixels(tmp_path, data, read):
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(UserError, match="image .*bad"):
        read(str(tmp_path / "bad"))


def test_the_line_tells_the_size_and_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("caffe.memory_limit.memory_limit", lambda: (16 * 10 ** 9, "this machine's memory"))
    (tmp_path / "bad.png").write_bytes(png(30000, 30000, 1, 0))
    with pytest.raises(UserError, match=r"bad.png of 30000 x 30000 pixels would take 35.1 GB, more than .*16 GB"):
        image_geometry(str(tmp_path / "bad.png"))
