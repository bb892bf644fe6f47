"""Pages of IAM's lists: Marker, MaxItems and IsTruncated. IAM API Reference, "Common parameters" of the List calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from homeport.aws.call import Call
from homeport.kernel.errors import InvalidParameter, ValidationError

Item = TypeVar("Item")

PAGE: Final = 100  # IAM: MaxItems when the request names none


def size(call: Call) -> int:
    """Return how many items a page has; ask the store for one more, so that `page` sees whether there are more."""
    wanted: int = call.params.get("MaxItems") or PAGE
    return wanted


def after(call: Call) -> str:
    """Return the key after which the page begins, empty at the start. Errors: ValidationError."""
    position = _position(call)
    return "" if position is None else str(position)


def page(
    call: Call, member: str, found: Sequence[Item], key: Callable[[Item], str], shown: Callable[[Item], Any]
) -> dict[str, Any]:
    """Return the answer for up to `size` + 1 items found `after` the Marker, each as `shown` tells."""
    wanted = size(call)
    answer: dict[str, Any] = {
        member: [shown(each) for each in found[:wanted]],
        "IsTruncated": len(found) > wanted,
    }
    if len(found) > wanted:
        answer["Marker"] = _marker(call, key(found[wanted - 1]))
    return answer


def short(call: Call, member: str, items: Sequence[Item], shown: Callable[[Item], Any]) -> dict[str, Any]:
    """Return a page of a list that is small enough to be read whole (tags, keys). Errors: ValidationError."""
    position = _position(call)
    start = position if isinstance(position, int) else 0
    end = start + size(call)
    answer: dict[str, Any] = {
        member: [shown(each) for each in items[start:end]],
        "IsTruncated": len(items) > end,
    }
    if len(items) > end:
        answer["Marker"] = _marker(call, end)
    return answer


def _marker(call: Call, position: str | int) -> str:
    return call.region.pages.issue(call.principal.arn, call.operation.name, _scope(call), [position])


def _position(call: Call) -> str | int | None:
    token = call.params.get("Marker")
    if token is None:
        return None
    try:
        (position,) = call.region.pages.read(token, call.principal.arn, call.operation.name, _scope(call))
    except InvalidParameter:
        raise ValidationError("Invalid Marker: it was not returned by the same request") from None
    return position if isinstance(position, int) else str(position)


def _scope(call: Call) -> str:
    bound = {key: value for key, value in call.params.items() if key not in ("Marker", "MaxItems")}
    return hashlib.sha256(json.dumps(bound, sort_keys=True, default=str).encode()).hexdigest()
