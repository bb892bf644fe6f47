"""Reads an AWS JSON 1.1 request body into Python values whose types the operation's input shape promises.

Reading is about form only: lengths, patterns and enumerations are judged by `validation`. Unknown members are
ignored and null equals absent, as the AWS services do. Where they guess (a repeated key: the last one wins)
this reader refuses, so that no two readers of one body can disagree. Work and memory are bounded before the
body is decoded into values.

Contract: Smithy "AWS JSON 1.1 protocol"; RFC 8259 sections 4 and 8.
"""

from __future__ import annotations

import json
import math
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

MAX_DEPTH = 32  # arrays and objects inside one another; the deepest modelled input has 6
MAX_VALUES = 65_536  # JSON values in one body; the largest legal input has about 10,000

Reader = Callable[[Any, str], Any]


class SerializationError(Exception):
    """The body cannot be read as the operation's input (AWS answers SerializationException, HTTP 400).

    Only fronts see it; `message` is safe to show to the client.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse_json(operation: OperationModel, body: bytes) -> dict[str, Any]:
    """The members of `body` by name, typed by the operation's input shape.

    Timestamps become aware datetimes, blobs bytes; integers are never booleans. An empty body equals `{}`.
    Raises SerializationError for anything else that is not a JSON object of the expected types.
    """
    if not body:
        return {}
    document = _decode(body)
    read = _reader_of(operation)
    if read is None:
        return {}
    result: dict[str, Any] = read(document, "")
    return result


def _decode(body: bytes) -> Any:
    """Strict JSON: UTF-8 without surrogates, no repeated keys, finite numbers, bounded depth and size."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise SerializationError("The request body is not UTF-8") from None
    _check_bounds(text)
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise SerializationError("The request body is not valid JSON") from None
    if "\\u" in text:  # raw halves did not survive the decoding above
        _check_surrogates(document)
    return document


def _check_bounds(text: str) -> None:
    """Refuse a body whose nesting or number of values is beyond any legal request.

    Counting is done on the text because the decoder would already have built the values. Most bodies are
    settled by the first three counts; others have their string contents removed first.
    """
    opening = text.count("{") + text.count("[")
    if opening <= MAX_DEPTH and opening + text.count(",") <= MAX_VALUES:
        return
    bare = text.replace("\\\\", "").replace('\\"', "")
    if bare.count('"') > 4 * MAX_VALUES:
        raise SerializationError("The request body holds too many values")
    structure = "".join(bare.split('"')[::2])
    if structure.count("{") + structure.count("[") + structure.count(",") > MAX_VALUES:
        raise SerializationError("The request body holds too many values")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", structure):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise SerializationError("The request body is nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SerializationError("The request body repeats a key within one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise SerializationError("The request body holds a number that is out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise SerializationError(f"The request body holds {name}, which is not a JSON number")


def _check_surrogates(value: Any) -> None:
    """Refuse half of a surrogate pair anywhere, also in members that are going to be ignored."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise SerializationError("The request body holds half of a surrogate pair") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_surrogates(key)
            _check_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)


@lru_cache(maxsize=256)
def _reader_of(operation: OperationModel) -> Reader | None:
    shape = operation.input_shape
    return None if shape is None else _compile(shape, {})


def _compile(shape: Shape, known: dict[str, Reader]) -> Reader:
    """A function that reads values of `shape`; `known` holds the readers made so far, by shape name."""
    if shape.name in known:
        return known[shape.name]
    if isinstance(shape, StructureShape):
        fields: dict[str, Reader] = {}
        known[shape.name] = _structure(fields)
        fields.update({name: _compile(member, known) for name, member in shape.members.items()})
    elif isinstance(shape, ListShape):
        known[shape.name] = _list(_compile(shape.member, known))
    elif isinstance(shape, MapShape):
        known[shape.name] = _map(_compile(shape.value, known))
    else:
        known[shape.name] = _SCALARS[shape.type_name]
    return known[shape.name]


def _expected(what: str, path: str) -> SerializationError:
    return SerializationError(f"Expected {what} at '{path}'" if path else f"Expected {what} as request body")


def _structure(fields: dict[str, Reader]) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _expected("an object", path)
        result = {}
        for name, reader in fields.items():
            item = value.get(name)
            if item is not None:
                result[name] = reader(item, f"{path}.{name}" if path else name)
        return result

    return read


def _list(member: Reader) -> Reader:
    def read(value: Any, path: str) -> list[Any]:
        if type(value) is not list:
            raise _expected("a list", path)
        return [member(item, f"{path}.{index}.member") for index, item in enumerate(value, 1)]

    return read


def _map(member: Reader) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _expected("an object", path)
        return {key: member(item, f"{path}.{key}") for key, item in value.items() if item is not None}

    return read


def _string(value: Any, path: str) -> str:
    if type(value) is not str:
        raise _expected("a string", path)
    return value


def _boolean(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise _expected("true or false", path)
    return value


def _whole(bits: int) -> Reader:
    def read(value: Any, path: str) -> int:
        if type(value) is not int or not -(2**bits) <= value < 2**bits:
            raise _expected(f"an integer of {bits + 1} bits", path)
        return value

    return read


def _double(value: Any, path: str) -> float:
    if type(value) not in (int, float):
        raise _expected("a number", path)
    try:
        return float(value)
    except OverflowError:
        raise _expected("a number", path) from None


def _timestamp(value: Any, path: str) -> datetime:
    """Epoch seconds, with or without a fraction."""
    if type(value) not in (int, float):
        raise _expected("a timestamp in seconds since the epoch", path)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise _expected("a timestamp in seconds since the epoch", path) from None


def _blob(value: Any, path: str) -> bytes:
    if type(value) is not str:
        raise _expected("a base64 string", path)
    try:
        blob = a2b_base64(value, strict_mode=True)
    except (Base64Error, ValueError):
        raise _expected("a base64 string", path) from None
    # the strict mode still takes padding that nothing asks for
    if len(blob) != len(value) // 4 * 3 - value.count("="):
        raise _expected("a base64 string", path)
    return blob


_SCALARS: dict[str, Reader] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _whole(31),
    "long": _whole(63),
    "double": _double,
    "float": _double,
    "timestamp": _timestamp,
    "blob": _blob,
}
