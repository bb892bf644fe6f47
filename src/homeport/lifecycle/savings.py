"""What a plan frees: bytes of blobs that no image of the repository needs once it is done, and what they cost.

Blobs are shared by images, so the sizes of the images that go say little. Read page by page, as in `candidates.py`.
"""

from __future__ import annotations

from collections.abc import Collection

from homeport.database.engine import Reader
from homeport.lifecycle import candidates
from homeport.lifecycle.model import Totals

_GIB = 1024**3  # what AWS bills as a GB


async def freed(
    reader: Reader, repository_id: int, expiring: Collection[int], transitioning: Collection[int]
) -> tuple[int, int]:
    """Return the bytes that are needed no more, and those that only archived images need then and no sooner.

    Both are given by the ids of their images; what is archived along with an image must be among them. Bytes of an
    image that can be brought back after its deletion count as freed: they are, some days later.
    """
    if not expiring and not transitioning:
        return 0, 0
    gone: dict[str, int] = {}
    moved: dict[str, int] = {}
    async for page in candidates.blobs(reader, repository_id):
        for blob in page:
            if blob.image_id in expiring:
                gone[blob.digest] = blob.size
            elif blob.image_id in transitioning and not blob.cold:
                moved[blob.digest] = blob.size
    async for page in candidates.blobs(reader, repository_id):
        for blob in page:
            if blob.image_id in expiring:
                continue
            gone.pop(blob.digest, None)
            if blob.image_id not in transitioning and not blob.archived:
                moved.pop(blob.digest, None)
    return sum(gone.values()), sum(moved.values())


def monthly_micros(totals: Totals, price: float) -> int:
    """Return what the plan saves a month, in millionths of a dollar, at `price` dollars for a GB-month.

    Amazon ECR pricing, November 2026: below 150 TB the archive costs as much as the standard class, so that archiving
    saves nothing.
    """
    return totals.expiring_bytes * round(price * 1_000_000) // _GIB
