"""Repositories through the API: create, describe, delete, and whether their tags may move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import at_once, new_name, put, refused, unknown_repository, upload
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport


def test_a_created_repository_answers_every_member_that_clients_read(
    homeport: Homeport, ecr: Any, account: str
) -> None:
    name, region = new_name(), homeport.credentials.region

    created = ecr.create_repository(repositoryName=name)["repository"]

    assert datetime.now(UTC) - created.pop("createdAt") < timedelta(minutes=1)
    assert created == {
        "repositoryArn": f"arn:aws:ecr:{region}:{account}:repository/{name}",
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": f"{homeport.host}/{name}",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def test_what_the_creator_chooses_is_what_is_described(ecr: Any) -> None:
    name = new_name()
    filters = [{"filterType": "WILDCARD", "filter": "latest*"}, {"filterType": "WILDCARD", "filter": "dev-*"}]

    ecr.create_repository(
        repositoryName=name,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "AES256"},
        tags=[{"Key": "team", "Value": "cart"}],
    )

    found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert found["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert found["imageTagMutabilityExclusionFilters"] == filters
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"] == [
        {"Key": "team", "Value": "cart"}
    ]


def test_a_name_can_be_used_only_once(ecr: Any, account: str) -> None:
    name = new_name()
    ecr.create_repository(repositoryName=name)

    refusal = refused(ecr.create_repository, repositoryName=name)

    assert refusal == (
        "RepositoryAlreadyExistsException",
        f"The repository with name '{name}' already exists in the registry with id '{account}'",
    )


@pytest.mark.parametrize("name", ["Upper/case", "a//b", "-a", "a/", "a..b", "a b", "ä" * 3])
def test_a_malformed_name_is_refused_with_the_pattern_it_breaks(ecr: Any, name: str) -> None:
    code, message = refused(ecr.create_repository, repositoryName=name)

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must sat")
    assert "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*" in message


def test_encryption_that_would_not_happen_is_not_promised(ecr: Any) -> None:
    name = new_name()

    code, message = refused(
        ecr.create_repository, repositoryName=name, encryptionConfiguration={"encryptionType": "KMS"}
    )

    assert code == "InvalidParameterException"
    assert "AES256" in message
    assert refused(ecr.describe_repositories, repositoryNames=[name])[0] == "RepositoryNotFoundException"


def test_one_unknown_name_fails_a_description_of_several(
    ecr: Any, account: str, new_repository: Callable[[], str]
) -> None:
    known, unknown = new_repository(), new_name()

    refusal = refused(ecr.describe_repositories, repositoryNames=[known, unknown])

    assert refusal == unknown_repository(unknown, account)


def test_named_repositories_are_described_in_the_order_asked_for(
    ecr: Any, new_repository: Callable[[], str]
) -> None:
    names = sorted([new_repository() for _ in range(3)], reverse=True)

    found = ecr.describe_repositories(repositoryNames=names)["repositories"]

    assert [each["repositoryName"] for each in found] == names


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("batch_check_layer_availability", {"layerDigests": ["sha256:" + "0" * 64]}),
        ("batch_delete_image", {"imageIds": [{"imageTag": "v1"}]}),
        ("batch_get_image", {"imageIds": [{"imageTag": "v1"}]}),
        (
            "complete_layer_upload",
            {"uploadId": "00000000-0000-4000-8000-000000000000", "layerDigests": ["sha256:" + "0" * 64]},
        ),
        ("delete_repository", {}),
        ("delete_repository_policy", {}),
        ("describe_images", {}),
        ("get_download_url_for_layer", {"layerDigest": "sha256:" + "0" * 64}),
        ("get_repository_policy", {}),
        ("initiate_layer_upload", {}),
        ("list_image_referrers", {"subjectId": {"imageDigest": "sha256:" + "0" * 64}}),
        ("list_images", {}),
        ("put_image", {"imageManifest": "{}"}),
        ("put_image_tag_mutability", {"imageTagMutability": "MUTABLE"}),
        ("set_repository_policy", {"policyText": "{}"}),
        (
            "upload_layer_part",
            {
                "uploadId": "00000000-0000-4000-8000-000000000000",
                "partFirstByte": 0,
                "partLastByte": 0,
                "layerPartBlob": b"x",
            },
        ),
    ],
)
def test_every_operation_says_in_the_same_words_that_a_repository_is_unknown(
    ecr: Any, account: str, operation: str, more: dict[str, Any]
) -> None:
    name = new_name()

    refusal = refused(getattr(ecr, operation), repositoryName=name, **more)

    assert refusal == unknown_repository(name, account)


def test_a_repository_with_images_is_deleted_only_by_force(
    ecr: Any, account: str, repository: str, oci: OciClient
) -> None:
    put(ecr, repository, random_image(), "v1")

    refusal = refused(ecr.delete_repository, repositoryName=repository)
    still_there = oci.tags(repository)
    gone = ecr.delete_repository(repositoryName=repository, force=True)["repository"]

    assert refusal == (
        "RepositoryNotEmptyException",
        f"The repository with name '{repository}' in registry with id '{account}' "
        "cannot be deleted because it still contains images",
    )
    assert still_there == ["v1"]
    assert gone["repositoryName"] == repository
    assert refused(ecr.list_images, repositoryName=repository) == unknown_repository(repository, account)


def test_an_untagged_image_protects_its_repository_too(ecr: Any, repository: str) -> None:
    put(ecr, repository, random_image())

    code, _ = refused(ecr.delete_repository, repositoryName=repository)

    assert code == "RepositoryNotEmptyException"


def test_an_empty_repository_is_deleted_without_force_and_starts_afresh_when_created_again(
    ecr: Any, repository: str
) -> None:
    digest = upload(ecr, repository, b"left behind")
    ecr.set_repository_policy(
        repositoryName=repository,
        policyText='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}',
    )

    ecr.delete_repository(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)

    layers = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])["layers"]
    assert layers[0]["layerAvailability"] == "UNAVAILABLE"
    code, _ = refused(ecr.get_repository_policy, repositoryName=repository)
    assert code == "RepositoryPolicyNotFoundException"


def test_an_upload_does_not_survive_its_repository(ecr: Any, repository: str) -> None:
    begun = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = {"uploadId": begun, "partFirstByte": 0, "partLastByte": 2, "layerPartBlob": b"abc"}

    ecr.delete_repository(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)

    code, _ = refused(ecr.upload_layer_part, repositoryName=repository, **part)
    assert code == "UploadNotFoundException"


def test_of_many_who_create_the_same_repository_one_succeeds(ecr: Any) -> None:
    name = new_name()

    outcomes = at_once(lambda _: ecr.create_repository(repositoryName=name), range(8))

    assert sorted(outcomes) == ["RepositoryAlreadyExistsException"] * 7 + ["done"]


# --- Whether tags may move ---


def move(ecr: Any, repository: str, tag: str) -> str | None:
    """Push a first image under `tag` and then another; return the error code of the second push."""
    put(ecr, repository, random_image(), tag)
    other = random_image()
    for blob in other.blobs:
        upload(ecr, repository, blob.data)
    try:
        ecr.put_image(repositoryName=repository, imageManifest=other.manifest.text, imageTag=tag)
    except ecr.exceptions.ImageTagAlreadyExistsException as error:
        code: str = error.response["Error"]["Code"]
        return code
    return None


FROZEN = "ImageTagAlreadyExistsException"


@pytest.mark.parametrize(
    ("mode", "filters", "tag", "outcome"),
    [
        ("MUTABLE", None, "v1", None),
        ("IMMUTABLE", None, "v1", FROZEN),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest*"], "v1", FROZEN),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest*"], "latest", None),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest*"], "latest-arm", None),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest*"], "not-latest", FROZEN),
        ("IMMUTABLE_WITH_EXCLUSION", ["a", "b", "c", "d", "dev-*-x"], "dev-7-x", None),
        ("MUTABLE_WITH_EXCLUSION", ["v*"], "v1", FROZEN),
        ("MUTABLE_WITH_EXCLUSION", ["v*"], "main", None),
        ("MUTABLE_WITH_EXCLUSION", ["v*.0"], "v1.0", FROZEN),
        ("MUTABLE_WITH_EXCLUSION", ["v*.0"], "v1.1", None),
    ],
)
def test_a_tag_moves_only_where_mode_and_filters_let_it(
    ecr: Any, repository: str, mode: str, filters: list[str] | None, tag: str, outcome: str | None
) -> None:
    given = [{"filterType": "WILDCARD", "filter": each} for each in filters or []]
    more = {"imageTagMutabilityExclusionFilters": given} if given else {}

    answer = ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability=mode, **more)

    assert answer["imageTagMutability"] == mode
    assert answer.get("imageTagMutabilityExclusionFilters", []) == given
    assert move(ecr, repository, tag) == outcome


def test_a_frozen_tag_is_named_in_the_refusal_and_keeps_its_image(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    first, second = random_image(), random_image()
    put(ecr, repository, first, "v1")
    put(ecr, repository, second)
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")

    refusal = refused(
        ecr.put_image, repositoryName=repository, imageManifest=second.manifest.text, imageTag="v1"
    )
    over_oci = oci.put_manifest(repository, "v1", second.manifest.data, second.manifest.media_type)

    text = (
        f"The image tag 'v1' already exists in the '{repository}' repository "
        "and cannot be overwritten because the tag is immutable."
    )
    assert refusal == (FROZEN, text)
    assert over_oci.status == 400
    assert over_oci.json()["errors"] == [{"code": "TAG_INVALID", "message": text}]
    assert oci.pull_manifest(repository, "v1").digest == first.digest


def test_a_frozen_tag_can_be_deleted_and_is_then_free(ecr: Any, repository: str) -> None:
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    put(ecr, repository, random_image(), "v1")

    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    digest = put(ecr, repository, random_image(), "v1")

    found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["imageDetails"]
    assert found[0]["imageDigest"] == digest


def test_of_many_who_push_the_same_frozen_tag_one_succeeds(ecr: Any, repository: str) -> None:
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    images = [random_image() for _ in range(6)]
    for image in images:
        for blob in image.blobs:
            upload(ecr, repository, blob.data)

    outcomes = at_once(
        lambda image: ecr.put_image(
            repositoryName=repository, imageManifest=image.manifest.text, imageTag="v1"
        ),
        images,
    )

    assert sorted(outcomes) == [FROZEN] * 5 + ["done"]
    tagged = ecr.list_images(repositoryName=repository)["imageIds"]
    assert tagged == [{"imageDigest": images[outcomes.index("done")].digest, "imageTag": "v1"}]


@pytest.mark.parametrize("mode", ["IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"])
def test_a_mode_with_exclusion_needs_filters(ecr: Any, repository: str, mode: str) -> None:
    refusal = refused(ecr.put_image_tag_mutability, repositoryName=repository, imageTagMutability=mode)

    assert refusal == (
        "InvalidParameterException",
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
        "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
        f"{mode}'",
    )


@pytest.mark.parametrize("mode", ["IMMUTABLE", "MUTABLE"])
def test_filters_without_a_mode_that_uses_them_are_refused(ecr: Any, mode: str) -> None:
    name = new_name()

    code, message = refused(
        ecr.create_repository,
        repositoryName=name,
        imageTagMutability=mode,
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "v*"}],
    )

    assert code == "InvalidParameterException"
    assert mode in message
    assert refused(ecr.describe_repositories, repositoryNames=[name])[0] == "RepositoryNotFoundException"


def test_an_unknown_mode_is_refused_with_the_ones_there_are(ecr: Any, repository: str) -> None:
    refusal = refused(ecr.put_image_tag_mutability, repositoryName=repository, imageTagMutability="FROZEN")

    assert refusal == (
        "InvalidParameterException",
        "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum "
        "value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]'",
    )


def test_a_registry_without_replication_describes_itself(ecr: Any, account: str) -> None:
    described = ecr.describe_registry()

    assert described["registryId"] == account
    assert described["replicationConfiguration"] == {"rules": []}
