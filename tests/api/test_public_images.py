"""Images and layers of public repositories through the API; registries named by account id or alias."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.kernel import limits
from tests.api.calls import MISSING, put, put_manifest, refused, unknown_repository, upload
from tests.api.public import alias_of, new_public
from tests.harness.images import random_image, random_index, sha256
from tests.harness.server import Homeport


@pytest.fixture(scope="session")
def public(homeport: Homeport) -> Any:
    """The administrator's client of ECR Public on the shared server."""
    return homeport.client("ecr-public")


@pytest.fixture
def name(public: Any) -> str:
    """An empty public repository."""
    return new_public(public)


# --- Images ---


def test_an_image_is_pushed_and_described_with_its_tags(public: Any, account: str, name: str) -> None:
    image = random_image(layers=2)
    began = datetime.now(UTC)

    put(public, name, image, "v1", "latest")
    (shown,) = public.describe_images(repositoryName=name)["imageDetails"]

    assert began - timedelta(seconds=1) < shown.pop("imagePushedAt") <= datetime.now(UTC)
    assert shown == {
        "registryId": account,
        "repositoryName": name,
        "imageDigest": image.digest,
        "imageTags": ["latest", "v1"],
        "imageSizeInBytes": sum(len(blob.data) for blob in image.blobs),
        "imageManifestMediaType": image.manifest.media_type,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
    }
    assert public.describe_images(repositoryName=name, imageIds=[{"imageTag": "v1"}])["imageDetails"][0][
        "imageDigest"
    ] == (image.digest)


def test_images_are_described_by_pages_newest_first(public: Any, name: str) -> None:
    pushed = [put(public, name, random_image(), f"v{number}") for number in range(5)]

    pages = list(
        public.get_paginator("describe_images").paginate(
            repositoryName=name, PaginationConfig={"PageSize": 2}
        )
    )

    assert [len(page["imageDetails"]) for page in pages] == [2, 2, 1]
    shown = [each["imageDigest"] for page in pages for each in page["imageDetails"]]
    assert shown == pushed[::-1]


def test_tags_are_described_by_pages_in_order(public: Any, name: str) -> None:
    one, two = random_image(), random_image()
    put(public, name, one, "b", "d", "a")
    put(public, name, two, "c")

    pages = list(
        public.get_paginator("describe_image_tags").paginate(
            repositoryName=name, PaginationConfig={"PageSize": 3}
        )
    )

    details = [each for page in pages for each in page["imageTagDetails"]]
    assert [len(page["imageTagDetails"]) for page in pages] == [3, 1]
    assert [each["imageTag"] for each in details] == ["a", "b", "c", "d"]
    assert [each["imageDetail"]["imageDigest"] for each in details] == [
        one.digest, one.digest, two.digest, one.digest,
    ]  # fmt: skip
    last = details[-1]
    assert timedelta(0) <= last["createdAt"] - last["imageDetail"]["imagePushedAt"] < timedelta(minutes=1)
    assert last["imageDetail"]["imageManifestMediaType"] == one.manifest.media_type


def test_images_that_are_not_there_are_not_found(public: Any, name: str) -> None:
    code, message = refused(public.describe_images, repositoryName=name, imageIds=[{"imageTag": "absent"}])

    assert code == "ImageNotFoundException"
    assert "absent" in message


def test_ids_and_paging_exclude_each_other(public: Any, name: str) -> None:
    digest = put(public, name, random_image())

    code, _ = refused(
        public.describe_images, repositoryName=name, imageIds=[{"imageDigest": digest}], maxResults=3
    )

    assert code == "InvalidParameterException"


def test_a_tag_moves_to_the_image_that_was_pushed_last(public: Any, name: str) -> None:
    put(public, name, random_image(), "latest")
    newest = put(public, name, random_image(), "latest")

    (tag,) = public.describe_image_tags(repositoryName=name)["imageTagDetails"]

    assert tag["imageDetail"]["imageDigest"] == newest


def test_the_same_image_again_is_refused(public: Any, name: str) -> None:
    image = random_image()
    put(public, name, image, "v1")

    code, _ = refused(put_manifest, ecr=public, repository=name, manifest=image.manifest, tag="v1")

    assert code == "ImageAlreadyExistsException"


def test_an_index_needs_its_images_and_an_image_its_layers(public: Any, name: str) -> None:
    index = random_index()

    code, _ = refused(put_manifest, ecr=public, repository=name, manifest=index.manifest)
    other, _ = refused(put_manifest, ecr=public, repository=name, manifest=random_image().manifest)

    assert code == "ReferencedImagesNotFoundException"
    assert other == "LayersNotFoundException"


def test_a_digest_that_is_not_that_of_the_manifest_is_refused(public: Any, name: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(public, name, blob.data)

    code, _ = refused(put_manifest, ecr=public, repository=name, manifest=image.manifest, imageDigest=MISSING)

    assert code == "ImageDigestDoesNotMatchException"


def test_images_are_deleted_by_tag_and_digest_with_failures_told(public: Any, name: str) -> None:
    first, second = put(public, name, random_image(), "a"), put(public, name, random_image(), "b")

    answer = public.batch_delete_image(
        repositoryName=name,
        imageIds=[{"imageTag": "a"}, {"imageDigest": second}, {"imageTag": "absent"}],
    )

    assert answer["imageIds"] == [
        {"imageDigest": first, "imageTag": "a"},
        {"imageDigest": second, "imageTag": "b"},
    ]
    assert [each["failureCode"] for each in answer["failures"]] == ["ImageNotFound"]
    assert public.describe_images(repositoryName=name)["imageDetails"] == []


def test_a_manifest_of_more_than_a_megabyte_is_taken(public: Any, name: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(public, name, blob.data)
    padded = image.manifest.text[:-1] + f',"annotations":{{"a":"{"x" * 1_500_000}"}}}}'

    answer = public.put_image(
        repositoryName=name,
        imageManifest=padded,
        imageManifestMediaType=image.manifest.media_type,
        imageTag="big",
    )

    assert answer["image"]["imageId"]["imageDigest"] == sha256(padded.encode())


def test_every_operation_on_images_tells_a_missing_repository(public: Any, account: str) -> None:
    missing = "not/there"
    expected = unknown_repository(missing, account)

    calls: dict[str, dict[str, Any]] = {
        "describe_images": {},
        "describe_image_tags": {},
        "batch_delete_image": {"imageIds": [{"imageTag": "a"}]},
        "batch_check_layer_availability": {"layerDigests": [MISSING]},
        "initiate_layer_upload": {},
        "put_image": {"imageManifest": "{}"},
        "complete_layer_upload": {
            "uploadId": "00000000-0000-0000-0000-000000000000",
            "layerDigests": [MISSING],
        },
        "upload_layer_part": {
            "uploadId": "00000000-0000-0000-0000-000000000000",
            "partFirstByte": 0,
            "partLastByte": 0,
            "layerPartBlob": b"x",
        },
    }
    for method, params in calls.items():
        assert refused(getattr(public, method), repositoryName=missing, **params) == expected, method


# --- Layers ---


def test_layers_are_available_once_they_are_complete(public: Any, name: str) -> None:
    data = random.randbytes(1000)

    def availability() -> Any:
        return public.batch_check_layer_availability(
            repositoryName=name, layerDigests=[sha256(data), "nonsense"]
        )

    before = availability()
    upload(public, name, data)
    after = availability()

    assert before["layers"] == [{"layerDigest": sha256(data), "layerAvailability": "UNAVAILABLE"}]
    assert after["layers"] == [
        {"layerDigest": sha256(data), "layerAvailability": "AVAILABLE", "layerSize": 1000}
    ]
    assert [each["failureCode"] for each in after["failures"]] == ["InvalidLayerDigest"]


def test_faults_of_an_upload_are_told(public: Any, name: str) -> None:
    begun = public.initiate_layer_upload(repositoryName=name)
    part = {"repositoryName": name, "uploadId": begun["uploadId"], "partFirstByte": 0, "partLastByte": 3}
    complete = {"repositoryName": name, "uploadId": begun["uploadId"], "layerDigests": [sha256(b"abcd")]}

    empty = refused(public.complete_layer_upload, **complete)[0]
    gap = refused(
        public.upload_layer_part, **{**part, "partFirstByte": 4, "partLastByte": 7}, layerPartBlob=b"x" * 4
    )[0]
    public.upload_layer_part(**part, layerPartBlob=b"abcd")
    wrong = refused(public.complete_layer_upload, **{**complete, "layerDigests": [MISSING]})[0]
    gone = refused(public.upload_layer_part, **part, layerPartBlob=b"abcd")[0]
    upload(public, name, b"abcd")
    again = public.initiate_layer_upload(repositoryName=name)["uploadId"]
    public.upload_layer_part(**{**part, "uploadId": again}, layerPartBlob=b"abcd")
    twice = refused(public.complete_layer_upload, **{**complete, "uploadId": again})[0]

    assert begun["partSize"] == limits.LAYER_PART_SIZE
    assert [empty, gap, wrong, gone, twice] == [
        "EmptyUploadException",
        "InvalidLayerPartException",
        "InvalidLayerException",
        "UploadNotFoundException",
        "LayerAlreadyExistsException",
    ]


def test_a_layer_may_have_ten_thousand_mebibytes_and_no_more(
    homeport: Homeport, public: Any, name: str
) -> None:
    upload_id = public.initiate_layer_upload(repositoryName=name)["uploadId"]

    def send(first: int, data: bytes) -> Any:
        return public.upload_layer_part(
            repositoryName=name,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=first + len(data) - 1,
            layerPartBlob=data,
        )

    send(0, b"begun")
    size = limits.PUBLIC_LAYER_BYTES - 4
    with closing(sqlite3.connect(homeport.data / "homeport.db", timeout=30)) as db, db:
        (key,) = db.execute("SELECT storage_key FROM upload WHERE id = ?", (upload_id,)).fetchone()
        db.execute("UPDATE upload SET offset = ? WHERE id = ?", (size, upload_id))
    os.truncate(homeport.data / "blobs" / "staging" / str(key).removeprefix("data/"), size)

    filled = send(size, b"last")
    code, message = refused(send, first=limits.PUBLIC_LAYER_BYTES, data=b"x")

    assert filled["lastByteReceived"] == limits.PUBLIC_LAYER_BYTES - 1
    assert code == "LimitExceededException"
    assert str(10_000 * 1024 * 1024) in message


def test_the_quota_of_parts_is_that_of_ecr_public(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport(environment={"HOMEPORT_QUOTAS": "public_layer_parts=2"})
    client = server.client("ecr-public")
    name = new_public(client)
    upload_id = client.initiate_layer_upload(repositoryName=name)["uploadId"]

    def send(at: int) -> Any:
        return client.upload_layer_part(
            repositoryName=name, uploadId=upload_id, partFirstByte=at, partLastByte=at, layerPartBlob=b"x"
        )

    send(0)
    send(1)

    assert refused(send, at=2)[0] == "LimitExceededException"


# --- Registries by alias ---


def test_a_registry_is_named_by_its_alias_or_its_account(public: Any, account: str, name: str) -> None:
    image = random_image()

    for registry in (alias_of(public), account):
        put(public, name, image, f"by-{len(registry)}", registryId=registry)

    (shown,) = public.describe_images(repositoryName=name, registryId=account)["imageDetails"]
    assert shown["imageTags"] == [f"by-{len(account)}", f"by-{len(alias_of(public))}"]


def test_an_alias_that_nobody_has_is_no_registry(public: Any, name: str) -> None:
    calls: dict[str, dict[str, Any]] = {
        "initiate_layer_upload": {},
        "put_image": {"imageManifest": "{}"},
        "batch_check_layer_availability": {"layerDigests": [MISSING]},
    }
    for method, params in calls.items():
        code, message = refused(
            getattr(public, method), repositoryName=name, registryId="nobody-has-this", **params
        )
        assert code == "RegistryNotFoundException", method
        assert "nobody-has-this" in message
