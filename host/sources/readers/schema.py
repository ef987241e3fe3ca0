"""Protocol buffer messages from the few fields of a published schema that a reader needs.

Generated modules would bring the whole of TensorFlow or Caffe. What is not declared is skipped when read.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_BLOCK = re.compile(r"(message|enum)\s+(\w+)\s*\{([^}]*)\}")
_FIELD = re.compile(r"(repeated\s+)?(\w+)\s+(\w+)\s*=\s*(\d+)(?:\s*\[default\s*=\s*(\w+)\])?;")
_VALUE = re.compile(r"(\w+)\s*=\s*(\d+)\s*;")


def messages(package: str, definition: str, syntax: str = "proto3") -> Mapping[str, Callable[[], Any]]:
    """The message classes of a definition in the language of .proto files.

    Args:
        package: of this definition alone; it is not on the wire.
        definition: messages and enums side by side, none inside another; a map is declared as what it is on
            the wire, repeated entries with the fields `key` and `value`.
        syntax: of the original; proto3 refuses text that is no UTF-8, proto2 has defaults.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    blocks = _BLOCK.findall(definition)
    kinds = {name: kind for kind, name, _ in blocks}
    for kind, name, body in blocks:
        if kind == "enum":
            enum = file.enum_type.add(name=name)
            for value, number in _VALUE.findall(body):
                enum.value.add(name=value, number=int(number))
        else:
            message = file.message_type.add(name=name)
            for repeated, of, field, number, default in _FIELD.findall(body):
                added = message.field.add(name=field, number=int(number))
                added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
                added.type = getattr(added, f"TYPE_{kinds.get(of, of).upper()}")
                if of in kinds:
                    added.type_name = f".{package}.{of}"
                if default:
                    added.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name, kind in kinds.items()
        if kind == "message"
    }
