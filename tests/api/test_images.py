"""Images through the API: put, get, describe, list, delete and referrers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import MISSING, new_name, put, put_manifest, refused, upload
from tests.harness.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    Image,
    artifact,
    index_of,
    random_image,
    random_index,
    sha256,
)
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

# --- PutImage ---


def test_a_put_image_answers_the_image_it_stored(ecr: Any, account: str, repository: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(ecr, repository, blob.data)

    stored = ecr.put_image(
        repositoryName=repository,
        imageManifest=image.manifest.text,
        imageTag="v1",
        imageDigest=image.digest,
    )["image"]

    assert stored == {
        "registryId": account,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.digest, "imageTag": "v1"},
        "imageManifest": image.manifest.text,
        "imageManifestMediaType": OCI_MANIFEST,
    }


def test_a_manifest_of_few_characters_and_too_many_bytes_is_bad_input(ecr: Any, repository: str) -> None:
    document = {**random_image().manifest.json(), "annotations": {"padding": "é" * (2 * 1024 * 1024)}}

    code, message = refused(
        ecr.put_image, repositoryName=repository, imageManifest=json.dumps(document, ensure_ascii=False)
    )

    assert code == "InvalidParameterException"
    assert "length less than or equal to 4194304" in message


def test_a_second_tag_joins_the_first_and_does_not_renew_the_push(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    before = ecr.describe_images(repositoryName=repository)["imageDetails"][0]["imagePushedAt"]

    put_manifest(ecr, repository, image.manifest, "v2")

    found = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert [(each["imageTags"], each["imagePushedAt"]) for each in found] == [(["v1", "v2"], before)]


def test_a_moved_tag_leaves_its_former_image_without_it(ecr: Any, repository: str) -> None:
    first, second = random_image(), random_image()
    put(ecr, repository, first, "v1", "stays")
    put(ecr, repository, second, "v1")

    found = ecr.describe_images(repositoryName=repository)["imageDetails"]

    tags = {each["imageDigest"]: each.get("imageTags") for each in found}
    assert tags == {first.digest: ["stays"], second.digest: ["v1"]}


def test_the_same_digest_and_tag_again_is_an_error(ecr: Any, account: str, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")

    with_tag = refused(
        ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text, imageTag="v1"
    )
    without = refused(ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text)

    where = f"already exists in the repository with name '{repository}' in registry with id '{account}'"
    assert with_tag == (
        "ImageAlreadyExistsException",
        f"Image with digest '{image.digest}' and tag 'v1' {where}",
    )
    assert without[0] == "ImageAlreadyExistsException"


def test_an_image_without_its_layers_is_refused_and_every_missing_one_named(
    ecr: Any, account: str, repository: str
) -> None:
    image = random_image(layers=2)
    upload(ecr, repository, image.layers[0].data)

    code, message = refused(ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text)

    assert code == "LayersNotFoundException"
    missing = f"'[{image.config.digest}, {image.layers[1].digest}]'"
    assert message == (
        f"Layers with digests {missing} required for pushing image into repository with name "
        f"'{repository}' in the registry with id '{account}' do not exist"
    )


def test_layers_of_another_repository_do_not_count(
    ecr: Any, repository: str, new_repository: Callable[[], str]
) -> None:
    image = random_image()
    put(ecr, new_repository(), image, "v1")

    code, _ = refused(ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text)

    assert code == "LayersNotFoundException"


@pytest.mark.parametrize("docker", [False, True])
def test_a_list_before_its_images_is_refused_and_every_missing_one_named(
    ecr: Any, account: str, repository: str, docker: bool
) -> None:
    index = random_index(docker=docker)

    code, message = refused(ecr.put_image, repositoryName=repository, imageManifest=index.manifest.text)

    assert code == "ReferencedImagesNotFoundException"
    missing = ", ".join(image.digest for image in index.images)
    assert message == (
        f"Images with digests '[{missing}]' required for pushing image into repository with name "
        f"'{repository}' in the registry with id '{account}' do not exist"
    )


@pytest.mark.parametrize(("docker", "kind"), [(False, OCI_INDEX), (True, DOCKER_LIST)])
def test_a_list_has_the_size_of_its_largest_image(ecr: Any, repository: str, docker: bool, kind: str) -> None:
    small, large = random_image(docker=docker), random_image(layers=3, docker=docker)
    index = index_of([small, large], docker=docker)
    put(ecr, repository, small)
    put(ecr, repository, large)

    put_manifest(ecr, repository, index.manifest, "all")

    found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "all"}])["imageDetails"]
    assert found[0]["imageManifestMediaType"] == kind
    assert found[0]["imageSizeInBytes"] == sum(blob.size for blob in large.blobs)


def test_a_digest_that_is_not_the_manifests_is_refused(ecr: Any, repository: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(ecr, repository, blob.data)

    code, message = refused(
        ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text, imageDigest=MISSING
    )

    assert code == "ImageDigestDoesNotMatchException"
    assert MISSING in message
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("not json", "Invalid JSON syntax"),
        ("[]", "Invalid JSON syntax"),
        ('{"schemaVersion":2,"schemaVersion":2}', "A key appears twice in one object"),
        ('{"schemaVersion":2}', "imageManifestMediaType is required"),
        (f'{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}"}}', "needs the members config and layers"),
        (f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}"}}', "needs the member manifests"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_the_reason(
    ecr: Any, repository: str, manifest: str, reason: str
) -> None:
    code, message = refused(ecr.put_image, repositoryName=repository, imageManifest=manifest)

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '")
    assert reason in message


def test_a_manifest_without_media_type_needs_one_beside_it(ecr: Any, repository: str) -> None:
    image = random_image()
    document = {key: value for key, value in image.manifest.json().items() if key != "mediaType"}
    bare = Blob(OCI_MANIFEST, json.dumps(document).encode())
    for blob in image.blobs:
        upload(ecr, repository, blob.data)

    code, _ = refused(ecr.put_image, repositoryName=repository, imageManifest=bare.text)
    digest = put_manifest(ecr, repository, bare, "v1")

    assert code == "InvalidParameterException"
    assert digest == bare.digest


def test_a_media_type_beside_the_manifest_must_agree_with_it(ecr: Any, repository: str) -> None:
    image = random_image()

    code, message = refused(
        ecr.put_image,
        repositoryName=repository,
        imageManifest=image.manifest.text,
        imageManifestMediaType=DOCKER_MANIFEST,
    )

    assert code == "InvalidParameterException"
    assert "does not agree" in message


@pytest.mark.parametrize("tag", ["-v1", ".v1", "a b", "a/b", "a:b", "x" * 129])
def test_a_malformed_tag_is_refused(ecr: Any, repository: str, tag: str) -> None:
    image = random_image()
    put(ecr, repository, image)

    code, message = refused(
        ecr.put_image, repositoryName=repository, imageManifest=image.manifest.text, imageTag=tag
    )

    assert code == "InvalidParameterException"
    assert "imageTag" in message


def test_the_exact_bytes_of_a_manifest_are_kept(ecr: Any, repository: str, oci: OciClient) -> None:
    image = random_image()
    spaced = json.dumps({**image.manifest.json(), "annotations": {"ä": "\u2028 ☃"}}, indent=3)
    manifest = Blob(OCI_MANIFEST, spaced.encode())
    for blob in image.blobs:
        upload(ecr, repository, blob.data)

    digest = put_manifest(ecr, repository, manifest, "v1")

    got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["images"]
    assert digest == manifest.digest
    assert got[0]["imageManifest"] == spaced
    assert oci.pull_manifest(repository, "v1").data == manifest.data


# --- BatchGetImage ---


def test_each_image_of_a_batch_answers_or_fails_by_itself(ecr: Any, account: str, repository: str) -> None:
    image, other = random_image(), random_image()
    put(ecr, repository, image, "v1")
    put(ecr, repository, other, "other")
    asked = [
        {"imageTag": "v1"},
        {"imageDigest": image.digest},
        {"imageDigest": image.digest, "imageTag": "v1"},
        {"imageTag": "none"},
        {"imageDigest": MISSING},
        {},
        {"imageDigest": "sha256:123"},
        {"imageDigest": image.digest, "imageTag": "other"},
    ]

    got = ecr.batch_get_image(repositoryName=repository, imageIds=asked)

    assert [each["imageId"] for each in got["images"]] == [
        {"imageDigest": image.digest, "imageTag": "v1"},
        {"imageDigest": image.digest},
        {"imageDigest": image.digest, "imageTag": "v1"},
    ]
    assert {each["registryId"] for each in got["images"]} == {account}
    assert [(each["failureCode"], each["failureReason"]) for each in got["failures"]] == [
        ("ImageNotFound", "Requested image not found"),
        ("ImageNotFound", "Requested image not found"),
        ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"),
        (
            "InvalidImageDigest",
            "Invalid request parameters: image digest should satisfy the regex "
            "'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        ),
        ("ImageTagDoesNotMatchDigest", "The image tag does not match the image digest"),
    ]
    assert got["failures"][0]["imageId"] == {"imageTag": "none"}


def test_an_answer_of_too_many_large_manifests_is_refused_and_fewer_are_given(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(ecr, repository, blob.data)
    document = {**image.manifest.json(), "annotations": {"padding": "x" * (4 * 1024 * 1024 - 2000)}}
    digest = oci.push_manifest(repository, Blob(OCI_MANIFEST, json.dumps(document).encode()), "large")
    asked = [{"imageDigest": digest}, {"imageTag": "large"}]

    code, message = refused(ecr.batch_get_image, repositoryName=repository, imageIds=asked * 5)
    few = ecr.batch_get_image(repositoryName=repository, imageIds=asked)["images"]

    assert code == "LimitExceededException"
    assert "ask for fewer" in message
    assert [each["imageId"]["imageDigest"] for each in few] == [digest] * 2


def test_a_pull_is_recorded_with_the_image(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()
    ecr: Any = server.client()
    name = new_name()
    ecr.create_repository(repositoryName=name)
    put(ecr, name, random_image(), "v1")
    unpulled = ecr.describe_images(repositoryName=name)["imageDetails"][0]

    ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])
    server.restart()  # pulls are written in batches, and at the latest when the server ends

    pulled: Any = server.client().describe_images(repositoryName=name)["imageDetails"][0]
    assert "lastRecordedPullTime" not in unpulled
    assert datetime.now(UTC) - pulled["lastRecordedPullTime"] < timedelta(minutes=1)


# --- DescribeImages and ListImages ---


def test_an_image_is_described_completely(ecr: Any, account: str, repository: str) -> None:
    image = random_image(layers=2)
    put(ecr, repository, image, "v1", "latest")

    found = ecr.describe_images(repositoryName=repository)["imageDetails"]

    assert len(found) == 1
    assert datetime.now(UTC) - found[0].pop("imagePushedAt") < timedelta(minutes=1)
    assert found[0] == {
        "registryId": account,
        "repositoryName": repository,
        "imageDigest": image.digest,
        "imageTags": ["latest", "v1"],
        "imageSizeInBytes": sum(blob.size for blob in image.blobs),
        "imageManifestMediaType": OCI_MANIFEST,
        "artifactMediaType": image.config.media_type,
        "imageStatus": "ACTIVE",
    }


@pytest.fixture
def tagged_and_not(ecr: Any, repository: str) -> tuple[Image, Image]:
    """A repository with an image of two tags, and after it one without."""
    tagged, untagged = random_image(), random_image()
    put(ecr, repository, tagged, "a", "b")
    put(ecr, repository, untagged)
    return tagged, untagged


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, (1, 0)),
        ({"tagStatus": "ANY"}, (1, 0)),
        ({"tagStatus": "TAGGED"}, (0,)),
        ({"tagStatus": "UNTAGGED"}, (1,)),
        ({"imageStatus": "ACTIVE"}, (1, 0)),
        ({"imageStatus": "ANY"}, (1, 0)),
        ({"imageStatus": "ARCHIVED"}, ()),
        ({"imageStatus": "ACTIVATING"}, ()),
        ({"tagStatus": "TAGGED", "imageStatus": "ARCHIVED"}, ()),
    ],
)
def test_filters_choose_images_newest_first(
    ecr: Any,
    repository: str,
    tagged_and_not: tuple[Image, Image],
    wanted: dict[str, str],
    expected: tuple[int, ...],
) -> None:
    pairs = {
        0: [
            {"imageDigest": tagged_and_not[0].digest, "imageTag": "a"},
            {"imageDigest": tagged_and_not[0].digest, "imageTag": "b"},
        ],
        1: [{"imageDigest": tagged_and_not[1].digest}],
    }

    described = ecr.describe_images(repositoryName=repository, filter=wanted)["imageDetails"]
    listed = ecr.list_images(repositoryName=repository, filter=wanted)["imageIds"]

    assert [each["imageDigest"] for each in described] == [tagged_and_not[place].digest for place in expected]
    assert listed == [pair for place in expected for pair in pairs[place]]


def test_named_images_are_described_once_each(
    ecr: Any, repository: str, tagged_and_not: tuple[Image, Image]
) -> None:
    tagged, untagged = tagged_and_not
    asked = [{"imageTag": "a"}, {"imageTag": "b"}, {"imageDigest": untagged.digest}]

    found = ecr.describe_images(repositoryName=repository, imageIds=asked)["imageDetails"]

    assert sorted(each["imageDigest"] for each in found) == sorted([tagged.digest, untagged.digest])


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"imageTag": "v9"}, "{imageDigest:'null', imageTag:'v9'}"),
        ({"imageDigest": MISSING}, f"{{imageDigest:'{MISSING}', imageTag:'null'}}"),
    ],
)
def test_an_unknown_image_is_named_as_ecr_names_it(
    ecr: Any, account: str, repository: str, asked: dict[str, str], shown: str
) -> None:
    put(ecr, repository, random_image(), "v1")

    refusal = refused(ecr.describe_images, repositoryName=repository, imageIds=[{"imageTag": "v1"}, asked])

    assert refusal == (
        "ImageNotFoundException",
        f"The image with imageId {shown} does not exist within the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )


@pytest.mark.parametrize("more", [{"maxResults": 5}, {"nextToken": "x"}])
def test_named_images_and_pages_exclude_each_other(ecr: Any, repository: str, more: dict[str, Any]) -> None:
    code, message = refused(
        ecr.describe_images, repositoryName=repository, imageIds=[{"imageTag": "v1"}], **more
    )

    assert code == "InvalidParameterException"
    assert "imageIds" in message


# --- BatchDeleteImage ---


def test_deleting_by_digest_takes_every_tag_and_says_so(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "a", "b")

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": image.digest}])

    assert gone["imageIds"] == [
        {"imageDigest": image.digest, "imageTag": "a"},
        {"imageDigest": image.digest, "imageTag": "b"},
    ]
    assert gone["failures"] == []
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_deleting_all_tags_one_by_one_in_a_single_call_deletes_the_image(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "a", "b")
    asked = [{"imageTag": "a"}, {"imageTag": "b"}, {"imageTag": "b"}]

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=asked)

    assert gone["imageIds"] == [{"imageDigest": image.digest, "imageTag": tag} for tag in "ab"]
    assert [each["failureCode"] for each in gone["failures"]] == ["ImageNotFound"]
    assert ecr.describe_images(repositoryName=repository)["imageDetails"] == []


def test_failures_of_a_deletion_do_not_stop_the_rest(ecr: Any, repository: str) -> None:
    image, other = random_image(), random_image()
    put(ecr, repository, image, "v1")
    put(ecr, repository, other, "v2")
    asked = [
        {},
        {"imageDigest": "sha256:123"},
        {"imageTag": "none"},
        {"imageDigest": image.digest, "imageTag": "v2"},
        {"imageTag": "v1"},
    ]

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=asked)

    assert [each["failureCode"] for each in gone["failures"]] == [
        "MissingDigestAndTag",
        "InvalidImageDigest",
        "ImageNotFound",
        "ImageTagDoesNotMatchDigest",
    ]
    assert gone["imageIds"] == [{"imageDigest": image.digest, "imageTag": "v1"}]
    assert ecr.list_images(repositoryName=repository)["imageIds"] == [
        {"imageDigest": other.digest, "imageTag": "v2"}
    ]


def test_an_image_in_a_list_stays_until_the_list_is_gone(ecr: Any, repository: str) -> None:
    index = random_index()
    for image in index.images:
        put(ecr, repository, image, image.platform.replace("/", "-"))
    put_manifest(ecr, repository, index.manifest, "all")
    child = index.images[0]

    by_digest = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": child.digest}])
    by_last_tag = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "linux-amd64"}])
    in_order = ecr.batch_delete_image(
        repositoryName=repository, imageIds=[{"imageTag": "all"}, {"imageDigest": child.digest}]
    )

    for refusal in (by_digest, by_last_tag):
        assert refusal["imageIds"] == []
        assert [(each["failureCode"], each["failureReason"]) for each in refusal["failures"]] == [
            (
                "ImageReferencedByManifestList",
                f"Requested image referenced by manifest list: [{index.digest}]",
            )
        ]
    assert in_order["failures"] == []
    assert [each["imageTag"] for each in in_order["imageIds"]] == ["all", "linux-amd64"]


def test_a_deleted_image_can_be_pushed_again_from_its_layers(ecr: Any, repository: str) -> None:
    image = random_image()
    put(ecr, repository, image, "v1")
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])

    put(ecr, repository, image, "v1")

    assert ecr.list_images(repositoryName=repository)["imageIds"] == [
        {"imageDigest": image.digest, "imageTag": "v1"}
    ]


# --- ListImageReferrers ---

SBOM, SIGNATURE = "application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"


def test_artifacts_about_an_image_are_listed_with_what_they_say(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    image = random_image()
    signature = artifact(b"signed", artifact_type=SIGNATURE, subject=image.manifest, annotations={"by": "ci"})
    sbom = artifact(b"{}", artifact_type=SBOM, subject=image.manifest)
    by_config = random_image(subject=image.manifest)
    for pushed in (image, signature, sbom, by_config, artifact(b"other", artifact_type=SBOM)):
        oci.push(repository, pushed)

    def referrers(**asked: Any) -> list[dict[str, Any]]:
        answer = ecr.list_image_referrers(
            repositoryName=repository, subjectId={"imageDigest": image.digest}, **asked
        )
        found: list[dict[str, Any]] = answer["referrers"]
        return found

    kinds = {each["digest"]: each["artifactType"] for each in referrers()}
    assert kinds == {
        signature.digest: SIGNATURE,
        sbom.digest: SBOM,
        by_config.digest: by_config.config.media_type,
    }
    assert referrers(filter={"artifactTypes": [SIGNATURE]}) == [
        {
            "digest": signature.digest,
            "mediaType": OCI_MANIFEST,
            "artifactType": SIGNATURE,
            "size": signature.manifest.size,
            "annotations": {"by": "ci"},
            "artifactStatus": "ACTIVE",
        }
    ]
    assert len(referrers(filter={"artifactTypes": [SIGNATURE, SBOM], "artifactStatus": "ANY"})) == 2
    assert referrers(filter={"artifactTypes": ["application/none"]}) == []
    assert referrers(filter={"artifactStatus": "ARCHIVED"}) == []


def test_referrers_of_an_image_that_is_not_there_yet_are_listed(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    later = random_image()
    signature = artifact(b"signed", artifact_type=SIGNATURE, subject=later.manifest)
    oci.push(repository, signature)

    found = ecr.list_image_referrers(repositoryName=repository, subjectId={"imageDigest": later.digest})
    described = ecr.describe_images(repositoryName=repository)["imageDetails"]

    assert [each["digest"] for each in found["referrers"]] == [signature.digest]
    assert described[0]["subjectManifestDigest"] == later.digest


def test_a_subject_that_is_no_digest_is_refused(ecr: Any, repository: str) -> None:
    code, message = refused(
        ecr.list_image_referrers, repositoryName=repository, subjectId={"imageDigest": "latest"}
    )

    assert code == "InvalidParameterException"
    assert "imageDigest" in message


def test_an_image_of_another_digest_algorithm_is_put_and_found(ecr: Any, repository: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(ecr, repository, blob.data)
    digest = "sha512:" + hashlib.sha512(image.manifest.data).hexdigest()

    stored = put_manifest(ecr, repository, image.manifest, "v1", imageDigest=digest)

    assert stored == digest
    assert sha256(image.manifest.data) != digest
    found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    assert found["imageDetails"][0]["imageTags"] == ["v1"]
