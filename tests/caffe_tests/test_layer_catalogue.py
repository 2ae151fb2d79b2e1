"""What every layer type promises to its readers: a row in the catalogue, a prototxt in its docstring that parses."""
import re
from pathlib import Path

import caffe
import pytest
from caffe.export.onnx_ops import OPS
from caffe.layer import _REGISTRY
from caffe.proto import caffe_pb2
from google.protobuf import text_format

LEFT_OUT = ("Input", "Split")       # an ONNX file needs no operator for them
README = Path(caffe.__file__).parents[2] / "README.md"


def catalogue():
    """[type, file, differences, ONNX] of each row, without backticks around the first two."""
    section = README.read_text(encoding="utf-8").split("## Layer catalogue")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+\.py)` \| (.*?) ?\| (\w+) \|$", section, re.M)
    assert len(rows) == section.count("\n| `")
    return rows


def test_the_readme_lists_every_layer_type_and_no_other():
    assert [row[0] for row in catalogue()] == caffe.layer_type_list()


@pytest.mark.parametrize("kind, file, _, onnx", catalogue(), ids=lambda cell: cell)
def test_a_row_of_the_catalogue(kind, file, _, onnx):
    assert _REGISTRY[kind].__module__ == "caffe.layer_types." + file.removesuffix(".py")
    assert onnx == ("yes" if kind in OPS or kind in LEFT_OUT else "no")


@pytest.mark.parametrize("name", caffe.layer_type_list())
def test_the_docstring_shows_a_prototxt_that_parses(name):
    doc = _REGISTRY[name].__doc__
    start = doc.index("layer {")
    depth, end = 0, start
    for end in range(start, len(doc)):
        depth += {"{": 1, "}": -1}.get(doc[end], 0)
        if depth == 0 and doc[end] == "}":
            break
    net = text_format.Parse(doc[start:end + 1], caffe_pb2.NetParameter())
    assert net.layer[0].type == name
