"""Writes answers and errors of the AWS query protocol as XML.

Like `json_writer`, a result that does not fit the operation's output shape raises TypeError. Text is escaped,
and characters that XML 1.0 cannot carry become U+FFFD, so that no input can break the document.

Contract: Smithy "AWS query protocol"; AWS STS API Reference, "Common errors".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from homeport.aws.services import Service

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def serialise_xml(
    service: Service, operation: OperationModel, result: Mapping[str, Any], request_id: str
) -> bytes:
    """`result` as the XML document that answers `operation`; None members are left out.

    Raises TypeError when `result` does not fit the operation's output shape.
    """
    shape, name = operation.output_shape, operation.name
    answer = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{name}Result")
        answer = f"<{wrapper}>{''.join(_members(shape, result))}</{wrapper}>"
    elif result:
        raise TypeError(f"{name} has no output")
    namespace = service.xml_namespace or STS_NAMESPACE
    return (
        f'<{name}Response xmlns="{namespace}">{answer}'
        f"<ResponseMetadata><RequestId>{_escaped(request_id)}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


def error_xml(
    code: str, message: str, request_id: str, sender: bool = True, service: Service | None = None
) -> bytes:
    """An error answer of `service` (STS); `sender` tells whether the caller (else the service) is at fault."""
    namespace = (service.xml_namespace if service is not None else None) or STS_NAMESPACE
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{"Sender" if sender else "Receiver"}</Type>'
        f"<Code>{_escaped(code)}</Code><Message>{_escaped(message)}</Message></Error>"
        f"<RequestId>{_escaped(request_id)}</RequestId></ErrorResponse>"
    ).encode()


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def _members(shape: StructureShape, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{shape.name}: expected a mapping, got {type(value).__name__}")
    for name, item in value.items():
        member = shape.members.get(name)
        if member is None:
            raise TypeError(f"{shape.name} has no member {name!r}")
        if item is not None:
            tag = member.serialization.get("name", name)
            yield f"<{tag}>{_content(member, item)}</{tag}>"


def _content(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return "".join(_members(shape, value))
    if isinstance(shape, ListShape):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{shape.name}: expected a list or tuple, got {type(value).__name__}")
        return "".join(f"<member>{_content(shape.member, item)}</member>" for item in value)
    if isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            raise TypeError(f"{shape.name}: expected a mapping, got {type(value).__name__}")
        entries = ((_content(shape.key, key), _content(shape.value, item)) for key, item in value.items())
        return "".join(f"<entry><key>{key}</key><value>{item}</value></entry>" for key, item in entries)
    return _SCALARS[shape.type_name](shape.name, value)


def _text(shape: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shape}: expected a string, got {type(value).__name__}")
    return _escaped(value)


def _boolean(shape: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError(f"{shape}: expected a boolean, got {type(value).__name__}")
    return "true" if value else "false"


def _integer(shape: str, value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{shape}: expected an integer, got {type(value).__name__}")
    return str(int(value))


def _blob(shape: str, value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{shape}: expected bytes, got {type(value).__name__}")
    return base64.b64encode(value).decode()


def _timestamp(shape: str, value: Any) -> str:
    """ISO 8601 in UTC, whole seconds."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"{shape}: expected a datetime with a time zone, got {type(value).__name__}")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_SCALARS: Mapping[str, Callable[[str, Any], str]] = {
    "string": _text,
    "blob": _blob,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "timestamp": _timestamp,
}
