"""LSTM, RNN, LSTMUnit: gradients, the state between passes, mistakes.  Numbers: test_recorded_layers.py."""
import caffe
import numpy as np
import pytest
from support.gradient import check_gradient
from support.nets import net_from_text
from support.one_layer import make_layer

RANDOM = np.random.RandomState(0)
X, STATIC, STATE = RANDOM.randn(3, 2, 4), RANDOM.randn(2, 3), RANDOM.randn(1, 2, 2)
CONT = np.array([[0, 1], [1, 1], [1, 0.0]])
FILLED = 'recurrent_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { type: "uniform" } %s }'


@pytest.mark.parametrize("kind, states", [("LSTM", 2), ("RNN", 1)])
@pytest.mark.parametrize("static", [False, True])
def test_gradients(kind, states, static):
    """Of x, the static input and the parameters; with the states as bottoms each pass begins alike."""
    caffe.set_random_seed(2)
    bottoms = [X, CONT] + [STATIC] * static + [STATE] * states
    check_gradient('type: "%s" %s' % (kind, FILLED % "expose_hidden: true"), bottoms, tops=1 + states,
                   weights=[1] + [0] * states, check=[0, 2] if static else [0])


def test_gradients_of_one_step():
    check_gradient('type: "LSTMUnit"', [STATE, RANDOM.randn(1, 2, 8), np.array([[1, 0.0]])], tops=2)


def sequence_net(kind="LSTM", steps=2, streams=2):
    shapes = "shape { dim: %d dim: %d dim: 3 } shape { dim: %d dim: %d }" % (steps, streams, steps, streams)
    return net_from_text('layer { name: "in" type: "Input" top: "x" top: "cont" input_param { %s } }'
                         'layer { name: "l" type: "%s" bottom: "x" bottom: "cont" top: "h" %s }' % (shapes, kind, FILLED % ""),
                         caffe.TEST)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_pass_continues_the_last_one(kind):
    """Four steps in two passes of two are four steps in one; cont 0 forgets."""
    net, long = sequence_net(kind), sequence_net(kind, steps=4)
    for mine, other in zip(net.params["l"], long.params["l"]):
        other.data[...] = mine.data
    x = RANDOM.randn(4, 2, 3)
    want = long.forward(x=x, cont=np.ones((4, 2)))["h"].copy()
    parts = [net.forward(x=x[i:i + 2], cont=np.ones((2, 2)))["h"].copy() for i in (0, 2)]
    np.testing.assert_allclose(np.concatenate(parts), want, rtol=1e-5, atol=1e-7)
    cont = np.ones((2, 2))
    cont[0] = 0
    again = net.forward(x=x[:2], cont=cont)["h"]
    np.testing.assert_allclose(again, want[:2], rtol=1e-5, atol=1e-7)


def test_other_numbers_of_streams_and_steps():
    """Fewer streams keep their states, more begin with zeros, as in Caffe; steps may change."""
    net = sequence_net()
    first = net.forward(x=np.ones((2, 2, 3)), cont=np.ones((2, 2)))["h"].copy()
    for shape in ((2, 1), (3, 4)):
        net.blobs["x"].reshape(*shape, 3)
        net.blobs["cont"].reshape(*shape)
        h = net.forward(x=np.ones((*shape, 3)), cont=np.ones(shape))["h"].copy()
        assert h.shape == (*shape, 2)
        assert np.allclose(h[0, 0], first[0, 0]) == (shape == (3, 4))


@pytest.mark.parametrize("settings, bottoms, tops, message", [
    ("", [X, CONT], 1, "num_output must be at least 1"),
    ("num_output: 2", [X[:, :, 0], CONT], 1, r"shapes \(3, 2\) and \(3, 2\); expected \(T, N, ...\) and \(T, N\)"),
    ("num_output: 2", [X, CONT[:2]], 1, r"expected \(T, N, ...\) and \(T, N\)"),
    ("num_output: 2", [X, CONT, X], 1, r"the static input has shape \(3, 2, 4\); expected \(2, ...\)"),
    ("num_output: 3 expose_hidden: true", [X, CONT, STATE, STATE], 3, r"a state has shape \(1, 2, 2\); expected \(1, 2, 3\)")])
def test_mistakes(settings, bottoms, tops, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make_layer('type: "LSTM" recurrent_param { %s }' % settings, bottoms, tops)


def test_markers_have_no_diff_and_the_number_of_blobs_is_checked():
    net = ('force_backward: true layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 4 } } }'
           'layer { name: "c" type: "Parameter" top: "cont" parameter_param { shape { dim: 3 dim: 2 } } }'
           'layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "h" %s %s }')
    loss = 'layer { name: "r" type: "Reduction" bottom: "h" top: "loss" loss_weight: 1 }'
    built = net_from_text(net % ("", FILLED % "") + loss)
    built.forward()
    with pytest.raises(caffe.CaffeError, match="bottom 1 says where sequences begin and has no diff"):
        built.backward()
    with pytest.raises(caffe.CaffeError, match="expected 4 to 5 bottom blob"):
        net_from_text(net % ("", FILLED % "expose_hidden: true"))


def test_filter_and_spp():
    """Gradients, and the mistakes that their settings allow."""
    maps = RANDOM.randn(2, 2, 5, 6)
    check_gradient('type: "Filter"', [RANDOM.randn(4, 3), RANDOM.randn(4), np.array([1, 0, -1, 0.0])], tops=2)
    for pool in ("MAX", "AVE"):
        check_gradient('type: "SPP" spp_param { pyramid_height: 2 pool: %s }' % pool, [maps])
    with pytest.raises(caffe.CaffeError, match="3 x 6 pixels is too small for 4 x 4 windows"):
        make_layer('type: "SPP" spp_param { pyramid_height: 3 }', [maps[:, :, :3]])
    with pytest.raises(caffe.CaffeError, match=r"the selector has shape \(2, 2\)"):
        make_layer('type: "Filter"', [maps, np.ones((2, 2))])
    with pytest.raises(caffe.CaffeError, match="expected a top for each bottom but the selector"):
        make_layer('type: "Filter"', [maps, maps, np.ones(2)])
