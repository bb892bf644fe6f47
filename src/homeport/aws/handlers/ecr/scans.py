"""Image scans through the API. Amazon ECR API Reference."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.images.model import ImageId
from homeport.scanning import service as scanning


def _asked(call: Call) -> ImageId:
    asked = call.params["imageId"]
    return ImageId(asked.get("imageDigest"), asked.get("imageTag"))


async def start_image_scan(call: Call) -> Answer:
    """StartImageScan: fails, since there is no scanner yet, and says why."""
    repository = await call.repository()
    asked = _asked(call)
    image, status = await scanning.start(call.region.db, repository, asked)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, "imageTag": asked.tag},
        "imageScanStatus": {"status": status.status, "description": status.description},
    }


async def describe_image_scan_findings(call: Call) -> Answer:
    """DescribeImageScanFindings: no image was ever scanned."""
    repository = await call.repository()
    call.page_position()
    await scanning.findings(call.region.db, repository, _asked(call))
    return {}
