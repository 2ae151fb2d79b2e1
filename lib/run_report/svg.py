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

    Paths of straight lines and texts stay; page.css gives the texts their font and colour.  Ids do
    not stay, because the figures of a page would have the same ones.  So no part of a figure may
    refer to another: lines are drawn with clip_on=False, and without markers.
    """
    document = io.StringIO()
    FigureCanvasSVG(figure).print_svg(document, metadata=NO_METADATA)
    root = ElementTree.fromstring(document.getvalue())
    element = Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img"})
    element.set("aria-label", printable(title))
    element.extend(_contents(root))
    return ElementTree.tostring(element, encoding="unicode")


def _contents(parent: Element) -> list[Element]:
    """The paths and texts below parent, without the groups around them."""
    found = []
    for node in parent:
        tag = node.tag.rpartition("}")[2]       # without the namespace
        if tag == "path":
            look = node.attrib["style"].replace("fill: none; ", "")        # page.css says it
            found.append(Element("path", {"d": _path_data(node.attrib["d"]), "style": look}))
        elif tag == "text":
            found.append(_text(node))
        elif tag == "g":
            found += _contents(node)
    return found


def _text(node: Element) -> Element:
    """A horizontal text at its place."""
    _, _, anchor = node.attrib["style"].partition("text-anchor: ")
    place = {name: _to_a_tenth(node.attrib[name]) for name in ("x", "y")}
    text = Element("text", {**place, "text-anchor": anchor})
    text.text = node.text
    return text


def _path_data(text: str) -> str:
    """The same moves and lines to a tenth of a pixel, the level and upright ones as H and V."""
    out, last = "", ("", "")
    for command, x, y in re.findall(r"([ML]) (\S+) (\S+)", text):
        place = _to_a_tenth(x), _to_a_tenth(y)
        if command == "L" and place == last:
            out += "h0"
        elif command == "L" and place[1] == last[1]:
            out += "H" + place[0]
        elif command == "L" and place[0] == last[0]:
            out += "V" + place[1]
        else:
            out += command + " ".join(place)
        last = place
    return out


def _to_a_tenth(number: str) -> str:
    return f"{float(number):.1f}".removesuffix(".0")
