"""VOC annotation of one image."""
from xml.sax.saxutils import escape

OBJECT = """\t<object>
\t\t<name>%s</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>%d</truncated>
\t\t<difficult>%d</difficult>
\t\t<bndbox>
\t\t\t<xmin>%d</xmin>
\t\t\t<ymin>%d</ymin>
\t\t\t<xmax>%d</xmax>
\t\t\t<ymax>%d</ymax>
\t\t</bndbox>
\t</object>
"""

IMAGE = """<annotation>
\t<folder>digits</folder>
\t<filename>%s.jpg</filename>
\t<size>
\t\t<width>%d</width>
\t\t<height>%d</height>
\t\t<depth>%d</depth>
\t</size>
\t<segmented>0</segmented>
%s%s</annotation>
"""

LOOKALIKE = """\t<lookalike>
\t\t<kind>%s</kind>
\t\t<xmin>%d</xmin>
\t\t<ymin>%d</ymin>
\t\t<xmax>%d</xmax>
\t\t<ymax>%d</ymax>
\t</lookalike>
"""


def annotation_xml(name, shape, objects, lookalikes):
    """XML text; boxes are given 0-based inclusive [x1 y1 x2 y2] and written 1-based, as VOC does.

    Look-alikes go into elements of their own, which readers of VOC do not look at: they say where hard negatives are.
    """
    height, width, depth = shape
    marked = "".join(OBJECT % (escape(o["name"]), o["truncated"], o["difficult"], *_one_based(o["box"]))
                     for o in objects)
    others = "".join(LOOKALIKE % (escape(o["name"]), *_one_based(o["box"])) for o in lookalikes)
    return IMAGE % (escape(name), width, height, depth, marked, others)


def _one_based(box):
    return [int(value) + 1 for value in box]
