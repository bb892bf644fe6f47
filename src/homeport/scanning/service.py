"""Use cases of image scans. This version has no scanner, and says so: no scan ever completes, no finding exists.

Callers have authorised already.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeport.database.engine import Reader
from homeport.images import service as images
from homeport.images.model import Image, ImageId, Status
from homeport.kernel import media
from homeport.kernel.errors import ImageArchived, ScanNotFound, UnsupportedImageType, ValidationError
from homeport.registry import service as registries
from homeport.registry.model import ScanType
from homeport.repositories.model import Repository

NO_SCANNER = "This registry has no image scanner, so nothing of the image was scanned."


@dataclass(frozen=True, slots=True)
class ScanStatus:
    """How a scan stands (botocore `ecr`, ImageScanStatus)."""

    status: str
    description: str


async def _image(db: Reader, repository: Repository, wanted: ImageId) -> Image:
    """Errors: ImageNotFound."""
    [image] = await images.describe(db, repository, [wanted])
    return image


async def start(db: Reader, repository: Repository, wanted: ImageId) -> tuple[Image, ScanStatus]:
    """Try to scan an image; return it with what became of the scan.

    Errors: ImageNotFound, ValidationError where enhanced scanning is configured (which knows no scans by hand),
    ImageArchived, UnsupportedImageType for an index.
    """
    image = await _image(db, repository, wanted)
    if (await registries.scanning(db, repository.account)).scan_type is ScanType.ENHANCED:
        raise ValidationError("This feature is disabled")
    if image.status is not Status.ACTIVE:
        raise ImageArchived(
            f"The image with imageId {wanted} in the repository with name '{repository.name}' in the registry "
            f"with id '{repository.account}' is archived and cannot be scanned"
        )
    if image.media_type in media.INDEXES:
        raise UnsupportedImageType(
            "The operation is not supported for images of type "
            f"{image.media_type}: scan the images of the list one by one"
        )
    return image, ScanStatus("FAILED", NO_SCANNER)


async def findings(db: Reader, repository: Repository, wanted: ImageId) -> None:
    """Return the findings of an image's last scan: there never are any. Errors: ImageNotFound, ScanNotFound."""
    await _image(db, repository, wanted)
    raise ScanNotFound(
        f"Image scan does not exist for the image with '{wanted}' in the repository with name "
        f"'{repository.name}' in the registry with id '{repository.account}'"
    )
