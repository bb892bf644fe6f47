"""What ECR Public shows of images. Amazon ECR Public API Reference, DescribeImages."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.ecr.images import common_detail, image_page
from homeport.aws.public_call import PublicCall
from homeport.images import service as images
from homeport.images.model import ImageId, Status, TagStatus


async def describe_images(call: Call) -> Answer:
    """DescribeImages: one entry per image, newest first, or the named ones."""
    asked = await PublicCall.made_of(call)
    repository = await asked.repository()
    wanted = call.params.get("imageIds")
    if wanted is not None:
        asked.refuse_paging("imageIds")
        ids = [ImageId(each.get("imageDigest"), each.get("imageTag")) for each in wanted]
        found = await images.describe(call.region.db, repository, ids)
        return {"imageDetails": [await common_detail(call, repository, image) for image in found]}
    return await image_page(call, repository, TagStatus.ANY, Status.ACTIVE, common_detail)
