"""Image scans: there is no scanner, and every answer says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import MISSING, new_name, put, put_manifest, refused, unknown_repository
from tests.harness.images import random_image, random_index
from tests.harness.server import Credentials, Homeport


def test_a_scan_fails_at_once_and_says_why(ecr: Any, account: str, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")

    answer = ecr.start_image_scan(repositoryName=repository, imageId={"imageTag": "v1"})

    assert (answer["registryId"], answer["repositoryName"]) == (account, repository)
    assert answer["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    assert answer["imageScanStatus"]["status"] == "FAILED"
    assert "no image scanner" in answer["imageScanStatus"]["description"]


def test_no_image_has_findings(ecr: Any, account: str, repository: str) -> None:
    put(ecr, repository, random_image(), "v1")
    ecr.start_image_scan(repositoryName=repository, imageId={"imageTag": "v1"})

    assert refused(
        ecr.describe_image_scan_findings, repositoryName=repository, imageId={"imageTag": "v1"}
    ) == (
        "ScanNotFoundException",
        "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'v1'}' in the repository "
        f"with name '{repository}' in the registry with id '{account}'",
    )


def test_an_index_cannot_be_scanned_and_its_images_can(ecr: Any, repository: str) -> None:
    index = random_index()
    for child in index.images:
        put(ecr, repository, child)
    put_manifest(ecr, repository, index.manifest, "all")

    code, _ = refused(ecr.start_image_scan, repositoryName=repository, imageId={"imageTag": "all"})
    child_id = {"imageDigest": index.images[0].digest}
    answer = ecr.start_image_scan(repositoryName=repository, imageId=child_id)

    assert code == "UnsupportedImageTypeException"
    assert answer["imageScanStatus"]["status"] == "FAILED"


def test_an_archived_image_cannot_be_scanned(ecr: Any, repository: str) -> None:
    put(ecr, repository, random_image(), "v1")
    named = {"repositoryName": repository, "imageId": {"imageTag": "v1"}}
    ecr.update_image_storage_class(**named, targetStorageClass="ARCHIVE")

    assert refused(ecr.start_image_scan, **named)[0] == "ImageArchivedException"
    assert refused(ecr.describe_image_scan_findings, **named)[0] == "ScanNotFoundException"


@pytest.mark.parametrize("name", ["start_image_scan", "describe_image_scan_findings"])
def test_what_is_not_there_cannot_be_asked_about(ecr: Any, account: str, repository: str, name: str) -> None:
    call, missing = getattr(ecr, name), new_name()

    code, message = refused(call, repositoryName=repository, imageId={"imageDigest": MISSING})
    assert code == "ImageNotFoundException"
    assert MISSING in message
    asked = {"imageId": {"imageTag": "v1"}}
    assert refused(call, repositoryName=missing, **asked) == unknown_repository(missing, account)


@pytest.mark.parametrize("name", ["start_image_scan", "describe_image_scan_findings"])
def test_whoever_may_not_learns_nothing(
    homeport: Homeport, stranger: Credentials, repository: str, name: str
) -> None:
    call = getattr(homeport.client(credentials=stranger), name)

    for asked in (repository, new_name()):
        code, _ = refused(call, repositoryName=asked, imageId={"imageTag": "v1"})
        assert code == "AccessDeniedException"
