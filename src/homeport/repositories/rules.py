"""What may happen to tags and settings. Pure: no I/O, no clock. ECR User Guide, image-tag-mutability."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter, InvalidTagParameter, TooManyTags
from homeport.repositories.model import Settings, TagMutability

_FILTER = re.compile(r"[0-9a-zA-Z._*-]{1,128}", re.ASCII)
_TAG_TEXT = re.compile(r"[\w\s_.:/=+\-@]*")


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern`, in which `*` stands for any run of characters, matches the whole of `text`.

    Linear in the text for each star: pieces between stars are searched once, left to right.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in rest:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def tag_may_move(settings: Settings, tag: str) -> bool:
    """Whether `tag`, which names an image already, may be moved to another one."""
    excluded = settings.tag_mutability.has_exclusion and any(
        matches(pattern, tag) for pattern in settings.mutability_filters
    )
    frozen = settings.tag_mutability in (TagMutability.IMMUTABLE, TagMutability.IMMUTABLE_WITH_EXCLUSION)
    return not frozen if not excluded else frozen


def check_mutability(mode: TagMutability, filters: Sequence[str] | None) -> tuple[str, ...]:
    """Return the exclusion filters that go with `mode`. Errors: InvalidParameter when they do not fit it."""
    place = "imageTagMutabilityExclusionFilters"
    if mode.has_exclusion:
        if not filters:
            raise InvalidParameter(
                place,
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
                f"{mode.value}",
            )
        if len(filters) > 5:
            raise InvalidParameter(place, "Member must have length less than or equal to 5")
        for pattern in filters:
            if not _FILTER.fullmatch(pattern):
                raise InvalidParameter(
                    place, "Member must satisfy regular expression pattern: ^[0-9a-zA-Z._*-]{1,128}$"
                )
        return tuple(filters)
    if filters:
        raise InvalidParameter(
            place,
            f"ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as {mode.value}",
        )
    return ()


def check_tags(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return the resource tags after adding `added` to `present`.

    Errors: InvalidTagParameter for a malformed key or value, TooManyTags past 50.
    """
    check_tag_keys(added)
    for value in added.values():
        if len(value) > limits.RESOURCE_TAG_VALUE_CHARS or not _TAG_TEXT.fullmatch(value):
            raise InvalidTagParameter(
                "Tag values have at most 256 letters, digits, spaces or any of _ . : / = + - @"
            )
    together = {**present, **added}
    if len(together) > limits.RESOURCE_TAGS:
        raise TooManyTags(f"A repository can have at most {limits.RESOURCE_TAGS} tags")
    return together


def check_tag_keys(keys: Iterable[str]) -> None:
    """Return when a repository's tags may be called so. Errors: InvalidTagParameter."""
    for key in keys:
        if not 1 <= len(key) <= limits.RESOURCE_TAG_KEY_CHARS or not _TAG_TEXT.fullmatch(key):
            raise InvalidTagParameter(
                "Tag keys have 1 to 128 letters, digits, spaces or any of _ . : / = + - @"
            )
        if key.lower().startswith("aws:"):
            raise InvalidTagParameter("Tag keys that start with 'aws:' are reserved")
