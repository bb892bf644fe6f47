"""Judges the parameters of a request against the constraints in its model, in the words that AWS uses.

The clients check little themselves, and people search for the exact texts, so the wording follows what ECR
is seen to answer. It must not know any operation: limits, patterns and enumerations all come from the model.
Input has been typed by a reader before. Every check is linear in the input; a length is checked before a
pattern, so a pattern never meets an over-long text.

Contract: the constraint traits of the botocore models (required, min, max, pattern, enum).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, OperationModel, Shape, StringShape, StructureShape

from homeport.aws.patterns import matcher
from homeport.kernel.errors import InvalidParameter

Check = Callable[[Any], bool]

_SIZED = {"string", "blob", "list", "map"}
_NUMBERS = {"integer", "long", "double", "float"}
# ECR tests repository names in its own code instead of by the model: the text lacks "Member", quotes the
# pattern, and calls the parameter 'repositoryName' also for an item of a list.
_OWN_WORDING = {"RepositoryName": "repositoryName"}
_BAD_INPUT = {"InvalidParameterException", "InvalidTagParameterException", "TooManyTagsException"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken constraint: where (AWS path, list positions from 1), which, and the value that breaks it."""

    path: str
    constraint: str
    value: Any
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class _Constraint:
    text: str
    holds: Check


def validate(operation: OperationModel, params: Mapping[str, Any]) -> None:
    """Raise InvalidParameter for the first violation in the order of the model's members; else return."""
    first = next(violations(operation, params), None)
    if first is not None:
        raise InvalidParameter(first.path, first.constraint)


def violations(operation: OperationModel, params: Mapping[str, Any]) -> Iterator[Violation]:
    """Every violation in `params`, in the order of the model's members; `params` come from a reader."""
    shape = operation.input_shape
    if shape is not None:
        yield from _violations(shape, params, "")


def validation_error_kind(operation: OperationModel) -> str:
    """The exception that this operation answers for bad input: the modelled one, by preference the older.

    An operation that models neither answers InvalidParameterException, or ValidationError in the query
    protocol (STS, "Common errors").
    """
    modelled = {shape.name for shape in operation.error_shapes}
    if "InvalidParameterException" not in modelled and "ValidationException" in modelled:
        return "ValidationException"
    query = operation.service_model.metadata["protocol"] == "query"
    return "ValidationError" if query else "InvalidParameterException"


def listed_kind(operation: OperationModel, kind: str) -> str:
    """The name under which this operation answers the error `kind`: bad input has names that only some of them list."""
    modelled = {shape.name for shape in operation.error_shapes}
    return validation_error_kind(operation) if kind in _BAD_INPUT and kind not in modelled else kind


def _violations(shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    for constraint in constraints(shape):
        if not constraint.holds(value):
            where = _OWN_WORDING.get(shape.name, path)
            yield Violation(where, constraint.text, value, bool(shape.metadata.get("sensitive")))
            return
    if isinstance(shape, StructureShape):
        yield from _of_members(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _of_items(shape, value, path)


def _of_members(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[Violation]:
    for name, member in shape.members.items():
        where = f"{path}.{name}" if path else name
        item = value.get(name)
        if item is not None:
            yield from _violations(member, item, where)
        elif name in shape.required_members:
            yield Violation(where, "Member must not be null", None)


def _of_items(shape: ListShape, value: list[Any], path: str) -> Iterator[Violation]:
    """A list of structures is judged item by item; a list of plain values as a whole, as AWS does."""
    member = shape.member
    if isinstance(member, (StructureShape, ListShape)) or member.name in _OWN_WORDING:
        for index, item in enumerate(value, 1):
            yield from _violations(member, item, f"{path}.{index}.member")
        return
    rules = constraints(member)
    if not all(rule.holds(item) for item in value for rule in rules):
        texts = ", ".join(rule.text for rule in rules)
        yield Violation(path, f"Member must satisfy constraint: [{texts}]", value)


@lru_cache(maxsize=2048)
def constraints(shape: Shape) -> tuple[_Constraint, ...]:
    """The shape's own constraints, lengths first and the pattern last, each with its AWS text."""
    found: list[_Constraint] = []
    own = shape.name in _OWN_WORDING
    subject = "must" if own else "Member must"
    if shape.type_name in _SIZED | _NUMBERS:
        found += _bounds(shape, subject)
    if "pattern" in shape.metadata:
        pattern = shape.metadata["pattern"]
        text = f"regular expression pattern: {pattern}"
        if own:
            # the model escapes the slash, the service does not
            unescaped = pattern.replace(r"\/", "/")
            text = f"regular expression '{unescaped}'"
        found.append(_Constraint(f"{subject} satisfy {text}", matcher(pattern)))
    if isinstance(shape, StringShape) and shape.enum:
        allowed = frozenset(shape.enum)
        listed = ", ".join(enum_order(shape.enum))
        found.append(_Constraint(f"{subject} satisfy enum value set: [{listed}]", allowed.__contains__))
    return tuple(found)


def _bounds(shape: Shape, subject: str) -> Iterator[_Constraint]:
    kind, measure = ("length", len) if shape.type_name in _SIZED else ("value", _itself)
    if "max" in shape.metadata:
        most = shape.metadata["max"]
        text = f"{subject} have {kind} less than or equal to {most}"
        yield _Constraint(text, lambda value: measure(value) <= most)
    if "min" in shape.metadata:
        least = shape.metadata["min"]
        text = f"{subject} have {kind} greater than or equal to {least}"
        yield _Constraint(text, lambda value: measure(value) >= least)


def _itself(value: Any) -> Any:
    return value


def enum_order(values: list[str]) -> list[str]:
    """`values` in the order in which AWS prints them: that of a Java HashSet.

    ECR answers [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION], which is neither the
    model's order nor alphabetical but the order of the buckets that String.hashCode() puts them in.
    """
    buckets = 16
    while len(values) > buckets * 3 // 4:
        buckets *= 2
    return sorted(values, key=lambda value: _java_hash(value) & (buckets - 1))


def _java_hash(text: str) -> int:
    """HashMap.hash(String.hashCode()) for text of the basic multilingual plane."""
    code = 0
    for character in text:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    return code ^ (code >> 16)
