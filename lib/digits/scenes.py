"""One picture of the data set: a crop of a photograph, digits (the objects) and look-alikes (no objects)."""
import cv2
import numpy as np

from digits.glyphs import CLASSES, KINDS, glyph, lookalike, suitable

WIDTHS, HEIGHTS = (220, 251), (180, 211)  # pixels, half-open
SIZES = (22, 110)  # height of a glyph before rotation, pixels
OBJECTS = (0.04, 0.32, 0.32, 0.20, 0.12)  # probability of 0, 1, 2, 3, 4 digits
LOOKALIKES = (0.05, 0.25, 0.30, 0.25, 0.15)  # probability of 0, 1, 2, 3, 4 look-alikes
CONTRAST = (55, 150)  # grey levels between a stroke and its surroundings
FAINT_SHARE, FAINT = 0.04, (18, 28)  # marked `difficult`, as hard even for people
TRUNCATED_SHARE = 0.04  # reach over the border by up to a seventh


def scene(cells, photographs, rng):
    """-> (image (H, W, 3) uint8 BGR, objects, lookalikes).

    Both are lists of dicts: box [x1 y1 x2 y2] 0-based inclusive pixels, name, difficult, truncated;
    a look-alike's name is the kind it is of.
    """
    image = background(photographs, rng)
    taken, objects, others = [], [], []
    for _ in range(rng.choice(len(OBJECTS), p=OBJECTS)):
        digit = int(rng.integers(10))
        _place(image, cells[digit][rng.integers(len(cells[digit]))], CLASSES[digit], taken, objects, rng)
    for _ in range(rng.choice(len(LOOKALIKES), p=LOOKALIKES)):
        kind = str(rng.choice(KINDS))
        digit = int(rng.choice(suitable(kind)))
        cell = cells[digit][rng.integers(len(cells[digit]))]
        _place(image, lookalike(kind, digit, cell, rng), kind, taken, others, rng)
    noise = rng.normal(0, rng.uniform(0, 4), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), objects, others


def background(photographs, rng):
    """A crop of one photograph, float32 BGR, at 0.7 to 1.4 times its size, sometimes flipped, light varied."""
    height, width = int(rng.integers(*HEIGHTS)), int(rng.integers(*WIDTHS))
    photo = photographs[rng.integers(len(photographs))]
    zoom = min(rng.uniform(0.7, 1.4), photo.shape[0] / height, photo.shape[1] / width)
    h, w = int(height * zoom), int(width * zoom)
    y, x = int(rng.integers(photo.shape[0] - h + 1)), int(rng.integers(photo.shape[1] - w + 1))
    crop = cv2.resize(photo[y:y + h, x:x + w], (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return np.clip(crop * rng.uniform(0.75, 1.1) + rng.uniform(-15, 15), 0, 255).astype(np.float32)


def _place(image, cell, name, taken, out, rng):
    """Draw one glyph at a free place, in at most 30 tries; `taken` and `out` grow by its box."""
    low, high = SIZES
    faint, cut = rng.random() < FAINT_SHARE, rng.random() < TRUNCATED_SHARE
    for _ in range(30):
        height = low * (high / low) ** rng.random()  # as many small as large ones
        mask = glyph(cell, height, thickness=rng.uniform(0.42, 0.62), degrees=rng.uniform(-8, 8))
        origin = _origin(mask.shape, image.shape[:2], cut, rng)
        if origin is None:
            continue
        mask, box = _clip(mask, origin, image.shape[:2])
        if not any(_near(box, other) for other in taken):
            paint(image, mask, box, FAINT if faint else CONTRAST, rng)
            taken.append(box)
            out.append({"box": box, "name": name, "difficult": int(faint), "truncated": int(cut)})
            return


def paint(image, mask, box, contrast, rng):
    """Blend a stroke colour into `image` in place, `contrast` grey levels from the mean it covers."""
    x1, y1, x2, y2 = box
    patch = image[y1:y2 + 1, x1:x2 + 1]
    ground = patch.reshape(-1, 3).mean(axis=0)
    step = rng.uniform(*contrast)
    sign = rng.choice((-1.0, 1.0))
    if not 0 <= ground.mean() + sign * step <= 255:
        sign = -sign
    tint = rng.normal(0, 0.35 * step, 3)
    colour = np.clip(ground + sign * step + tint - tint.mean(), 0, 255)
    alpha = (mask * rng.uniform(0.85, 1.0))[:, :, None]
    patch += alpha * (colour.astype(np.float32) - patch)


def _origin(shape, bounds, cut, rng):
    """Top left corner (y, x): inside with a margin of 2 pixels, or over one border by up to a seventh."""
    room = [bounds[i] - shape[i] - 2 for i in (0, 1)]
    if min(room) <= 2:
        return None
    corner = [int(rng.integers(2, room[i])) for i in (0, 1)]
    if cut:
        axis, over = int(rng.integers(2)), rng.uniform(0.05, 1 / 7)
        low, high = -int(np.ceil(over * shape[axis])), bounds[axis] - int((1 - over) * shape[axis])
        corner[axis] = int(rng.choice((low, high)))
    return corner


def _clip(mask, origin, bounds):
    """The part of the mask inside the image and its box."""
    y, x = origin
    y1, x1 = max(y, 0), max(x, 0)
    y2, x2 = min(y + mask.shape[0], bounds[0]), min(x + mask.shape[1], bounds[1])
    return mask[y1 - y:y2 - y, x1 - x:x2 - x], (x1, y1, x2 - 1, y2 - 1)


def _near(a, b, gap=4):
    """Whether two boxes are closer than `gap` pixels."""
    return a[0] - gap <= b[2] and b[0] - gap <= a[2] and a[1] - gap <= b[3] and b[1] - gap <= a[3]
