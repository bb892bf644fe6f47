"""The fast evaluation of lifecycle policies against a slow one that says the rules one after the other.

The model follows the Amazon ECR User Guide, LifecyclePolicies, and docs/how-to/lifecycle.md for extensions. It looks at
each image for each rule, and shares nothing with what it judges but the values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle.model import (
    Action,
    Candidate,
    CountType,
    Decision,
    Rule,
    TagSeen,
    TagSelection,
    Verdict,
)
from homeport.lifecycle.policies import read_policy, sorted_text
from homeport.lifecycle.rules import explain, plan
from tests.unit.lifecycle.repository import DAY, NOW, digest

# --- The model ---


def matches(pattern: str, tag: str) -> bool:
    """The meaning of a pattern, as plain as it can be said, and exponential."""
    if not pattern:
        return not tag
    if pattern[0] == "*":
        return matches(pattern[1:], tag) or (bool(tag) and matches(pattern, tag[1:]))
    return bool(tag) and pattern[0] == tag[0] and matches(pattern[1:], tag[1:])


def wanted_tags(rule: Rule, image: Candidate) -> list[TagSeen]:
    """The tags of an image that a rule is about."""
    if rule.tags is TagSelection.ANY:
        return list(image.tags)
    return [
        tag
        for tag in image.tags
        if any(tag.name.startswith(prefix) for prefix in rule.prefixes)
        or any(matches(pattern, tag.name) for pattern in rule.patterns)
        or (rule.regex is not None and re.fullmatch(rule.regex, tag.name))
    ]


def is_selected(rule: Rule, image: Candidate) -> bool:
    """Whether a rule looks at an image at all."""
    names = [tag.name for tag in image.tags]
    if image.subject is not None or image.archived != (rule.storage_class == "archive"):
        return False
    if any(matches(pattern, name) for pattern in rule.excepted for name in names):
        return False
    match rule.tags:
        case TagSelection.ANY:
            return True
        case TagSelection.UNTAGGED:
            return not names
    if rule.regex is not None:
        return bool(wanted_tags(rule, image))
    return all(any(name.startswith(prefix) for name in names) for prefix in rule.prefixes) and all(
        any(matches(pattern, name) for name in names) for pattern in rule.patterns
    )


def age(image: Candidate) -> int:
    if image.archived:
        assert image.archived_at is not None
        return image.archived_at
    return image.activated_at or image.pushed_at


def moment(rule: Rule, image: Candidate) -> int:
    """From when the days of a rule count."""
    if rule.count is CountType.SINCE_PULLED:
        return max(image.pulled_at or 0, image.activated_at or 0) or image.pushed_at
    if rule.count is CountType.SINCE_TAGGED and (tags := wanted_tags(rule, image)):
        moments = [tag.tagged_at for tag in tags]
        latest = min(moments) if rule.action is Action.UNTAG else max(moments)
        return max(latest, image.activated_at or 0)
    return age(image)


def is_due(rule: Rule, image: Candidate, pool: Sequence[Candidate]) -> bool:
    if rule.count is None:
        return False
    if rule.count is CountType.IMAGES:
        newer = [one for one in pool if (age(one), one.id) > (age(image), image.id)]
        return len(newer) >= rule.number
    return moment(rule, image) < NOW - rule.number * DAY


def may_go(image: Candidate) -> bool:
    return not image.listed and (not image.archived or age(image) < NOW - 90 * DAY)


def model(rules: Sequence[Rule], images: Sequence[Candidate]) -> list[Decision]:
    ordered = sorted(rules, key=lambda rule: rule.priority)
    pools = {rule.priority: [image for image in images if is_selected(rule, image)] for rule in ordered}
    retained = {
        image.id
        for rule in ordered
        if rule.action is Action.RETAIN
        for image in pools[rule.priority]
        if not is_due(rule, image, pools[rule.priority])
    }
    claimed: set[int] = set()
    marked: list[Decision] = []
    for rule in ordered:
        if rule.action is Action.RETAIN:
            continue
        pool = pools[rule.priority]
        for image in pool:
            if image.id in claimed or image.id in retained or image.pinned or not is_due(rule, image, pool):
                continue
            if rule.action is Action.EXPIRE and not may_go(image):
                continue
            if rule.action is Action.TRANSITION and (image.listed_live or image.archived):
                continue
            tags: tuple[str, ...] = ()
            if rule.action is Action.UNTAG:
                old = [
                    tag
                    for tag in wanted_tags(rule, image)
                    if rule.count is not CountType.SINCE_TAGGED or tag.tagged_at < NOW - rule.number * DAY
                ]
                tags = tuple(tag.name for tag in old)
            marked.append(Decision(image, rule.priority, rule.action, tags))
        claimed.update(image.id for image in pool)
    decided: list[Decision] = []
    for one in sorted(marked, key=lambda one: (age(one.image), one.image.id)):
        decided.append(one)
        if one.action is Action.EXPIRE:
            follow(one, images, decided)
    return decided


def follow(one: Decision, images: Sequence[Candidate], decided: list[Decision]) -> None:
    for image in sorted(images, key=lambda image: (age(image), image.id)):
        if image.subject == one.image.digest and may_go(image) and not image.pinned:
            after = Decision(image, one.priority, Action.EXPIRE, (), image.subject)
            decided.append(after)
            follow(after, images, decided)


# --- Policies and repositories ---

PATTERNS = (
    "*",
    "a*",
    "*b",
    "*a*",
    "b*",
    "a*b",
    "*-*",
    "*a*b*",
    "a",
    "ab",
    "*a-*b",
    "*b*a*a*",
    "a-*-b",
    "*a*a*a*",
)
EXPRESSIONS = ("a+", "(a|b)*", "a|ab|b-", "[^a].*", ".", "b{2,3}", "(a|aa)+-?", "^a.*b$", "[a-z]+", "a-?b?")


def some_rule(dice: Random, priority: int) -> Rule:
    """A rule of the language with its extensions, where each kind is about as likely as the others."""
    archive = dice.random() < 0.15
    actions = [Action.EXPIRE, Action.RETAIN] if archive else list(Action)
    action = dice.choice([Action.EXPIRE, *actions])
    tags = (
        dice.choice([TagSelection.TAGGED, *TagSelection])
        if action is not Action.UNTAG
        else TagSelection.TAGGED
    )
    counts: list[CountType | None] = [CountType.SINCE_TRANSITIONED]
    if not archive:
        counts = [
            CountType.IMAGES,
            CountType.IMAGES,
            *(each for each in CountType if each is not CountType.SINCE_TRANSITIONED),
        ]
    count = dice.choice([*counts, None] if action is Action.RETAIN else counts)
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    regex = None
    if tags is TagSelection.TAGGED:
        entries = dice.choice([1, 1, 2, 3])
        match dice.randrange(4):
            case 0:
                prefixes = tuple(dice.choice(["a", "b", "ab", "-", "b-", "a*"]) for _ in range(entries))
            case 1:
                regex = dice.choice(EXPRESSIONS)
            case _:
                patterns = tuple(dice.choice(PATTERNS) for _ in range(entries))
    excepted: tuple[str, ...] = ()
    if tags is not TagSelection.UNTAGGED and dice.random() < 0.2:
        excepted = tuple(dice.choice(PATTERNS[1:]) for _ in range(dice.randint(1, 2)))
    number = 0
    if count is not None:
        number = dice.randint(90, 92) if archive else dice.randint(1, 4 if count is CountType.IMAGES else 6)
    return Rule(
        priority, dice.choice([None, "text"]), tags, prefixes, patterns, regex, excepted,
        "archive" if archive else "standard", count, number, action,
    )  # fmt: skip


def is_extended(rule: Rule) -> bool:
    return (
        rule.action in (Action.UNTAG, Action.RETAIN)
        or rule.count is CountType.SINCE_TAGGED
        or (rule.count is CountType.SINCE_PULLED and rule.action is Action.EXPIRE)
        or rule.regex is not None
        or bool(rule.excepted)
    )


def some_policy(dice: Random) -> list[Rule]:
    return [some_rule(dice, priority) for priority in dice.sample(range(1, 100), dice.randint(1, 5))]


def some_repository(dice: Random) -> list[Candidate]:
    """Up to a dozen images whose moments often lie at the very edge of what a rule counts."""
    images: list[Candidate] = []
    taken: set[str] = set()

    def ago(least: int, most: int) -> int:
        return NOW - dice.randint(least, most) * DAY + dice.choice([-1, 0, 0, 1])

    for number in range(dice.randint(0, 12)):
        names = {
            "".join(dice.choices("ab-", k=dice.randint(1, 5))) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))
        }
        tags = tuple(TagSeen(name, ago(0, 8)) for name in sorted(names - taken))
        taken |= names
        archived, listed = dice.random() < 0.25, dice.random() < 0.15
        # The image of the digest 999 is not among them: it is on its way back from the archive.
        subject = digest(dice.choice([999, *range(number)])) if dice.random() < 0.25 else None
        images.append(
            Candidate(
                id=number,
                digest=digest(number),
                tags=tags,
                size=1,
                pushed_at=ago(0, 8),
                pulled_at=dice.choice([None, ago(0, 8)]),
                archived=archived,
                archived_at=ago(89, 93) if archived or dice.random() < 0.1 else None,
                activated_at=dice.choice([None, None, ago(0, 8)]),
                listed=listed,
                listed_live=listed and dice.random() < 0.7,
                subject=subject,
                pinned=dice.random() < 0.1,
            )
        )
    dice.shuffle(images)
    return images


SEEDS = st.integers(0, 2**64).map(Random)
"""Hypothesis chooses the seed alone: values that it chose itself would too often be those that no rule selects."""
WORLDS = SEEDS.map(lambda dice: (some_policy(dice), some_repository(dice)))


# --- What holds ---


@settings(max_examples=1_000)
@given(WORLDS)
def test_a_plan_is_what_the_rules_say_one_after_the_other(world: tuple[list[Rule], list[Candidate]]) -> None:
    rules, images = world

    assert plan(rules, images, NOW) == model(rules, images)


@pytest.mark.slow
@settings(max_examples=8_000)
@given(WORLDS)
def test_many_plans_are_what_the_rules_say_one_after_the_other(
    world: tuple[list[Rule], list[Candidate]],
) -> None:
    rules, images = world

    assert plan(rules, images, NOW) == model(rules, images)


def test_the_repositories_of_these_tests_meet_every_kind_of_rule() -> None:
    kinds: set[tuple[Action, CountType | None, TagSelection]] = set()
    followers = 0
    for seed in range(2_000):
        dice = Random(seed)
        rules = {rule.priority: rule for rule in some_policy(dice)}
        for one in plan(list(rules.values()), some_repository(dice), NOW):
            rule = rules[one.priority]
            kinds.add((rule.action, rule.count, rule.tags))
            followers += one.follows is not None

    tagged_only = {Action.UNTAG: [TagSelection.TAGGED]}
    assert kinds == {
        (action, count, tags)
        for action in (Action.EXPIRE, Action.TRANSITION, Action.UNTAG)
        for count in CountType
        for tags in tagged_only.get(action, TagSelection)
        if action is Action.EXPIRE or count is not CountType.SINCE_TRANSITIONED
    }
    assert followers > 10


@settings(max_examples=1_000)
@given(WORLDS)
def test_nothing_that_is_needed_or_protected_is_touched_and_nothing_twice(
    world: tuple[list[Rule], list[Candidate]],
) -> None:
    rules, images = world
    found = plan(rules, images, NOW)
    position = {one.image.digest: at for at, one in enumerate(found)}

    assert len(position) == len(found)
    for one in found:
        assert not one.image.pinned
        assert one.image in images
        if one.action is Action.EXPIRE:
            assert not one.image.listed
        if one.action is Action.TRANSITION:
            assert not one.image.listed_live
            assert not one.image.archived
        assert (one.action is Action.UNTAG) is bool(one.tags)
        assert (one.image.subject is not None) is (one.follows is not None)
        if one.follows is not None:
            assert position[one.follows] < position[one.image.digest]
            assert found[position[one.follows]].action is Action.EXPIRE
    retaining = [rule for rule in rules if rule.action is Action.RETAIN and rule.count is None]
    for rule in retaining:
        assert not any(is_selected(rule, one.image) for one in found)


@settings(max_examples=300)
@given(WORLDS)
def test_an_explanation_names_the_rule_that_acts_and_no_other(
    world: tuple[list[Rule], list[Candidate]],
) -> None:
    rules, images = world
    found = plan(rules, images, NOW)
    for image in images:
        reasons = explain(rules, images, NOW, image.id)

        assert [reason.rule for reason in reasons] == sorted(rules, key=lambda rule: rule.priority)
        acting = [reason.rule.priority for reason in reasons if reason.verdict is Verdict.ACTED_ON]
        assert acting == [one.priority for one in found if one.image == image and one.follows is None]
        following = [reason.rule.priority for reason in reasons if "goes with it" in reason.sentence]
        assert following == [one.priority for one in found if one.image == image and one.follows]
        for reason in reasons:
            assert reason.sentence.endswith(".")
            if reason.verdict is Verdict.NOT_SELECTED and reason.rule.action is not Action.RETAIN:
                assert not is_selected(reason.rule, image)
            if reason.verdict in (Verdict.KEPT, Verdict.RETAINED, Verdict.CLAIMED, Verdict.LISTED):
                assert is_selected(reason.rule, image)


def document(rule: Rule) -> dict[str, Any]:
    """A rule as it is written."""
    selection: dict[str, Any] = {"tagStatus": rule.tags.value}
    if rule.prefixes:
        selection["tagPrefixList"] = list(rule.prefixes)
    if rule.patterns:
        selection["tagPatternList"] = list(rule.patterns)
    if rule.regex is not None:
        selection["tagRegex"] = rule.regex
    if rule.excepted:
        selection["exceptTagPatternList"] = list(rule.excepted)
    if rule.storage_class == "archive":
        selection["storageClass"] = "archive"
    if rule.count is not None:
        selection |= {"countType": rule.count.value, "countNumber": rule.number}
        if rule.count is not CountType.IMAGES:
            selection["countUnit"] = "days"
    action = {"type": rule.action.value}
    if rule.action is Action.TRANSITION:
        action["targetStorageClass"] = "archive"
    written: dict[str, Any] = {"rulePriority": rule.priority, "selection": selection, "action": action}
    return written | ({"description": rule.description} if rule.description is not None else {})


@settings(max_examples=500)
@given(SEEDS, st.integers(1, 2**31 - 1))
def test_a_rule_that_is_written_down_is_read_as_the_same_and_only_where_it_is_allowed(
    dice: Random, priority: int
) -> None:
    rule = some_rule(dice, priority)
    text = json.dumps({"rules": [document(rule)]})

    assert read_policy(text, extended=True) == (rule,)
    try:
        assert read_policy(text) == (rule,)
    except InvalidParameter:
        assert is_extended(rule)
    else:
        assert not is_extended(rule)


@given(SEEDS.map(some_policy), st.sampled_from([None, 0, 3]), st.text(" \r\n\t", max_size=3))
def test_sorting_a_policy_changes_nothing_but_the_order(
    rules: list[Rule], indent: int | None, space: str
) -> None:
    text = space + json.dumps({"rules": list(map(document, rules))}, indent=indent) + space
    found = sorted_text(text)

    listed = json.loads(found)["rules"]
    assert listed == [document(rule) for rule in sorted(rules, key=lambda rule: rule.priority)]
    assert sorted(found) == sorted(text)
    assert (found == text) is (listed == json.loads(text)["rules"])
