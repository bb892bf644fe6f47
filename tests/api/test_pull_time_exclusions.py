"""Pull-time update exclusions: their operations, and pulls that leave no trace."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.calls import at_registry, policy, put, refused
from tests.api.roles import assume, new_role, root, trust
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport

ROLE = "arn:aws:iam::111122223333:role/scanners/nightly"


def test_an_exclusion_is_registered_listed_and_deregistered(own: Any) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    made = own.register_pull_time_update_exclusion(principalArn=ROLE)
    listed = own.list_pull_time_update_exclusions()
    gone = own.deregister_pull_time_update_exclusion(principalArn=ROLE)

    assert made["principalArn"] == gone["principalArn"] == ROLE
    assert before <= made["createdAt"] <= datetime.now(UTC)
    assert listed["pullTimeUpdateExclusions"] == [ROLE]
    assert "nextToken" not in listed
    assert own.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == []


def test_exclusions_are_listed_by_pages(own: Any) -> None:
    arns = [f"arn:aws:iam::111122223333:user/u{number}" for number in range(5)]
    for arn in reversed(arns):
        own.register_pull_time_update_exclusion(principalArn=arn)

    pages = [own.list_pull_time_update_exclusions(maxResults=2)]
    while token := pages[-1].get("nextToken"):
        pages.append(own.list_pull_time_update_exclusions(maxResults=2, nextToken=token))

    assert [page["pullTimeUpdateExclusions"] for page in pages] == [arns[:2], arns[2:4], arns[4:]]


def test_a_principal_is_excluded_once(own: Any) -> None:
    own.register_pull_time_update_exclusion(principalArn=ROLE)

    code, message = refused(own.register_pull_time_update_exclusion, principalArn=ROLE)

    assert code == "ExclusionAlreadyExistsException"
    assert ROLE in message


def test_what_is_not_excluded_cannot_be_deregistered(own: Any) -> None:
    code, message = refused(own.deregister_pull_time_update_exclusion, principalArn=ROLE)

    assert code == "ExclusionNotFoundException"
    assert ROLE in message


def test_a_registry_has_a_hundred_exclusions_at_most(own: Any) -> None:
    for number in range(100):
        own.register_pull_time_update_exclusion(principalArn=f"{ROLE}-{number}")

    assert refused(own.register_pull_time_update_exclusion, principalArn=ROLE)[0] == "LimitExceededException"
    assert len(own.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]) == 100


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::111122223333:root", "arn:aws:sts::111122223333:assumed-role/a/b", "nightly", "*"]
)
def test_only_a_user_or_a_role_can_be_excluded(own: Any, arn: str) -> None:
    assert (
        refused(own.register_pull_time_update_exclusion, principalArn=arn)[0] == "InvalidParameterException"
    )


def test_who_may_do_nothing_cannot_touch_exclusions(homeport: Homeport, stranger: Credentials) -> None:
    theirs: Any = homeport.client(credentials=stranger)

    for call, params in (
        (theirs.list_pull_time_update_exclusions, {}),
        (theirs.register_pull_time_update_exclusion, {"principalArn": ROLE}),
        (theirs.deregister_pull_time_update_exclusion, {"principalArn": ROLE}),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"


# --- What they do ---


def recorded(client: Any, repository: str, tag: str) -> datetime | None:
    """When the image was pulled last, as far as the registry says."""
    (detail,) = client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])[
        "imageDetails"
    ]
    moment: datetime | None = detail.get("lastRecordedPullTime")
    return moment


def soon_recorded(client: Any, repository: str, tag: str, seconds: float = 30) -> datetime:
    """Wait until a pull is recorded: they are written in batches."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = recorded(client, repository, tag)
        if found is not None:
            return found
        time.sleep(0.2)
    raise AssertionError(f"no pull of {repository}:{tag} was recorded in {seconds} seconds")


def pull_both_ways(homeport: Homeport, who: Credentials, repository: str, tag: str) -> None:
    """Pull by the registry's own protocol and by BatchGetImage."""
    at_registry(homeport, who).get_manifest(repository, tag).expect(200)
    client: Any = homeport.client(credentials=who)
    assert client.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])["images"]


def test_a_pull_by_an_excluded_principal_leaves_no_trace(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    for tag in ("scanned", "used"):
        put(own, "shop", random_image(), tag)
    scanner = homeport.user("scanner", policy("ecr:*"), owner.account_id)
    own.register_pull_time_update_exclusion(principalArn=scanner.user_arn)

    pull_both_ways(homeport, scanner, "shop", "scanned")
    pull_both_ways(homeport, owner, "shop", "used")

    assert soon_recorded(own, "shop", "used")  # later pulls are written with or after earlier ones
    assert recorded(own, "shop", "scanned") is None


def test_a_principal_that_is_no_longer_excluded_leaves_traces_again(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    put(own, "shop", random_image(), "v1")
    own.register_pull_time_update_exclusion(principalArn=owner.user_arn)
    pull_both_ways(homeport, owner, "shop", "v1")

    own.deregister_pull_time_update_exclusion(principalArn=owner.user_arn)
    pull_both_ways(homeport, owner, "shop", "v1")

    assert soon_recorded(own, "shop", "v1")


def test_the_sessions_of_an_excluded_role_leave_no_trace(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    for tag in ("scanned", "used"):
        put(own, "shop", random_image(), tag)
    role = new_role(homeport, trust(root(owner)), policy("ecr:*"), owner=owner, Path="/scanners/")
    own.register_pull_time_update_exclusion(principalArn=role)
    session = assume(homeport, role, by=homeport.client("sts", credentials=owner))

    registry = session.registry()
    registry.headers["Host"] = at_registry(homeport, owner).headers["Host"]
    registry.get_manifest("shop", "scanned").expect(200)
    pulled = session.client().batch_get_image(repositoryName="shop", imageIds=[{"imageTag": "scanned"}])
    pull_both_ways(homeport, owner, "shop", "used")

    assert len(pulled["images"]) == 1
    assert soon_recorded(own, "shop", "used")
    assert recorded(own, "shop", "scanned") is None
