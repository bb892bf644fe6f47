"""boto3 alone can do everything that docker push and docker pull do, as ECR's API allows."""

from __future__ import annotations

import random
import urllib.request
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.harness.images import (
    OCI_INDEX,
    OCI_LAYER,
    Blob,
    Image,
    artifact,
    bytes_of,
    random_image,
    random_index,
)
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

pytestmark = pytest.mark.clients

PART = 5 * 1024 * 1024


def upload(homeport: Homeport, repository: str, data: bytes, digest: str, part: int = PART) -> None:
    """Push a layer through InitiateLayerUpload, UploadLayerPart and CompleteLayerUpload."""
    ecr = homeport.client()
    begun = ecr.initiate_layer_upload(repositoryName=repository)
    assert begun["partSize"] >= PART
    for first in range(0, len(data), part):
        piece = data[first : first + part]
        last = first + len(piece) - 1
        answer = ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=begun["uploadId"],
            partFirstByte=first,
            partLastByte=last,
            layerPartBlob=piece,
        )
        assert answer["lastByteReceived"] == last
    done = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=begun["uploadId"], layerDigests=[digest]
    )
    assert done["layerDigest"] == digest


def put(homeport: Homeport, repository: str, image: Image, tag: str) -> str:
    """Push a whole image through the API; returns the digest that PutImage answers."""
    for blob in image.blobs:
        upload(homeport, repository, blob.data, blob.digest)
    answer = homeport.client().put_image(
        repositoryName=repository,
        imageManifest=image.manifest.text,
        imageManifestMediaType=image.manifest.media_type,
        imageTag=tag,
    )
    return answer["image"]["imageId"]["imageDigest"]


def download(homeport: Homeport, repository: str, digest: str) -> bytes:
    """Fetch a layer as any program would: from the URL, with no credentials beside it."""
    answer = homeport.client().get_download_url_for_layer(repositoryName=repository, layerDigest=digest)
    assert answer["layerDigest"] == digest
    with urllib.request.urlopen(answer["downloadUrl"], timeout=30) as body:
        data: bytes = body.read()
    return data


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_an_image_pushed_and_pulled_by_api_calls_alone_is_unchanged(
    homeport: Homeport, repository: str
) -> None:
    image = random_image(layer_bytes=2 * PART + 1000)
    ecr = homeport.client()

    pushed = put(homeport, repository, image, "v1")
    got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])

    assert pushed == image.digest
    assert got["failures"] == []
    found = got["images"][0]
    assert found["imageManifest"] == image.manifest.text
    assert found["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    for blob in image.blobs:
        assert download(homeport, repository, blob.digest) == blob.data


def test_what_the_api_pushed_can_be_pulled_by_container_clients_and_the_reverse(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    by_api, by_oci = random_image(layers=2), random_image(layers=2)

    put(homeport, repository, by_api, "api")
    oci.push(repository, by_oci, "oci")

    assert oci.pull(repository, "api") == bytes_of(by_api)
    got = homeport.client().batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "oci"}])
    assert got["images"][0]["imageManifest"] == by_oci.manifest.text
    assert download(homeport, repository, by_oci.layers[1].digest) == by_oci.layers[1].data


def test_a_new_repository_is_described_with_its_address_and_defaults(
    homeport: Homeport, new_repository: Callable[[], str]
) -> None:
    name = new_repository()
    account, region = homeport.credentials.account_id, homeport.credentials.region

    described = homeport.client().describe_repositories(repositoryNames=[name])["repositories"]

    assert len(described) == 1
    found = described[0]
    assert found["repositoryName"] == name
    assert found["registryId"] == account
    assert found["repositoryArn"] == f"arn:aws:ecr:{region}:{account}:repository/{name}"
    assert found["repositoryUri"] == f"{homeport.host}/{name}"
    assert found["imageTagMutability"] == "MUTABLE"


def test_layers_are_reported_available_only_where_they_were_uploaded(
    homeport: Homeport, repository: str, new_repository: Callable[[], str]
) -> None:
    other = new_repository()
    image = random_image()
    put(homeport, repository, image, "v1")
    digest = image.layers[0].digest
    missing = "sha256:" + "0" * 64
    ecr = homeport.client()

    here = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest, missing])
    there = ecr.batch_check_layer_availability(repositoryName=other, layerDigests=[digest])

    states = {layer["layerDigest"]: layer["layerAvailability"] for layer in here["layers"]}
    assert states == {digest: "AVAILABLE", missing: "UNAVAILABLE"}
    assert [layer["layerAvailability"] for layer in there["layers"]] == ["UNAVAILABLE"]


def test_a_part_that_does_not_continue_the_upload_is_refused_with_the_last_good_byte(
    homeport: Homeport, repository: str
) -> None:
    ecr = homeport.client()
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    first = random.randbytes(PART)
    common = {"repositoryName": repository, "uploadId": upload_id}
    ecr.upload_layer_part(partFirstByte=0, partLastByte=PART - 1, layerPartBlob=first, **common)

    with pytest.raises(ClientError) as error:
        ecr.upload_layer_part(partFirstByte=PART + 5, partLastByte=PART + 9, layerPartBlob=b"12345", **common)

    assert refusal(error)[0] == "InvalidLayerPartException"
    assert error.value.response["lastValidByteReceived"] == PART - 1  # type: ignore[typeddict-item]


def test_a_layer_with_the_wrong_digest_is_not_stored(homeport: Homeport, repository: str) -> None:
    data = random.randbytes(1000)
    wrong = Blob(OCI_LAYER, data + b"!").digest

    with pytest.raises(ClientError) as error:
        upload(homeport, repository, data, wrong)

    state = homeport.client().batch_check_layer_availability(repositoryName=repository, layerDigests=[wrong])
    assert refusal(error)[0] == "InvalidLayerException"
    assert state["layers"][0]["layerAvailability"] == "UNAVAILABLE"


def test_an_image_whose_layers_are_missing_is_refused(homeport: Homeport, repository: str) -> None:
    image = random_image()

    with pytest.raises(ClientError) as error:
        homeport.client().put_image(repositoryName=repository, imageManifest=image.manifest.text)

    assert refusal(error)[0] == "LayersNotFoundException"


def test_describe_images_tells_size_tags_and_kind(homeport: Homeport, repository: str) -> None:
    image = random_image(layers=2)
    put(homeport, repository, image, "v1")
    ecr = homeport.client()
    ecr.put_image(repositoryName=repository, imageManifest=image.manifest.text, imageTag="latest")

    details = ecr.describe_images(repositoryName=repository)["imageDetails"]

    assert len(details) == 1
    assert details[0]["imageDigest"] == image.digest
    assert sorted(details[0]["imageTags"]) == ["latest", "v1"]
    assert details[0]["imageManifestMediaType"] == image.manifest.media_type
    assert details[0]["artifactMediaType"] == image.config.media_type
    layers = sum(layer.size for layer in image.layers)
    assert layers <= details[0]["imageSizeInBytes"] <= layers + image.config.size + image.manifest.size


def test_the_same_image_under_the_same_tag_is_reported_as_existing(
    homeport: Homeport, repository: str
) -> None:
    image = random_image()
    put(homeport, repository, image, "v1")

    with pytest.raises(ClientError) as error:
        homeport.client().put_image(
            repositoryName=repository, imageManifest=image.manifest.text, imageTag="v1"
        )

    account = homeport.credentials.account_id
    assert refusal(error) == (
        "ImageAlreadyExistsException",
        f"Image with digest '{image.digest}' and tag 'v1' already exists in the repository "
        f"with name '{repository}' in registry with id '{account}'",
    )


def test_every_image_and_tag_is_listed_through_small_pages(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    images = [random_image() for _ in range(7)]
    for number, image in enumerate(images):
        oci.push(repository, image, f"v{number}")
    oci.push_manifest(repository, images[0].manifest, "latest")
    pages = (
        homeport.client()
        .get_paginator("list_images")
        .paginate(repositoryName=repository, PaginationConfig={"PageSize": 3})
    )

    sizes, found = [], set()
    for page in pages:
        sizes.append(len(page["imageIds"]))
        found |= {(entry["imageDigest"], entry["imageTag"]) for entry in page["imageIds"]}

    expected = {(image.digest, f"v{number}") for number, image in enumerate(images)}
    assert found == expected | {(images[0].digest, "latest")}
    assert sum(sizes) == 8
    assert max(sizes) <= 3


def test_a_multi_platform_image_is_put_after_its_images_and_read_back(
    homeport: Homeport, repository: str
) -> None:
    index = random_index()
    ecr = homeport.client()
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName=repository, imageManifest=index.manifest.text, imageTag="all")
    for image in index.images:
        put(homeport, repository, image, image.platform.replace("/", "-"))

    ecr.put_image(repositoryName=repository, imageManifest=index.manifest.text, imageTag="all")
    got = ecr.batch_get_image(
        repositoryName=repository, imageIds=[{"imageTag": "all"}], acceptedMediaTypes=[OCI_INDEX]
    )

    assert refusal(error)[0] == "ReferencedImagesNotFoundException"
    assert got["images"][0]["imageManifest"] == index.manifest.text
    assert got["images"][0]["imageManifestMediaType"] == OCI_INDEX


def test_an_image_inside_an_index_can_only_be_deleted_after_the_index(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "all")
    child = {"imageDigest": index.images[0].digest}
    ecr = homeport.client()

    early = ecr.batch_delete_image(repositoryName=repository, imageIds=[{**child}])  # type: ignore[typeddict-item]
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": index.digest}])
    late = ecr.batch_delete_image(repositoryName=repository, imageIds=[{**child}])  # type: ignore[typeddict-item]

    assert [failure["failureCode"] for failure in early["failures"]] == ["ImageReferencedByManifestList"]
    assert index.digest in early["failures"][0]["failureReason"]
    assert late["imageIds"] == [child]
    assert late["failures"] == []


def test_deleting_one_of_two_tags_keeps_the_image_and_deleting_the_last_removes_it(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "one")
    oci.push_manifest(repository, image.manifest, "two")
    ecr = homeport.client()

    first = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "one"}])
    still_there = oci.get_manifest(repository, image.digest).status
    second = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "two"}])

    assert first["imageIds"] == [{"imageDigest": image.digest, "imageTag": "one"}]
    assert still_there == 200
    assert second["imageIds"] == [{"imageDigest": image.digest, "imageTag": "two"}]
    assert oci.get_manifest(repository, image.digest).status == 404
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_some_images_can_be_missing_without_spoiling_the_others(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")
    wanted = [{"imageTag": "v1"}, {"imageTag": "none"}]
    ecr = homeport.client()

    got = ecr.batch_get_image(repositoryName=repository, imageIds=wanted)  # type: ignore[arg-type]

    assert [found["imageId"]["imageDigest"] for found in got["images"]] == [image.digest]
    assert got["failures"] == [
        {
            "imageId": {"imageTag": "none"},
            "failureCode": "ImageNotFound",
            "failureReason": "Requested image not found",
        }
    ]


def test_a_deleted_repository_is_unknown_and_its_name_is_free_again(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    oci.push(repository, random_image(), "v1")
    ecr = homeport.client()

    with pytest.raises(ClientError) as not_empty:
        ecr.delete_repository(repositoryName=repository)
    ecr.delete_repository(repositoryName=repository, force=True)
    with pytest.raises(ClientError) as unknown:
        ecr.list_images(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)

    account = homeport.credentials.account_id
    assert refusal(not_empty)[0] == "RepositoryNotEmptyException"
    assert refusal(unknown) == (
        "RepositoryNotFoundException",
        f"The repository with name '{repository}' does not exist in the registry with id '{account}'",
    )
    assert oci.tags(repository) == []


def test_a_tag_of_an_immutable_repository_cannot_be_moved(homeport: Homeport, repository: str) -> None:
    ecr = homeport.client()
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    first, second = random_image(), random_image()
    put(homeport, repository, first, "v1")

    with pytest.raises(ClientError) as error:
        put(homeport, repository, second, "v1")

    tagged = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    assert refusal(error)[0] == "ImageTagAlreadyExistsException"
    assert tagged["imageDetails"][0]["imageDigest"] == first.digest


def test_artifacts_about_an_image_are_told_apart_from_images(
    homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")
    signature = artifact(b"signed", artifact_type="application/x-signature", subject=image.manifest)
    oci.push(repository, signature)

    details = homeport.client().describe_images(repositoryName=repository)["imageDetails"]

    kinds = {entry["imageDigest"]: entry["artifactMediaType"] for entry in details}
    subjects = {entry["imageDigest"]: entry.get("subjectManifestDigest") for entry in details}
    assert kinds[signature.digest] == "application/x-signature"
    assert subjects == {image.digest: None, signature.digest: image.digest}


def test_the_caller_is_who_signed(homeport: Homeport) -> None:
    who = homeport.credentials

    identity = homeport.client("sts").get_caller_identity()

    assert identity["Account"] == who.account_id
    assert identity["Arn"] == who.user_arn


def test_a_wrong_secret_key_is_refused(homeport: Homeport) -> None:
    forger = homeport.client(aws_secret_access_key="x" * 40)

    with pytest.raises(ClientError) as error:
        forger.describe_repositories()

    assert refusal(error)[0] == "InvalidSignatureException"


def test_a_user_without_permission_is_told_which_one_is_missing(homeport: Homeport, repository: str) -> None:
    stranger = homeport.user(f"stranger-{random.getrandbits(60):x}", None)

    with pytest.raises(ClientError) as error:
        homeport.client(credentials=stranger).list_images(repositoryName=repository)

    code, message = refusal(error)
    assert code == "AccessDeniedException"
    assert stranger.user_arn in message
    assert "is not authorized to perform: ecr:ListImages" in message
