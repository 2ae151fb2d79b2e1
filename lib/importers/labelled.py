"""What every reader of an export returns: images, their objects, and where each of them comes from."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabelledObject:
    """One object of an image.

    box: (x1, y1, x2, y2) in pixels, the edges of the box: the pixel in the upper left corner of the image is the box
    (0, 0, 1, 1).  where: the file, and the line or number in it, for messages.
    """
    label: str
    box: tuple[float, float, float, float]
    where: str
    is_difficult: bool = False


@dataclass
class LabelledImage:
    """An image file with its objects.

    size: (width, height) that the boxes were drawn on; None for that of the file.  split: "train", "val", "test" or
    "" where the export does not say.  xml: an annotation in the VOC format that is used as it is.
    """
    path: str
    objects: list[LabelledObject]
    split: str = ""
    size: tuple[int, int] | None = None
    xml: str = ""


@dataclass
class Export:
    """A whole export.

    what: the format, for people.  classes: in the order of the export, [] where it has none.  remarks: lines to print,
    on what was read in another form or left out.  problems: lines on what cannot be read.
    """
    what: str
    images: list[LabelledImage] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """Counts what was read in another form, and turns the counts into remarks."""
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def lines(self) -> list[str]:
        return [f"{count} {what}" for what, count in self.counts.items()]
