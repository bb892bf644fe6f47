"""Repository creation templates through the API: what is kept, what is refused, and who may write them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.harness.server import Credentials, Homeport

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "pull", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "ecr:BatchGetImage"}
        ],
    }
)
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
                "action": {"type": "expire"},
            }
        ]
    }
)
FILTERS = [{"filterType": "WILDCARD", "filter": "dev-*"}]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"team-{uuid.uuid4().hex[:12]}"


def described(ecr: Any, prefix: str) -> list[dict[str, Any]]:
    answer = ecr.describe_repository_creation_templates(prefixes=[prefix])
    templates: list[dict[str, Any]] = answer["repositoryCreationTemplates"]
    return templates


def test_a_template_is_kept_exactly_as_it_was_made(ecr: Any, account: str, prefix: str) -> None:
    asked = {
        "prefix": prefix,
        "description": "Images of the team",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "resourceTags": [{"Key": "team", "Value": "cart"}],
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": FILTERS,
        "repositoryPolicy": POLICY,
        "lifecyclePolicy": LIFECYCLE,
        "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"],
        "customRoleArn": f"arn:aws:iam::{account}:role/templates",
    }

    answer = ecr.create_repository_creation_template(**asked)

    made = answer["repositoryCreationTemplate"]
    assert answer["registryId"] == account
    assert {key: value for key, value in made.items() if key not in ("createdAt", "updatedAt")} == asked
    assert made["createdAt"] == made["updatedAt"]
    assert described(ecr, prefix) == [made]


def test_a_template_that_says_little_gives_the_defaults(ecr: Any, prefix: str) -> None:
    made = ecr.create_repository_creation_template(prefix=prefix, appliedFor=["PULL_THROUGH_CACHE"])[
        "repositoryCreationTemplate"
    ]

    assert made["imageTagMutability"] == "MUTABLE"
    assert made["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert not {"repositoryPolicy", "lifecyclePolicy", "resourceTags", "customRoleArn"} & made.keys()


def test_an_update_leaves_what_it_does_not_name(ecr: Any, prefix: str) -> None:
    made = ecr.create_repository_creation_template(
        prefix=prefix, appliedFor=["CREATE_ON_PUSH"], description="old", lifecyclePolicy=LIFECYCLE
    )["repositoryCreationTemplate"]

    changed = ecr.update_repository_creation_template(prefix=prefix, description="new")[
        "repositoryCreationTemplate"
    ]

    assert changed["description"] == "new"
    assert changed["updatedAt"] > made["updatedAt"]
    different = {key for key in made | changed if made.get(key) != changed.get(key)}
    assert different == {"description", "updatedAt"}
    assert described(ecr, prefix) == [changed]


def test_an_update_with_an_empty_text_removes(ecr: Any, prefix: str) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix, appliedFor=["CREATE_ON_PUSH"], repositoryPolicy=POLICY, lifecyclePolicy=LIFECYCLE
    )

    changed = ecr.update_repository_creation_template(prefix=prefix, repositoryPolicy="", lifecyclePolicy="")

    assert not {"repositoryPolicy", "lifecyclePolicy"} & changed["repositoryCreationTemplate"].keys()


def test_exclusion_filters_go_with_the_mutability_that_they_belong_to(ecr: Any, prefix: str) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix,
        appliedFor=["CREATE_ON_PUSH"],
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=FILTERS,
    )

    turned = ecr.update_repository_creation_template(
        prefix=prefix, imageTagMutability="IMMUTABLE_WITH_EXCLUSION"
    )["repositoryCreationTemplate"]
    plain = ecr.update_repository_creation_template(prefix=prefix, imageTagMutability="IMMUTABLE")[
        "repositoryCreationTemplate"
    ]

    assert turned["imageTagMutabilityExclusionFilters"] == FILTERS
    assert "imageTagMutabilityExclusionFilters" not in plain


def test_a_deleted_template_is_answered_and_gone(ecr: Any, prefix: str) -> None:
    made = ecr.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])

    gone = ecr.delete_repository_creation_template(prefix=prefix)

    assert gone["repositoryCreationTemplate"] == made["repositoryCreationTemplate"]
    assert described(ecr, prefix) == []


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_has_one_template_with_and_without_the_slash_at_its_end(
    ecr: Any, account: str, prefix: str, end: str
) -> None:
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])

    refusal = refused(
        ecr.create_repository_creation_template, prefix=prefix + end, appliedFor=["REPLICATION"]
    )

    assert refusal == (
        "TemplateAlreadyExistsException",
        f"The repository creation template with prefix '{prefix}{end}' already exists in the registry with id "
        f"'{account}'",
    )


def test_what_does_not_exist_cannot_be_changed_or_deleted(ecr: Any, account: str, prefix: str) -> None:
    expected = (
        "TemplateNotFoundException",
        f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
        f"'{account}'",
    )

    assert refused(ecr.update_repository_creation_template, prefix=prefix, description="x") == expected
    assert refused(ecr.delete_repository_creation_template, prefix=prefix) == expected


@pytest.mark.parametrize(
    ("wrong", "code", "about"),
    [
        ({"repositoryPolicy": "{}"}, "InvalidParameterException", "Invalid repository policy provided"),
        ({"lifecyclePolicy": "{}"}, "InvalidParameterException", "Lifecycle policy validation failure"),
        ({"imageTagMutabilityExclusionFilters": FILTERS}, "InvalidParameterException", "must be null when"),
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}, "InvalidParameterException", "can't be null"),
        (
            {"encryptionConfiguration": {"encryptionType": "KMS"}},
            "InvalidParameterException",
            "Only encryptionType AES256",
        ),
        (
            {"customRoleArn": "arn:aws:iam::999999999999:role/other"},
            "AccessDeniedException",
            "iam:PassRole",
        ),
        ({"customRoleArn": "a role"}, "InvalidParameterException", "customRoleArn"),
        ({"appliedFor": []}, "InvalidParameterException", "appliedFor"),
        ({"appliedFor": ["PUSH"]}, "InvalidParameterException", "enum value set"),
        ({"resourceTags": [{"Key": "aws:a", "Value": "b"}]}, "InvalidParameterException", "reserved"),
        (
            {"resourceTags": [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}]},
            "InvalidParameterException",
            "twice",
        ),
        (
            {"resourceTags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]},
            "InvalidParameterException",
            "50",
        ),
        ({"prefix": "Not/Legal"}, "InvalidParameterException", "prefix"),
    ],
)
def test_what_no_repository_could_have_is_refused(
    ecr: Any, prefix: str, wrong: dict[str, Any], code: str, about: str
) -> None:
    asked = {"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"], **wrong}

    refusal = refused(ecr.create_repository_creation_template, **asked)

    assert refusal[0] == code
    assert about in refusal[1]
    assert described(ecr, prefix) == []


def test_templates_are_listed_by_pages_in_order_of_prefix(homeport: Homeport) -> None:
    ecr: Any = homeport.client(credentials=homeport.account())
    for prefix in ("b", "ROOT", "c/d", "a"):
        ecr.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])

    pages = ecr.get_paginator("describe_repository_creation_templates").paginate(
        PaginationConfig={"PageSize": 3}
    )
    listed = [[each["prefix"] for each in page["repositoryCreationTemplates"]] for page in pages]
    named = ecr.describe_repository_creation_templates(prefixes=["c/d", "missing", "a"])

    assert listed == [["ROOT", "a", "b"], ["c/d"]]
    assert [each["prefix"] for each in named["repositoryCreationTemplates"]] == ["a", "c/d"]


def test_a_template_belongs_to_one_registry(
    ecr: Any, homeport: Homeport, neighbour: Any, prefix: str
) -> None:
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])
    theirs: Any = homeport.client(credentials=neighbour)

    assert described(theirs, prefix) == []
    assert (
        refused(theirs.delete_repository_creation_template, prefix=prefix)[0] == "TemplateNotFoundException"
    )


def test_nobody_uses_templates_without_permission(
    ecr: Any, homeport: Homeport, stranger: Credentials, prefix: str
) -> None:
    theirs: Any = homeport.client(credentials=stranger)
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])

    for refusal in (
        refused(theirs.create_repository_creation_template, prefix=prefix, appliedFor=["REPLICATION"]),
        refused(theirs.update_repository_creation_template, prefix=prefix, description="x"),
        refused(theirs.delete_repository_creation_template, prefix=prefix),
        refused(theirs.describe_repository_creation_templates),
    ):
        assert refusal[0] == "AccessDeniedException"


def test_writing_a_template_needs_what_its_repositories_will_be_given(
    homeport: Homeport, account: str
) -> None:
    name = f"writer-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:ecr:*:*:repository/{name}/*"
    rights = policy("ecr:*RepositoryCreationTemplate*")
    rights["Statement"] += policy("ecr:CreateRepository", resource=arn)["Statement"]
    theirs: Any = homeport.client(credentials=homeport.user(name, rights))
    common = {"appliedFor": ["CREATE_ON_PUSH"]}
    make = theirs.create_repository_creation_template

    missing = [
        refused(make, prefix=f"{name}-other", **common)[1],
        refused(make, prefix=name, repositoryPolicy=POLICY, **common)[1],
        refused(make, prefix=name, lifecyclePolicy=LIFECYCLE, **common)[1],
        refused(make, prefix=name, customRoleArn=f"arn:aws:iam::{account}:role/x", **common)[1],
    ]
    make(prefix=name, **common)

    for action, message in zip(
        ("ecr:CreateRepository", "ecr:SetRepositoryPolicy", "ecr:PutLifecyclePolicy", "iam:PassRole"),
        missing,
        strict=True,
    ):
        assert f"not authorized to perform: {action} on resource" in message


def test_a_role_is_passed_only_to_the_service_that_a_policy_names(homeport: Homeport, account: str) -> None:
    name = f"passer-{uuid.uuid4().hex[:8]}"
    rights = policy("ecr:*")
    passing = policy("iam:PassRole", resource=f"arn:aws:iam::{account}:role/{name}")["Statement"][0]
    passing["Condition"] = {"StringEquals": {"iam:PassedToService": "ecr.amazonaws.com"}}
    rights["Statement"].append(passing)
    theirs: Any = homeport.client(credentials=homeport.user(name, rights))

    made = theirs.create_repository_creation_template(
        prefix=name, appliedFor=["REPLICATION"], customRoleArn=f"arn:aws:iam::{account}:role/{name}"
    )["repositoryCreationTemplate"]

    assert made["customRoleArn"].endswith(name)
