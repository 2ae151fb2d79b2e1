"""Input, DummyData, Parameter."""
import caffe
import pytest
from caffe import TEST, TRAIN, CaffeError
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.gradient import check_gradient
from support.one_layer import make_layer


def net_of(text, phase=TEST):
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


@pytest.mark.parametrize("param, shapes", [
    ("shape { dim: 2 dim: 3 } shape { dim: 5 }", [(2, 3), (5,)]), ("shape { dim: 0 dim: 5 }", [(0, 5), (0, 5)]),
    ("shape { }", [(), ()])])
def test_input_shapes(param, shapes):
    _, _, top = make_layer('type: "Input" input_param { %s }' % param, [], tops=2)
    assert [t.shape for t in top] == shapes


def test_input_is_never_overwritten():
    net = net_of("""force_backward: true
                    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
                    layer { name: "r" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }""")
    net.blobs["x"].data[...] = [1, 2]
    for _ in range(2):
        net.forward()
        assert net.blobs["y"].data.tolist() == [2, 4]
    net.blobs["y"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [2, 2]


def test_input_refuses_a_wrong_number_of_shapes():
    with pytest.raises(CaffeError, match="2 shapes for 3 tops"):
        make_layer('type: "Input" input_param { shape { dim: 1 } shape { dim: 1 } }', [], tops=3)


# ---- DummyData

def test_dummy_data_shapes_and_fillers():
    layer, _, top = make_layer("""type: "DummyData" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 4 }
        data_filler { type: "constant" value: 7 } data_filler { type: "uniform" min: 1 max: 2 } }""", [], tops=2)
    assert [t.shape for t in top] == [(2, 3), (4,)]
    assert (top[0].data == 7).all() and ((1 <= top[1].data) & (top[1].data <= 2)).all()


def test_dummy_data_of_the_older_fields():
    _, _, top = make_layer('type: "DummyData" dummy_data_param { num: 2 num: 3 channels: 4 height: 5 width: 6 }', [],
                           tops=2)
    assert [t.shape for t in top] == [(2, 4, 5, 6), (3, 4, 5, 6)]
    assert not top[0].data.any()                                    # no filler: zeros


def test_dummy_data_refills_random_numbers_only():
    """Constant tops keep what a user puts into them, and the shape he gives them."""
    net = net_of("""layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: 3 }
                    data_filler { value: 1 } data_filler { type: "gaussian" } } }
                    layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }""")
    net.forward()
    first = net.blobs["b"].data.copy()
    net.blobs["a"].reshape(2)
    net.blobs["a"].data[...] = 5
    net.forward()
    assert net.blobs["a"].data.tolist() == [5, 5]
    assert (net.blobs["b"].data != first).all()


def test_dummy_data_follows_the_seed():
    values = []
    for _ in range(2):
        caffe.set_random_seed(4)
        net = net_of("""layer { name: "d" type: "DummyData" top: "a" dummy_data_param { shape { dim: 3 }
                        data_filler { type: "gaussian" } } }""")
        net.forward()
        values.append(net.blobs["a"].data.tolist())
    assert values[0] == values[1]


@pytest.mark.parametrize("param, message", [
    ("shape { dim: 1 } shape { dim: 1 }", "2 shape for 3 tops"), ("shape { dim: 1 } num: 1", "not both"),
    ("num: 1 channels: 1 height: 1", "0 width for 3 tops"), ("", "0 num for 3 tops"),
    ("shape { dim: 1 } data_filler { } data_filler { }", "2 data_filler for 3 tops")])
def test_dummy_data_refuses(param, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "DummyData" dummy_data_param { %s }' % param, [], tops=3)


# ---- Parameter

def test_parameter_is_its_blob_and_accumulates():
    net = net_of("""layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 2 } } }
                    layer { name: "l" type: "Reduction" bottom: "w" top: "loss" reduction_param { operation: SUMSQ }
                            loss_weight: 1 }""", TRAIN)
    assert net.params["w"][0].shape == (2,) and not net.params["w"][0].data.any()
    net.params["w"][0].data[...] = [1, 3]
    for times in (1, 2):                                            # as iter_size: 2 does
        net.forward()
        net.backward()
        assert net.params["w"][0].diff.tolist() == [2 * times, 6 * times]
    assert float(net.blobs["loss"].data) == 10


def test_parameter_learns_what_its_top_learns():
    check_gradient('type: "Parameter" parameter_param { shape { dim: 2 dim: 3 } }', [])
