"""Pinned tags through the API (model `homeport`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.images import pins
from homeport.images.model import PinnedTag


def _shown(pin: PinnedTag) -> dict[str, Any]:
    return {
        "imageTag": pin.tag,
        "imageDigest": pin.digest,
        "pinnedAt": pin.pinned_at,
        "pinnedBy": pin.pinned_by,
    }


async def pin_image_tag(call: Call) -> Answer:
    """PinImageTag: a tag that is pinned already stays as it is."""
    repository = await call.repository()
    by = call.principal.caller.arn
    pinned = await pins.pin(call.region.db, call.now, repository, call.params["imageTag"], by)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "pinnedImageTag": _shown(pinned),
    }


async def unpin_image_tag(call: Call) -> Answer:
    """UnpinImageTag."""
    repository = await call.repository()
    gone = await pins.unpin(call.region.db, repository, call.params["imageTag"])
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageTag": gone.tag,
    }


async def list_pinned_image_tags(call: Call) -> Answer:
    """ListPinnedImageTags: by pages, in order of name."""
    repository = await call.repository()
    read = partial(pins.pinned, call.region.db, repository.id)
    page, more = await call.page("", read, lambda pin: pin.tag)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "pinnedImageTags": [_shown(each) for each in page],
        "nextToken": more,
    }
