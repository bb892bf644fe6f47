"""What a lifecycle policy must be. Details and texts: Amazon ECR User Guide, lifecycle_policy_parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle.model import Action, CountType, Rule, TagSelection
from homeport.lifecycle.policies import read_policy, sorted_text

NO_BRANCH = "instance failed to match exactly one schema (matched 0 out of 2)"
EXPIRE = {"type": "expire"}
TRANSITION = {"type": "transition", "targetStorageClass": "archive"}
DAYS: dict[str, Any] = {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7}
COUNT: dict[str, Any] = {"countType": "imageCountMoreThan", "countNumber": 20}
COLD: dict[str, Any] = DAYS | {
    "countType": "sinceImageTransitioned",
    "storageClass": "archive",
    "countNumber": 90,
}
NO_LIST = "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED."


def rule(priority: int = 1, action: Any = EXPIRE, tags: str = "any", **selection: Any) -> dict[str, Any]:
    return {
        "rulePriority": priority,
        "selection": {"tagStatus": tags, **(selection or DAYS)},
        "action": action,
    }


def read(*rules: Any, extended: bool = False) -> tuple[Rule, ...]:
    return read_policy(json.dumps({"rules": list(rules)}), extended=extended)


def detail(*rules: Any, extended: bool = False) -> str:
    """Why these rules are refused."""
    with pytest.raises(InvalidParameter) as refused:
        read(*rules, extended=extended)
    envelope = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: '"
    start = f"{envelope}Lifecycle policy validation failure: "
    assert refused.value.message.startswith(start)
    return refused.value.message.removeprefix(start).removesuffix("'")


def listed(*names: str) -> str:
    return json.dumps(names, separators=(",", ":"))


def missing(*names: str) -> str:
    return f"object has missing required properties ({listed(*names)})"


def foreign(*names: str) -> str:
    return f"object instance has properties which are not allowed by the schema: ({listed(*names)})"


def no_type(found: str, wanted: str) -> str:
    return f'instance type ({found}) does not match any allowed primitive type (allowed: ["{wanted}"])'


def too_low(found: int, least: int = 1) -> str:
    return f"numeric instance is lower than the required minimum (minimum: {least}, found: {found})"


def no_enum(found: str, *known: str) -> str:
    return f"instance value ({found}) not found in enum :(possible values: {listed(*known)})"


def test_a_policy_of_every_kind_of_rule_is_read_in_order_of_priority() -> None:
    found = read(
        rule(9, EXPIRE, storageClass="archive", countType="sinceImageTransitioned", countUnit="days", countNumber=365),
        rule(8, TRANSITION, countType="sinceImagePulled", countUnit="days", countNumber=90),
        rule(2, EXPIRE, "untagged", **DAYS),
        {**rule(1, EXPIRE, "tagged", tagPatternList=["v*"], **COUNT), "description": "keep 20 releases"},
        rule(3, TRANSITION, "tagged", tagPrefixList=["dev", "test"], storageClass="standard", **COUNT),
    )  # fmt: skip

    assert [each.priority for each in found] == [1, 2, 3, 8, 9]
    assert found[0] == Rule(
        priority=1,
        description="keep 20 releases",
        tags=TagSelection.TAGGED,
        prefixes=(),
        patterns=("v*",),
        regex=None,
        excepted=(),
        storage_class="standard",
        count=CountType.IMAGES,
        number=20,
        action=Action.EXPIRE,
    )
    assert (found[2].prefixes, found[2].action) == (("dev", "test"), Action.TRANSITION)
    assert (found[4].storage_class, found[4].number) == ("archive", 365)


def test_fifty_rules_are_the_most() -> None:
    def tagged(number: int) -> dict[str, Any]:
        return rule(number, EXPIRE, "tagged", tagPrefixList=[f"p{number}"], **COUNT)

    assert len(read(*map(tagged, range(1, 51)))) == 50
    assert detail(*map(tagged, range(1, 52))).startswith("array is too long: must have at most 50")
    assert detail().startswith("array is too short")


def test_a_registry_may_take_fewer_rules_or_more() -> None:
    def text(count: int) -> str:
        rules = [
            rule(each, EXPIRE, "tagged", tagPrefixList=[f"p{each}"], **COUNT) for each in range(1, count + 1)
        ]
        return json.dumps({"rules": rules})

    assert len(read_policy(text(60), most_rules=60)) == 60
    with pytest.raises(InvalidParameter, match="must have at most 2 elements but instance has 3 elements"):
        read_policy(text(3), most_rules=2)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"text"', '{"rules": [], "rules": []}', '{"rules": NaN}', "[" * 100_000]
)
def test_what_is_no_json_object_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"Could not map policyString into LifecyclePolicy\."):
        read_policy(text)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, missing("action", "rulePriority", "selection")),
        (rule(action={}), missing("type")),
        (rule() | {"selection": {}}, missing("countNumber", "countType", "tagStatus")),
        (rule() | {"b": 1, "a": 2}, foreign("a", "b")),
        (rule(x=1, **DAYS), foreign("x")),
        (rule(action={"type": "expire", "x": 1}), foreign("x")),
        ("rule", no_type("string", "object")),
        (rule(priority=True), no_type("boolean", "integer")),
        (rule() | {"description": None}, no_type("null", "string")),
        (rule(priority=0), too_low(0)),
        (rule(**DAYS | {"countNumber": -3}), too_low(-3)),
        (rule(tags="TAGGED"), no_enum("TAGGED", "tagged", "untagged", "any")),
        (rule(**DAYS | {"countUnit": "hours"}), no_enum("hours", "days")),
        (rule(action={"type": "transition"}), missing("targetStorageClass")),
        (rule(action=TRANSITION | {"targetStorageClass": "standard"}), no_enum("standard", "archive")),
        (rule(**COUNT | {"countType": "sinceForever"}), NO_BRANCH),
        (rule(**COUNT | {"countUnit": "days"}), NO_BRANCH),
        (rule(countType="sinceImagePushed", countNumber=1), NO_BRANCH),
        (rule(action=EXPIRE | {"targetStorageClass": None}), NO_BRANCH),
        (rule(action=EXPIRE | {"targetStorageClass": "archive"}), NO_BRANCH),
        (rule(action=TRANSITION | {"targetStorageClass": None}), NO_BRANCH),
        (rule(**COUNT | {"countUnit": None}), NO_BRANCH),
        (rule(**DAYS | {"countUnit": None}), NO_BRANCH),
        (rule(**DAYS | {"countType": None}), NO_BRANCH),
        (rule(**DAYS | {"storageClass": None}), NO_BRANCH),
        (rule(tags="untagged", **DAYS | {"tagPrefixList": None}), no_type("null", "array")),
        (
            rule(tags="tagged", **DAYS | {"tagPatternList": None, "tagPrefixList": None}),
            "\n".join([no_type("null", "array")] * 2),
        ),
        (rule(tags="tagged", **DAYS | {"tagPrefixList": [None]}), no_type("null", "string")),
        (rule(**DAYS | {"countType": "sinceImagePulled"}), NO_BRANCH),
        (rule(**DAYS | {"countType": "sinceImageTransitioned"}), NO_BRANCH),
        (rule(**DAYS | {"storageClass": "archive"}), NO_BRANCH),
        (rule(action=TRANSITION, **COLD), NO_BRANCH),
        (rule(**COLD | {"countNumber": 89}), too_low(89, 90)),
        (rule(**COLD | {"storageClass": "standard"}), NO_BRANCH),
        (rule(**COLD | {"storageClass": "glacier"}), no_enum("glacier", "archive", "standard")),
        (rule(**DAYS | {"countNumber": 1.0}), no_type("number", "integer")),
        (
            rule(**DAYS | {"countNumber": 2**31}),
            f"numeric instance is greater than the required maximum (maximum: {2**31 - 1}, found: {2**31})",
        ),
        (rule(action={"type": None}), no_type("null", "string")),
        (rule() | {"selection": None}, no_type("null", "object")),
        (rule(action={"type": "retain"}), no_enum("retain", "expire", "transition")),
        (rule(action={"type": "untag"}), no_enum("untag", "expire", "transition")),
        (rule(**DAYS | {"countType": "sinceTagged"}), NO_BRANCH),
        (rule(**DAYS | {"tagRegex": "v.*"}), foreign("tagRegex")),
        (rule(**DAYS | {"exceptTagPatternList": ["v*"]}), foreign("exceptTagPatternList")),
        (rule(tags="tagged"), NO_LIST),
        (rule(tags="tagged", tagPrefixList=[], **DAYS), NO_LIST),
        (
            rule(tags="tagged", tagPrefixList=["a"], tagPatternList=["b"], **DAYS),
            "Only one of tagPrefixList and tagPatternList can be specified.",
        ),
        (
            rule(tags="untagged", tagPrefixList=["a"], **DAYS),
            "tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED.",
        ),
        (
            rule(tags="tagged", tagPatternList=["*a*b*c*d*"], **DAYS),
            "A tag pattern can contain at most 4 wildcards (*)",
        ),
        (
            rule(tags="tagged", tagPatternList=[""], **DAYS),
            'string "" is too short (length: 0, required minimum: 1)',
        ),
    ],
)
def test_a_rule_that_breaks_the_schema_is_refused_with_the_reason(wrong: Any, why: str) -> None:
    assert detail(wrong) == why


def test_rules_that_are_no_list_are_no_rules() -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_policy('{"rules": {}}')
    assert missing("rules") in refused.value.message


RETAIN = {"type": "retain"}
UNTAG = {"type": "untag"}


@pytest.mark.parametrize(
    "good",
    [
        rule(action=EXPIRE, **DAYS | {"countType": "sinceImagePulled"}),
        rule(action=TRANSITION, **DAYS | {"countType": "sinceTagged"}),
        rule(action=UNTAG, tags="tagged", tagPrefixList=["pr-"], **DAYS | {"countType": "sinceTagged"}),
        rule(action=EXPIRE, tags="tagged", tagRegex=r"v\d+(\.\d+){2}", **COUNT),
        rule(action=EXPIRE, tags="tagged", tagPatternList=["*"], exceptTagPatternList=["v*"], **COUNT),
        rule(action=EXPIRE, exceptTagPatternList=["v*", "latest"], **DAYS),
        rule(action=RETAIN, **COUNT),
        rule(action=RETAIN, **COLD),
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "storageClass": "archive"},
            "action": RETAIN,
        },
        {"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagRegex": "."}, "action": RETAIN},
    ],
)
def test_an_extension_is_read_where_it_is_switched_on_and_nowhere_else(good: Any) -> None:
    assert len(read(good, extended=True)) == 1
    with pytest.raises(InvalidParameter):
        read(good)


def test_the_members_of_extensions_come_through() -> None:
    found = read(
        {"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagRegex": "v[0-9]+"}, "action": RETAIN},
        rule(2, UNTAG, "tagged", tagPatternList=["pr-*"], exceptTagPatternList=["*-keep"], **DAYS),
        extended=True,
    )

    assert (found[0].action, found[0].regex, found[0].count, found[0].number) == (
        Action.RETAIN,
        "v[0-9]+",
        None,
        0,
    )
    assert (found[1].action, found[1].excepted, found[1].number) == (Action.UNTAG, ("*-keep",), 7)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (rule(action={"type": "keep"}), no_enum("keep", "expire", "transition", "untag", "retain")),
        (rule(action=RETAIN | {"targetStorageClass": "archive"}), NO_BRANCH),
        (rule(action=UNTAG), "Action type untag can only be specified when tagStatus=TAGGED."),
        (rule(action=UNTAG, tags="tagged", tagPrefixList=["a"], **COLD), NO_BRANCH),
        (rule(action=RETAIN, **COLD | {"countNumber": 10}), too_low(10, 90)),
        (rule() | {"action": RETAIN, "selection": {"tagStatus": "any", "countNumber": 1}}, NO_BRANCH),
        (rule() | {"action": RETAIN, "selection": {"tagStatus": "any", "countUnit": "days"}}, NO_BRANCH),
        (
            rule() | {"action": RETAIN, "selection": {"tagStatus": "any", "countType": "sinceTagged"}},
            NO_BRANCH,
        ),
        (rule() | {"selection": {"tagStatus": "any"}}, missing("countNumber", "countType")),
        (
            rule(tags="tagged"),
            "Must specify tagPrefixList, tagPatternList or tagRegex when tagStatus=TAGGED.",
        ),
        (
            rule(tags="tagged", tagPrefixList=["a"], tagRegex="b", **DAYS),
            "Only one of tagPrefixList and tagRegex can be specified.",
        ),
        (rule(tagRegex="b", **DAYS), "tagRegex can only be specified when tagStatus=TAGGED."),
        (rule(tags="tagged", tagRegex=None, **DAYS), NO_BRANCH),
        (rule(tags="tagged", tagRegex=7, **DAYS), no_type("integer", "string")),
        (
            rule(tags="tagged", tagRegex="", **DAYS),
            'string "" is too short (length: 0, required minimum: 1)',
        ),
        (
            rule(tags="tagged", tagRegex="a" * 257, **DAYS),
            f'string "{"a" * 257}" is too long (length: 257, maximum allowed: 256)',
        ),
        (rule(tags="tagged", tagRegex="(", **DAYS), "tagRegex must be an RE2 expression: missing ): ("),
        (
            rule(tags="tagged", tagRegex="(a)\\1", **DAYS),
            r"tagRegex must be an RE2 expression: invalid escape sequence: \1",
        ),
        (
            rule(tags="tagged", tagRegex="(?=a)b", **DAYS),
            "tagRegex must be an RE2 expression: invalid perl operator: (?=",
        ),
        (
            rule(tags="tagged", tagRegex="(x?){999}", **DAYS),
            "tagRegex must be an RE2 expression: its repetitions make it too large",
        ),
        (
            rule(tags="tagged", tagRegex="caf\u00e9|\ud800", **DAYS),
            "tagRegex must be an RE2 expression: tags are ASCII, and so must an expression for them be",
        ),
        (
            rule(tags="untagged", exceptTagPatternList=["a"], **DAYS),
            "exceptTagPatternList can only be specified when tagStatus=TAGGED or tagStatus=ANY.",
        ),
        (
            rule(exceptTagPatternList=[], **DAYS),
            "array is too short: must have at least 1 elements but instance has 0 elements",
        ),
        (rule(exceptTagPatternList=None, **DAYS), no_type("null", "array")),
        (rule(exceptTagPatternList=["*" * 5], **DAYS), "A tag pattern can contain at most 4 wildcards (*)"),
    ],
)
def test_an_extension_that_is_used_wrongly_is_refused_with_the_reason(wrong: Any, why: str) -> None:
    assert detail(wrong, extended=True) == why


def test_rules_that_leave_something_for_later_ones_may_come_first() -> None:
    prefix: dict[str, Any] = {"tags": "tagged", "tagPrefixList": ["v"]}
    retain = rule(1, RETAIN, **prefix, **COUNT)
    spared = {**prefix, "exceptTagPatternList": ["v1*"]}

    assert len(read(retain, rule(2, **prefix, **DAYS), extended=True)) == 2
    assert len(read(rule(1, RETAIN, **COUNT), rule(2, tags="untagged"), rule(3), extended=True)) == 3
    assert (
        len(read(rule(1, exceptTagPatternList=["v*"], **DAYS), rule(2, **prefix, **DAYS), extended=True)) == 2
    )
    assert len(read(rule(1, **spared, **DAYS), rule(2, **prefix, **DAYS), extended=True)) == 2
    again = detail(rule(1, **spared, **DAYS), rule(2, UNTAG, **spared, **COUNT), extended=True)
    assert "must be unique across the rules" in again
    expressions = [rule(each, tags="tagged", tagRegex="a|b", **DAYS) for each in (1, 2)]
    assert "must be unique across the rules" in detail(*expressions, extended=True)


def test_a_policy_is_answered_with_its_rules_in_order_and_otherwise_as_it_came() -> None:
    first, second, third = (
        json.dumps(rule(each, EXPIRE, "tagged", tagPrefixList=[f"]}},{{[{each}\u00e9"], **COUNT), indent=each)
        for each in (1, 2, 3)
    )
    text = f'\r\n{{ "rules" :\t[ {third} ,\n{first},{second}\n] }} '

    assert sorted_text(text) == f'\r\n{{ "rules" :\t[ {first} ,\n{second},{third}\n] }} '
    assert sorted_text(sorted_text(text)) == sorted_text(text)
    ordered = json.dumps({"rules": [rule(2, tags="untagged"), rule(5)]})
    assert sorted_text(ordered) is ordered


def test_rules_are_checked_against_each_other_within_a_storage_class() -> None:
    tagged = rule(5, EXPIRE, "tagged", tagPrefixList=["a", "b"], **COUNT)
    archive = {
        "storageClass": "archive",
        "countType": "sinceImageTransitioned",
        "countUnit": "days",
        "countNumber": 90,
    }

    assert "rulePriority 5 is used" in detail(tagged, rule(5))
    assert "ANY must have the lowest priority" in detail(tagged, rule(4))
    assert "ANY must have the lowest priority" in detail(rule(4), rule(6))
    assert "Only one rule can select Untagged" in detail(rule(1, tags="untagged"), rule(2, tags="untagged"))
    again = rule(6, TRANSITION, "tagged", tagPrefixList=["b", "a"], **DAYS)
    assert "must be unique across the rules" in detail(tagged, again)
    cold = rule(1, EXPIRE, "any", **archive)
    same = rule(2, EXPIRE, "tagged", tagPrefixList=["a", "b"], **archive)
    assert len(read(tagged, rule(7), cold)) == 3
    assert len(read(tagged, same)) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*TagSelection, *CountType]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rules", "rulePriority", "selection", "action", "tagStatus", "countType", "countNumber", "countUnit",
                 "storageClass", "tagPrefixList", "tagPatternList", "tagRegex",
                 "exceptTagPatternList", "type", "targetStorageClass", "description", "x"]
            ),
            inner,
            max_size=6,
        ),
        max_leaves=30,
    )
)  # fmt: skip
def test_any_document_is_read_or_refused(document: Any) -> None:
    for extended in (False, True):
        try:
            found = read_policy(json.dumps(document), extended=extended)
        except InvalidParameter:
            continue
        assert found
