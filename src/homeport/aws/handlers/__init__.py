"""What each API operation does, one file per noun. `HANDLERS` is the list of those that work."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from homeport.aws.call import Handler
from homeport.aws.handlers import identity, images, layers, registry, repositories

HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {
        ("ecr", "BatchCheckLayerAvailability"): layers.batch_check_layer_availability,
        ("ecr", "BatchDeleteImage"): images.batch_delete_image,
        ("ecr", "BatchGetImage"): images.batch_get_image,
        ("ecr", "CompleteLayerUpload"): layers.complete_layer_upload,
        ("ecr", "CreateRepository"): repositories.create_repository,
        ("ecr", "DeleteRepository"): repositories.delete_repository,
        ("ecr", "DeleteRepositoryPolicy"): repositories.delete_repository_policy,
        ("ecr", "DescribeImages"): images.describe_images,
        ("ecr", "DescribeRegistry"): registry.describe_registry,
        ("ecr", "DescribeRepositories"): repositories.describe_repositories,
        ("ecr", "GetAuthorizationToken"): registry.get_authorization_token,
        ("ecr", "GetDownloadUrlForLayer"): layers.get_download_url_for_layer,
        ("ecr", "GetRepositoryPolicy"): repositories.get_repository_policy,
        ("ecr", "InitiateLayerUpload"): layers.initiate_layer_upload,
        ("ecr", "ListImageReferrers"): images.list_image_referrers,
        ("ecr", "ListImages"): images.list_images,
        ("ecr", "ListTagsForResource"): repositories.list_tags_for_resource,
        ("ecr", "PutImage"): images.put_image,
        ("ecr", "PutImageTagMutability"): repositories.put_image_tag_mutability,
        ("ecr", "SetRepositoryPolicy"): repositories.set_repository_policy,
        ("ecr", "TagResource"): repositories.tag_resource,
        ("ecr", "UntagResource"): repositories.untag_resource,
        ("ecr", "UploadLayerPart"): layers.upload_layer_part,
        ("sts", "GetCallerIdentity"): identity.get_caller_identity,
    }
)
