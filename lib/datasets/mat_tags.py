"""Whether the tags of a MATLAB file of version 5 to 7 agree with each other and with the file's length.

SciPy's reader follows them unchecked: one wrong byte can end the process.  A file is a header of 128 bytes, then
elements: a tag (type, number of bytes), the content, zeros up to a multiple of 8.  Content of up to 4 bytes may stand
in the tag itself.  A matrix is an element of elements: flags with its class, dims, name, then what its class says.
"""
import math
import struct
import zlib
from typing import NamedTuple

HEADER = 128
SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 1, 18: 1}    # bytes of a number
INT8, UTF8, INT32, UINT32, MATRIX, COMPRESSED = 1, 16, 5, 6, 14, 15
CELL, STRUCT, CHAR, SPARSE = 1, 2, 4, 5
NUMERIC = range(6, 16)
COMPLEX = 8             # in the flags
DEPTH = 32              # matrices within matrices
GROWTH = 1100           # zlib makes at most 1032 bytes of one


class Damage(Exception):
    """What is wrong with the tags, and where."""


class Element(NamedTuple):
    kind: int
    start: int          # of the content
    size: int           # bytes of the content
    next: int           # where the next element starts


def check_tags(data):
    """Damage unless the bytes of a file are a sound MATLAB file of version 5 to 7, as far as its tags tell."""
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise Damage("it does not begin with the header of a MATLAB file of version 5 to 7")
    order = "<" if data[126:128] == b"IM" else ">"
    version = struct.unpack_from(order + "H", data, 124)[0]
    if version != 0x0100:
        raise Damage(f"it is of version {version >> 8}.{version & 255}, expected 1.0 (-v7)")
    _Walk(data, order).top()


class _Walk:
    """The elements of `data`, whose numbers have the byte order `order`."""

    def __init__(self, data, order, offset=0):
        self.data, self.order, self.offset = data, order, offset

    def fail(self, at, message):
        raise Damage(f"byte {at + self.offset}: {message}")

    def top(self):
        at = HEADER
        while at < len(self.data):
            element = self.element(at, len(self.data), padded=False)
            if element.kind == COMPRESSED:
                self.compressed(element)
            elif element.kind == MATRIX:
                self.matrix(element, 0)
            else:
                self.fail(at, f"an element of type {element.kind}, expected a matrix")
            at = element.next

    def compressed(self, element):
        """The matrix that is the content of a compressed element."""
        packed = self.data[element.start:element.start + element.size]
        try:
            inner = zlib.decompressobj().decompress(packed, GROWTH * len(packed))
        except zlib.error as e:
            self.fail(element.start, f"compressed data are damaged ({e})")
        walk = _Walk(inner, self.order)
        try:
            content = walk.element(0, len(inner), padded=False)
            if content.kind != MATRIX:
                walk.fail(0, f"an element of type {content.kind}, expected a matrix")
            walk.matrix(content, 0)
        except Damage as e:
            self.fail(element.start, f"in the compressed data, {e}")

    def element(self, at, end, padded=True):
        """The Element whose tag is at byte `at`; it ends by `end`."""
        if at + 8 > end:
            self.fail(at, f"a tag is cut off: expected 8 bytes, {max(0, end - at)} are left")
        kind, size = struct.unpack_from(self.order + "II", self.data, at)
        if kind >> 16:
            small = Element(kind & 0xffff, at + 4, kind >> 16, at + 8)
            if small.size > 4:
                self.fail(at, f"{small.size} bytes in a tag that has room for 4")
            return small
        if size > end - at - 8:
            self.fail(at, f"an element of {size} bytes where {end - at - 8} are left")
        after = at + 8 + (-(-size // 8) * 8 if padded else size)
        return Element(kind, at + 8, size, min(after, end))

    def matrix(self, element, depth):
        """A matrix whose Element is given; one without content is an empty one."""
        if depth > DEPTH:
            self.fail(element.start, f"more than {DEPTH} matrices within each other")
        at, end = element.start, element.start + element.size
        if at == end:
            return
        flags = self.expect(at, end, "flags", (UINT32,), 8)
        word = struct.unpack_from(self.order + "I", self.data, flags.start)[0]
        dims = self.expect(flags.next, end, "dims", (INT32,))
        lengths = struct.unpack_from(f"{self.order}{dims.size // 4}i", self.data, dims.start)
        if not 2 <= len(lengths) <= 32 or min(lengths) < 0:
            self.fail(dims.start, f"dims {lengths[:8]}, expected 2 to 32 numbers, 0 or more")
        name = self.expect(dims.next, end, "name", (INT8, UTF8))
        self.content(name.next, end, word & 255, bool(word >> 8 & COMPLEX), math.prod(lengths), depth)

    def content(self, at, end, kind, is_complex, count, depth):
        """What follows a matrix's name."""
        if kind == CELL:
            self.matrices(at, end, count, depth)
        elif kind == STRUCT:
            self.struct(at, end, count, depth)
        elif kind in NUMERIC or kind == CHAR:
            for _ in range(1 + (is_complex and kind != CHAR)):
                at = self.numbers(at, end, None if kind == CHAR else count).next
        elif kind == SPARSE:
            self.sparse(at, end, is_complex)
        else:
            self.fail(at, f"a matrix of class {kind}, expected a cell array, struct, text or numbers; save boxes and "
                          "images only")

    def matrices(self, at, end, count, depth):
        if count * 8 > end - at:
            self.fail(at, f"{count} matrices where {end - at} bytes are left")
        for _ in range(count):
            element = self.element(at, end)
            if element.kind != MATRIX:
                self.fail(at, f"an element of type {element.kind}, expected a matrix")
            self.matrix(element, depth + 1)
            at = element.next

    def struct(self, at, end, count, depth):
        length = self.expect(at, end, "length of field names", (INT32,), 4)
        names = self.expect(length.next, end, "field names", (INT8,))
        each = struct.unpack_from(self.order + "i", self.data, length.start)[0]
        if each < 1 or names.size % each:
            self.fail(length.start, f"field names of {each} bytes in {names.size} bytes")
        self.matrices(names.next, end, count * (names.size // each), depth)

    def sparse(self, at, end, is_complex):
        for _ in range(2):
            at = self.expect(at, end, "indices", (INT32,)).next
        for _ in range(1 + is_complex):
            at = self.numbers(at, end, None).next

    def numbers(self, at, end, count):
        """The Element of `count` numbers; None: of any number of them."""
        found = self.expect(at, end, "numbers", tuple(SIZES))
        if count is not None and found.size != count * SIZES[found.kind]:
            self.fail(at, f"{found.size} bytes of type {found.kind} for {count} numbers")
        return found

    def expect(self, at, end, what, kinds, size=None):
        """The Element at `at` with one of the types `kinds`, of whole numbers, and `size` bytes if that is given."""
        found = self.element(at, end)
        if found.kind not in kinds:
            self.fail(at, f"{what} of type {found.kind}, expected {' or '.join(map(str, kinds))}")
        if found.size % SIZES[found.kind] or size not in (None, found.size):
            self.fail(at, f"{what} of {found.size} bytes" + ("" if size is None else f", expected {size}"))
        return found
