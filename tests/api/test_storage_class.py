"""The archive storage class: what an archived image hides, how it comes back, and where its bytes lie meanwhile."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.api.calls import MISSING, at_once, new_name, put, put_manifest, refused, unknown_repository, upload
from tests.harness.images import (
    Image,
    artifact,
    bytes_of,
    image_of,
    index_of,
    random_image,
    random_index,
)
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

NOT_SUPPORTED = "ImageStorageClassUpdateNotSupportedException"


def move(ecr: Any, repository: str, digest: str, target: str) -> str:
    answer = ecr.update_image_storage_class(
        repositoryName=repository, imageId={"imageDigest": digest}, targetStorageClass=target
    )
    status: str = answer["imageStatus"]
    return status


def archive(ecr: Any, repository: str, digest: str) -> None:
    assert move(ecr, repository, digest, "ARCHIVE") == "ARCHIVED"


def detail(ecr: Any, repository: str, digest: str) -> dict[str, Any]:
    [found] = ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])[
        "imageDetails"
    ]
    return dict(found)


def eventually(true: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(400):
        if true():
            return
        pause.wait(0.05)
    raise AssertionError(f"{what} did not happen in time")


def restore(ecr: Any, repository: str, digest: str) -> None:
    assert move(ecr, repository, digest, "STANDARD") == "ACTIVATING"
    eventually(lambda: detail(ecr, repository, digest)["imageStatus"] == "ACTIVE", "the restore")


def place_of(server: Homeport, digest: str) -> str:
    """The storage key of a blob's bytes, once they are proven to be there."""
    with contextlib.closing(apsw.Connection(str(server.data / "homeport.db"))) as connection:
        row = connection.execute("SELECT storage_key, size FROM blob WHERE digest = ?", (digest,)).fetchone()
    assert row is not None
    key, size = row
    area, name = str(key).split("/", 1)
    root = server.data / ("archive" if area == "archive" else "blobs")
    assert (root / "data" / name).stat().st_size == size
    return str(key)


def lies_in(server: Homeport, image: Image, area: str) -> Callable[[], bool]:
    return lambda: all(place_of(server, blob.digest).startswith(f"{area}/") for blob in image.blobs)


# --- What an archived image hides ---


def test_an_archived_image_cannot_be_pulled_by_either_front(
    ecr: Any, oci: OciClient, repository: str
) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)

    answer = ecr.batch_get_image(
        repositoryName=repository, imageIds=[{"imageTag": "v1"}, {"imageDigest": image.digest}]
    )

    assert answer["images"] == []
    assert [each["failureCode"] for each in answer["failures"]] == ["ImageNotFound"] * 2
    for reference in ("v1", image.digest):
        refusal = oci.get_manifest(repository, reference).expect(404)
        assert refusal.error_codes == ["MANIFEST_UNKNOWN"]
        oci.request("HEAD", f"/v2/{repository}/manifests/{reference}").expect(404)
    oci.get_blob(repository, image.layers[0].digest).expect(404)
    oci.request("HEAD", f"/v2/{repository}/blobs/{image.layers[0].digest}").expect(404)
    assert oci.tags(repository) == []


def test_an_archived_image_is_listed_only_when_it_is_asked_for(ecr: Any, repository: str) -> None:
    kept, archived = random_image(), random_image()
    put(ecr, repository, kept, "kept")
    put(ecr, repository, archived, "old")
    archive(ecr, repository, archived.digest)

    def listed(**asked: Any) -> tuple[list[str], list[str]]:
        ids = ecr.list_images(repositoryName=repository, **asked)["imageIds"]
        details = ecr.describe_images(repositoryName=repository, **asked)["imageDetails"]
        return [each["imageTag"] for each in ids], [each["imageDigest"] for each in details]

    assert listed() == (["kept"], [kept.digest])
    assert listed(filter={"imageStatus": "ACTIVE"}) == (["kept"], [kept.digest])
    assert listed(filter={"imageStatus": "ARCHIVED"}) == (["old"], [archived.digest])
    assert listed(filter={"imageStatus": "ACTIVATING"}) == ([], [])
    assert listed(filter={"imageStatus": "ANY"}) == (["old", "kept"], [archived.digest, kept.digest])
    assert listed(filter={"imageStatus": "ARCHIVED", "tagStatus": "UNTAGGED"}) == ([], [])


def test_pages_of_archived_images_hold_only_such(ecr: Any, repository: str) -> None:
    images = [random_image() for _ in range(5)]
    for number, image in enumerate(images):
        put(ecr, repository, image, f"v{number}")
    for image in images[::2]:
        archive(ecr, repository, image.digest)

    pages = ecr.get_paginator("list_images").paginate(
        repositoryName=repository, filter={"imageStatus": "ARCHIVED"}, PaginationConfig={"PageSize": 1}
    )

    assert [each["imageTag"] for page in pages for each in page["imageIds"]] == ["v4", "v2", "v0"]


def test_an_archived_image_is_described_with_its_status_and_moment(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    before = detail(ecr, repository, image.digest)
    archive(ecr, repository, image.digest)

    after = detail(ecr, repository, image.digest)

    assert (before["imageStatus"], "lastArchivedAt" in before) == ("ACTIVE", False)
    assert (after["imageStatus"], "lastActivatedAt" in after) == ("ARCHIVED", False)
    assert datetime.now(UTC) - after["lastArchivedAt"] < timedelta(minutes=1)
    assert after["imageTags"] == ["v1"]


def test_layers_are_archived_when_only_archived_images_hold_them(ecr: Any, repository: str) -> None:
    files = [{"shared.bin": uuid.uuid4().bytes}]
    alone, one, other = random_image(), image_of(files), image_of(files, annotations={"of": "the other"})
    for image in (alone, one, other):
        put(ecr, repository, image)
    archive(ecr, repository, alone.digest)
    archive(ecr, repository, one.digest)

    digests = [alone.layers[0].digest, one.layers[0].digest, MISSING]
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=digests)

    found = [each["layerAvailability"] for each in answer["layers"]]
    assert found == ["ARCHIVED", "AVAILABLE", "UNAVAILABLE"]
    code, message = refused(
        ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=alone.layers[0].digest
    )
    assert code == "LayerInaccessibleException"
    assert "archived" in message


def test_an_address_of_a_layer_ends_with_its_archiving(ecr: Any, oci: OciClient, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    address = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=image.layers[0].digest)
    archive(ecr, repository, image.digest)

    oci.request("GET", address["downloadUrl"], headers={"Authorization": ""}).expect(404)


def test_a_tag_may_leave_an_archived_image(ecr: Any, repository: str) -> None:
    old, new = random_image(), random_image()
    put(ecr, repository, old, "latest")
    archive(ecr, repository, old.digest)
    put(ecr, repository, new, "latest")

    assert detail(ecr, repository, new.digest)["imageTags"] == ["latest"]
    assert detail(ecr, repository, old.digest)["imageStatus"] == "ARCHIVED"


def test_an_archived_image_can_be_deleted_and_counts_as_content(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)

    assert refused(ecr.delete_repository, repositoryName=repository)[0] == "RepositoryNotEmptyException"
    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])

    assert gone["imageIds"] == [{"imageDigest": image.digest, "imageTag": "v1"}]
    found = ecr.list_images(repositoryName=repository, filter={"imageStatus": "ANY"})
    assert found["imageIds"] == []


# --- What goes with it ---


def signature_of(image: Image) -> Image:
    return artifact(image.digest.encode(), artifact_type="application/x.signature", subject=image.manifest)


def test_referrers_follow_their_subject_both_ways(ecr: Any, oci: OciClient, repository: str) -> None:
    image = random_image()
    signature = signature_of(image)
    countersignature = signature_of(signature)
    for each in (image, signature, countersignature):
        put(ecr, repository, each)

    def statuses() -> list[str]:
        return [
            detail(ecr, repository, each.digest)["imageStatus"]
            for each in (image, signature, countersignature)
        ]

    def referrers(**asked: Any) -> list[tuple[str, str]]:
        answer = ecr.list_image_referrers(
            repositoryName=repository, subjectId={"imageDigest": image.digest}, **asked
        )
        return [(each["digest"], each["artifactStatus"]) for each in answer["referrers"]]

    archive(ecr, repository, image.digest)
    assert statuses() == ["ARCHIVED"] * 3
    assert referrers() == []
    assert referrers(filter={"artifactStatus": "ANY"}) == [(signature.digest, "ARCHIVED")]
    assert oci.referrers(repository, image.digest) == []

    restore(ecr, repository, image.digest)
    eventually(lambda: statuses() == ["ACTIVE"] * 3, "the restore of the referrers")
    assert referrers() == [(signature.digest, "ACTIVE")]


def test_a_referrer_is_not_moved_without_its_subject(ecr: Any, repository: str) -> None:
    image = random_image()
    signature = signature_of(image)
    put(ecr, repository, image)
    put(ecr, repository, signature)
    named = {"repositoryName": repository, "imageId": {"imageDigest": signature.digest}}

    assert refused(ecr.update_image_storage_class, **named, targetStorageClass="ARCHIVE")[0] == NOT_SUPPORTED
    archive(ecr, repository, image.digest)
    assert refused(ecr.update_image_storage_class, **named, targetStorageClass="STANDARD")[0] == NOT_SUPPORTED


def test_a_referrer_that_an_active_index_names_stays_when_its_subject_is_archived(
    ecr: Any, oci: OciClient, repository: str
) -> None:
    image = random_image()
    listed = random_image(subject=image.manifest)
    signature = signature_of(listed)
    for each in (image, listed, signature):
        put(ecr, repository, each)
    put_manifest(ecr, repository, index_of([listed]).manifest, "all")

    archive(ecr, repository, image.digest)

    assert oci.pull(repository, listed.digest) == bytes_of(listed)
    assert detail(ecr, repository, signature.digest)["imageStatus"] == "ACTIVE"


def test_a_referrer_with_a_pinned_tag_stays_when_its_subject_is_archived(
    homeport: Homeport, ecr: Any, repository: str
) -> None:
    image = random_image()
    signature = signature_of(image)
    put(ecr, repository, image)
    put(ecr, repository, signature, "signed")
    homeport.client("homeport").pin_image_tag(repositoryName=repository, imageTag="signed")

    archive(ecr, repository, image.digest)

    assert detail(ecr, repository, signature.digest)["imageStatus"] == "ACTIVE"


def test_images_of_an_index_stay_until_the_index_is_archived(ecr: Any, repository: str) -> None:
    index = random_index()
    for child in index.images:
        put(ecr, repository, child)
    put_manifest(ecr, repository, index.manifest, "all")
    child = index.images[0]

    code, message = refused(
        ecr.update_image_storage_class,
        repositoryName=repository,
        imageId={"imageDigest": child.digest},
        targetStorageClass="ARCHIVE",
    )
    assert (code, message) == (
        NOT_SUPPORTED,
        f"Requested image referenced by manifest list: [{index.digest}]",
    )

    archive(ecr, repository, index.digest)
    assert detail(ecr, repository, child.digest)["imageStatus"] == "ACTIVE"
    archive(ecr, repository, child.digest)


def test_a_restored_index_brings_its_images_back(ecr: Any, oci: OciClient, repository: str) -> None:
    index = random_index()
    for child in index.images:
        put(ecr, repository, child)
    put_manifest(ecr, repository, index.manifest, "all")
    archive(ecr, repository, index.digest)
    for child in index.images:
        archive(ecr, repository, child.digest)

    restore(ecr, repository, index.digest)

    assert oci.pull(repository, "all") == bytes_of(index)


def test_a_new_index_cannot_name_archived_images(ecr: Any, repository: str) -> None:
    index = random_index()
    for child in index.images:
        put(ecr, repository, child)
    archive(ecr, repository, index.images[0].digest)

    code, message = refused(
        ecr.put_image, repositoryName=repository, imageManifest=index.manifest.text, imageTag="all"
    )

    assert code == "ReferencedImagesNotFoundException"
    assert index.images[0].digest in message
    assert index.images[1].digest not in message


# --- How it comes back ---


def test_a_restored_image_is_pulled_as_it_was(ecr: Any, oci: OciClient, repository: str) -> None:
    image = random_image(layers=3)
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)

    restore(ecr, repository, image.digest)

    found = detail(ecr, repository, image.digest)
    assert found["lastActivatedAt"] >= found["lastArchivedAt"]
    assert oci.pull(repository, "v1") == bytes_of(image)


def test_an_image_on_its_way_back_cannot_be_pulled_yet(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport(environment={"HOMEPORT_BLOB_FAULTS": "reader:*:unavailable"})
    ecr, repository = server.client(), new_name()
    ecr.create_repository(repositoryName=repository)
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)
    with contextlib.closing(apsw.Connection(str(server.data / "homeport.db"))) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute(
            "UPDATE blob SET storage_class = 'ARCHIVE', storage_key = 'archive' || substr(storage_key, 5)"
        )
    server.restart()
    ecr, oci = server.client(), OciClient(server.url, "AWS", server.password())

    assert move(ecr, repository, image.digest, "STANDARD") == "ACTIVATING"
    server.wait_for_log(
        lambda record: record if record.get("event") == "job_failed" else None, "the failure of the restore"
    )

    oci.get_manifest(repository, "v1").expect(404)
    listed = ecr.list_images(repositoryName=repository, filter={"imageStatus": "ACTIVATING"})
    assert [each["imageTag"] for each in listed["imageIds"]] == ["v1"]
    named = {"repositoryName": repository, "imageId": {"imageTag": "v1"}}
    for target in ("STANDARD", "ARCHIVE"):
        code, _ = refused(ecr.update_image_storage_class, **named, targetStorageClass=target)
        assert code == NOT_SUPPORTED


@pytest.mark.parametrize("way", ["docker", "api", "manifest alone"])
def test_a_push_restores_an_archived_image_at_once(
    ecr: Any, oci: OciClient, repository: str, way: str
) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)

    if way == "docker":
        oci.push(repository, image, "v1")
    elif way == "api":
        for blob in image.blobs:
            upload(ecr, repository, blob.data)
        put_manifest(ecr, repository, image.manifest, "v1")
    else:
        put_manifest(ecr, repository, image.manifest, "v1")

    found = detail(ecr, repository, image.digest)
    assert (found["imageStatus"], "lastActivatedAt" in found) == ("ACTIVE", True)
    assert oci.pull(repository, "v1") == bytes_of(image)


def test_an_active_image_is_not_restored_and_an_archived_one_not_archived(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    named = {"repositoryName": repository, "imageId": {"imageTag": "v1"}}

    assert refused(ecr.update_image_storage_class, **named, targetStorageClass="STANDARD")[0] == NOT_SUPPORTED
    archive(ecr, repository, image.digest)
    assert refused(ecr.update_image_storage_class, **named, targetStorageClass="ARCHIVE")[0] == NOT_SUPPORTED


def test_what_is_not_there_cannot_be_moved(ecr: Any, account: str, repository: str) -> None:
    missing, more = new_name(), {"imageId": {"imageDigest": MISSING}, "targetStorageClass": "ARCHIVE"}

    assert (
        refused(ecr.update_image_storage_class, repositoryName=repository, **more)[0]
        == "ImageNotFoundException"
    )
    assert refused(ecr.update_image_storage_class, repositoryName=missing, **more) == unknown_repository(
        missing, account
    )


def test_an_image_must_be_named(ecr: Any, repository: str) -> None:
    for call, more in (
        (ecr.update_image_storage_class, {"targetStorageClass": "ARCHIVE"}),
        (ecr.start_image_scan, {}),
        (ecr.describe_image_scan_findings, {}),
    ):
        assert refused(call, repositoryName=repository, imageId={}, **more) == (
            "InvalidParameterException",
            "Invalid request parameters: both tag and digest cannot be null",
        )


def test_whoever_may_not_move_images_learns_nothing(
    homeport: Homeport, stranger: Credentials, repository: str
) -> None:
    call = homeport.client(credentials=stranger).update_image_storage_class

    for asked in (repository, new_name()):
        code, _ = refused(
            call, repositoryName=asked, imageId={"imageTag": "v1"}, targetStorageClass="ARCHIVE"
        )
        assert code == "AccessDeniedException"


# --- Where the bytes lie ---


def test_bytes_move_to_the_archive_and_back(
    homeport: Homeport, ecr: Any, oci: OciClient, repository: str
) -> None:
    image = random_image(layers=2)
    put(ecr, repository, image, "v1")
    assert lies_in(homeport, image, "data")()

    archive(ecr, repository, image.digest)
    eventually(lies_in(homeport, image, "archive"), "the move to the archive")
    restore(ecr, repository, image.digest)

    assert lies_in(homeport, image, "data")()
    assert oci.pull(repository, "v1") == bytes_of(image)


def test_bytes_that_an_active_image_of_another_repository_needs_stay(
    homeport: Homeport, ecr: Any, oci: OciClient, new_repository: Callable[[], str]
) -> None:
    here, there = new_repository(), new_repository()
    shared, alone = random_image(), random_image()
    put(ecr, here, shared, "v1")
    put(ecr, here, alone, "alone")
    put(ecr, there, shared, "v1")
    archive(ecr, here, shared.digest)
    archive(ecr, here, alone.digest)
    eventually(lies_in(homeport, alone, "archive"), "the move of the other image")

    assert lies_in(homeport, shared, "data")()
    assert oci.pull(there, "v1") == bytes_of(shared)

    archive(ecr, there, shared.digest)
    eventually(lies_in(homeport, shared, "archive"), "the move of the shared bytes")


def test_bytes_move_when_the_last_image_that_needed_them_is_deleted(
    homeport: Homeport, ecr: Any, new_repository: Callable[[], str]
) -> None:
    here, there = new_repository(), new_repository()
    image = random_image()
    put(ecr, here, image, "v1")
    put(ecr, there, image, "v1")
    archive(ecr, here, image.digest)
    ecr.batch_delete_image(repositoryName=there, imageIds=[{"imageTag": "v1"}])
    archive_of_all = lies_in(homeport, image, "archive")

    # The link of the other repository was pushed moments ago: a push under way might still count on it.
    with contextlib.closing(apsw.Connection(str(homeport.data / "homeport.db"))) as connection:
        waiting = connection.execute(
            "SELECT count(*) FROM job WHERE kind = 'settle-blobs' AND subject LIKE ?",
            (f"%{image.config.digest}%",),
        ).fetchone()
    assert waiting is not None
    assert waiting[0] >= 1
    assert not archive_of_all()


@pytest.mark.parametrize("again", ["with its layers", "without its layers"])
def test_a_push_of_archived_bytes_brings_them_back(
    homeport: Homeport, ecr: Any, oci: OciClient, new_repository: Callable[[], str], again: str
) -> None:
    here, there = new_repository(), new_repository()
    image = random_image()
    put(ecr, here, image, "v1")
    archive(ecr, here, image.digest)
    eventually(lies_in(homeport, image, "archive"), "the move to the archive")

    if again == "with its layers":
        oci.push(there, image, "v1")
        assert lies_in(homeport, image, "data")()
        assert oci.pull(there, "v1") == bytes_of(image)
        assert detail(ecr, here, image.digest)["imageStatus"] == "ARCHIVED"
    else:
        put_manifest(ecr, here, image.manifest, "v1")
        assert oci.pull(here, "v1") == bytes_of(image)
        eventually(lies_in(homeport, image, "data"), "the return of the bytes")
        assert oci.pull(here, "v1") == bytes_of(image)


def test_an_archived_layer_can_be_pushed_again_by_parts(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)
    layer = image.layers[0]

    upload(ecr, repository, layer.data)

    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[layer.digest])
    assert answer["layers"][0]["layerAvailability"] == "AVAILABLE"


def test_the_archive_may_be_another_folder(fresh_homeport: Callable[..., Homeport], tmp_path: Path) -> None:
    folder = tmp_path / "cold"
    server = fresh_homeport(environment={"HOMEPORT_ARCHIVE": str(folder)})
    ecr, repository = server.client(), new_name()
    ecr.create_repository(repositoryName=repository)
    image = random_image()
    put(ecr, repository, image, "v1")
    archive(ecr, repository, image.digest)

    def moved() -> set[bytes]:
        return {path.read_bytes() for path in (folder / "data").glob("*/*")}

    eventually(lambda: moved() == {blob.data for blob in image.blobs}, "the move to the other folder")
    restore(ecr, repository, image.digest)
    assert OciClient(server.url, "AWS", server.password()).pull(repository, "v1") == bytes_of(image)


# --- Many at once ---


def test_several_processes_share_the_jobs(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport(options=["--workers", "2"])
    ecr, repository = server.client(), new_name()
    ecr.create_repository(repositoryName=repository)
    images = [random_image() for _ in range(6)]
    for image in images:
        put(ecr, repository, image)

    for image in images:
        archive(ecr, repository, image.digest)
    eventually(lambda: all(lies_in(server, image, "archive")() for image in images), "the archiving")
    for image in images:
        restore(ecr, repository, image.digest)

    oci = OciClient(server.url, "AWS", server.password())
    for image in images:
        assert oci.pull(repository, image.digest) == bytes_of(image)
    lost = [record for record in server.log if record.get("event") in ("job_failed", "job_lost")]
    assert lost == []


def test_whatever_happens_at_once_no_byte_of_an_image_is_lost(
    homeport: Homeport, ecr: Any, oci: OciClient, new_repository: Callable[[], str]
) -> None:
    here, there = new_repository(), new_repository()
    image = random_image(layer_bytes=100_000)
    for repository in (here, there):
        put(ecr, repository, image, "v1")

    def change(number: int) -> None:
        repository = (here, there)[number % 2]
        if number % 3 == 2:
            OciClient(homeport.url, "AWS", homeport.password()).push(repository, image, "v1")
        else:
            move(ecr, repository, image.digest, ("ARCHIVE", "STANDARD")[number % 3])

    outcomes = at_once(change, range(60))
    assert set(outcomes) <= {"done", NOT_SUPPORTED}

    for repository in (here, there):
        status = detail(ecr, repository, image.digest)["imageStatus"]
        if status == "ARCHIVED":
            restore(ecr, repository, image.digest)
        eventually(
            lambda at=repository: detail(ecr, at, image.digest)["imageStatus"] == "ACTIVE",  # type: ignore[misc]
            "the restore",
        )
        assert oci.pull(repository, "v1") == bytes_of(image)
    eventually(lies_in(homeport, image, "data"), "the return of all bytes")
