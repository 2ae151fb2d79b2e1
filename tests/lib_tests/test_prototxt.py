"""Fitting nets to a class count, finding layers by role, and mistakes in prototxts."""
import caffe
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.prototxt import adapt_net, find_bbox_pred, loss_blobs, read_net, read_solver, set_num_classes
from google.protobuf import text_format
from support.small_nets import OHEM_NET, PLAIN_NET
from utils.errors import UserError


def parse(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def layers(net):
    return {layer.name: layer for layer in net.layer}


@pytest.mark.parametrize("text", [PLAIN_NET, OHEM_NET])
def test_every_place_follows_the_class_count(text):
    """Mended: in the original the count stands in four and more places, to be changed by hand."""
    net = parse(text)
    assert not set_num_classes(net, 21)
    assert set_num_classes(net, 5)
    found = layers(net)
    for suffix in ("", "_readonly") if text is OHEM_NET else ("",):
        assert found["cls_score" + suffix].inner_product_param.num_output == 5
        assert found["bbox_pred" + suffix].inner_product_param.num_output == 20
    assert all(layer.python_param.param_str == "'num_classes': 5" for layer in net.layer if layer.type == "Python")
    assert not set_num_classes(net, 5)


def test_other_settings_stay():
    net = parse("""layer { name: "data" type: "Python" python_param { module: "m" layer: "L"
                   param_str: "{\\"feat_stride\\": 16, \\"num_classes\\": 21, \\"scales\\": [8, 16]}" } }
                   layer { name: "fc6" type: "InnerProduct" inner_product_param { num_output: 84 } }
                   layer { name: "cls_score_conv" type: "Convolution" convolution_param { num_output: 21 } }""")
    assert set_num_classes(net, 3)
    found = layers(net)
    assert found["data"].python_param.param_str == '{"feat_stride": 16, "num_classes": 3, "scales": [8, 16]}'
    assert found["fc6"].inner_product_param.num_output == 84
    assert found["cls_score_conv"].convolution_param.num_output == 3


def test_adapted_net_is_written_only_where_it_differs(tmp_path):
    path = tmp_path / "test.prototxt"
    path.write_text(PLAIN_NET)
    assert adapt_net(path, 21, tmp_path / "nets") == str(path)
    adapted = adapt_net(path, 4, tmp_path / "nets")
    assert read_net(adapted) != read_net(path) and not set_num_classes(read_net(adapted), 4)
    assert adapt_net(path, 4, tmp_path / "nets") == adapted


def test_box_predictor_is_found_by_its_role():
    """Mended: the original un-normalises a layer called bbox_pred, and a renamed one silently not."""
    renamed = PLAIN_NET.replace('name: "bbox_pred"', 'name: "my_boxes"')
    assert find_bbox_pred(parse(renamed), 84) == "my_boxes"
    for text in (PLAIN_NET, OHEM_NET):
        assert find_bbox_pred(parse(text), 84) == "bbox_pred"
    assert find_bbox_pred(parse('layer { name: "fc" type: "InnerProduct" top: "fc" }'), 84) is None


def test_a_region_proposal_loss_is_not_the_detectors():
    rpn = """layer { name: "rpn_bbox_pred" type: "Convolution" bottom: "d" top: "rpn" convolution_param { num_output: 36 } }
             layer { name: "rpn_loss" type: "SmoothL1Loss" bottom: "rpn" bottom: "t" loss_weight: 1 }"""
    assert find_bbox_pred(parse(rpn + PLAIN_NET), 84) == "bbox_pred"


def test_a_predictor_that_cannot_be_unnormalised_is_refused():
    with pytest.raises(UserError, match="no layer of 84 outputs that feeds it"):
        find_bbox_pred(parse(PLAIN_NET.replace("bbox_pred", "boxes").replace("84", "83")), 84)
    with pytest.raises(UserError, match="has no bias"):
        find_bbox_pred(parse(PLAIN_NET.replace("num_output: 84", "num_output: 84 bias_term: false")), 84)


def test_losses_are_found_with_their_weights():
    net = parse(PLAIN_NET.replace('top: "loss_bbox" loss_weight: 1', 'top: "loss_bbox" loss_weight: 2'))
    assert loss_blobs(net) == {"loss_cls": ("SoftmaxWithLoss", 1.0), "loss_bbox": ("SmoothL1Loss", 2.0)}
    assert loss_blobs(parse('layer { name: "l" type: "EuclideanLoss" top: "l" }')) == {"l": ("EuclideanLoss", 1.0)}
    with pytest.raises(UserError, match="loss_bbox .* has no loss_weight and would not be trained"):
        loss_blobs(parse(PLAIN_NET.replace('top: "loss_bbox" loss_weight: 1', 'top: "loss_bbox"')))


@pytest.mark.parametrize("read, text, message", [
    (read_net, 'name: "n"\nlayer { nam: "x" }', r"it\.prototxt:2: .*nam"),
    (read_net, 'layer {', r"it\.prototxt:1: "),
    (read_solver, 'base_lr: 0.1\n\nstepsize: "many"', r"it\.prototxt:3: ")])
def test_a_syntax_error_names_file_and_line(tmp_path, read, text, message):
    (tmp_path / "it.prototxt").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / "it.prototxt")
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="none.prototxt cannot be read: No such file"):
        read_net(tmp_path / "none.prototxt")
    (tmp_path / "net.caffemodel").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not text"):
        read_net(tmp_path / "net.caffemodel")


def test_adapted_nets_build(tmp_path):
    (tmp_path / "net.prototxt").write_text(OHEM_NET)
    net = caffe.Net(adapt_net(tmp_path / "net.prototxt", 4, tmp_path), caffe.TRAIN)
    assert net.params["bbox_pred"][0].shape[0] == 16 and net.blobs["bbox_targets"].shape[1] == 16
