"""Nets and solvers from text, for tests."""
import caffe
from caffe.proto import caffe_pb2
from google.protobuf import text_format


def net_from_text(text, phase=caffe.TRAIN):
    """A caffe.Net of a prototxt given as text."""
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


def solver_from_text(net_text, solver_text, folder):
    """A caffe solver from two texts; prototxts and snapshots go to `folder` (a pathlib.Path)."""
    (folder / "train.prototxt").write_text(net_text)
    (folder / "solver.prototxt").write_text('train_net: "%s" snapshot_prefix: "%s" %s' % (
        folder / "train.prototxt", folder / "snap", solver_text))
    return caffe.get_solver(str(folder / "solver.prototxt"))
