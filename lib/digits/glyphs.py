"""Smooth, large glyphs from 8x8 ink cells: handwritten digits, and marks that only look like digits.

An ink cell is (8, 8) float32 in [0, 1], the scale of scikit-learn's `load_digits` (1797 scans, 10 classes).
A glyph is an alpha mask (h, w) float32 in [0, 1], cropped tightly round its ink, with anti-aliased edges.
"""
import cv2
import numpy as np

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# A look-alike must not be a digit itself. Mirrored, a 0, 1 or 8 is still one and 2 and 5 turn into each other;
# upside down, 2 and 5 stay and 6 and 9 change places; the halves left out read as 0, 1 or 7.
MIRRORED = (3, 4, 6, 7, 9)
QUARTER_TURN = (2, 3, 4, 5, 6, 7, 9)
HALF_TURN = (3, 4, 7)
HALVES = {0: ("top", "bottom"), 2: ("bottom",), 3: ("bottom",), 4: ("top",), 5: ("top",)}
KINDS = ("mirrored", "quarter_turn", "half_turn", "half", "letter")

# Letters as strokes: polylines of (x, y) in the unit square, y down.
LETTERS = {
    "A": [[(.1, 1), (.5, 0), (.9, 1)], [(.25, .65), (.75, .65)]],
    "E": [[(.9, 0), (.1, 0), (.1, 1), (.9, 1)], [(.1, .5), (.7, .5)]],
    "F": [[(.9, 0), (.1, 0), (.1, 1)], [(.1, .5), (.7, .5)]],
    "H": [[(.1, 0), (.1, 1)], [(.9, 0), (.9, 1)], [(.1, .5), (.9, .5)]],
    "K": [[(.1, 0), (.1, 1)], [(.9, 0), (.1, .55), (.9, 1)]],
    "M": [[(0, 1), (.15, 0), (.5, .7), (.85, 0), (1, 1)]],
    "N": [[(.1, 1), (.1, 0), (.9, 1), (.9, 0)]],
    "P": [[(.1, 1), (.1, 0), (.7, 0), (.9, .25), (.7, .5), (.1, .5)]],
    "T": [[(0, 0), (1, 0)], [(.5, 0), (.5, 1)]],
    "U": [[(.1, 0), (.1, .75), (.35, 1), (.65, 1), (.9, .75), (.9, 0)]],
    "V": [[(0, 0), (.5, 1), (1, 0)]],
    "W": [[(0, 0), (.2, 1), (.5, .3), (.8, 1), (1, 0)]],
    "X": [[(.1, 0), (.9, 1)], [(.9, 0), (.1, 1)]],
    "Y": [[(.1, 0), (.5, .5), (.9, 0)], [(.5, .5), (.5, 1)]],
}


def glyph(cell, height, thickness=0.4, degrees=0.0):
    """Alpha mask of an ink cell, about `height` pixels high before rotation.

    thickness in (0, 1): the share of full ink at which a stroke ends is 1 - thickness, so more is bolder.
    The cell is enlarged with a cubic kernel and cut at that level with a soft edge about one pixel wide.
    """
    big = cv2.resize(np.pad(cell.astype(np.float32), 2), None, fx=16, fy=16, interpolation=cv2.INTER_CUBIC)
    big = cv2.GaussianBlur(big, (0, 0), 5.0)  # the 8x8 grid is no longer seen at sigma 0.3 cells
    if degrees:
        centre = (big.shape[1] / 2.0, big.shape[0] / 2.0)
        big = cv2.warpAffine(big, cv2.getRotationMatrix2D(centre, degrees, 1.0), big.shape[::-1])
    level = (1.0 - thickness) * float(big.max())
    rows, cols = _extent(big > level)
    margin = 4  # keeps the soft edge inside the crop
    big = big[max(rows[0] - margin, 0):rows[1] + margin, max(cols[0] - margin, 0):cols[1] + margin]
    scale = height / float(rows[1] - rows[0])
    size = (max(int(round(big.shape[1] * scale)), 3), max(int(round(big.shape[0] * scale)), 3))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    ink = cv2.resize(big, size, interpolation=method)
    slope = max(float(np.abs(np.gradient(ink)).max()), 1e-3)  # ink per pixel at the steepest edge
    mask = np.clip((ink - level) / slope + 0.5, 0, 1)
    rows, cols = _extent(mask > 0.25)
    return mask[rows[0]:rows[1], cols[0]:cols[1]].astype(np.float32)


def lookalike(kind, digit, cell, rng):
    """Ink cell of a mark that is no digit: `cell` (of class `digit`) mirrored, turned or halved, or a letter."""
    if kind == "mirrored":
        return cell[:, ::-1]
    if kind == "quarter_turn":
        return np.rot90(cell, int(rng.choice((1, 3))))
    if kind == "half_turn":
        return np.rot90(cell, 2)
    if kind == "half":
        side = str(rng.choice(HALVES[digit]))
        half = np.zeros_like(cell)
        keep = slice(0, 4) if side == "top" else slice(4, 8)
        half[keep] = cell[keep]
        return half
    return letter_cell(str(rng.choice(sorted(LETTERS))), rng)


def suitable(kind):
    """Digits from which a look-alike of this kind can be made."""
    return {"mirrored": MIRRORED, "quarter_turn": QUARTER_TURN, "half_turn": HALF_TURN, "half": tuple(HALVES),
            "letter": tuple(range(10))}[kind]


def letter_cell(letter, rng):
    """(8, 8) ink of a letter, its corners jittered as by hand, scanned at the digits' resolution."""
    canvas = np.zeros((64, 64), np.float32)
    width = rng.uniform(0.65, 0.9)
    for stroke in LETTERS[letter]:
        points = np.array(stroke) * (width, 1) + ((1 - width) / 2, 0) + rng.normal(0, 0.035, (len(stroke), 2))
        pixels = np.round(8 * (4 + 56 * points)).astype(np.int32)  # 3 fractional bits
        cv2.polylines(canvas, [pixels.reshape(-1, 1, 2)], False, 1.0, int(rng.integers(9, 13)), cv2.LINE_AA, 3)
    return np.clip(1.3 * cv2.resize(canvas, (8, 8), interpolation=cv2.INTER_AREA), 0, 1)


def _extent(mask):
    """((first row, end row), (first column, end column)) of the true pixels."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(cols[0]), int(cols[-1]) + 1)
