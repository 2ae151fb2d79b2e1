"""Layer types, fields and enum values of forks of Caffe: the error line names the fork, where it is known."""
import caffe
import pytest
from caffe.proto import caffe_pb2
from caffe.util.forks import FORKS

LAYER = 'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def message_of(text, tmp_path, load=lambda path: caffe.Net(path, caffe.TEST)):
    (tmp_path / "net.prototxt").write_text(text, encoding="utf-8")
    with pytest.raises(caffe.CaffeError) as e:
        load(str(tmp_path / "net.prototxt"))
    assert "\n" not in str(e.value)
    return str(e.value)


@pytest.mark.parametrize("kind, fork", [
    ("PriorBox", "SSD (weiliu89/caffe)"), ("DetectionOutput", "SSD"), ("Interp", "DeepLab"), ("ImResize", "OpenPose"),
    ("Upsample", "SegNet"), ("DenseImageData", "SegNet"), ("BN", "PSPNet"), ("DepthwiseConvolution", "MobileNet"),
    ("ConvolutionDepthwise", "MobileNet"), ("ReLU6", "MobileNet"), ("ShuffleChannel", "ShuffleNet"), ("Axpy", "SENet"),
    ("ROIAlign", "Mask R-CNN"), ("SimplerNMS", "Intel"), ("DetectNetTransformation", "NVIDIA")])
def test_the_layer_type_of_a_fork(kind, fork, tmp_path):
    said = message_of(LAYER + 'layer { name: "p" type: "%s" bottom: "x" top: "y" }' % kind, tmp_path)
    assert said.startswith("layer p: unknown layer type %r: it belongs to a fork of Caffe: " % kind) and fork in said


@pytest.mark.parametrize("text, what", [
    ('layer { name: "p" type: "Permute" bottom: "x" permute_param { order: 0 } }', "permute_param belongs .* SSD"),
    ('layer { name: "r" type: "ReLU" bottom: "x" forward_type: FLOAT16 }', "forward_type belongs .* NVIDIA"),
    ('layer { name: "c" type: "Convolution" convolution_param { hole: 2 } }', "hole belongs .* DeepLab"),
    ('layer { name: "c" type: "ReLU" relu_param { engine: MKLDNN } }', "MKLDNN belongs .* Intel"),
    ('layer { type: "Data" transform_param { resize_param { prob: 1 } } }', "resize_param belongs .* SSD"),
    ('layers { name: "b" type: BN bn_param { } }', "BN belongs .* SegNet"),
    ('layers { name: "b" type: PRIOR_BOX }', "PRIOR_BOX belongs .* SSD"),
    ('default_forward_type: FLOAT16', "default_forward_type belongs .* NVIDIA")])
def test_a_field_or_a_value_of_a_fork(text, what, tmp_path):
    import re
    said = message_of(LAYER + text, tmp_path)
    assert "net.prototxt:2: not a valid NetParameter" in said and re.search(what, said), said


def test_a_field_of_a_forks_solver(tmp_path):
    said = message_of('base_lr: 1\neval_type: "detection"', tmp_path, caffe.get_solver)
    assert "not a valid SolverParameter" in said and "eval_type belongs to a fork of Caffe: SSD" in said


def test_what_nobody_knows_keeps_its_line(tmp_path):
    assert message_of(LAYER + "tipe: 1", tmp_path).endswith('has no field named "tipe".')
    assert message_of(LAYER + 'layer { name: "c" type: "ReLU" relu_param { hole: 1 } }', tmp_path).endswith('"hole".')
    assert "(did you mean Convolution?); known types: " in message_of(LAYER + 'layer { name: "c" type: "Convolutoin" }', tmp_path)
    assert "known types" in message_of(LAYER + 'layer { name: "c" type: "Zzz" }', tmp_path)


@pytest.mark.parametrize("fork", FORKS)
def test_the_table_lists_what_this_caffe_does_not_have(fork):
    has = FORKS[fork]
    assert has.types or has.fields
    assert not set(has.types.split()) & set(caffe.layer_type_list())
    for name in has.fields.split():
        message, _, field = name.rpartition(".")
        assert field not in getattr(caffe_pb2, message or "LayerParameter").DESCRIPTOR.fields_by_name, name
