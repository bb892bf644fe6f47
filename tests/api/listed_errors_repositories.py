"""Refusals of operations on repositories and their lifecycle policies: a scenario for each listed error."""

from __future__ import annotations

from tests.api.listed_errors_base import (
    LIFECYCLE,
    LISTED,
    TABLES,
    Refused,
    Side,
    behind_the_back,
    both,
    members,
    new_name,
    now,
    refuses,
)
from tests.api.listed_errors_reasons import CANNOT_OCCUR_YET

TAGS = [{"Key": f"key-{number}", "Value": "x"} for number in range(51)]
"""One more than a repository can have."""


# --- Repositories and registries that are not there ---


def _missing_repository(operation: str) -> None:
    """Enter the scenario of a repository that is not there: the working call of the operation, aimed elsewhere."""

    @refuses("RepositoryNotFound", operation)
    def scenario(side: Side) -> Refused:
        name = new_name()
        aimed: dict[str, dict[str, object]] = {
            "repositoryName": {"repositoryName": name},
            "repositoryNames": {"repositoryNames": [name]},
            "resourceArn": {"resourceArn": side.arn(name)},
        }
        (member,) = aimed.keys() & members(operation)
        asked = TABLES.success[operation].arrange(side).but(**aimed[member])
        text = (
            f"The repository with name '{name}' does not exist in the registry with id '{asked.side.account}'"
        )
        return Refused(asked, text)


for _operation, _error in LISTED:
    if _error == "RepositoryNotFoundException" and (_operation, _error) not in CANNOT_OCCUR_YET:
        _missing_repository(_operation)


def _missing_registry(operation: str) -> None:
    @refuses("RegistryNotFound", operation)
    def scenario(side: Side) -> Refused:
        asked = TABLES.success[operation].arrange(side).but(registryId="no-such-alias")
        return Refused(asked, "The registry with alias 'no-such-alias' does not exist")


for _operation, _error in LISTED:
    if _error == "RegistryNotFoundException":
        _missing_registry(_operation)


# --- Repositories ---


@refuses("RepositoryAlreadyExists", *both("CreateRepository"))
def _twice(side: Side) -> Refused:
    name = side.repository()
    text = f"The repository with name '{name}' already exists in the registry with id '{side.account}'"
    return side.is_refused(text, repositoryName=name)


@refuses("RepositoryNotEmpty", *both("DeleteRepository"))
def _not_empty(side: Side) -> Refused:
    name = side.repository()
    side.image(name)
    return side.is_refused(
        f"The repository with name '{name}' in registry with id '{side.account}' cannot be deleted because it "
        "still contains images",
        repositoryName=name,
    )


@refuses("LimitExceeded", *both("CreateRepository"), small=True)
def _full_registry(side: Side) -> Refused:
    owner = side.elsewhere()
    owner.repository()
    return owner.is_refused(
        f"The registry with id '{owner.account}' holds 1 repositories already, which is the quota of "
        "repositories",
        repositoryName=new_name(),
    )


@refuses("RepositoryPolicyNotFound", *both("GetRepositoryPolicy", "DeleteRepositoryPolicy"))
def _no_policy(side: Side) -> Refused:
    name = side.repository()
    text = f"Repository policy does not exist for {side.in_registry(name)}"
    return side.is_refused(text, repositoryName=name)


RESERVED = "Tag keys that start with 'aws:' are reserved"


@refuses("InvalidTagParameter", *both("CreateRepository"))
def _created_with_a_reserved_tag(side: Side) -> Refused:
    return side.is_refused(RESERVED, repositoryName=new_name(), tags=[{"Key": "aws:team", "Value": "x"}])


@refuses("InvalidTagParameter", *both("TagResource"))
def _reserved_tag(side: Side) -> Refused:
    arn = side.arn(side.repository())
    return side.is_refused(RESERVED, resourceArn=arn, tags=[{"Key": "aws:team", "Value": "x"}])


@refuses("InvalidTagParameter", *both("UntagResource"))
def _reserved_key(side: Side) -> Refused:
    return side.is_refused(RESERVED, resourceArn=side.arn(side.repository()), tagKeys=["aws:team"])


@refuses("TooManyTags", *both("CreateRepository"))
def _created_with_too_many_tags(side: Side) -> Refused:
    text = "A repository can have at most 50 tags"
    return side.is_refused(text, repositoryName=new_name(), tags=TAGS)


@refuses("TooManyTags", *both("TagResource"))
def _one_tag_too_many(side: Side) -> Refused:
    arn = side.arn(side.repository(tags=TAGS[:50]))
    return side.is_refused("A repository can have at most 50 tags", resourceArn=arn, tags=TAGS[50:])


# --- Lifecycle policies ---


@refuses(
    "LifecyclePolicyNotFound",
    "ecr:GetLifecyclePolicy",
    "ecr:DeleteLifecyclePolicy",
    "ecr:StartLifecyclePolicyPreview",
)
def _no_lifecycle(side: Side) -> Refused:
    name = side.repository()
    text = f"Lifecycle policy does not exist for {side.in_registry(name)}"
    return side.is_refused(text, repositoryName=name)


@refuses("LifecyclePolicyPreviewNotFound", "ecr:GetLifecyclePolicyPreview")
def _no_preview(side: Side) -> Refused:
    name = side.repository()
    text = f"There is no lifecycle policy preview for {side.in_registry(name)}"
    return side.is_refused(text, repositoryName=name)


@refuses("LifecyclePolicyPreviewInProgress", "ecr:StartLifecyclePolicyPreview")
def _preview_in_progress(side: Side) -> Refused:
    name = side.repository()
    with behind_the_back(side.server) as rows:  # one that was asked for may be over at once
        rows.execute(
            "INSERT INTO lifecycle_plan (repository_id, kind, policy, status, started_at, totals)"
            " SELECT id, 'preview', ?, 'planning', ?, '{}' FROM repository WHERE account_id = ? AND name = ?",
            (LIFECYCLE, now(), side.account, name),
        )
    return side.is_refused(
        f"A lifecycle policy preview is in progress for {side.in_registry(name)}",
        repositoryName=name,
        lifecyclePolicyText=LIFECYCLE,
    )
