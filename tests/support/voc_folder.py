"""Small folders in the VOC layout for tests: photographs of noise with one coloured rectangle an object."""
import cv2
import numpy as np
from scipy.io import savemat

OBJECT = ("<object><name>%s</name><difficult>%d</difficult><bndbox>"
          "<xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox></object>")
CLASSES = ["ball", "cup"]


def small_images(prefix, count):
    """Images with objects of both classes, for make_voc_folder; the first has none."""
    objects = [("ball", (10, 12, 40, 45)), ("cup", (60, 20, 100, 70))]
    return {"%s%03d" % (prefix, i): (120, 90 + i, objects if i else []) for i in range(count)}


def make_voc_folder(path, images, split="trainval", classes=None, proposals=40, seed=0):
    """Write a VOC-layout folder and return `path` (a pathlib.Path); imdb name: voc:<path>@<split>.

    images: {id: (width, height, objects)}, objects a list of (name, (xmin, ymin, xmax, ymax)[, difficult]),
    boxes 1-based as they stand in the XML.  classes: names for classes.txt, None for no such file.  proposals: how many
    random ones each image gets beside jittered copies of its objects, or {id: (R, 4) 1-based [ymin xmin ymax xmax]}.
    Call it again with another split to add that split to the same folder.
    """
    rng = np.random.default_rng(seed)
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (path / part).mkdir(parents=True, exist_ok=True)
    for name, (width, height, objects) in images.items():
        cv2.imwrite(str(path / "JPEGImages" / (name + ".jpg")), draw_image(rng, width, height, objects))
        (path / "Annotations" / (name + ".xml")).write_text(annotation_xml(width, height, objects))
    (path / "ImageSets" / "Main" / (split + ".txt")).write_text("".join(name + "\n" for name in images))
    if classes is not None:
        (path / "classes.txt").write_text("".join(name + "\n" for name in classes))
    if not isinstance(proposals, dict):
        proposals = {name: random_proposals(rng, proposals, *image) for name, image in images.items()}
    write_proposals_mat(path / "selective_search_data" / ("%s_%s.mat" % (path.name, split)), proposals)
    return path


def annotation_xml(width, height, objects):
    """The XML text; an object's third item, where given, is its difficult flag."""
    size = "<size><width>%d</width><height>%d</height><depth>3</depth></size>" % (width, height)
    body = "".join(OBJECT % (obj[0], obj[2] if len(obj) > 2 else 0, *obj[1]) for obj in objects)
    return "<annotation>%s%s</annotation>\n" % (size, body)


def draw_image(rng, width, height, objects):
    """(height, width, 3) uint8: grey noise, each object a filled rectangle whose colour follows from its class name."""
    image = rng.integers(90, 160, (height, width, 3), dtype=np.uint8)
    for obj in objects:
        corners = np.clip(np.nan_to_num(np.array(obj[1], dtype=float)), -9999, 9999).astype(int) - 1
        colour = np.random.default_rng(sum(obj[0].lower().encode())).integers(0, 256, 3).tolist()
        cv2.rectangle(image, corners[:2].tolist(), corners[2:].tolist(), colour, -1)
    return image


def random_proposals(rng, count, width, height, objects):
    """(count + 4 * objects, 4) uint16, 1-based [ymin xmin ymax xmax], inside the image."""
    x = np.sort(rng.integers(1, width + 1, (count, 2)), axis=1)
    y = np.sort(rng.integers(1, height + 1, (count, 2)), axis=1)
    boxes = [np.stack((y[:, 0], x[:, 0], y[:, 1], x[:, 1]), axis=1)]
    for obj in objects:
        x1, y1, x2, y2 = np.nan_to_num(np.array(obj[1], dtype=float))
        jitter = rng.integers(-3, 4, (4, 4))
        boxes.append(np.clip(np.array([y1, x1, y2, x2]) + jitter, 1, [height, width, height, width]))
    return np.vstack(boxes).astype(np.uint16)


def write_proposals_mat(path, proposals):
    """{id: (R, 4) 1-based [ymin xmin ymax xmax]} as `images`, `boxes` cells, the published layout."""
    images, boxes = (np.empty((len(proposals), 1), dtype=object) for _ in range(2))
    for k, (name, rows) in enumerate(proposals.items()):
        images[k, 0], boxes[k, 0] = name, rows
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"images": images, "boxes": boxes}, do_compression=True)
