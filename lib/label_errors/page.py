"""The page on suspects: pieces of the images to look through."""
from collections.abc import Sequence
from html import escape
from pathlib import Path

from run_report import pictures
from run_report.page import html_page
from utils.images import read_image

from label_errors.suspects import KINDS, Suspect

HEADINGS = {"missing": ("Objects nobody labelled", "Red: what may be an object. Yellow: the labels."),
            "class": ("Wrong classes", "Red: the label whose class may be wrong. Yellow: the other labels."),
            "box": ("Boxes far off", "Red: the box that may be wrong. Yellow: the other labels."),
            "duplicate": ("Duplicates", "Red: the label that is there twice.")}


def suspects_page(title: str, suspects: Sequence[Suspect], imdb, objects, count: int) -> str:
    """One HTML page that needs nothing else, with the first `count` suspects of each kind.

    objects: for each image (boxes (G, 4), classes (G,)).
    """
    sections = []
    for kind in KINDS:
        own = [suspect for suspect in suspects if suspect.kind == kind]
        heading, note = HEADINGS[kind]
        crops = "".join(_figure(suspect, imdb, objects) for suspect in own[:count])
        more = f"; {len(own) - count} more are in suspects.csv" if len(own) > count else ""
        sections.append((kind, f"{heading} ({len(own)})", f'<p class="note">{note} By falling score{more}.</p>'
                         f'<div class="crops">{crops or "none"}</div>'))
    return html_page(title, sections)


def _figure(suspect, imdb, objects):
    """A piece of the image, a link to the image, and what is suspected."""
    path = imdb.image_path_at(suspect.image)
    others = [(box, pictures.OBJECT) for box in objects[suspect.image][0] if tuple(box) != suspect.box]
    piece = pictures.crop(read_image(path), suspect.box, others, colour=pictures.WRONG)
    name = escape(str(imdb.image_index[suspect.image]))
    url = escape(Path(path).resolve().as_uri(), quote=True)
    return (f'<figure><a href="{url}"><img src="{pictures.data_uri(piece)}" alt="{name}"></a>'
            f"<figcaption>{escape(describe(suspect, imdb.classes))}<br><small>{name}</small></figcaption></figure>")


def describe(suspect: Suspect, classes: Sequence[str]) -> str:
    """What is suspected, in a few words."""
    label, suggested = classes[suspect.label], classes[suspect.suggested]
    texts = {"missing": f"{suggested}, not labelled", "class": f"{label}: perhaps {suggested}",
             "box": f"{label}: box far off", "duplicate": f"{label}: twice"}
    return f"{texts[suspect.kind]} ({suspect.score:.2f})"
