"""A user writes a blob between forward and backward: backward takes the new numbers where C++ Caffe's does.

tests/reference/late_writes.npz holds the diffs that C++ Caffe 1.0 gave.
"""
import caffe
import numpy as np
import pytest
from support.late_writes import cases, run
from support.reference import ROOT

RECORDED = ROOT / "tests" / "reference" / "late_writes.npz"
# C++ Caffe takes the sums of squares that forward kept together with the new bottom or top.
DIFFERENT = ("LRN, x", "LRN, y")


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as diffs:
        return dict(diffs)


@pytest.mark.parametrize("hold", [False, True], ids=["views dropped", "views held"])
@pytest.mark.parametrize("name", [name for name in cases() if name not in DIFFERENT])
def test_diffs_after_a_write_are_those_of_cpp_caffe(recorded, name, hold):
    for i, diff in enumerate(run(caffe, cases()[name], hold)):
        np.testing.assert_allclose(diff, recorded[f"{name}|{i}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["PReLU", "Scale"])
def test_in_place_layers_keep_their_bottom_while_a_view_is_held(tmp_path, kind):
    """The gradient of a parameter of a layer in place, with and without a view of its blob."""
    net_file = tmp_path / "net.prototxt"
    net_file.write_text('force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 '
                        'dim: 4 } } } layer { name: "p" type: "Power" bottom: "x" top: "p" } '
                        f'layer {{ name: "l" type: "{kind}" bottom: "p" top: "p" }}', encoding="utf-8")
    diffs = []
    for hold in (False, True):
        net = caffe.Net(str(net_file), caffe.TEST)
        net.params["l"][0].data[...] = 3.0
        net.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(2, 3, 4))
        view = net.blobs["p"].data if hold else None
        net.forward()
        net.blobs["p"].diff[...] = 1
        net.backward()
        diffs.append(net.params["l"][0].diff.copy())
        del view
    np.testing.assert_array_equal(*diffs)
