"""LabelMe: a JSON for each image, with shapes."""
from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.problems import problem_lines
from importers.shapes import box_of_circle, box_of_points
from importers.tree import Tree, split_of_image

NAMES = "LabelMe JSON"
BOXED = {"polygon": "polygons", "mask": "masks", "rotation": "rotated rectangles"}


def fits(content) -> bool:
    """Whether the content of a JSON file is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(tree: Tree, contents: dict) -> Export:
    """Read JSON files {file: content}."""
    export = Export(NAMES)
    counts = Counts()
    used = set()
    for file, content in contents.items():
        with problem_lines(export.problems, file):
            image = _image_of(tree, file, content)
            objects = []
            for number, shape in enumerate(content["shapes"], start=1):
                where = f"{file}, shape {number}"
                with problem_lines(export.problems, where):
                    box = _box(shape, counts)
                    if box is not None:
                        objects.append(LabelledObject(str(shape["label"]), box, where))
            width, height = content.get("imageWidth"), content.get("imageHeight")
            size = (width, height) if width and height else None
            export.images.append(LabelledImage(tree.path(image), objects, split_of_image(image), size))
            used.add(image)
    rest = [image for image in tree.images if image not in used]
    if rest:
        export.remarks.append(f"{len(rest)} images have no JSON and are left out, the first is {rest[0]}; LabelMe "
                              "writes one without shapes for an image without objects")
    export.remarks += counts.lines()
    return export


def _image_of(tree, file, content):
    """imagePath, or the image of the JSON's own name, which tools that rename files keep."""
    own = tree.image_of_stem(file.rsplit(".", 1)[0])
    return own or tree.find_image(str(content["imagePath"]), file)


def _box(shape, counts):
    """The box of a shape; None for one that is left out."""
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind == "rectangle":
        return box_of_points(points)
    if kind == "circle" and len(points) == 2:
        counts.add("circles became the boxes around them")
        return box_of_circle(*points)
    if kind in BOXED:
        counts.add(f"{BOXED[kind]} became the boxes around them")
        return box_of_points(points)
    counts.add(f"shapes of type {kind} are left out")
    return None
