"""Messages as prototxts for people to read and edit.

protobuf's own text format puts every number of a layer on a separate line.  Here each message of
settings is on one line, as `convolution_param { num_output: 96 kernel_size: 7 stride: 2 }`.  Fields
are in the order of their numbers in the schema.
"""
import json
from collections.abc import Iterator

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

WRITTEN_BY = "Written by models/generate/make.py: change it there."


def prototxt(message: Message, *comments: str) -> str:
    """The text of a NetParameter or a SolverParameter, below WRITTEN_BY and the comments."""
    lines = [f"# {comment}" for comment in (WRITTEN_BY, *comments)]
    for field, value in _fields(message):
        if field.name == "layer":
            lines += ["layer {", *(f"  {_on_one_line(*entry)}" for entry in _fields(value)), "}"]
        else:
            lines.append(_on_one_line(field, value))
    return "\n".join(lines) + "\n"


def _fields(message: Message) -> Iterator[tuple[FieldDescriptor, object]]:
    """(field, value) of the fields set in a message; a repeated field occurs once for each value."""
    for field, value in message.ListFields():
        for item in value if hasattr(value, "extend") else [value]:
            yield field, item


def _on_one_line(field, value):
    if isinstance(value, Message):
        inside = " ".join(_on_one_line(*entry) for entry in _fields(value))
        return f"{field.name} {{ {inside} }}"
    return f"{field.name}: {_value_text(field, value)}"


def _value_text(field, value):
    if field.enum_type:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return str(np.float32(value)).removesuffix(".0")    # the shortest text of this float32
    return str(value)
