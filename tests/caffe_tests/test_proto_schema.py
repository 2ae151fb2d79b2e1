"""The schema is the file format: every name, number, type and default of the recorded facts."""
import csv

from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from support.reference import shipped

TYPES = {FieldDescriptor.TYPE_INT32: "int32", FieldDescriptor.TYPE_INT64: "int64", FieldDescriptor.TYPE_UINT32: "uint32",
         FieldDescriptor.TYPE_FLOAT: "float", FieldDescriptor.TYPE_DOUBLE: "double", FieldDescriptor.TYPE_BOOL: "bool",
         FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BYTES: "bytes"}


def type_name(field):
    if field.message_type:
        return field.message_type.full_name.removeprefix("caffe.")
    if field.enum_type:
        return field.enum_type.full_name.removeprefix("caffe.")
    return TYPES[field.type]


def default_text(field):
    if not field.has_default_value:
        return ""
    if field.enum_type:
        return field.enum_type.values_by_number[field.default_value].name
    if field.type == FieldDescriptor.TYPE_BOOL:
        return str(field.default_value).lower()
    return field.default_value if field.type == FieldDescriptor.TYPE_STRING else "%g" % field.default_value


def messages():
    return caffe_pb2.DESCRIPTOR.message_types_by_name


def enums():
    out = dict(caffe_pb2.DESCRIPTOR.enum_types_by_name)
    for name, message in messages().items():
        out.update({name + "." + n: e for n, e in message.enum_types_by_name.items()})
    return out


def test_every_recorded_field_is_there_and_nothing_else_but_ours():
    rows = list(csv.DictReader(open(shipped("caffe_schema.csv"), encoding="utf-8")))
    recorded = set()
    for row in rows:
        key = (row["scope"], row["name"])
        recorded.add(key)
        if row["label"] == "enum-value":
            assert enums()[row["scope"]].values_by_name[row["name"]].number == int(row["number"]), key
            continue
        field = messages()[row["scope"]].fields_by_name[row["name"]]
        assert field.number == int(row["number"]), key
        assert type_name(field) == row["type"], key
        assert field.is_repeated == (row["label"] == "repeated"), key
        assert field.is_required == (row["label"] == "required"), key
        wanted = row["default"]
        if wanted and row["type"] in ("float", "double", "int32", "uint32", "int64"):
            assert abs(float(default_text(field)) - float(wanted)) <= 1e-6 * abs(float(wanted)), key
        else:
            assert default_text(field) == wanted, key
        assert field.GetOptions().packed == (row["packed"] == "packed"), key
    ours = {(m, f) for m, message in messages().items() for f in message.fields_by_name} - recorded
    assert ours == {("SolverState", "random_state"), ("SolverState", "data_position"),
                    *(("DataPosition", field) for field in ("net", "layer", "number"))}


def test_a_prototxt_of_the_fork_parses():
    net = text_format.Parse("""
        layer { name: "pool" type: "ROIPooling" roi_pooling_param { pooled_w: 7 pooled_h: 7 spatial_scale: 0.0625 } }
        layer { name: "d" type: "Dropout" dropout_param { dropout_ratio: 0.5 scale_train: false } }
        layer { name: "l" type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 3 } }""", caffe_pb2.NetParameter())
    assert net.layer[0].roi_pooling_param.pooled_w == 7
    assert net.layer[2].smooth_l1_loss_param.sigma == 3
