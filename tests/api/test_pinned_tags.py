"""Pinned tags through the API: what they keep from being deleted, for clients of ECR and of /v2/."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import at_once, new_name, put, put_manifest, refused
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport


@pytest.fixture(scope="module")
def extension(homeport: Homeport) -> Any:
    """The administrator's client of Homeport's own operations."""
    return homeport.client("homeport")


def delete(ecr: Any, repository: str, *wanted: dict[str, str]) -> tuple[list[dict[str, str]], list[Any]]:
    answer = ecr.batch_delete_image(repositoryName=repository, imageIds=list(wanted))
    failures = [(each["imageId"], each["failureCode"], each["failureReason"]) for each in answer["failures"]]
    return answer["imageIds"], failures


def test_a_client_of_ecr_is_told_why_a_pinned_image_cannot_be_deleted(
    ecr: Any, extension: Any, repository: str
) -> None:
    digest = put(ecr, repository, random_image(), "release", "build-7")
    extension.pin_image_tag(repositoryName=repository, imageTag="release")
    reason = "Requested image protected by pinned tags: [release]; unpin them first"

    by_digest = delete(ecr, repository, {"imageDigest": digest})
    by_tag = delete(ecr, repository, {"imageTag": "release"})

    assert by_digest == ([], [({"imageDigest": digest}, "ImageTagPinned", reason)])
    assert by_tag == ([], [({"imageTag": "release"}, "ImageTagPinned", reason)])
    [found] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert found["imageTags"] == ["build-7", "release"]


def test_other_tags_go_and_after_unpinning_the_image_too(ecr: Any, extension: Any, repository: str) -> None:
    digest = put(ecr, repository, random_image(), "release", "build-7")
    extension.pin_image_tag(repositoryName=repository, imageTag="release")

    gone = {"imageDigest": digest, "imageTag": "build-7"}
    assert delete(ecr, repository, {"imageTag": "build-7"}) == ([gone], [])
    extension.unpin_image_tag(repositoryName=repository, imageTag="release")
    assert delete(ecr, repository, {"imageDigest": digest})[1] == []

    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_a_delete_over_v2_of_a_pinned_tag_or_its_image_is_denied(
    ecr: Any, extension: Any, oci: OciClient, repository: str
) -> None:
    image = random_image()
    oci.push(repository, image, "release")
    oci.push_manifest(repository, image.manifest, "build-7")
    extension.pin_image_tag(repositoryName=repository, imageTag="release")

    for reference in ("release", image.digest):
        answer = oci.delete(repository, reference).expect(403)
        [error] = answer.json()["errors"]
        assert (error["code"], "pinned tags: [release]" in error["message"]) == ("DENIED", True)
        assert "WWW-Authenticate" not in answer.headers  # nobody is asked to log in as somebody else
    oci.delete(repository, "build-7").expect(202)
    assert oci.pull(repository, "release").keys() >= {image.digest}


def test_a_push_moves_a_pin_with_its_tag(ecr: Any, extension: Any, repository: str) -> None:
    former = put(ecr, repository, random_image(), "stable")
    extension.pin_image_tag(repositoryName=repository, imageTag="stable")
    current = put(ecr, repository, random_image(), "stable")

    [pinned] = extension.list_pinned_image_tags(repositoryName=repository)["pinnedImageTags"]
    gone, failures = delete(ecr, repository, {"imageDigest": former}, {"imageDigest": current})

    assert pinned["imageDigest"] == current
    assert gone == [{"imageDigest": former}]
    assert [each[:2] for each in failures] == [({"imageDigest": current}, "ImageTagPinned")]


def test_deleting_a_repository_by_force_names_the_pinned_tags_and_spares_it(
    ecr: Any, extension: Any, account: str
) -> None:
    name = new_name()
    ecr.create_repository(repositoryName=name)
    put(ecr, name, random_image(), "release", "audit")
    for tag in ("release", "audit"):
        extension.pin_image_tag(repositoryName=name, imageTag=tag)

    assert refused(ecr.delete_repository, repositoryName=name, force=True) == (
        "RepositoryNotEmptyException",
        f"The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still "
        "contains pinned tags, which must be unpinned first: [audit, release]",
    )
    assert refused(ecr.delete_repository, repositoryName=name)[0] == "RepositoryNotEmptyException"

    for tag in ("release", "audit"):
        extension.unpin_image_tag(repositoryName=name, imageTag=tag)
    ecr.delete_repository(repositoryName=name, force=True)
    assert refused(ecr.describe_images, repositoryName=name)[0] == "RepositoryNotFoundException"


def test_only_tags_that_are_there_are_pinned_and_only_pinned_ones_unpinned(
    ecr: Any, extension: Any, repository: str
) -> None:
    put(ecr, repository, random_image(), "release")

    assert refused(extension.pin_image_tag, repositoryName=repository, imageTag="relaese")[0] == (
        "ImageNotFoundException"
    )
    assert refused(extension.unpin_image_tag, repositoryName=repository, imageTag="release")[0] == (
        "ImageNotFoundException"
    )


@pytest.mark.slow
def test_a_thousand_tags_can_be_pinned_and_no_more(ecr: Any, extension: Any, repository: str) -> None:
    images = [random_image(layer_bytes=10) for _ in range(2)]
    for image, tags in zip(images, (999, 2), strict=True):
        put(ecr, repository, image, f"first-{tags}")
        for number in range(1, tags):
            put_manifest(ecr, repository, image.manifest, f"tag-{tags}-{number}")
    listed = ecr.get_paginator("list_images").paginate(repositoryName=repository)
    names = sorted(each["imageTag"] for page in listed for each in page["imageIds"])

    outcomes = at_once(lambda tag: extension.pin_image_tag(repositoryName=repository, imageTag=tag), names)

    assert sorted(outcomes, reverse=True) == ["done"] * 1000 + ["LimitExceededException"]
    pages = extension.get_paginator("list_pinned_image_tags").paginate(repositoryName=repository)
    pinned = [each["imageTag"] for page in pages for each in page["pinnedImageTags"]]
    assert (len(pinned), pinned) == (1000, sorted(pinned))
