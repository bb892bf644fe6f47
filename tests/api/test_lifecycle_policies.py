"""Lifecycle policies: kept as they came, checked as ECR checks them, and nobody's but their owner's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.calls import new_name, refused, unknown_repository
from tests.harness.server import Credentials, Homeport


def selection(**changes: Any) -> dict[str, Any]:
    return {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14,
    } | changes


def rule(priority: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "rulePriority": priority,
        "description": "let go of what nobody has named for two weeks",
        "selection": selection(),
        "action": {"type": "expire"},
    } | changes


def text(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": list(rules)}, indent=1)


GOOD = text(rule())


# --- Policy ---


def test_a_policy_is_kept_exactly_as_it_came(ecr: Any, account: str, repository: str) -> None:
    odd = GOOD.replace("\n", "\r\n   ") + "\t "
    put = ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=odd)
    got = ecr.get_lifecycle_policy(repositoryName=repository)

    named = {"registryId": account, "repositoryName": repository, "lifecyclePolicyText": odd}
    for answer in (put, got):
        del answer["ResponseMetadata"]
        assert answer == named


def test_rules_come_back_in_the_order_of_their_priorities(ecr: Any, repository: str) -> None:
    anything = selection(tagStatus="any")
    mixed = text(rule(30, selection=anything), rule(5))

    put = ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=mixed)

    stored = ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"]
    assert put["lifecyclePolicyText"] == stored
    assert json.loads(stored) == {"rules": [rule(5), rule(30, selection=anything)]}


def test_a_second_policy_takes_the_place_of_the_first(ecr: Any, repository: str) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=GOOD)
    other = text(rule(7))
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=other)

    assert ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"] == other


def test_a_deleted_policy_is_answered_once_more_and_is_gone(ecr: Any, account: str, repository: str) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=GOOD)

    assert ecr.delete_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"] == GOOD

    missing = (
        "LifecyclePolicyNotFoundException",
        f"Lifecycle policy does not exist for the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )
    for call in (ecr.get_lifecycle_policy, ecr.delete_lifecycle_policy, ecr.start_lifecycle_policy_preview):
        assert refused(call, repositoryName=repository) == missing


def test_a_policy_goes_with_its_repository(ecr: Any) -> None:
    name = new_name()
    ecr.create_repository(repositoryName=name)
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=GOOD)
    ecr.start_lifecycle_policy_preview(repositoryName=name)
    ecr.delete_repository(repositoryName=name)
    ecr.create_repository(repositoryName=name)

    assert refused(ecr.get_lifecycle_policy, repositoryName=name)[0] == "LifecyclePolicyNotFoundException"
    code, _ = refused(ecr.get_lifecycle_policy_preview, repositoryName=name)
    assert code == "LifecyclePolicyPreviewNotFoundException"


@pytest.mark.parametrize(
    ("policy", "detail"),
    [
        ("{" + " " * 100, "Could not map policyString into LifecyclePolicy."),
        (json.dumps(["rule"] * 30), "Could not map policyString into LifecyclePolicy."),
        (json.dumps({"rule": "x" * 100}), 'object has missing required properties (["rules"])'),
        (
            text(rule(note="x")),
            'object instance has properties which are not allowed by the schema: (["note"])',
        ),
        (
            text(rule(action={"type": "keep"})),
            'instance value (keep) not found in enum :(possible values: ["expire","transition"])',
        ),
        (
            text(rule(selection=selection(countNumber=0))),
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
        ),
        (
            text(rule(selection=selection(countType="imageCountMoreThan"))),
            "instance failed to match exactly one schema (matched 0 out of 2)",
        ),
        (
            text(rule(selection=selection(tagStatus="tagged"))),
            "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
        ),
        (
            text(rule(1, selection=selection(tagStatus="any")), rule(2)),
            "Rule for tagStatus=ANY must have the lowest priority per storage class",
        ),
        (text(rule(1), rule(2)), "Only one rule can select Untagged images per storage class"),
    ],
)
def test_a_text_that_is_no_policy_is_refused_and_changes_nothing(
    ecr: Any, repository: str, policy: str, detail: str
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=GOOD)

    for call in (ecr.put_lifecycle_policy, ecr.start_lifecycle_policy_preview):
        assert refused(call, repositoryName=repository, lifecyclePolicyText=policy) == (
            "InvalidParameterException",
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
            f"'Lifecycle policy validation failure: {detail}'",
        )

    assert ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"] == GOOD


# --- Who may ---

CALLS = [
    ("put_lifecycle_policy", {"lifecyclePolicyText": GOOD}),
    ("get_lifecycle_policy", {}),
    ("delete_lifecycle_policy", {}),
    ("start_lifecycle_policy_preview", {"lifecyclePolicyText": GOOD}),
    ("get_lifecycle_policy_preview", {}),
]


@pytest.mark.parametrize(("name", "params"), CALLS, ids=[name for name, _ in CALLS])
def test_whoever_may_not_learns_nothing(
    homeport: Homeport, stranger: Credentials, repository: str, name: str, params: dict[str, str]
) -> None:
    call = getattr(homeport.client(credentials=stranger), name)

    for asked in (repository, new_name()):
        assert refused(call, repositoryName=asked, **params)[0] == "AccessDeniedException"


@pytest.mark.parametrize(("name", "params"), CALLS, ids=[name for name, _ in CALLS])
def test_a_repository_that_is_not_there_is_named(
    ecr: Any, account: str, name: str, params: dict[str, str]
) -> None:
    missing = new_name()

    assert refused(getattr(ecr, name), repositoryName=missing, **params) == unknown_repository(
        missing, account
    )
