"""What ECR Public shows of images. Amazon ECR Public API Reference, DescribeImages."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.public_call import PublicCall
from homeport.images import service as images
from homeport.images import store as image_store
from homeport.images.model import Image, ImageId, TagStatus
from homeport.kernel import limits
from homeport.repositories.model import Repository

_NEWEST = 2**62  # an image id above every real one: listings begin with the newest


async def describe_images(call: Call) -> Answer:
    """DescribeImages: one entry per image, newest first, or the named ones."""
    asked = await PublicCall.made_of(call)
    repository = await asked.repository()
    db = call.region.db
    wanted = call.params.get("imageIds")
    if wanted is not None:
        asked.refuse_paging("imageIds")
        ids = [ImageId(each.get("imageDigest"), each.get("imageTag")) for each in wanted]
        found = await images.describe(db, repository, ids)
        return {"imageDetails": [await _detail(call, repository, image) for image in found]}
    size = call.page_size(limits.PAGE_DEFAULT)
    position = call.page_position()
    before = int(position[0]) if position else _NEWEST
    page = await image_store.images(db, repository.id, TagStatus.ANY, before, size + 1)
    more = call.next_token([page[size - 1].id]) if len(page) > size else None
    return {
        "imageDetails": [await _detail(call, repository, image) for image in page[:size]],
        "nextToken": more,
    }


async def _detail(call: Call, repository: Repository, image: Image) -> dict[str, Any]:
    tags = await image_store.tags_of(call.region.db, image.id)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageDigest": image.digest,
        "imageTags": tags or None,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": image.artifact_type,
    }
