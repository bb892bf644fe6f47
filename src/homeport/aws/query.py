"""The AWS query protocol, seen from the server: form-encoded requests and XML answers, as STS speaks it.

Reading is driven by the operation's input shape, like `json_reader`; only the kinds of value that STS and IAM
have are read (text, integers, booleans, lists, structures). Anything that two readers could take differently (a
repeated name, a gap in a list, a value where a list is meant) is refused. Writing is in `query_writer`.

Contract: Smithy "AWS query protocol"; AWS STS API Reference, "Making query requests".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import ListShape, OperationModel, Shape, StructureShape

from homeport.aws.json_reader import SerializationError
from homeport.aws.query_writer import error_xml, serialise_xml
from homeport.aws.services import Service
from homeport.aws.validation import Violation

__all__ = ["QueryRequest", "error_xml", "parse_query", "serialise_xml", "validation_message"]

MAX_QUERY_BYTES = 256 * 1024  # a SAML assertion of 100,000 characters, percent-encoded, and room
MAX_QUERY_FIELDS = 1_000
MAX_STEPS = 16  # dots in one name; the deepest modelled one has 4

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z]{1,128})(?:&|$)")
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """One request: `operation` is None and `params` empty when the service has no such action."""

    action: str
    version: str
    operation: OperationModel | None
    params: dict[str, Any]


@dataclass(slots=True)
class _Node:
    """One step of the dotted names: `A.member.1=x` is A > member > 1, whose value is x."""

    value: str | None = None
    children: dict[str, _Node] = field(default_factory=dict)


def parse_query(
    service: Service, form: bytes, *, max_bytes: int = MAX_QUERY_BYTES, max_fields: int = MAX_QUERY_FIELDS
) -> QueryRequest:
    """Read a form body (or a raw query string): Action, Version and the action's parameters by shape.

    Parameters that the action does not have are ignored. Raises SerializationError for a form over the
    limits, not well encoded, with a repeated or missing name, or with values of the wrong type.
    """
    root = _tree(_fields(form, max_bytes, max_fields))
    action = _plain(root, "Action")
    version = _plain(root, "Version")
    operation = service.operations.get(action)
    shape = None if operation is None else operation.input_shape
    params = {} if shape is None else _structure(shape, root, "")
    return QueryRequest(action, version, operation, params)


def service_of(services: Sequence[Service], form: bytes) -> Service:
    """The service that knows the form's Action; the first one when none does."""
    match = _ACTION.search(form)
    action = match[1].decode("ascii") if match else ""
    return next((service for service in services if action in service.operations), services[0])


def validation_message(violations: Iterable[Violation]) -> str:
    """The text of a ValidationError, which in STS lists every violation; `violations` is not empty."""
    found = list(violations)
    each = "; ".join(
        f"Value{_shown(one)} at '{one.path[:1].lower()}{one.path[1:]}' "
        f"failed to satisfy constraint: {one.constraint}"
        for one in found
    )
    return f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: {each}"


def _shown(violation: Violation) -> str:
    """The value as AWS echoes it; secrets are not, and long texts only as far as they help."""
    if violation.sensitive:
        return ""
    return " null" if violation.value is None else f" '{str(violation.value)[:256]}'"


def _fields(form: bytes, max_bytes: int, max_fields: int) -> list[tuple[str, str]]:
    if len(form) > max_bytes:
        raise SerializationError("The request is larger than a query may be")
    if not form.isascii() or _BAD_ESCAPE.search(form):
        raise SerializationError("The request is not well form-encoded")
    try:
        return parse_qsl(
            form.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(form),
            errors="strict",
            max_num_fields=max_fields,
        )
    except ValueError:
        raise SerializationError("The request is not well form-encoded") from None


def _tree(fields: list[tuple[str, str]]) -> _Node:
    root = _Node()
    for name, value in fields:
        node = root
        if name.count(".") > MAX_STEPS:
            raise SerializationError("A parameter name is nested too deeply")
        for step in name.split("."):
            node = node.children.setdefault(step, _Node())
        if node.value is not None:
            raise SerializationError(f"The parameter '{name[:64]}' is repeated")
        node.value = value
    return root


def _plain(root: _Node, name: str) -> str:
    node = root.children.get(name)
    if node is None or node.value is None:
        raise SerializationError(f"The parameter '{name}' is missing")
    return node.value


def _read(shape: Shape, node: _Node, path: str) -> Any:
    if isinstance(shape, StructureShape):
        if node.value is not None:
            raise SerializationError(f"Expected members below '{path}'")
        return _structure(shape, node, path)
    if isinstance(shape, ListShape):
        return _list(shape, node, path)
    if node.children or node.value is None:
        raise SerializationError(f"Expected a single value at '{path}'")
    return _SCALARS[shape.type_name](node.value, path)


def _structure(shape: StructureShape, node: _Node, path: str) -> dict[str, Any]:
    result = {}
    for name, member in shape.members.items():
        child = node.children.get(member.serialization.get("name", name))
        if child is not None:
            result[name] = _read(member, child, f"{path}.{name}" if path else name)
    return result


def _list(shape: ListShape, node: _Node, path: str) -> list[Any]:
    """Items `.member.N` (`.N` when flattened) from 1 without a gap; a bare empty value is an empty list."""
    if node.value == "" and not node.children:
        return []
    step = shape.member.serialization.get("name", "member")
    items = node if shape.serialization.get("flattened") else node.children.get(step, _Node())
    wanted = [str(position) for position in range(1, len(items.children) + 1)]
    if node.value is not None or items.value is not None or set(wanted) != items.children.keys():
        raise SerializationError(f"Expected a list at '{path}', numbered from 1 without gaps")
    return [_read(shape.member, items.children[position], f"{path}.{position}.member") for position in wanted]


def _text(value: str, path: str) -> str:
    return value


def _integer(value: str, path: str) -> int:
    if not _INTEGER.fullmatch(value) or not -(2**31) <= int(value) < 2**31:
        raise SerializationError(f"Expected an integer of 32 bits at '{path}'")
    return int(value)


def _boolean(value: str, path: str) -> bool:
    if value not in ("true", "false"):
        raise SerializationError(f"Expected true or false at '{path}'")
    return value == "true"


_SCALARS: Mapping[str, Callable[[str, str], Any]] = {
    "string": _text,
    "integer": _integer,
    "boolean": _boolean,
}
