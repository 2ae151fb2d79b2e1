"""Message classes of a schema in a descriptor pool of their own.

What protoc writes enters protobuf's default pool, which holds one file and one message of a name: two packages with a
`caffe.NetParameter` cannot be imported into one process.  It is also bound to the protobuf it was generated for.
Classes made from the serialized schema depend on neither.
"""
import copyreg

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.reflection import GeneratedProtocolMessageType


def enter_schema(serialized, namespace, module):
    """Make the messages and enums of a serialized FileDescriptorProto, as protoc's module for it has them.

    namespace: where they are entered: globals() of the module called `module`, where pickle looks for them.
    Returns the FileDescriptor.
    """
    file = file_descriptor(descriptor_pb2.FileDescriptorProto.FromString(serialized))
    for enum in file.enum_types_by_name.values():
        namespace[enum.name] = EnumTypeWrapper(enum)
        namespace.update((value.name, value.number) for value in enum.values)
    for message in file.message_types_by_name.values():
        namespace[message.name] = message_class(message, module)
    namespace.update(_descriptor_names("_", file.message_types_by_name.values(), file.enum_types_by_name.values()))
    return file


def file_descriptor(file_proto):
    """The FileDescriptor of a FileDescriptorProto, in a pool of its own."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file_proto.SerializeToString())
    return pool.FindFileByName(file_proto.name)


def message_class(descriptor, module):
    """The class of a message, with those of the messages inside it as attributes."""
    inner = {nested.name: message_class(nested, module) for nested in descriptor.nested_types}
    qualified = descriptor.full_name[len(descriptor.file.package) + 1:]
    made = GeneratedProtocolMessageType(descriptor.name, (Message,), {
        "DESCRIPTOR": descriptor, "__module__": module, "__qualname__": qualified, **inner})
    # Message's own way looks the class up by its full name in the default pool, where it may be another package's.
    copyreg.pickle(made, _reduce)
    return made


def _reduce(message):
    return _restore, (type(message), message.SerializePartialToString())


def _restore(kind, serialized):
    message = kind()
    message.MergeFromString(serialized)
    return message


def _descriptor_names(prefix, messages, enums):
    """The descriptors under the names protoc gives them: _V1LAYERPARAMETER_LAYERTYPE; older scripts use them."""
    for enum in enums:
        yield prefix + enum.name.upper(), enum
    for message in messages:
        name = prefix + message.name.upper()
        yield name, message
        yield from _descriptor_names(name + "_", message.nested_types, message.enum_types)
