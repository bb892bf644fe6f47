"""Storage classes of images through the API. Amazon ECR API Reference."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.blobs.port import StorageClass
from homeport.images import archive
from homeport.images import service as images
from homeport.images.model import ImageId


async def update_image_storage_class(call: Call) -> Answer:
    """UpdateImageStorageClass: archives at once; a restored image is ACTIVATING until its bytes are back."""
    repository = await call.repository()
    asked = call.params["imageId"]
    wanted = ImageId(asked.get("imageDigest"), asked.get("imageTag"))
    [image] = await images.describe(call.region.db, repository, [wanted])
    target = StorageClass(call.params["targetStorageClass"])
    status = await archive.update(call.region.db, call.now, repository, image.digest, target)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, "imageTag": wanted.tag},
        "imageStatus": status.value,
    }
