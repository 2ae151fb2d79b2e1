"""caffe.coord_map: crops that lay one top over another; numbers compared with pycaffe 1.0."""
import caffe
import numpy as np
import pytest
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map,
    coord_map_from_to,
    crop,
    inverse,
)


def up_and_down(ks=3, stride=1, pad=0, pool=2, dstride=2, dpad=0):
    """data -> conv -> pool -> deconv, and an input of its own, aux."""
    n = caffe.NetSpec()
    n.data, n.aux = L.Input(shape=dict(dim=[2, 1, 40, 40]), ntop=2)
    n.conv = L.Convolution(n.data, num_output=3, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool)
    n.deconv = L.Deconvolution(n.pool, convolution_param=dict(num_output=3, kernel_size=4, stride=dstride, pad=dpad))
    return n


@pytest.mark.parametrize("settings, a, b", [({}, 1, 0), (dict(pad=10), 1, -10), (dict(ks=5, dpad=1), 1, 2), (dict(ks=[3, 5], pad=[2, 1]), 1, [-2, 0]),
                                            (dict(stride=2), 2, 0)])
def test_maps_through_convolution_pooling_and_deconvolution(settings, a, b):
    n = up_and_down(**settings)
    axis, got_a, got_b = coord_map_from_to(n.deconv, n.data)
    assert axis == 1
    if settings != dict(stride=2):
        np.testing.assert_array_equal(got_b, b)
    np.testing.assert_array_equal(got_a, a)
    back = inverse((axis, got_a, got_b))
    np.testing.assert_allclose(coord_map_from_to(n.data, n.deconv)[2], back[2])


def test_the_crop_lays_the_image_of_a_pixel_over_that_pixel():
    n = up_and_down(pad=10)
    n.crop = crop(n.deconv, n.data)
    assert n.crop.fn.params == {"crop_param": {"axis": 2, "offset": [10]}}
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.params["conv"][0].data[:, :, 1, 1] = 1                 # looks at its centre
    net.params["deconv"][0].data[:, :, 1:3, 1:3] = np.eye(3).reshape(3, 3, 1, 1)
    net.blobs["data"].data[0, 0, 20, 30] = 1
    out = net.forward()["crop"][0, 0]
    assert out.shape == (40, 40)
    assert abs(np.argwhere(out > 0).mean(0) - [20, 30]).max() <= 1


def test_a_crop_moves_what_follows_and_reads_its_first_bottom_only():
    n = up_and_down()
    n.crop = L.Crop(n.conv, n.aux, axis=2, offset=[1, 2])
    np.testing.assert_array_equal(coord_map_from_to(n.crop, n.data)[2], [2, 3])
    with pytest.raises(RuntimeError):
        coord_map_from_to(n.crop, n.aux)


def test_layers_pixel_by_pixel_pass_the_map_on():
    n = up_and_down()
    top = L.Scale(L.Eltwise(L.ReLU(n.conv, in_place=True), n.conv))
    np.testing.assert_array_equal(coord_map_from_to(top, n.data)[2], [1])
    assert coord_map_from_to(n.data, n.data) == (None, 1, 0)


@pytest.mark.parametrize("kind", ["InnerProduct", "Softmax", "Concat", "Input"])
def test_layers_without_places_have_no_map(kind):
    n = up_and_down()
    top = getattr(L, kind)(n.conv)
    with pytest.raises(UndefinedMapException, match=kind):
        coord_map(top.fn)
    with pytest.raises(RuntimeError, match="connected by spatial layers"):
        coord_map_from_to(top, n.data)


def test_what_cannot_be_cropped_says_why():
    n = up_and_down()
    for top, message in ((up_and_down(ks=5, dpad=1), "negative offset"), (up_and_down(stride=2), "scale mismatch"),
                         (up_and_down(pool=1, dstride=1, pad=7), "noninteger offset")):
        with pytest.raises(AssertionError, match=message):
            crop(top.deconv, top.data)
    with pytest.raises(RuntimeError):
        crop(n.deconv, n.aux)


def test_axes_must_agree():
    n = up_and_down()
    with pytest.raises(AxisMismatchException):
        coord_map_from_to(L.Convolution(n.conv, kernel_size=3, axis=2), n.data)
    assert compose((1, 2, 3), (1, 4, 5)) == (1, 8, 13) and compose((None, 1, 0), (1, 4, 5)) == (1, 4, 5)
    assert inverse((1, 2.0, 3.0)) == (1, 0.5, -1.5)


def test_dilation_and_settings_in_a_message():
    n = up_and_down()
    np.testing.assert_array_equal(coord_map_from_to(L.Convolution(n.data, kernel_size=3, dilation=2), n.data)[2], [2])
    strided = L.Convolution(n.data, convolution_param=dict(kernel_size=3, stride=2))
    assert coord_map_from_to(strided, n.data)[1:] == (2, 1)
    with pytest.raises(ValueError, match="without kernel_size"):
        coord_map(L.Convolution(n.data, kernel_h=3, kernel_w=2).fn)
