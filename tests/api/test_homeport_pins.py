"""PinImageTag, UnpinImageTag and ListPinnedImageTags: answers, errors, pages, and who may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.calls import document, new_name, policy, put, refused, unknown_repository
from tests.api.homeport_calls import bare, own_client, pages_of
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport


@pytest.fixture(scope="session")
def own_ops(homeport: Homeport) -> Any:
    """The administrator's client of the extensions."""
    return own_client(homeport)


def test_a_pinned_tag_is_listed_with_who_pinned_it_and_when(
    homeport: Homeport, ecr: Any, own_ops: Any, account: str, repository: str
) -> None:
    digest = put(ecr, repository, random_image(), "release")

    before = datetime.now(UTC)
    answer = own_ops.pin_image_tag(repositoryName=repository, imageTag="release")

    pinned = answer["pinnedImageTag"]
    assert (answer["registryId"], answer["repositoryName"]) == (account, repository)
    assert (pinned["imageTag"], pinned["imageDigest"]) == ("release", digest)
    assert pinned["pinnedBy"] == homeport.credentials.user_arn
    assert abs((pinned["pinnedAt"] - before).total_seconds()) < 30
    assert own_ops.list_pinned_image_tags(repositoryName=repository)["pinnedImageTags"] == [pinned]


def test_pinning_again_changes_nothing(ecr: Any, own_ops: Any, repository: str) -> None:
    put(ecr, repository, random_image(), "release")

    first, again = (
        own_ops.pin_image_tag(repositoryName=repository, imageTag="release")["pinnedImageTag"] for _ in "ab"
    )

    assert first == again


def test_an_unpinned_tag_is_answered_and_no_longer_listed(
    ecr: Any, own_ops: Any, account: str, repository: str
) -> None:
    put(ecr, repository, random_image(), "release")
    own_ops.pin_image_tag(repositoryName=repository, imageTag="release")

    answer = bare(own_ops.unpin_image_tag(repositoryName=repository, imageTag="release"))

    assert answer == {"registryId": account, "repositoryName": repository, "imageTag": "release"}
    assert own_ops.list_pinned_image_tags(repositoryName=repository)["pinnedImageTags"] == []


def test_pinned_tags_are_listed_by_pages_in_order_of_name(ecr: Any, own_ops: Any, repository: str) -> None:
    put(ecr, repository, random_image(), "c", "a", "b")
    for tag in "cab":
        own_ops.pin_image_tag(repositoryName=repository, imageTag=tag)

    pages = pages_of(own_ops, "list_pinned_image_tags", "pinnedImageTags", repositoryName=repository)

    assert [[each["imageTag"] for each in page] for page in pages] == [["a", "b"], ["c"]]


def test_a_page_token_is_good_for_its_repository_only(
    ecr: Any, own_ops: Any, repository: str, new_repository: Any
) -> None:
    put(ecr, repository, random_image(), "a", "b")
    for tag in "ab":
        own_ops.pin_image_tag(repositoryName=repository, imageTag=tag)
    token = own_ops.list_pinned_image_tags(repositoryName=repository, maxResults=1)["nextToken"]

    code, _ = refused(own_ops.list_pinned_image_tags, repositoryName=new_repository(), nextToken=token)

    assert code == "InvalidParameterException"


def test_what_is_not_there_cannot_be_pinned_or_unpinned(
    ecr: Any, own_ops: Any, account: str, repository: str
) -> None:
    put(ecr, repository, random_image(), "there")
    absent = new_name()

    assert refused(own_ops.pin_image_tag, repositoryName=repository, imageTag="absent") == (
        "ImageNotFoundException",
        "The image with imageId {imageDigest:'null', imageTag:'absent'} does not exist within the repository "
        f"with name '{repository}' in the registry with id '{account}'",
    )
    assert refused(own_ops.unpin_image_tag, repositoryName=repository, imageTag="there")[0] == (
        "ImageNotFoundException"
    )
    for call in (own_ops.pin_image_tag, own_ops.unpin_image_tag):
        assert refused(call, repositoryName=absent, imageTag="a") == unknown_repository(absent, account)
    assert refused(own_ops.list_pinned_image_tags, repositoryName=absent) == unknown_repository(
        absent, account
    )


def test_what_is_no_tag_is_refused(own_ops: Any, repository: str) -> None:
    assert refused(own_ops.pin_image_tag, repositoryName=repository, imageTag="not a tag!")[0] == (
        "InvalidParameterException"
    )


def test_a_policy_can_say_which_tags_somebody_may_pin(homeport: Homeport, ecr: Any, repository: str) -> None:
    put(ecr, repository, random_image(), "release-1", "dev-1")
    allowed = policy("ecr:PinImageTag")
    allowed["Statement"][0]["Condition"] = {"StringLike": {"ecr:ImageTag": "release-*"}}
    keeper = own_client(homeport, homeport.user("keeper-of-releases", allowed))

    assert keeper.pin_image_tag(repositoryName=repository, imageTag="release-1")["pinnedImageTag"]
    assert refused(keeper.pin_image_tag, repositoryName=repository, imageTag="dev-1")[0] == (
        "AccessDeniedException"
    )


def test_a_repository_policy_lets_another_account_pin(
    homeport: Homeport, ecr: Any, account: str, neighbour: Credentials, repository: str
) -> None:
    put(ecr, repository, random_image(), "release")
    theirs = own_client(homeport, neighbour)
    asked = {"registryId": account, "repositoryName": repository, "imageTag": "release"}
    assert refused(theirs.pin_image_tag, **asked)[0] == "AccessDeniedException"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": neighbour.account_id},
        "Action": "ecr:PinImageTag",
    }
    ecr.set_repository_policy(repositoryName=repository, policyText=document(statement))

    assert theirs.pin_image_tag(**asked)["pinnedImageTag"]["pinnedBy"] == neighbour.user_arn
    assert refused(theirs.unpin_image_tag, **asked)[0] == "AccessDeniedException"
