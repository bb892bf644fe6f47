"""For every operation on repositories, images and layers one call that works."""

from __future__ import annotations

import random

from tests.api.calls import upload
from tests.api.listed_errors_base import LIFECYCLE, Asked, Side, both, new_name, statement, works
from tests.harness.images import artifact, random_image, sha256

# --- Repositories ---


@works("ecr:CreateRepository")
def _create(side: Side) -> Asked:
    return side.asks(repositoryName=new_name(), tags=[{"Key": "team", "Value": "cart"}])


@works("ecr-public:CreateRepository")
def _create_public(side: Side) -> Asked:
    return side.asks(repositoryName=new_name(), catalogData={"description": "Carts"})


@works(*both("DeleteRepository", "InitiateLayerUpload"))
@works("ecr-public:GetRepositoryCatalogData")
def _empty(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository())


@works(*both("DescribeRepositories"), "ecr:BatchGetRepositoryScanningConfiguration")
def _named(side: Side) -> Asked:
    return side.asks(repositoryNames=[side.repository()])


@works(*both("SetRepositoryPolicy"))
def _set_policy(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository(), policyText=statement(f"{side.service}:DescribeImages"))


@works(*both("GetRepositoryPolicy", "DeleteRepositoryPolicy"))
def _with_policy(side: Side) -> Asked:
    asked = _set_policy(side)
    side.client.set_repository_policy(**asked.params)
    return side.asks(repositoryName=asked.params["repositoryName"])


@works(*both("ListTagsForResource"))
def _resource(side: Side) -> Asked:
    return side.asks(resourceArn=side.arn(side.repository(tags=[{"Key": "team", "Value": "cart"}])))


@works(*both("TagResource"))
def _tagged(side: Side) -> Asked:
    return _resource(side).but(tags=[{"Key": "stage", "Value": "test"}])


@works(*both("UntagResource"))
def _untagged(side: Side) -> Asked:
    return _resource(side).but(tagKeys=["team"])


@works("ecr:PutImageTagMutability")
def _mutability(side: Side) -> Asked:
    return side.asks(
        repositoryName=side.repository(),
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "latest*"}],
    )


@works("ecr:PutImageScanningConfiguration")
def _scan_on_push(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository(), imageScanningConfiguration={"scanOnPush": True})


@works("ecr-public:PutRepositoryCatalogData")
def _catalog(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository(), catalogData={"description": "Carts"})


# --- Lifecycle policies ---


@works("ecr:PutLifecyclePolicy", "ecr:StartLifecyclePolicyPreview")
def _lifecycle(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository(), lifecyclePolicyText=LIFECYCLE)


@works("ecr:GetLifecyclePolicy", "ecr:DeleteLifecyclePolicy", may_lack={"lastEvaluatedAt"})
def _with_lifecycle(side: Side) -> Asked:
    asked = _lifecycle(side)
    side.client.put_lifecycle_policy(**asked.params)
    return side.asks(repositoryName=asked.params["repositoryName"])


@works("ecr:GetLifecyclePolicyPreview", may_lack={"summary"})
def _with_preview(side: Side) -> Asked:
    asked = _lifecycle(side)
    side.client.start_lifecycle_policy_preview(**asked.params)
    return side.asks(repositoryName=asked.params["repositoryName"])


# --- Images ---


@works(*both("PutImage"))
def _image_to_push(side: Side) -> Asked:
    repository, image = side.repository(), random_image()
    for blob in image.blobs:
        upload(side.client, repository, blob.data)
    return side.asks(
        repositoryName=repository,
        imageManifest=image.manifest.text,
        imageManifestMediaType=image.manifest.media_type,
        imageTag="v1",
    )


@works("ecr:BatchGetImage", *both("BatchDeleteImage", "DescribeImages"))
def _images(side: Side) -> Asked:
    repository = side.repository()
    side.image(repository)
    return side.asks(repositoryName=repository, imageIds=[{"imageTag": "v1"}])


@works("ecr:DescribeImageReplicationStatus", "ecr:DescribeImageSigningStatus", "ecr:StartImageScan")
@works("ecr:DescribeImageScanFindings")
def _image(side: Side) -> Asked:
    repository = side.repository()
    side.image(repository)
    return side.asks(repositoryName=repository, imageId={"imageTag": "v1"})


@works("ecr:ListImages", "ecr-public:DescribeImageTags")
def _repository_of_images(side: Side) -> Asked:
    repository = side.repository()
    side.image(repository)
    return side.asks(repositoryName=repository)


@works("ecr:UpdateImageStorageClass")
def _archived(side: Side) -> Asked:
    return _image(side).but(targetStorageClass="ARCHIVE")


@works("ecr:ListImageReferrers")
def _referrers(side: Side) -> Asked:
    repository = side.repository()
    image = side.image(repository)
    about = artifact(random.randbytes(50), artifact_type="application/spdx+json", subject=image.manifest)
    for blob in about.blobs:
        upload(side.client, repository, blob.data)
    side.client.put_image(
        repositoryName=repository,
        imageManifest=about.manifest.text,
        imageManifestMediaType=about.manifest.media_type,
    )
    return side.asks(repositoryName=repository, subjectId={"imageDigest": image.digest})


# --- Layers ---


@works(*both("BatchCheckLayerAvailability"))
def _layers(side: Side) -> Asked:
    return side.asks(repositoryName=side.repository(), layerDigests=[sha256(b"anything")])


@works(*both("UploadLayerPart"))
def _part(side: Side) -> Asked:
    repository = side.repository()
    return side.asks(
        repositoryName=repository,
        uploadId=side.upload(repository),
        partFirstByte=0,
        partLastByte=4,
        layerPartBlob=b"layer",
    )


@works(*both("CompleteLayerUpload"))
def _uploaded(side: Side) -> Asked:
    repository, data = side.repository(), random.randbytes(50)
    upload_id = side.upload(repository, data)
    return side.asks(repositoryName=repository, uploadId=upload_id, layerDigests=[sha256(data)])


@works("ecr:GetDownloadUrlForLayer")
def _layer(side: Side) -> Asked:
    repository = side.repository()
    image = side.image(repository)
    return side.asks(repositoryName=repository, layerDigest=image.layers[0].digest)
