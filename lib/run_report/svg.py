"""A matplotlib figure as an <svg> element of an HTML page."""
import io
import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from run_report.style import printable

NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def svg_element(figure: Figure, title: str) -> str:
    """The text of the element, as wide as its place on the page; title: for screen readers.

    Paths and texts stay; page.css gives the texts their font and colour.  Ids do not stay, because
    the figures of a page would have the same ones.  So no part of a figure may refer to another:
    lines are drawn with clip_on=False, and without markers.
    """
    document = io.StringIO()
    FigureCanvasSVG(figure).print_svg(document, metadata=NO_METADATA)
    root = ElementTree.fromstring(document.getvalue())
    element = Element("svg", {"viewBox": root.get("viewBox"), "role": "img"})
    element.set("aria-label", printable(title))
    element.extend(_contents(root))
    return ElementTree.tostring(element, encoding="unicode")


def _contents(parent: Element) -> list[Element]:
    """The paths and texts below parent, without the groups around them."""
    found = []
    for node in parent:
        tag = node.tag.rpartition("}")[2]       # without the namespace
        if tag == "path":
            path = {"d": _shorten(node.get("d")), "style": node.get("style")}
            found.append(Element("path", path))
        elif tag == "text":
            found.append(_text(node))
        elif tag == "g":
            found += _contents(node)
    return found


def _text(node: Element) -> Element:
    """A horizontal text at its place."""
    anchor = re.search(r"text-anchor: (\w+)", node.get("style"))[1]
    place = {name: _shorten(node.get(name)) for name in ("x", "y")}
    text = Element("text", {**place, "text-anchor": anchor})
    text.text = node.text
    return text


def _shorten(numbers: str) -> str:
    """Path data or a number, to a tenth of a pixel."""
    rounded = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), numbers)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded).strip()
