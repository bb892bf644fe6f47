"""Checks of JSON values in the words of the JSON schema validator whose texts ECR shows. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from homeport.kernel.errors import InvalidParameter

NO_BRANCH = "instance failed to match exactly one schema (matched 0 out of 2)"
_MOST = 2**31 - 1
_SHOWN = 1000  # characters of what is wrong that go into a message
_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def refuse(why: str) -> NoReturn:
    """Raise InvalidParameter: the policy is not valid because of `why`."""
    raise InvalidParameter("LifecyclePolicyText", f"Lifecycle policy validation failure: {why}")


def load(text: str) -> dict[str, Any]:
    """Return the object that `text` is. Errors: InvalidParameter."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        refuse("Could not map policyString into LifecyclePolicy.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    together = dict(pairs)
    if len(together) != len(pairs):
        raise ValueError("a key appears twice")
    return together


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _shown(names: Sequence[str]) -> str:
    return json.dumps(list(names), separators=(",", ":"))[:_SHOWN]


def members(value: object, allowed: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """Return `value`, an object that has all `required` members and none beside `allowed`.

    Errors: InvalidParameter.
    """
    found: dict[str, Any] = _typed(value, dict)
    missing = sorted(name for name in required if name not in found)
    if missing:
        refuse(f"object has missing required properties ({_shown(missing)})")
    foreign = sorted(name for name in found if name not in allowed)
    if foreign:
        refuse(f"object instance has properties which are not allowed by the schema: ({_shown(foreign)})")
    return found


def _mismatch(value: object, wanted: type) -> str:
    found, name = _NAMES[type(value)], _NAMES[wanted]
    return f'instance type ({found}) does not match any allowed primitive type (allowed: ["{name}"])'


def _typed(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:
        refuse(_mismatch(value, wanted))
    return value


def arrays(value: dict[str, Any], names: Sequence[str]) -> None:
    """Return when those of the members `names` that are there are lists.

    Errors: InvalidParameter, with a line for each that is not, as ECR has it.
    """
    wrong = [
        _mismatch(value[name], list) for name in names if name in value and type(value[name]) is not list
    ]
    if wrong:
        refuse("\n".join(wrong))


def array(value: object, most: int) -> list[Any]:
    """Return `value`, a list of 1 to `most` elements. Errors: InvalidParameter."""
    found: list[Any] = _typed(value, list)
    if not found:
        refuse("array is too short: must have at least 1 elements but instance has 0 elements")
    if len(found) > most:
        refuse(f"array is too long: must have at most {most} elements but instance has {len(found)} elements")
    return found


def number(value: object, least: int = 1) -> int:
    """Return `value`, a whole number of at least `least`. Errors: InvalidParameter."""
    found: int = _typed(value, int)
    if found < least:
        refuse(f"numeric instance is lower than the required minimum (minimum: {least}, found: {found})")
    if found > _MOST:
        refuse(f"numeric instance is greater than the required maximum (maximum: {_MOST}, found: {found})")
    return found


def string(value: object, most: int | None = None) -> str:
    """Return `value`, a text; with `most` one of 1 to so many characters. Errors: InvalidParameter."""
    found: str = _typed(value, str)
    if most is not None and not found:
        refuse('string "" is too short (length: 0, required minimum: 1)')
    if most is not None and len(found) > most:
        refuse(f'string "{found[:_SHOWN]}" is too long (length: {len(found)}, maximum allowed: {most})')
    return found


def one_of(value: object, known: Sequence[str]) -> str:
    """Return `value`, one of the texts `known`. Errors: InvalidParameter."""
    found = string(value)
    if found not in known:
        refuse(f"instance value ({found[:100]}) not found in enum :(possible values: {_shown(known)})")
    return found
