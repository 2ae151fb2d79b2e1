"""Pieces of images with boxes drawn on them, as data URIs."""
import base64

import cv2
import numpy as np

from run_report.style import bgr

RIGHT, WRONG, OBJECT, FOREGROUND, BACKGROUND, BOTH = map(bgr, ("right", "wrong", "object", "fg", "bg", "both"))


def jpeg(im):
    """The bytes of a JPEG of im (H, W, 3) uint8 BGR."""
    ok, data = cv2.imencode(".jpg", im, (cv2.IMWRITE_JPEG_QUALITY, 85))
    assert ok, "OpenCV wrote no JPEG of an image of shape %s" % (im.shape,)
    return data.tobytes()


def data_uri(im):
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(im)).decode()


def crop(im, box, others=(), side=150, colour=RIGHT):
    """(side, side, 3): what is around box [x1 y1 x2 y2], which is drawn in colour, after others [(box, colour)].

    The piece is a square 1.8 times as wide as the box's longer side; beyond the image it is grey.
    """
    x1, y1, x2, y2 = box
    half = max(0.9 * max(x2 - x1 + 1, y2 - y1 + 1), 12)
    left, top, scale = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half, side / (2 * half)
    shift = np.float64([[scale, 0, -left * scale], [0, scale, -top * scale]])
    piece = cv2.warpAffine(im, shift, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=(225, 225, 225))
    for other, other_colour in [*others, (box, colour)]:
        _draw(piece, (np.asarray(other, float).reshape(2, 2) - (left, top)) * scale, other_colour, 2)
    return piece


def scene(im, boxes, width=430):
    """im, `width` pixels wide, with boxes [(box, colour, thickness)] in pixels of im, the first ones below."""
    scale = width / im.shape[1]
    piece = cv2.resize(im, (width, round(im.shape[0] * scale)), interpolation=cv2.INTER_AREA if scale < 1 else
                       cv2.INTER_LINEAR)
    for box, colour, thickness in boxes:
        _draw(piece, np.asarray(box, float).reshape(2, 2) * scale, colour, thickness)
    return piece


def _draw(piece, corners, colour, thickness):
    (x1, y1), (x2, y2) = np.round(np.clip(corners, -2000, 4000)).astype(int).tolist()
    cv2.rectangle(piece, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
