"""What a lifecycle policy must be to be stored. Pure: text in, rules out.

The document is checked as a JSON schema would be, then across its rules; the texts are those that ECR shows.
Amazon ECR User Guide, lifecycle_policy_parameters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle.model import Action, CountType, Rule, TagSelection

_RULE = ("action", "description", "rulePriority", "selection")
_SELECTION = (
    "countNumber", "countType", "countUnit", "storageClass", "tagPatternList", "tagPrefixList", "tagStatus",
)  # fmt: skip
_ACTION = ("targetStorageClass", "type")
_ARCHIVE_DAYS = 90  # an archived image stays for so long at least
_WILDCARDS = 4  # in one pattern
_NO_BRANCH = "instance failed to match exactly one schema (matched 0 out of 2)"
_ACTIONS = {
    CountType.IMAGES: frozenset(Action),
    CountType.SINCE_PUSHED: frozenset(Action),
    CountType.SINCE_PULLED: frozenset({Action.TRANSITION}),
    CountType.SINCE_TRANSITIONED: frozenset({Action.EXPIRE}),
}


def _refuse(why: str) -> NoReturn:
    raise InvalidParameter("LifecyclePolicyText", f"Lifecycle policy validation failure: {why}")


def read_policy(text: str) -> tuple[Rule, ...]:
    """Return the rules of the policy `text` in order of priority.

    Errors: InvalidParameter that says what is wrong with it.
    """
    document = _load(text)
    _check_members(document, ("rules",), ("rules",))
    listed = document["rules"]
    if not isinstance(listed, list):
        _refuse_type(listed, "array")
    if not listed:
        _refuse("array is too short: must have at least 1 elements but instance has 0 elements")
    if len(listed) > limits.LIFECYCLE_RULES:
        most = limits.LIFECYCLE_RULES
        _refuse(
            f"array is too long: must have at most {most} elements but instance has {len(listed)} elements"
        )
    rules = sorted(map(_rule, listed), key=lambda rule: rule.priority)
    _check_together(rules)
    return tuple(rules)


def _load(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        _refuse("Could not map policyString into LifecyclePolicy.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    together = dict(pairs)
    if len(together) != len(pairs):
        raise ValueError("a key appears twice")
    return together


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _shown(names: Sequence[str]) -> str:
    return json.dumps(sorted(names), separators=(",", ":"))


def _check_members(value: object, allowed: Sequence[str], required: Sequence[str]) -> None:
    if not isinstance(value, dict):
        _refuse_type(value, "object")
    missing = [name for name in required if name not in value]
    if missing:
        _refuse(f"object has missing required properties ({_shown(missing)})")
    foreign = [name for name in value if name not in allowed]
    if foreign:
        _refuse(
            f"object instance has properties which are not allowed by the schema: ({_shown(foreign)[:1000]})"
        )


def _refuse_type(value: object, wanted: str) -> NoReturn:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    found = names.get(type(value), "null")
    _refuse(f'instance type ({found}) does not match any allowed primitive type (allowed: ["{wanted}"])')


def _number(value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse_type(value, "integer")
    if value < least:
        _refuse(f"numeric instance is lower than the required minimum (minimum: {least}, found: {value})")
    if value >= 2**31:
        _refuse(
            f"numeric instance is greater than the required maximum (maximum: {2**31 - 1}, found: {value})"
        )
    return value


def _one_of(value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str):
        _refuse_type(value, "string")
    if value not in known:
        _refuse(
            f"instance value ({value[:100]}) not found in enum :"
            f"(possible values: {json.dumps(list(known), separators=(',', ':'))})"
        )
    return value


def _texts(selection: dict[str, Any], name: str) -> tuple[str, ...]:
    listed = selection.get(name, [])
    if not isinstance(listed, list):
        _refuse_type(listed, "array")
    for each in listed:
        if not isinstance(each, str):
            _refuse_type(each, "string")
        if not each:
            _refuse('string "" is too short (length: 0, required minimum: 1)')
        if name == "tagPatternList" and each.count("*") > _WILDCARDS:
            _refuse(f"A tag pattern can contain at most {_WILDCARDS} wildcards (*)")
    return tuple(listed)


def _rule(document: object) -> Rule:
    _check_members(document, _RULE, ("action", "rulePriority", "selection"))
    assert isinstance(document, dict)
    description = document.get("description")
    if "description" in document and not isinstance(description, str):
        _refuse_type(description, "string")
    action = _action(document["action"])
    selection = document["selection"]
    _check_members(selection, _SELECTION, ("countNumber", "countType", "tagStatus"))
    tags = TagSelection(_one_of(selection["tagStatus"], tuple(TagSelection)))
    count = _count_type(selection, action)
    prefixes, patterns = _texts(selection, "tagPrefixList"), _texts(selection, "tagPatternList")
    if tags is TagSelection.TAGGED:
        if not prefixes and not patterns:
            _refuse("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
        if prefixes and patterns:
            _refuse("Only one of tagPrefixList and tagPatternList can be specified.")
    elif "tagPrefixList" in selection or "tagPatternList" in selection:
        _refuse("tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.")
    archived = count is CountType.SINCE_TRANSITIONED
    return Rule(
        priority=_number(document["rulePriority"]),
        description=description,
        tags=tags,
        prefixes=prefixes,
        patterns=patterns,
        storage_class="archive" if archived else "standard",
        count=count,
        number=_number(selection["countNumber"], _ARCHIVE_DAYS if archived else 1),
        action=action,
    )


def _action(document: object) -> Action:
    _check_members(document, _ACTION, ("type",))
    assert isinstance(document, dict)
    action = Action(_one_of(document["type"], tuple(Action)))
    if action is Action.TRANSITION:
        _check_members(document, _ACTION, _ACTION)
        _one_of(document["targetStorageClass"], ("archive",))
    elif "targetStorageClass" in document:
        _refuse(_NO_BRANCH)
    return action


def _count_type(selection: dict[str, Any], action: Action) -> CountType:
    """Return what the rule counts once unit, storage class and action fit it."""
    stated = selection["countType"]
    if not isinstance(stated, str) or stated not in tuple(CountType):
        _refuse(_NO_BRANCH)
    count = CountType(stated)
    if count is CountType.IMAGES:
        if "countUnit" in selection:
            _refuse(_NO_BRANCH)
    else:
        if "countUnit" not in selection:
            _refuse(_NO_BRANCH)
        _one_of(selection["countUnit"], ("days",))
    storage = "standard"
    if "storageClass" in selection:
        storage = _one_of(selection["storageClass"], ("archive", "standard"))
    if (storage == "archive") != (count is CountType.SINCE_TRANSITIONED) or action not in _ACTIONS[count]:
        _refuse(_NO_BRANCH)
    return count


def _check_together(rules: Sequence[Rule]) -> None:
    """What one rule cannot know of the others; `rules` are in order of priority."""
    for before, after in pairwise(rules):
        if before.priority == after.priority:
            _refuse(f"rulePriority {after.priority} is used by more than one rule; it must be unique")
    for storage in ("standard", "archive"):
        here = [rule for rule in rules if rule.storage_class == storage]
        if any(rule.tags is TagSelection.ANY for rule in here[:-1]):
            _refuse("Rule for tagStatus=ANY must have the lowest priority per storage class")
        if sum(rule.tags is TagSelection.UNTAGGED for rule in here) > 1:
            _refuse("Only one rule can select Untagged images per storage class")
        lists = [(frozenset(rule.prefixes), frozenset(rule.patterns)) for rule in here]
        selected = [each for each in lists if any(each)]
        if len(set(selected)) != len(selected):
            _refuse("tagPrefixList and tagPatternList must be unique across the rules of a storage class")
