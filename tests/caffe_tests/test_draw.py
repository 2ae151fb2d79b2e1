"""caffe.draw: DOT text always, pictures where Graphviz is."""
import re
import stat

import caffe
import caffe.draw
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.reference import ROOT

NET = text_format.Parse("""name: "n"
    layer { name: "data" type: "Data" top: "data" include { phase: TRAIN } }
    layer { name: "data" type: "Input" top: "data" include { phase: TEST } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
            convolution_param { num_output: 12 kernel_size: 3 kernel_size: 5 stride: 2 } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "p" type: "Pooling" bottom: "conv" top: "p" pooling_param { pool: AVE kernel_size: 2 } }
    layer { name: "say \\"<x>\\"" type: "Softmax" bottom: "p" top: "prob" exclude { phase: TRAIN } }""", caffe_pb2.NetParameter())


def boxes(text):
    return re.findall(r'^"layer \d+" \[.*label="((?:[^"\\]|\\.)*)"', text, re.M)


def test_layers_and_blobs_are_nodes_with_what_matters_of_them():
    text = caffe.draw.draw_net(NET, "LR", "dot", display_lrm=True).decode()
    assert boxes(text)[2:5] == [r"conv\n(Convolution)\nkernel size: 3 x 5\nstride: 2\nlr mult: 2", r"relu\n(ReLU)",
                                r"p\n(Pooling AVE)\nkernel size: 2\nstride: 1"]
    assert boxes(text)[5] == r"say \"\<x\>\"\n(Softmax)"
    assert '"blob data" -> "layer 2" [label=""]' in text and '"layer 2" -> "blob conv" [label="12"]' in text


def test_a_phase_draws_its_layers_only():
    train, test = (boxes(caffe.draw.to_dot(NET, "TB", phase=phase)) for phase in (caffe.TRAIN, caffe.TEST))
    assert train[0] == "data (Data)" and len(train) == 4
    assert test[0] == "data (Input)" and len(test) == 5


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("train.prototxt"))[::5], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_nets_of_the_project_can_be_drawn(path, tmp_path):
    net = text_format.Parse(path.read_text(), caffe_pb2.NetParameter())
    caffe.draw.draw_net_to_file(net, tmp_path / "net.dot", "BT")
    assert len(boxes((tmp_path / "net.dot").read_text())) == len(net.layer)


def test_nets_of_the_older_format_can_be_drawn():
    old = text_format.Parse('layers { name: "c" type: CONVOLUTION bottom: "x" top: "y" }', caffe_pb2.NetParameter())
    assert boxes(caffe.draw.to_dot(old)) == [r"c\n(Convolution)"]


def test_pictures_are_made_by_dot_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(caffe.CaffeError, match="'png' needs Graphviz's program dot; install graphviz"):
        caffe.draw.draw_net(NET, "LR")
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "asked for $2"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    assert caffe.draw.draw_net(NET, "LR", "svg") == b"asked for svg\n"
    caffe.draw.draw_net_to_file(NET, tmp_path / "net.pdf")
    assert (tmp_path / "net.pdf").read_bytes() == b"asked for pdf\n"
    program.write_text("#!/bin/sh\necho 'no such\nformat' >&2\nexit 1\n")
    with pytest.raises(caffe.CaffeError, match="dot -T xyz failed: no such format"):
        caffe.draw.draw_net(NET, "LR", "xyz")
