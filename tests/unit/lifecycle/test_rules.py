"""What a lifecycle policy must be. Details and texts: Amazon ECR User Guide, lifecycle_policy_parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle.model import Action, CountType, Rule, TagSelection
from homeport.lifecycle.rules import read_policy

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


def read(*rules: Any) -> tuple[Rule, ...]:
    return read_policy(json.dumps({"rules": list(rules)}))


def detail(*rules: Any) -> str:
    """Why these rules are refused."""
    with pytest.raises(InvalidParameter) as refused:
        read(*rules)
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
        (rule(**DAYS | {"countType": "sinceImagePulled"}), NO_BRANCH),
        (rule(**DAYS | {"countType": "sinceImageTransitioned"}), NO_BRANCH),
        (rule(**DAYS | {"storageClass": "archive"}), NO_BRANCH),
        (rule(action=TRANSITION, **COLD), NO_BRANCH),
        (rule(**COLD | {"countNumber": 89}), too_low(89, 90)),
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
                 "storageClass", "tagPrefixList", "tagPatternList", "type", "targetStorageClass", "description", "x"]
            ),
            inner,
            max_size=6,
        ),
        max_leaves=30,
    )
)  # fmt: skip
def test_any_document_is_read_or_refused(document: Any) -> None:
    try:
        found = read_policy(json.dumps(document))
    except InvalidParameter:
        return
    assert found
