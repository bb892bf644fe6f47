"""Amazon ECR Public: what differs from the private registry, one file per noun."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from homeport.aws.call import Handler
from homeport.aws.handlers.ecr import images as private_images
from homeport.aws.handlers.ecr import layers as private_layers
from homeport.aws.handlers.ecr import repositories as private_repositories
from homeport.aws.handlers.public import images, registry, repositories
from homeport.aws.public_call import of_public

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "BatchCheckLayerAvailability": of_public(private_layers.batch_check_layer_availability),
        "BatchDeleteImage": of_public(private_images.batch_delete_image),
        "CompleteLayerUpload": of_public(private_layers.complete_layer_upload),
        "CreateRepository": repositories.create_repository,
        "DeleteRepository": repositories.delete_repository,
        "DeleteRepositoryPolicy": of_public(private_repositories.delete_repository_policy),
        "DescribeImageTags": repositories.describe_image_tags,
        "DescribeImages": images.describe_images,
        "DescribeRegistries": registry.describe_registries,
        "DescribeRepositories": repositories.describe_repositories,
        "GetAuthorizationToken": registry.get_authorization_token,
        "GetRegistryCatalogData": registry.get_registry_catalog_data,
        "GetRepositoryCatalogData": repositories.get_repository_catalog_data,
        "GetRepositoryPolicy": of_public(private_repositories.get_repository_policy),
        "InitiateLayerUpload": of_public(private_layers.initiate_layer_upload),
        "ListTagsForResource": repositories.list_tags_for_resource,
        "PutImage": of_public(private_images.put_image),
        "PutRegistryCatalogData": registry.put_registry_catalog_data,
        "PutRepositoryCatalogData": repositories.put_repository_catalog_data,
        "SetRepositoryPolicy": of_public(private_repositories.set_repository_policy),
        "TagResource": repositories.tag_resource,
        "UntagResource": repositories.untag_resource,
        "UploadLayerPart": of_public(private_layers.upload_layer_part),
    }
)
"""What each operation does, by its name."""
