"""NetSpec: the NetParameter of a program; what was expected here was compared with pycaffe 1.0, byte for byte."""
import caffe
import pytest
from caffe import layers as L
from caffe import params as P
from caffe import to_proto
from caffe.net_spec import param_name_dict
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.nets import net_from_text


def parsed(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_tops_are_named_as_they_are_entered_and_in_place_layers_keep_their_bottom():
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[2, 3]), dict(dim=2)], transform_param=dict(scale=2), ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=4, weight_filler=dict(type="xavier"), param=[dict(lr_mult=1), dict(lr_mult=2)])
    n.relu = L.ReLU(n.ip, in_place=True)
    n["a/b"] = L.InnerProduct(n.relu, num_output=2, name="other")
    n.loss = L.SoftmaxWithLoss(n["a/b"], n.label, loss_weight=3, loss_param=dict(normalization=P.Loss.FULL))
    assert n.to_proto() == parsed("""
        layer { name: "data" type: "DummyData" top: "data" top: "label" transform_param { scale: 2 }
                dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 }
                inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
        layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
        layer { name: "other" type: "InnerProduct" bottom: "ip" top: "a/b" inner_product_param { num_output: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a/b" bottom: "label" top: "loss" loss_weight: 3
                loss_param { normalization: FULL } }""")


def test_tops_without_a_name_get_the_type_and_a_number():
    data = L.Input(shape=dict(dim=[1, 4]))
    first = L.ReLU(L.InnerProduct(data, num_output=2), in_place=True)
    second = L.ReLU(L.InnerProduct(first, num_output=2), in_place=True)
    net = to_proto(second, L.Silence(first, ntop=0), L.Split(first, ntop=2)[1])
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.layer] == [
        ("Input1", [], ["Input1"]), ("InnerProduct1", ["Input1"], ["InnerProduct1"]),
        ("ReLU1", ["InnerProduct1"], ["InnerProduct1"]), ("InnerProduct2", ["InnerProduct1"], ["InnerProduct2"]),
        ("ReLU2", ["InnerProduct2"], ["InnerProduct2"]), ("Silence1", ["InnerProduct1"], []),
        ("Split1", ["InnerProduct1"], ["Split1", "Split2"])]


def test_a_function_may_return_several_tops_and_layers_come_after_what_they_read():
    def block(bottom, channels):
        conv = L.Convolution(bottom, kernel_size=[1, 3], num_output=channels)
        return conv, L.ReLU(conv, in_place=True)

    n = caffe.NetSpec()
    late = L.Input(shape=dict(dim=[1, 3, 8, 8]), name="first")
    left, right = block(late, 2)[1], block(late, 4)[1]
    n.sum = L.Concat(left, right)
    n.data = late
    net = n.to_proto()
    assert [layer.name for layer in net.layer] == ["first", "Convolution1", "ReLU1", "Convolution2", "ReLU2", "sum"]
    assert list(net.layer[-1].bottom) == ["Convolution1", "Convolution2"] and list(net.layer[0].top) == ["data"]
    assert list(net.layer[1].convolution_param.kernel_size) == [1, 3]


def test_two_names_for_one_top_and_one_name_for_two():
    n = caffe.NetSpec()
    n.a = L.Input()
    n.b = n.a
    n.c = L.ReLU(n.a)
    assert [(layer.name, list(layer.top)) for layer in n.to_proto().layer] == [("b", ["b"]), ("c", ["c"])]
    n = caffe.NetSpec()
    n.x = L.Input()
    n.x = L.ReLU(n.x)
    assert [(layer.name, list(layer.bottom)) for layer in n.to_proto().layer] == [("Input1", []), ("x", ["Input1"])]


def test_rules_and_python_layers():
    n = caffe.NetSpec()
    n.data = L.Data(include=dict(phase=caffe.TRAIN), source="db", backend=P.Data.LMDB)
    n.test = L.Data(include=[dict(phase=caffe.TEST, stage=["x"], not_stage="y"), dict(min_level=1)], name="data")
    n.py = L.Python(n.data, module="m", layer="Scale", param_str="{'a': 1}", propagate_down=[False])
    assert n.to_proto() == parsed("""
        layer { name: "data" type: "Data" top: "data" include { phase: TRAIN } data_param { source: "db" backend: LMDB } }
        layer { name: "data" type: "Data" top: "test" include { phase: TEST stage: "x" not_stage: "y" } include { min_level: 1 } }
        layer { name: "py" type: "Python" bottom: "data" top: "py" propagate_down: false
                python_param { module: "m" layer: "Scale" param_str: "{'a': 1}" } }""")


def test_layers_of_our_own_are_written_as_any_other():
    n = caffe.NetSpec()
    n.data, n.rois = L.Input(shape=[dict(dim=[1, 2, 20, 20]), dict(dim=[1, 5])], ntop=2)
    n.pool = L.ROIPooling(n.data, n.rois, pooled_w=3, pooled_h=2, spatial_scale=0.5)
    n.psroi = L.PSROIPooling(n.data, n.rois, spatial_scale=0.5, output_dim=2, group_size=1)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.blobs["rois"].data[...] = [0, 2, 2, 30, 30]
    assert net.forward()["pool"].shape == (1, 2, 2, 3)


@pytest.mark.parametrize("kind, prefix", sorted(param_name_dict().items()))
def test_every_message_of_the_schema_takes_its_fields_by_name(kind, prefix):
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[prefix + "_param"].message_type.fields
    for field in fields:
        given = {field.TYPE_STRING: "s", field.TYPE_FLOAT: 0.5, field.TYPE_BOOL: True, field.TYPE_MESSAGE: {}}.get(field.type, 1)
        layer = getattr(L, kind)(**{field.name: given}).to_proto().layer[0]
        ((set_field, value),) = getattr(layer, prefix + "_param").ListFields()
        assert set_field.name == field.name
        assert field.type == field.TYPE_MESSAGE or value == (given if not hasattr(value, "extend") else [given])


@pytest.mark.parametrize("program, error, message", [
    (lambda: L.Concat([L.Input(), L.Input()]), TypeError, r"Concat input 0 is not a Top \(type is <class 'list'>\)"),
    (lambda: L.Convolution(L.Input(), kernel_siz=3).to_proto(), AttributeError, "Convolution has no setting 'kernel_siz'; its own are num_output,"),
    (lambda: L.Convolution(L.Input(), weight_filler="xavier").to_proto(), AttributeError, "weight_filler is a FillerParameter: expected a dict"),
    (lambda: L.Convolution(L.Input(), weight_filler=dict(tipe="x")).to_proto(), AttributeError, "FillerParameter has no field 'tipe'"),
    (lambda: L.ReLU(L.Input(), negative_slope="a").to_proto(), TypeError, "ReLU: negative_slope='a'"),
    (lambda: P.Pooling.MIN, AttributeError, "PoolingParameter has no value 'MIN'; it has .*MAX, AVE"),
    (lambda: P.Poling.MAX, AttributeError, "no message PolingParameter"),
    (lambda: caffe.NetSpec().conv, KeyError, "no top 'conv'"),
    (lambda: caffe.NetSpec().conv, AttributeError, "no top 'conv'"),
    (lambda: to_proto(L.Input(ntop=2)), TypeError, "expected a top of a layer, got .*tuple|expected a top of a layer, got \\("),
])
def test_a_mistake_is_one_line_that_names_it(program, error, message):
    with pytest.raises(error, match=message) as e:
        program()
    assert "\n" not in str(e.value)


def test_a_spec_can_be_changed_and_asked():
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[2, 2]))
    n.y = L.Power(n.x, power=2)
    n.y.fn.params.update(scale=3)
    n.z = L.ReLU(n.y)
    del n.z, n["x"]
    assert list(n.tops) == ["y"] and n.y.fn.type_name == "Power" and not hasattr(n, "z")
    assert n.to_proto().layer[1].power_param == caffe_pb2.PowerParameter(power=2, scale=3)


def test_what_was_written_runs_as_the_same_prototxt_does():
    n = caffe.NetSpec()
    n.x = L.DummyData(shape=dict(dim=[2, 3]), data_filler=dict(type="constant", value=2))
    n.y = L.Power(n.x, power=2)
    text = str(n.to_proto())
    assert net_from_text(text).forward()["y"].tolist() == [[4] * 3] * 2


def test_very_deep_nets_are_written():
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(to_proto(top).layer) == 3001
