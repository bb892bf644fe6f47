"""Refusals of operations on layers and images: a scenario for each listed error."""

from __future__ import annotations

import json
import random

from tests.api.calls import MISSING, put, put_manifest, upload
from tests.api.listed_errors_base import Refused, Side, both, refuses
from tests.harness.images import Blob, random_image, random_index, sha256

# --- Layers ---


NO_UPLOAD = "00000000-0000-4000-8000-000000000000"


@refuses("UploadNotFound", *both("UploadLayerPart"))
def _part_of_no_upload(side: Side) -> Refused:
    name = side.repository()
    return side.is_refused(
        f"The upload with id '{NO_UPLOAD}' does not exist in {side.in_registry(name)}",
        repositoryName=name,
        uploadId=NO_UPLOAD,
        partFirstByte=0,
        partLastByte=0,
        layerPartBlob=b"x",
    )


@refuses("UploadNotFound", *both("CompleteLayerUpload"))
def _end_of_no_upload(side: Side) -> Refused:
    name = side.repository()
    text = f"The upload with id '{NO_UPLOAD}' does not exist in {side.in_registry(name)}"
    return side.is_refused(text, repositoryName=name, uploadId=NO_UPLOAD, layerDigests=[MISSING])


@refuses("InvalidLayerPart", *both("UploadLayerPart"))
def _gap(side: Side) -> Refused:
    name = side.repository()
    begun = side.upload(name, b"abc")
    return side.is_refused(
        f"The layer part does not continue the upload with id '{begun}' at byte 3",
        repositoryName=name,
        uploadId=begun,
        partFirstByte=5,
        partLastByte=5,
        layerPartBlob=b"x",
    )


@refuses("LimitExceeded", *both("UploadLayerPart"), small=True)
def _too_many_parts(side: Side) -> Refused:
    owner = side.elsewhere()
    name = owner.repository()
    return owner.is_refused(
        "An upload can have at most 2 layer parts",
        repositoryName=name,
        uploadId=owner.upload(name, b"a", b"b"),
        partFirstByte=2,
        partLastByte=2,
        layerPartBlob=b"c",
    )


@refuses("EmptyUpload", *both("CompleteLayerUpload"))
def _empty(side: Side) -> Refused:
    name = side.repository()
    begun = side.upload(name)
    text = f"The upload with id '{begun}' does not contain any layer parts"
    return side.is_refused(text, repositoryName=name, uploadId=begun, layerDigests=[MISSING])


@refuses("LayerPartTooSmall", *both("CompleteLayerUpload"))
def _small_parts(side: Side) -> Refused:
    name = side.repository()
    return side.is_refused(
        "Layer parts except the last one must have at least 5242880 bytes",
        repositoryName=name,
        uploadId=side.upload(name, b"small", b"last"),
        layerDigests=[sha256(b"smalllast")],
    )


@refuses("InvalidLayer", *both("CompleteLayerUpload"))
def _other_bytes(side: Side) -> Refused:
    name = side.repository()
    return side.is_refused(
        f"The uploaded bytes have the digest {sha256(b'these')}, not {sha256(b'those')}",
        repositoryName=name,
        uploadId=side.upload(name, b"these"),
        layerDigests=[sha256(b"those")],
    )


@refuses("LayerAlreadyExists", *both("CompleteLayerUpload"))
def _layer_twice(side: Side) -> Refused:
    name, data = side.repository(), random.randbytes(50)
    digest = upload(side.client, name, data)
    return side.is_refused(
        f"The layer with digest '{digest}' already exists in the repository with name '{name}' in registry with "
        f"id '{side.account}'",
        repositoryName=name,
        uploadId=side.upload(name, data),
        layerDigests=[digest],
    )


@refuses("LayersNotFound", "ecr:GetDownloadUrlForLayer")
def _no_layer(side: Side) -> Refused:
    name = side.repository()
    text = f"The layer with digest '{MISSING}' does not exist in {side.in_registry(name)}"
    return side.is_refused(text, repositoryName=name, layerDigest=MISSING)


@refuses("LayerInaccessible", "ecr:GetDownloadUrlForLayer")
def _layer_of_no_image(side: Side) -> Refused:
    name = side.repository()
    digest = upload(side.client, name, random.randbytes(50))
    text = f"The layer with digest '{digest}' is not referenced by an image"
    return side.is_refused(text, repositoryName=name, layerDigest=digest)


# --- Pushing images ---


@refuses("ImageAlreadyExists", *both("PutImage"))
def _image_twice(side: Side) -> Refused:
    name = side.repository()
    image = side.image(name)
    return side.is_refused(
        f"Image with digest '{image.digest}' and tag 'v1' already exists in the repository with name '{name}' in "
        f"registry with id '{side.account}'",
        repositoryName=name,
        imageManifest=image.manifest.text,
        imageTag="v1",
    )


@refuses("LayersNotFound", *both("PutImage"))
def _without_its_layers(side: Side) -> Refused:
    name, image = side.repository(), random_image()
    upload(side.client, name, image.config.data)
    return side.is_refused(
        f"Layers with digests '[{image.layers[0].digest}]' required for pushing image into repository with name "
        f"'{name}' in the registry with id '{side.account}' do not exist",
        repositoryName=name,
        imageManifest=image.manifest.text,
    )


@refuses("ReferencedImagesNotFound", *both("PutImage"))
def _without_its_images(side: Side) -> Refused:
    name, index = side.repository(), random_index()
    put(side.client, name, index.images[0])
    return side.is_refused(
        f"Images with digests '[{index.images[1].digest}]' required for pushing image into repository with name "
        f"'{name}' in the registry with id '{side.account}' do not exist",
        repositoryName=name,
        imageManifest=index.manifest.text,
    )


@refuses("LimitExceeded", *both("PutImage"), small=True)
def _too_many_tags_of_an_image(side: Side) -> Refused:
    owner = side.elsewhere()
    name = owner.repository()
    image = owner.image(name, "v1")
    return owner.is_refused(
        "An image can have at most 1 tags",
        repositoryName=name,
        imageManifest=image.manifest.text,
        imageTag="v2",
    )


@refuses("ImageTagAlreadyExists", "ecr:PutImage")
def _immutable(side: Side) -> Refused:
    name, other = side.repository(imageTagMutability="IMMUTABLE"), random_image()
    side.image(name, "v1")
    put(side.client, name, other, "v2")
    return side.is_refused(
        f"The image tag 'v1' already exists in the '{name}' repository and cannot be overwritten because the tag "
        "is immutable.",
        repositoryName=name,
        imageManifest=other.manifest.text,
        imageTag="v1",
    )


@refuses("ImageDigestDoesNotMatch", *both("PutImage"))
def _other_digest(side: Side) -> Refused:
    image = random_image()
    return side.is_refused(
        f"The image digest '{MISSING}' does not match the digest '{image.digest}' of the image manifest",
        repositoryName=side.repository(),
        imageManifest=image.manifest.text,
        imageDigest=MISSING,
    )


# --- Reading images ---


@refuses("LimitExceeded", "ecr:BatchGetImage")
def _too_much_at_once(side: Side) -> Refused:
    name, image = side.repository(), random_image()
    for blob in image.blobs:
        upload(side.client, name, blob.data)
    document = {**image.manifest.json(), "annotations": {"padding": "x" * (4 * 1024 * 1024 - 2000)}}
    large = Blob(image.manifest.media_type, json.dumps(document).encode())
    digest = put_manifest(side.client, name, large)
    return side.is_refused(
        "The manifests asked for have more than 33554432 bytes together; ask for fewer at once",
        repositoryName=name,
        imageIds=[{"imageDigest": digest}] * 9,
    )


def _no_image(side: Side, name: str) -> str:
    return (
        "The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within "
        f"{side.in_registry(name)}"
    )


@refuses("ImageNotFound", *both("DescribeImages"))
def _no_such_images(side: Side) -> Refused:
    name = side.repository()
    return side.is_refused(_no_image(side, name), repositoryName=name, imageIds=[{"imageTag": "none"}])


@refuses(
    "ImageNotFound",
    "ecr:DescribeImageReplicationStatus",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImageSigningStatus",
    "ecr:StartImageScan",
)
def _no_such_image(side: Side) -> Refused:
    name = side.repository()
    return side.is_refused(_no_image(side, name), repositoryName=name, imageId={"imageTag": "none"})


@refuses("ImageNotFound", "ecr:UpdateImageStorageClass")
def _no_image_to_archive(side: Side) -> Refused:
    missing = _no_such_image(side)
    return Refused(missing.asked.but(targetStorageClass="ARCHIVE"), missing.text)


@refuses("ImageStorageClassUpdateNotSupported", "ecr:UpdateImageStorageClass")
def _restored_without_need(side: Side) -> Refused:
    name = side.repository()
    side.image(name)
    return side.is_refused(
        "The image is ACTIVE and only an ARCHIVED image can be restored",
        repositoryName=name,
        imageId={"imageTag": "v1"},
        targetStorageClass="STANDARD",
    )


# --- Scans ---


@refuses("ScanNotFound", "ecr:DescribeImageScanFindings")
def _never_scanned(side: Side) -> Refused:
    name = side.repository()
    side.image(name)
    return side.is_refused(
        "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'v1'}' in "
        f"{side.in_registry(name)}",
        repositoryName=name,
        imageId={"imageTag": "v1"},
    )


@refuses("UnsupportedImageType", "ecr:StartImageScan")
def _scan_of_an_index(side: Side) -> Refused:
    name, index = side.repository(), random_index()
    for image in index.images:
        put(side.client, name, image)
    put_manifest(side.client, name, index.manifest, "all")
    return side.is_refused(
        f"The operation is not supported for images of type {index.manifest.media_type}: scan the images of the "
        "list one by one",
        repositoryName=name,
        imageId={"imageTag": "all"},
    )


@refuses("ImageArchived", "ecr:StartImageScan")
def _scan_of_an_archived_image(side: Side) -> Refused:
    name = side.repository()
    side.image(name)
    named = {"repositoryName": name, "imageId": {"imageTag": "v1"}}
    side.client.update_image_storage_class(**named, targetStorageClass="ARCHIVE")
    return side.is_refused(
        "The image with imageId {imageDigest:'null', imageTag:'v1'} in the repository with name "
        f"'{name}' in the registry with id '{side.account}' is archived and cannot be scanned",
        **named,
    )


@refuses("Validation", "ecr:StartImageScan")
def _scan_by_hand_where_scanning_is_enhanced(side: Side) -> Refused:
    owner = side.elsewhere()
    owner.client.put_registry_scanning_configuration(scanType="ENHANCED", rules=[])
    name = owner.repository()
    owner.image(name)
    return owner.is_refused("This feature is disabled", repositoryName=name, imageId={"imageTag": "v1"})
