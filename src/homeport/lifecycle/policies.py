"""What a lifecycle policy must be to be stored. Pure: text in, rules out.

The document is checked as a JSON schema would be, then across its rules; the texts are those that ECR shows.
Amazon ECR User Guide, lifecycle_policy_parameters. What the registry has beyond ECR (docs/how-to/lifecycle.md) is known
with `extended` alone; without it those members and values are refused like any others that ECR does not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from homeport.kernel import limits
from homeport.lifecycle import schema
from homeport.lifecycle.model import Action, CountType, Rule, TagSelection
from homeport.lifecycle.patterns import EXPRESSION_CHARS, BadExpression, Expression
from homeport.lifecycle.schema import NO_BRANCH, refuse
from homeport.lifecycle.selection import ARCHIVE_DAYS

_RULE = ("action", "description", "rulePriority", "selection")
_SELECTION = (
    "countNumber", "countType", "countUnit", "storageClass", "tagPatternList", "tagPrefixList", "tagStatus",
)  # fmt: skip
_ACTION = ("targetStorageClass", "type")
_WILDCARDS = 4  # in one pattern
_TEXT_CHARS = 30_720  # ECR model: LifecyclePolicyText, and so the most that one member can have
_COUNTS = {
    CountType.IMAGES: {Action.EXPIRE, Action.TRANSITION},
    CountType.SINCE_PUSHED: {Action.EXPIRE, Action.TRANSITION},
    CountType.SINCE_PULLED: {Action.TRANSITION},
    CountType.SINCE_TRANSITIONED: {Action.EXPIRE},
}
_EXTENDED_SELECTION = (*_SELECTION, "exceptTagPatternList", "tagRegex")
_EXTENDED_COUNTS = {count: set(Action) for count in CountType} | {
    CountType.SINCE_TRANSITIONED: {Action.EXPIRE, Action.RETAIN}
}


def read_policy(
    text: str, *, extended: bool = False, most_rules: int = limits.LIFECYCLE_RULES
) -> tuple[Rule, ...]:
    """Return the rules of the policy `text`, at most `most_rules`, in order of priority.

    Errors: InvalidParameter that says what is wrong with it.
    """
    document = schema.members(schema.load(text), ("rules",), ("rules",))
    listed = document["rules"]
    if not isinstance(listed, list):
        schema.members({}, (), ("rules",))  # to ECR these are no rules at all
    listed = schema.array(listed, most_rules)
    rules = sorted((_rule(each, extended) for each in listed), key=lambda rule: rule.priority)
    _check_together(rules)
    return tuple(rules)


def accepted_text(text: str, *, extended: bool, most_rules: int) -> str:
    """Return the policy `text` as it is stored, once `read_policy` takes it. Errors: InvalidParameter."""
    read_policy(text, extended=extended, most_rules=most_rules)
    return sorted_text(text)


def sorted_text(text: str) -> str:
    """Return the policy `text`, one that `read_policy` takes, with its rules in order of priority.

    Nothing else changes: each rule keeps its spelling, and what stands between two rules stays where it was. ECR
    answers with sorted rules, and who compares documents relies on that.
    """
    decoder = json.JSONDecoder()
    spans: list[tuple[int, int]] = []
    priorities: list[int] = []
    at = text.index("[")  # the only member is "rules", and its name holds no bracket
    while text[at] != "]":
        start = _skip(text, at + 1)
        rule, at = decoder.raw_decode(text, start)
        spans.append((start, at))
        priorities.append(rule["rulePriority"])
        at = _skip(text, at)
    if priorities == sorted(priorities):
        return text
    ordered = sorted(range(len(spans)), key=priorities.__getitem__)
    pieces: list[str] = []
    last = 0
    for (start, end), number in zip(spans, ordered, strict=True):
        pieces += text[last:start], text[slice(*spans[number])]
        last = end
    return "".join([*pieces, text[last:]])


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _rule(document: object, extended: bool) -> Rule:
    rule = schema.members(document, _RULE, ("action", "rulePriority", "selection"))
    description = schema.string(rule["description"]) if "description" in rule else None
    action = _action(rule["action"], extended)
    required = ("tagStatus",) if action is Action.RETAIN else ("countNumber", "countType", "tagStatus")
    selection = schema.members(rule["selection"], _EXTENDED_SELECTION if extended else _SELECTION, required)
    schema.arrays(selection, ("tagPatternList", "tagPrefixList", "exceptTagPatternList"))
    if any(
        name in selection and selection[name] is None for name in ("countUnit", "storageClass", "tagRegex")
    ):
        refuse(NO_BRANCH)
    tags = TagSelection(schema.one_of(selection["tagStatus"], tuple(TagSelection)))
    count, storage_class = _count(selection, action, extended)
    prefixes, patterns = _list(selection, "tagPrefixList"), _list(selection, "tagPatternList")
    regex = _regex(selection)
    excepted = _list(selection, "exceptTagPatternList")
    _check_tags(tags, selection, extended)
    if action is Action.UNTAG and tags is not TagSelection.TAGGED:
        refuse("Action type untag can only be specified when tagStatus=TAGGED.")
    least = ARCHIVE_DAYS if count is CountType.SINCE_TRANSITIONED else 1
    return Rule(
        priority=schema.number(rule["rulePriority"]),
        description=description,
        tags=tags,
        prefixes=prefixes,
        patterns=patterns,
        regex=regex,
        excepted=excepted,
        storage_class=storage_class,
        count=count,
        number=schema.number(selection["countNumber"], least) if count is not None else 0,
        action=action,
    )


def _action(document: object, extended: bool) -> Action:
    found = schema.members(document, _ACTION, ("type",))
    known = tuple(Action) if extended else (Action.EXPIRE, Action.TRANSITION)
    action = Action(schema.one_of(found["type"], known))
    if action is Action.TRANSITION:
        schema.members(found, _ACTION, _ACTION)
        if found["targetStorageClass"] is None:
            refuse(NO_BRANCH)
        schema.one_of(found["targetStorageClass"], ("archive",))
    elif "targetStorageClass" in found:
        refuse(NO_BRANCH)
    return action


def _count(selection: dict[str, Any], action: Action, extended: bool) -> tuple[CountType | None, str]:
    """Return what the rule counts and the storage class that it looks at, once unit and action fit them."""
    storage_class = schema.one_of(selection.get("storageClass", "standard"), ("archive", "standard"))
    if action is Action.RETAIN and "countType" not in selection:
        if "countNumber" in selection or "countUnit" in selection:
            refuse(NO_BRANCH)
        return None, storage_class
    allowed = _EXTENDED_COUNTS if extended else _COUNTS
    stated = selection["countType"]
    if not isinstance(stated, str) or stated not in allowed or "countNumber" not in selection:
        refuse(NO_BRANCH)
    count = CountType(stated)
    if (count is CountType.IMAGES) == ("countUnit" in selection):
        refuse(NO_BRANCH)
    if "countUnit" in selection:
        schema.one_of(selection["countUnit"], ("days",))
    if (storage_class == "archive") != (count is CountType.SINCE_TRANSITIONED) or action not in allowed[
        count
    ]:
        refuse(NO_BRANCH)
    return count, storage_class


def _list(selection: dict[str, Any], name: str) -> tuple[str, ...]:
    listed: list[str] = selection.get(name, [])
    for each in listed:
        schema.string(each, _TEXT_CHARS)
        if name != "tagPrefixList" and each.count("*") > _WILDCARDS:
            refuse(f"A tag pattern can contain at most {_WILDCARDS} wildcards (*)")
    return tuple(listed)


def _regex(selection: dict[str, Any]) -> str | None:
    if "tagRegex" not in selection:
        return None
    found = schema.string(selection["tagRegex"], EXPRESSION_CHARS)
    try:
        Expression(found)
    except BadExpression as wrong:
        refuse(f"tagRegex must be an RE2 expression: {wrong}")
    return found


def _check_tags(tags: TagSelection, selection: dict[str, Any], extended: bool) -> None:
    """Whether the members that look at tags go with `tagStatus` and with each other."""
    given = [name for name in ("tagPrefixList", "tagPatternList", "tagRegex") if name in selection]
    full = [name for name in given if selection[name]]
    if tags is TagSelection.TAGGED:
        if not full:
            known = (
                "tagPrefixList, tagPatternList or tagRegex" if extended else "tagPrefixList or tagPatternList"
            )
            refuse(f"Must specify {known} when tagStatus=TAGGED.")
        if len(full) > 1:
            refuse(f"Only one of {' and '.join(full)} can be specified.")
    elif "tagRegex" in given:
        refuse("tagRegex can only be specified when tagStatus=TAGGED.")
    elif given:
        refuse("tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.")
    if "exceptTagPatternList" in selection:
        if tags is TagSelection.UNTAGGED:
            refuse("exceptTagPatternList can only be specified when tagStatus=TAGGED or tagStatus=ANY.")
        schema.array(selection["exceptTagPatternList"], _TEXT_CHARS)


def _check_together(rules: Sequence[Rule]) -> None:
    """What one rule cannot know of the others; `rules` are in order of priority.

    A rule that can act on nothing because an earlier one has claimed it all is refused. One that retains claims no more
    than it keeps, and one with exceptions not everything.
    """
    for before, after in pairwise(rules):
        if before.priority == after.priority:
            refuse(f"rulePriority {after.priority} is used by more than one rule; it must be unique")
    for storage in ("standard", "archive"):
        here = [rule for rule in rules if rule.storage_class == storage and rule.action is not Action.RETAIN]
        if any(rule.tags is TagSelection.ANY and not rule.excepted for rule in here[:-1]):
            refuse("Rule for tagStatus=ANY must have the lowest priority per storage class")
        if sum(rule.tags is TagSelection.UNTAGGED for rule in here) > 1:
            refuse("Only one rule can select Untagged images per storage class")
        lists = [
            (frozenset(rule.prefixes), frozenset(rule.patterns), rule.regex, frozenset(rule.excepted))
            for rule in here
            if rule.tags is TagSelection.TAGGED
        ]
        if len(set(lists)) != len(lists):
            refuse("tagPrefixList and tagPatternList must be unique across the rules of a storage class")
