"""Writes what a handler returns as an AWS JSON 1.1 answer, member by member of the operation's output shape.

A member that the shape does not have, or a value of the wrong type, is a fault of our own code and raises
TypeError, so that tests find it before a client does. Writers are compiled once per operation: a page of a
thousand images is written in about a millisecond.

Contract: Smithy "AWS JSON 1.1 protocol"; timestamps are epoch seconds with up to three decimals.
"""

from __future__ import annotations

import json
import math
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

Writer = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def serialise_json(operation: OperationModel, result: Mapping[str, Any]) -> bytes:
    """`result` as the JSON body of the operation's answer.

    Members that are None are left out; datetimes (aware) become epoch seconds, cut to milliseconds; bytes
    become base64. Raises TypeError when `result` does not fit the operation's output shape.
    """
    write = _writer_of(operation)
    return _encode(write(result)).encode("ascii")


def error_json(kind: str, message: str, extra: Mapping[str, Any] = _NOTHING) -> bytes:
    """The body of an error answer: `kind` is the exception's name, `extra` its further modelled members."""
    return _encode({"__type": kind, "message": message, **extra}).encode("ascii")


@lru_cache(maxsize=256)
def _writer_of(operation: OperationModel) -> Writer:
    shape = operation.output_shape
    return _structure(operation.name, {}) if shape is None else _compile(shape, {})


def _compile(shape: Shape, known: dict[str, Writer]) -> Writer:
    """A function that writes values of `shape`; `known` holds the writers made so far, by shape name."""
    if shape.name in known:
        return known[shape.name]
    if isinstance(shape, StructureShape):
        fields: dict[str, Writer] = {}
        known[shape.name] = _structure(shape.name, fields)
        fields.update({name: _compile(member, known) for name, member in shape.members.items()})
    elif isinstance(shape, ListShape):
        known[shape.name] = _list(shape.name, _compile(shape.member, known))
    elif isinstance(shape, MapShape):
        known[shape.name] = _map(shape.name, _compile(shape.value, known))
    else:
        known[shape.name] = _SCALARS[shape.type_name](shape.name)
    return known[shape.name]


def _misfit(shape: str, expected: str, value: Any) -> TypeError:
    return TypeError(f"{shape}: expected {expected}, got {type(value).__name__}")


def _structure(shape: str, fields: dict[str, Writer]) -> Writer:
    def write(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _misfit(shape, "a mapping", value)
        written = {}
        for name, item in value.items():
            writer = fields.get(name)
            if writer is None:
                raise TypeError(f"{shape} has no member {name!r}")
            if item is not None:
                written[name] = writer(item)
        return written

    return write


def _list(shape: str, member: Writer) -> Writer:
    def write(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise _misfit(shape, "a list or tuple", value)
        return [member(item) for item in value]

    return write


def _map(shape: str, member: Writer) -> Writer:
    def write(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _misfit(shape, "a mapping with string keys", value)
        return {key: member(item) for key, item in value.items() if item is not None}

    return write


def _string(shape: str) -> Writer:
    def write(value: Any) -> str:
        if not isinstance(value, str):
            raise _misfit(shape, "a string", value)
        return value

    return write


def _boolean(shape: str) -> Writer:
    def write(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _misfit(shape, "a boolean", value)
        return value

    return write


def _whole(shape: str) -> Writer:
    def write(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _misfit(shape, "an integer", value)
        return value

    return write


def _double(shape: str) -> Writer:
    def write(value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            raise _misfit(shape, "a finite number", value)
        return value

    return write


def _timestamp(shape: str) -> Writer:
    def write(value: Any) -> int | float:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise _misfit(shape, "a datetime with a time zone", value)
        milliseconds = (value - _EPOCH) // _MILLISECOND
        seconds, fraction = divmod(milliseconds, 1000)
        return milliseconds / 1000 if fraction else seconds

    return write


def _blob(shape: str) -> Writer:
    def write(value: Any) -> str:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise _misfit(shape, "bytes", value)
        return b2a_base64(value, newline=False).decode("ascii")

    return write


_SCALARS: dict[str, Callable[[str], Writer]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _whole,
    "long": _whole,
    "double": _double,
    "float": _double,
    "timestamp": _timestamp,
    "blob": _blob,
}
