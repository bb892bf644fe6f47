"""ListDeletedImages and RestoreDeletedImage: answers, errors, pages, and who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import MISSING, at_registry, policy, put, put_manifest, refused, unknown_repository
from tests.api.homeport_calls import bare, own_client, pages_of
from tests.harness.images import artifact, bytes_of, index_of, random_image
from tests.harness.server import Credentials, Homeport

NAME = "team/app"


@pytest.fixture
def keeping(own: Any) -> Any:
    """The client of `owner`, whose registry keeps deleted images; it has the repository `team/app`."""
    own.put_account_setting(name="IMAGE_RECOVERY", value="30")
    own.create_repository(repositoryName=NAME)
    return own


@pytest.fixture
def own_ops(homeport: Homeport, owner: Credentials) -> Any:
    """The client of `owner` for the extensions."""
    return own_client(homeport, owner)


def delete(client: Any, **image: str) -> None:
    answer = client.batch_delete_image(repositoryName=NAME, imageIds=[image])
    assert answer["failures"] == []


def test_a_deleted_image_is_listed_with_who_deleted_it_and_until_when_it_comes_back(
    keeping: Any, own_ops: Any, owner: Credentials
) -> None:
    digest = put(keeping, NAME, random_image(), "v1", "latest")
    [was] = keeping.describe_images(repositoryName=NAME)["imageDetails"]

    before = datetime.now(UTC)
    delete(keeping, imageDigest=digest)
    answer = bare(own_ops.list_deleted_images(repositoryName=NAME))

    [listed] = answer.pop("deletedImages")
    assert answer == {"registryId": owner.account_id, "repositoryName": NAME}
    assert sorted(listed.pop("imageTags")) == ["latest", "v1"]
    assert abs(listed.pop("deletedAt") - before) < timedelta(seconds=30)
    assert abs(listed.pop("recoverableUntil") - before - timedelta(days=30)) < timedelta(seconds=30)
    assert listed == {
        "imageDigest": digest,
        "imageManifestMediaType": was["imageManifestMediaType"],
        "imageSizeInBytes": was["imageSizeInBytes"],
        "imagePushedAt": was["imagePushedAt"],
        "deletedBy": owner.user_arn,
    }


def test_a_restored_image_is_answered_as_before_and_can_be_pulled(
    homeport: Homeport, keeping: Any, own_ops: Any, owner: Credentials
) -> None:
    image = random_image()
    put(keeping, NAME, image, "v1", "latest")
    [was] = keeping.describe_images(repositoryName=NAME)["imageDetails"]
    delete(keeping, imageDigest=image.digest)

    restored = own_ops.restore_deleted_image(repositoryName=NAME, imageDigest=image.digest)["image"]

    assert (restored["registryId"], restored["repositoryName"]) == (owner.account_id, NAME)
    assert (restored["imageDigest"], restored["imageStatus"]) == (image.digest, "ACTIVE")
    assert sorted(restored["imageTags"]) == ["latest", "v1"]
    for name in ("imagePushedAt", "imageSizeInBytes", "imageManifestMediaType"):
        assert restored[name] == was[name]
    assert own_ops.list_deleted_images(repositoryName=NAME)["deletedImages"] == []
    assert at_registry(homeport, owner).pull(NAME, "v1") == bytes_of(image)


@pytest.mark.parametrize("tags", [[], ["other"], ["other", "second"], ["other", "other"]])
def test_an_image_comes_back_with_the_tags_that_are_asked_for(
    keeping: Any, own_ops: Any, tags: list[str]
) -> None:
    digest = put(keeping, NAME, random_image(), "v1")
    delete(keeping, imageDigest=digest)

    answer = own_ops.restore_deleted_image(repositoryName=NAME, imageDigest=digest, imageTags=tags)

    assert sorted(answer["image"].get("imageTags", [])) == sorted(set(tags))


def test_deleted_images_are_listed_by_pages_what_went_last_first(keeping: Any, own_ops: Any) -> None:
    gone = [put(keeping, NAME, random_image()) for _ in range(3)]
    for digest in gone:
        delete(keeping, imageDigest=digest)

    pages = pages_of(own_ops, "list_deleted_images", "deletedImages", repositoryName=NAME)

    listed = [[each["imageDigest"] for each in page] for page in pages]
    assert listed == [[gone[2], gone[1]], [gone[0]]]
    assert "imageTags" not in pages[0][0]


def test_what_was_not_deleted_cannot_be_restored(keeping: Any, own_ops: Any, owner: Credentials) -> None:
    there = put(keeping, NAME, random_image(), "v1")

    def refusal(digest: str, name: str = NAME) -> tuple[str, str]:
        return refused(own_ops.restore_deleted_image, repositoryName=name, imageDigest=digest)

    assert refusal(MISSING)[0] == "ImageNotFoundException"
    assert refusal(there)[0] == "ImageAlreadyExistsException"
    assert refusal("no digest")[0] == "InvalidParameterException"
    assert refusal(MISSING, "not/there") == unknown_repository("not/there", owner.account_id)
    assert refused(own_ops.list_deleted_images, repositoryName="not/there") == unknown_repository(
        "not/there", owner.account_id
    )


def test_a_full_repository_takes_nothing_back(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport(environment={"HOMEPORT_QUOTAS": "images_per_repository=1"})
    ecr: Any = server.client()
    ecr.put_account_setting(name="IMAGE_RECOVERY", value="ENABLED")
    ecr.create_repository(repositoryName=NAME)
    digest = put(ecr, NAME, random_image())
    delete(ecr, imageDigest=digest)
    put(ecr, NAME, random_image())

    code, _ = refused(own_client(server).restore_deleted_image, repositoryName=NAME, imageDigest=digest)

    assert code == "LimitExceededException"


def restorer(homeport: Homeport, owner: Credentials) -> Any:
    """A client of one who may restore images, but not under the tag `prod`."""
    document = policy("ecr:RestoreDeletedImage")
    protected = {"StringEquals": {"ecr:ImageTag": "prod"}}
    document["Statement"].append(
        {"Effect": "Deny", "Action": "ecr:*", "Resource": "*", "Condition": protected}
    )
    return own_client(homeport, homeport.user("restorer", document, owner.account_id))


@pytest.mark.parametrize("asked", [{}, {"imageTags": ["prod"]}])
def test_a_policy_about_tags_counts_for_the_tags_that_come_back(
    homeport: Homeport, keeping: Any, owner: Credentials, asked: dict[str, Any]
) -> None:
    theirs = restorer(homeport, owner)
    digest = put(keeping, NAME, random_image(), "dev", "prod")
    delete(keeping, imageDigest=digest)

    code, _ = refused(theirs.restore_deleted_image, repositoryName=NAME, imageDigest=digest, **asked)

    assert code == "AccessDeniedException"
    harmless = theirs.restore_deleted_image(repositoryName=NAME, imageDigest=digest, imageTags=["dev"])
    assert harmless["image"]["imageTags"] == ["dev"]


@pytest.mark.parametrize("asked", [{}, {"imageTags": ["all"]}])
def test_a_policy_about_tags_counts_for_images_that_come_back_with_another(
    homeport: Homeport, keeping: Any, owner: Credentials, asked: dict[str, Any]
) -> None:
    theirs = restorer(homeport, owner)
    child, free = random_image(), random_image(platform="linux/arm64")
    signature = artifact(b"s", artifact_type="application/x.signature", subject=free.manifest)
    index = index_of([child])
    put(keeping, NAME, child, "prod")
    put_manifest(keeping, NAME, index.manifest, "all")
    put(keeping, NAME, free, "dev")
    put(keeping, NAME, signature, "signed")
    for digest in (index.digest, child.digest, free.digest, signature.digest):
        delete(keeping, imageDigest=digest)

    code, _ = refused(theirs.restore_deleted_image, repositoryName=NAME, imageDigest=index.digest, **asked)
    theirs.restore_deleted_image(repositoryName=NAME, imageDigest=free.digest)

    assert code == "AccessDeniedException"
    there = keeping.describe_images(repositoryName=NAME)["imageDetails"]
    assert {each["imageDigest"] for each in there} == {free.digest, signature.digest}


def test_nobody_sees_or_restores_deleted_images_without_permission(
    homeport: Homeport, stranger: Credentials, repository: str
) -> None:
    theirs = own_client(homeport, stranger)

    assert refused(theirs.list_deleted_images, repositoryName=repository)[0] == "AccessDeniedException"
    assert refused(theirs.restore_deleted_image, repositoryName=repository, imageDigest=MISSING)[0] == (
        "AccessDeniedException"
    )
