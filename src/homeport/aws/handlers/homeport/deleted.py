"""Images that were deleted and can be brought back, through the API (model `homeport`)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from homeport.aws.call import NEWEST, Answer, Call
from homeport.aws.handlers.ecr.images import common_detail
from homeport.images import recycle
from homeport.images.model import DeletedImage
from homeport.kernel.digests import Digest
from homeport.kernel.errors import DigestInvalid, InvalidParameter


def _shown(image: DeletedImage) -> dict[str, Any]:
    return {
        "imageDigest": image.digest,
        "imageTags": list(image.tags) or None,
        "imageManifestMediaType": image.media_type,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "deletedAt": image.deleted_at,
        "deletedBy": image.deleted_by,
        "recoverableUntil": image.recoverable_until,
    }


async def list_deleted_images(call: Call) -> Answer:
    """ListDeletedImages: by pages, what was deleted last first."""
    repository = await call.repository()
    read = partial(recycle.deleted, call.region.db, call.region.lifecycle_clock.now(), repository)
    page, more = await call.page(NEWEST, read, lambda image: image.id)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "deletedImages": [_shown(each) for each in page],
        "nextToken": more,
    }


async def restore_deleted_image(call: Call) -> Answer:
    """RestoreDeletedImage: with its former tags as far as they are free, or with the tags that are asked for."""
    repository = await call.repository()
    region, tags = call.region, call.params.get("imageTags")
    now = region.lifecycle_clock.now()
    try:
        digest = Digest(call.params["imageDigest"])
    except DigestInvalid:
        raise InvalidParameter("imageDigest", "Member must be a sha256 or sha512 digest") from None
    # A policy about tags counts for those that come back unasked, too.
    unasked = [
        tag
        for image in await recycle.together(region.db, now, repository, digest)
        if tags is None or image.digest != digest
        for tag in image.tags
    ]
    if unasked:
        named = [*(tags or ()), *unasked]
        repository = await replace(call, params={**call.params, "imageTags": named}).repository()
    image = await recycle.restore(region.db, now, repository, digest, tags, region.room)
    return {
        "image": {
            **await common_detail(call, repository, image),
            "imageStatus": image.status.value,
        }
    }
