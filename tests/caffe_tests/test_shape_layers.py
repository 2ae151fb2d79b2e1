"""Reshape, Flatten, Split, Silence, Concat, Slice, Tile, Crop, BatchReindex."""
import caffe
import numpy as np
import pytest
from caffe import TEST, CaffeError
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer

X = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)


def net_of(text, phase=TEST):
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


# ---- Reshape, Flatten

RESHAPES = [        # (bottom, reshape_param, top)
    ((2, 3, 4, 6), "shape { dim: 0 dim: -1 dim: 2 }", (2, 36, 2)),
    ((1, 18, 5, 4), "shape { dim: 0 dim: 2 dim: -1 dim: 0 }", (1, 2, 45, 4)),
    ((2, 3, 4, 6), "axis: 1 shape { dim: 0 dim: -1 dim: 2 }", (2, 3, 12, 2)),
    ((2, 3, 4, 6), "axis: -3 num_axes: 2 shape { dim: -1 }", (2, 3, 24)),
    ((2, 3, 4), "axis: -1 shape { dim: 1 dim: 1 }", (2, 3, 4, 1, 1)),
    ((2, 3), "axis: 1 num_axes: 0 shape { dim: 1 }", (2, 1, 3)),
    ((2, 1, 3), "axis: 1 num_axes: 1 shape { }", (2, 3)),
    ((0, 3, 4), "shape { dim: 0 dim: -1 }", (0, 12)),                  # zero RoIs
    ((0, 84), "shape { dim: -1 dim: 4 }", (0, 4)),
    ((0, 84), "shape { dim: 0 dim: 21 dim: 4 }", (0, 21, 4)),
]


@pytest.mark.parametrize("shape, param, want", RESHAPES)
def test_reshape(shape, param, want):
    x = np.random.RandomState(0).randn(*shape).astype("f")
    top_diff = np.random.RandomState(1).randn(*want)
    (top,), (diff,), _ = forward_backward('type: "Reshape" reshape_param { %s }' % param, [x], [top_diff])
    np.testing.assert_array_equal(top, x.reshape(want))
    np.testing.assert_array_equal(diff, top_diff.astype("f").reshape(shape))


@pytest.mark.parametrize("param, message", [
    ("shape { dim: 5 dim: -1 }", "cannot take the shape"), ("shape { dim: 7 }", "cannot take the shape"),
    ("shape { dim: -1 dim: -1 }", "at most one -1"), ("shape { dim: -2 }", "at most one -1"),
    ("shape { dim: 0 dim: 0 dim: 0 dim: 0 dim: 0 }", "copies an axis"), ("axis: 5 shape { dim: 1 }", "axis 5 outside"),
    ("axis: 3 num_axes: 2 shape { dim: 1 }", "reach beyond")])
def test_reshape_refuses(param, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "Reshape" reshape_param { %s }' % param, [X])


@pytest.mark.parametrize("param, want", [("", (2, 72)), ("axis: 1 end_axis: -2", (2, 12, 6)), ("axis: -2", (2, 3, 24)),
                                         ("axis: 0", (144,)), ("axis: 2 end_axis: 2", (2, 3, 4, 6))])
def test_flatten(param, want):
    text = 'type: "Flatten" flatten_param { %s }' % param
    np.testing.assert_array_equal(forward(text, [X])[0], X.reshape(want))
    check_gradient(text, [np.random.RandomState(0).randn(1, 2, 1, 2)])


def test_flatten_refuses_and_takes_zero_rows():
    assert forward('type: "Flatten"', [np.zeros((0, 3, 2, 2))])[0].shape == (0, 12)
    with pytest.raises(CaffeError, match="end_axis 0 more than one before axis 2"):
        make_layer('type: "Flatten" flatten_param { axis: 2 end_axis: 0 }', [X])


def test_in_place_after_flatten_writes_its_bottom_too():
    """They are one memory, as in Caffe."""
    net = net_of("""input: "x" input_shape { dim: 2 dim: 2 }
                    layer { name: "f" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 0 } }
                    layer { name: "r" type: "ReLU" bottom: "y" top: "y" }""")
    net.blobs["x"].data[...] = [[-1, 2], [3, -4]]
    net.forward()
    assert net.blobs["y"].data.tolist() == [0, 2, 3, 0]
    assert net.blobs["x"].data.tolist() == [[0, 2], [3, 0]]


# ---- Split, Silence

def test_split_shares_its_bottom_and_sums_the_diffs():
    layer, bottom, top = make_layer('type: "Split"', [X], tops=3)
    layer.forward(bottom, top)
    assert all(np.shares_memory(t.data, bottom[0].data) for t in top)
    for i, blob in enumerate(top):
        blob.diff[...] = 10.0 ** i
    layer.backward(top, [True], bottom)
    assert (bottom[0].diff == 111).all()
    assert [t.diff.flat[0] for t in top] == [1, 10, 100]


@pytest.mark.parametrize("written", [[], [0], [1], [0, 2]])
def test_split_takes_an_unwritten_diff_for_zero_without_memory(written):
    layer, bottom, top = make_layer('type: "Split"', [X], tops=3)
    layer.forward(bottom, top)
    bottom[0].diff[...] = np.nan                                    # must be overwritten
    for i in written:
        top[i].diff[...] = 10.0 ** i
    layer.backward(top, [True], bottom)
    assert (bottom[0].diff == sum(10.0 ** i for i in written)).all()
    assert [t.has_diff for t in top] == [i in written for i in range(3)]


def test_split_follows_new_data_and_shapes():
    layer, bottom, top = make_layer('type: "Split"', [X], tops=2)
    for shape in ((1, 2), (0, 4), (3, 5)):
        bottom[0].reshape(*shape)
        bottom[0].data[...] = 7
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        assert all(t.shape == shape and (t.data == 7).all() for t in top)


def test_silence_takes_blobs_and_gives_zero_diffs():
    layer, bottom, top = make_layer('type: "Silence"', [X, X[0]], tops=0)
    bottom[0].diff[...] = np.nan
    layer.forward(bottom, top)
    layer.backward(top, [True, True], bottom)
    assert not bottom[1].has_diff and not bottom[0].diff.any()


# ---- Concat, Slice

@pytest.mark.parametrize("param, axis", [("", 1), ("axis: -1", 3), ("concat_dim: 2", 2), ("axis: 0", 0)])
def test_concat(param, axis):
    parts = [np.random.RandomState(i).randn(*(i + 1 if k == axis else 2 for k in range(4))) for i in range(3)]
    text = 'type: "Concat" concat_param { %s }' % param
    np.testing.assert_array_equal(forward(text, parts)[0], np.concatenate(parts, axis).astype("f"))
    check_gradient(text, parts)


def test_concat_corners():
    np.testing.assert_array_equal(forward('type: "Concat"', [X])[0], X)
    assert forward('type: "Concat"', [np.zeros((0, 2)), np.zeros((0, 3))])[0].shape == (0, 5)
    with pytest.raises(CaffeError, match="bottom 1 has shape"):
        make_layer('type: "Concat"', [X, X[:1]])
    with pytest.raises(CaffeError, match="not both"):
        make_layer('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', [X, X])


@pytest.mark.parametrize("param, sections, axis", [("axis: 3 slice_point: 2 slice_point: 5", [2, 5], 3), ("", 3, 1),
                                                   ("slice_dim: 3", 3, 3)])
def test_slice(param, sections, axis):
    text = 'type: "Slice" slice_param { %s }' % param
    for top, want in zip(forward(text, [X], tops=3), np.split(X, sections, axis)):
        np.testing.assert_array_equal(top, want)
    check_gradient(text, [np.random.RandomState(0).randn(1, 3, 1, 6)], tops=3)


@pytest.mark.parametrize("param, message", [("axis: 2", "3 equal tops"), ("slice_point: 1", "1 slice_points for 3"),
                                            ("axis: 3 slice_point: 4 slice_point: 4", "growing numbers"),
                                            ("axis: 3 slice_point: 2 slice_point: 6", "growing numbers")])
def test_slice_refuses(param, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "Slice" slice_param { %s }' % param, [X], tops=3)


def test_slice_makes_copies():
    layer, bottom, top = make_layer('type: "Slice"', [X[:1]], tops=3)
    layer.forward(bottom, top)
    assert not any(np.shares_memory(t.data, bottom[0].data) for t in top)


# ---- Tile, Crop, BatchReindex

def test_tile():
    for axis in range(3):
        text = 'type: "Tile" tile_param { axis: %d tiles: 3 }' % axis
        np.testing.assert_array_equal(forward(text, [X])[0], np.concatenate([X] * 3, axis))
        check_gradient(text, [np.random.RandomState(0).randn(2, 2, 2)])
    with pytest.raises(CaffeError, match="tiles 0"):
        make_layer('type: "Tile"', [X])


@pytest.mark.parametrize("param, shape, want", [
    ("", (9, 9, 2, 3), X[:, :, :2, :3]), ("offset: 2", (2, 3, 2, 3), X[:, :, 2:4, 2:5]),
    ("axis: 1 offset: 1 offset: 0 offset: 3", (2, 2, 4, 3), X[:, 1:, :, 3:])])
def test_crop(param, shape, want):
    text = 'type: "Crop" crop_param { %s }' % param
    (top,), (diff, like_diff), _ = forward_backward(text, [X, np.zeros(shape)], [np.ones(want.shape)])
    np.testing.assert_array_equal(top, want)
    np.testing.assert_array_equal(diff, np.isin(X, want))
    assert like_diff.shape == shape and not like_diff.any()


def test_crop_refuses():
    with pytest.raises(CaffeError, match="reach beyond"):
        make_layer('type: "Crop" crop_param { offset: 3 }', [X, X[..., :2, :]])
    with pytest.raises(CaffeError, match="3 offsets for 2"):
        make_layer('type: "Crop" crop_param { offset: 0 offset: 0 offset: 0 }', [X, X])


def test_batch_reindex():
    text, index = 'type: "BatchReindex"', np.array([2., 0, 2, 1, 2])
    x = np.random.RandomState(0).randn(4, 3)
    np.testing.assert_array_equal(forward(text, [x, index])[0], x.astype("f")[[2, 0, 2, 1, 2]])
    check_gradient(text, [x, index])                                # item 2 thrice, item 3 never
    with pytest.raises(CaffeError, match="indices from -1 to 4"):
        forward(text, [x, [-1., 4]])
