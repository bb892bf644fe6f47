"""Inherited lifecycle policies through the API: which one acts on a repository, and what ECR's clients see of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.calls import new_name, refused, unknown_repository
from tests.api.homeport_calls import bare, own_client, pages_of, policy_text
from tests.harness.server import Credentials, Homeport


@pytest.fixture
def own_ops(homeport: Homeport, owner: Credentials) -> Any:
    """The client of `owner` for the extensions."""
    return own_client(homeport, owner)


def effective(client: Any, name: str) -> tuple[str, str, str | None]:
    answer = client.get_effective_lifecycle_policy(repositoryName=name)
    return answer["lifecyclePolicyText"], answer["source"], answer.get("prefix")


def test_the_closest_policy_acts_on_a_repository(own: Any, own_ops: Any, owner: Credentials) -> None:
    for name in ("team/app/web", "team/app", "elsewhere"):
        own.create_repository(repositoryName=name)
    for count, prefix in enumerate(("ROOT", "team", "team/app"), 1):
        put = own_ops.put_default_lifecycle_policy(prefix=prefix, lifecyclePolicyText=policy_text(count))
        assert put["registryId"] == owner.account_id
        assert put["defaultLifecyclePolicy"]["prefix"] == prefix

    assert effective(own_ops, "team/app/web") == (policy_text(3), "DEFAULT", "team/app")
    assert effective(own_ops, "team/app") == (policy_text(2), "DEFAULT", "team")
    assert effective(own_ops, "elsewhere") == (policy_text(1), "DEFAULT", "ROOT")

    own.put_lifecycle_policy(repositoryName="team/app", lifecyclePolicyText=policy_text(9))
    assert effective(own_ops, "team/app") == (policy_text(9), "REPOSITORY", None)


def test_ecrs_own_operations_show_no_inherited_policy(own: Any, own_ops: Any) -> None:
    own.create_repository(repositoryName="team/app")
    own_ops.put_default_lifecycle_policy(prefix="team", lifecyclePolicyText=policy_text())

    for call in (own.get_lifecycle_policy, own.delete_lifecycle_policy):
        assert refused(call, repositoryName="team/app")[0] == "LifecyclePolicyNotFoundException"
    assert effective(own_ops, "team/app")[1] == "DEFAULT"


def test_a_new_policy_takes_the_place_of_the_old_one_and_a_slash_makes_no_difference(own_ops: Any) -> None:
    own_ops.put_default_lifecycle_policy(prefix="team/", lifecyclePolicyText=policy_text(1))
    stored = own_ops.put_default_lifecycle_policy(prefix="team", lifecyclePolicyText=policy_text(2))

    assert own_ops.list_default_lifecycle_policies()["defaultLifecyclePolicies"] == [
        stored["defaultLifecyclePolicy"]
    ]
    gone = own_ops.delete_default_lifecycle_policy(prefix="team/")
    assert gone["defaultLifecyclePolicy"] == stored["defaultLifecyclePolicy"]
    assert own_ops.list_default_lifecycle_policies()["defaultLifecyclePolicies"] == []


def test_inherited_policies_are_listed_by_pages_in_order_of_prefix(own_ops: Any) -> None:
    for prefix in ("b", "ROOT", "a/c"):
        own_ops.put_default_lifecycle_policy(prefix=prefix, lifecyclePolicyText=policy_text())

    pages = pages_of(own_ops, "list_default_lifecycle_policies", "defaultLifecyclePolicies")

    assert [[each["prefix"] for each in page] for page in pages] == [["ROOT", "a/c"], ["b"]]


def test_inherited_policies_belong_to_one_registry(homeport: Homeport, own_ops: Any) -> None:
    own_ops.put_default_lifecycle_policy(prefix="ROOT", lifecyclePolicyText=policy_text())
    other = homeport.account()
    homeport.client(credentials=other).create_repository(repositoryName="team/app")
    theirs = own_client(homeport, other)

    assert bare(theirs.list_default_lifecycle_policies()) == {
        "registryId": other.account_id,
        "defaultLifecyclePolicies": [],
    }
    assert refused(theirs.get_effective_lifecycle_policy, repositoryName="team/app")[0] == (
        "LifecyclePolicyNotFoundException"
    )


def test_what_is_not_there_is_not_found(own: Any, own_ops: Any, owner: Credentials) -> None:
    own.create_repository(repositoryName="team/app")
    absent = new_name()

    assert refused(own_ops.delete_default_lifecycle_policy, prefix="team") == (
        "DefaultLifecyclePolicyNotFoundException",
        "There is no default lifecycle policy for the prefix 'team' "
        f"in the registry with id '{owner.account_id}'",
    )
    assert refused(own_ops.get_effective_lifecycle_policy, repositoryName="team/app") == (
        "LifecyclePolicyNotFoundException",
        "Lifecycle policy does not exist for the repository with name 'team/app' "
        f"in the registry with id '{owner.account_id}'",
    )
    assert refused(own_ops.get_effective_lifecycle_policy, repositoryName=absent) == unknown_repository(
        absent, owner.account_id
    )


def test_an_inherited_policy_is_checked_as_ecr_checks_one(own_ops: Any) -> None:
    wrong = policy_text(countUnit="days")

    code, message = refused(own_ops.put_default_lifecycle_policy, prefix="ROOT", lifecyclePolicyText=wrong)

    assert code == "InvalidParameterException"
    assert message.startswith(
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
        "'Lifecycle policy validation failure: "
    )
    assert own_ops.list_default_lifecycle_policies()["defaultLifecyclePolicies"] == []


@pytest.mark.parametrize("prefix", ["Team", "team//app", "/team", "a b", "root!"])
def test_what_is_no_prefix_is_refused(own_ops: Any, prefix: str) -> None:
    code, message = refused(
        own_ops.put_default_lifecycle_policy, prefix=prefix, lifecyclePolicyText=policy_text()
    )

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'prefix' failed to satisfy constraint: ")


EXTENDED = {
    "retain": {
        "rulePriority": 1,
        "selection": {"tagStatus": "tagged", "tagPatternList": ["release-*"]},
        "action": {"type": "retain"},
    },
    "untag": {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "tagged",
            "tagPatternList": ["pr-*"],
            "countType": "sinceTagged",
            "countUnit": "days",
            "countNumber": 14,
        },
        "action": {"type": "untag"},
    },
    "expire what nobody pulls": {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "any",
            "countType": "sinceImagePulled",
            "countUnit": "days",
            "countNumber": 90,
        },
        "action": {"type": "expire"},
    },
    "regular expression": {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "tagged",
            "tagRegex": "v[0-9]+",
            "countType": "imageCountMoreThan",
            "countNumber": 3,
        },
        "action": {"type": "expire"},
    },
    "exceptions": {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "any",
            "exceptTagPatternList": ["keep-*"],
            "countType": "imageCountMoreThan",
            "countNumber": 3,
        },
        "action": {"type": "expire"},
    },
}


@pytest.mark.parametrize("name", EXTENDED)
def test_what_ecr_does_not_know_is_taken_only_where_it_is_switched_on(
    own: Any, own_ops: Any, name: str
) -> None:
    own.create_repository(repositoryName="team/app")
    text = json.dumps({"rules": [EXTENDED[name]]})
    puts = (
        (own.put_lifecycle_policy, {"repositoryName": "team/app", "lifecyclePolicyText": text}),
        (own.start_lifecycle_policy_preview, {"repositoryName": "team/app", "lifecyclePolicyText": text}),
        (own_ops.put_default_lifecycle_policy, {"prefix": "team", "lifecyclePolicyText": text}),
        (
            own.create_repository_creation_template,
            {"prefix": "team", "appliedFor": ["CREATE_ON_PUSH"], "lifecyclePolicy": text},
        ),
    )

    for call, asked in puts:
        assert refused(call, **asked)[0] == "InvalidParameterException"
    own.put_account_setting(name="LIFECYCLE_EXTENSIONS", value="ENABLED")
    for call, asked in puts:
        call(**asked)

    own.put_account_setting(name="LIFECYCLE_EXTENSIONS", value="DISABLED")
    assert effective(own_ops, "team/app") == (text, "REPOSITORY", None), "what was stored goes on"
    assert refused(puts[0][0], **puts[0][1])[0] == "InvalidParameterException"


def test_the_rules_come_back_in_order_of_priority(own_ops: Any) -> None:
    rules = [
        {
            "rulePriority": priority,
            "selection": {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
        for priority, status in ((9, "any"), (2, "untagged"))
    ]

    stored = own_ops.put_default_lifecycle_policy(
        prefix="ROOT", lifecyclePolicyText=json.dumps({"rules": rules})
    )

    text = stored["defaultLifecyclePolicy"]["lifecyclePolicyText"]
    assert [rule["rulePriority"] for rule in json.loads(text)["rules"]] == [2, 9]


def test_a_template_gives_its_rules_in_order_of_priority(homeport: Homeport, own: Any) -> None:
    rules = [
        {
            "rulePriority": priority,
            "selection": {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
        for priority, status in ((9, "any"), (2, "untagged"))
    ]
    own.create_repository_creation_template(
        prefix="team", appliedFor=["CREATE_ON_PUSH"], lifecyclePolicy=json.dumps({"rules": rules})
    )

    own.initiate_layer_upload(repositoryName="team/new")

    text = own.get_lifecycle_policy(repositoryName="team/new")["lifecyclePolicyText"]
    assert [rule["rulePriority"] for rule in json.loads(text)["rules"]] == [2, 9]


def test_nobody_changes_what_others_inherit_without_permission(
    homeport: Homeport, stranger: Credentials
) -> None:
    theirs = own_client(homeport, stranger)
    text = policy_text()

    for call, asked in (
        (theirs.put_default_lifecycle_policy, {"prefix": "ROOT", "lifecyclePolicyText": text}),
        (theirs.delete_default_lifecycle_policy, {"prefix": "ROOT"}),
        (theirs.list_default_lifecycle_policies, {}),
    ):
        assert refused(call, **asked)[0] == "AccessDeniedException"
