"""caffe_pb2 has a descriptor pool of its own, and is an ordinary caffe_pb2 in use."""
import copy
import os
import pickle
import subprocess
import sys
import types

import caffe
import caffe.draw
import pytest
from caffe.proto import caffe_pb2
from caffe.proto.message_classes import enter_schema
from google.protobuf import json_format, text_format
from support.reference import ROOT

# A module as protoc writes it, of a schema with our file name, package and message names.
FOREIGN = 'syntax = "proto2"; package caffe; enum Phase { TRAIN = 0; } message NetParameter { optional string name = 1; }'
PROGRAM = """
import pickle
import {0}
import {1}
import caffe_pb2 as foreign
from caffe.proto import caffe_pb2 as ours
assert foreign.NetParameter is not ours.NetParameter and not hasattr(foreign.NetParameter(), "layer")
net = ours.NetParameter(layer=[ours.LayerParameter(name="a")])
assert pickle.loads(pickle.dumps(net)) == net and foreign.NetParameter(name="b").name == "b"
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    from grpc_tools import protoc
    folder = tmp_path_factory.mktemp("foreign")
    source = folder / "caffe" / "proto" / "caffe.proto"
    source.parent.mkdir(parents=True)
    source.write_text(FOREIGN)
    assert not protoc.main(["protoc", "-I%s" % folder, "--python_out=%s" % folder, str(source)])
    (source.parent / "caffe_pb2.py").rename(folder / "caffe_pb2.py")
    return folder


@pytest.mark.parametrize("first, second, implementation", [("caffe", "caffe_pb2", "upb"), ("caffe_pb2", "caffe", "python")])
def test_a_foreign_caffe_pb2_is_imported_in_the_same_process(foreign, first, second, implementation):
    path = os.pathsep.join([str(ROOT / "caffe-fast-rcnn" / "python"), str(foreign)])
    said = subprocess.run([sys.executable, "-c", PROGRAM.format(first, second)], text=True, capture_output=True, env={
        **os.environ, "PYTHONPATH": path, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation})
    assert said.returncode == 0, said.stderr


def test_messages_of_another_caffe_pb2_make_nets_solvers_and_pictures(tmp_path):
    other = types.ModuleType("other_pb2")
    enter_schema(caffe_pb2.DESCRIPTOR.serialized_pb, vars(other), other.__name__)
    net = text_format.Parse("""layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "y" type: "Power" bottom: "x" top: "y" power_param { shift: 3 } }""", other.NetParameter())
    assert caffe.Net(net, caffe.TEST).forward()["y"].tolist() == [3, 3]
    assert "Power" in caffe.draw.draw_net(net, "LR", "dot").decode()
    solver = other.SolverParameter(net_param=net, type="Adam", base_lr=1, lr_policy="fixed", snapshot_prefix=str(tmp_path / "s"))
    assert isinstance(caffe.get_solver(solver), caffe.AdamSolver) and caffe.AdamSolver(solver).net.blobs["y"].count == 2
    with pytest.raises(caffe.CaffeError, match="expected a NetParameter or a prototxt's name, got a SolverParameter"):
        caffe.Net(solver, caffe.TEST)
    with pytest.raises(caffe.CaffeError, match="expected a SolverParameter or a prototxt's name, got a NoneType"):
        caffe.get_solver(None)


@pytest.fixture()
def net():
    return text_format.Parse("""name: "n" layer { name: "p" type: "Pooling" include { phase: TEST }
        pooling_param { pool: AVE } blobs { shape { dim: 2 } data: [1, 2] } }""", caffe_pb2.NetParameter())


def test_messages_are_copied_pickled_and_written_as_text(net):
    copies = [copy.copy(net), copy.deepcopy(net), caffe_pb2.NetParameter.FromString(net.SerializeToString()),
              text_format.Parse(text_format.MessageToString(net), caffe_pb2.NetParameter()),
              json_format.Parse(json_format.MessageToJson(net), caffe_pb2.NetParameter())]
    copies += [pickle.loads(pickle.dumps(net, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    assert all(c == net and c is not net and type(c) is caffe_pb2.NetParameter for c in copies)
    inner = pickle.loads(pickle.dumps(net.layer[0].pooling_param))
    assert type(inner) is caffe_pb2.PoolingParameter and inner.pool == caffe_pb2.PoolingParameter.AVE
    partial = caffe_pb2.NetParameter(name="x", layer=[net.layer[0]])
    assert partial.layer[0] == net.layer[0] and isinstance(partial.layer[0], caffe_pb2.LayerParameter)


def test_enums_and_nested_names_are_where_protoc_puts_them():
    assert caffe_pb2.TEST == 1 and caffe_pb2.Phase.Name(1) == "TEST" and caffe_pb2.Phase.Value("TRAIN") == 0
    assert caffe_pb2.PoolingParameter.AVE == 1 and caffe_pb2.PoolingParameter.PoolMethod.Name(1) == "AVE"
    assert caffe_pb2.PoolingParameter.PoolMethod.DESCRIPTOR.values_by_number[0].name == "MAX"
    assert caffe_pb2.V1LayerParameter.LayerType.Value("CONVOLUTION") == caffe_pb2.V1LayerParameter.CONVOLUTION == 4
    assert caffe_pb2._V1LAYERPARAMETER_LAYERTYPE.values_by_number[4].name == "CONVOLUTION"
    assert caffe_pb2._LAYERPARAMETER is caffe_pb2.LayerParameter.DESCRIPTOR
    assert caffe_pb2.LayerParameter.NAME_FIELD_NUMBER == 1
    assert caffe_pb2.NetParameter.__module__ == "caffe.proto.caffe_pb2"
    assert caffe_pb2.DESCRIPTOR.package == "caffe"
