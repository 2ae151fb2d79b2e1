"""What every layer type promises to its readers: a row in the catalogue, a prototxt in its docstring that parses."""
import re
from pathlib import Path

import caffe
import pytest
from caffe.layer import _REGISTRY
from caffe.proto import caffe_pb2
from google.protobuf import text_format

README = Path(caffe.__file__).parents[2] / "README.md"


def test_the_readme_lists_every_layer_type_and_no_other():
    catalogue = README.read_text().split("## Layer catalogue")[1].split("\n## ")[0]
    assert sorted(re.findall(r"`(\w+)`", catalogue)) == sorted(caffe.layer_type_list())


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
