"""The jobs that move bytes between storage classes. Each may be begun again from any point."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from homeport.database.engine import Transaction
from homeport.images import archive, archive_store
from homeport.images.model import Status
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind
from homeport.region import Region
from homeport.uploads import placement
from homeport.workers.jobs import Doer, Postponed

_PAUSE = timedelta(seconds=1)  # for the images of an index, which have jobs of their own


class StorageJobs:
    """What the kinds of storage jobs do, on one region."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def doers(self) -> Mapping[str, Doer]:
        """Return what to call for each kind."""
        return {
            Kind.SETTLE_BLOBS.value: self.settle_blobs,
            Kind.RESTORE_IMAGE.value: self.restore_image,
        }

    async def settle_blobs(self, held: Job) -> None:
        """Bring the bytes of some blobs to where their images need them. Errors: Postponed, those of `settle`."""
        later = [
            at for digest in held.subject["digests"] if (at := await self._settle(held, digest)) is not None
        ]
        if later:
            raise Postponed(min(later))

    async def restore_image(self, held: Job) -> None:
        """Bring the bytes of an image back and make it active. Errors: Postponed, those of `settle`."""
        region, image = self._region, int(held.subject["image"])
        if await archive_store.status(region.db, image) is not Status.ACTIVATING:
            return
        for digest, _ in await archive_store.blobs(region.db, image):
            await self._settle(held, digest)

        async def work(tx: Transaction) -> bool:
            await jobs.confirm(tx, held)
            complete = await archive.is_complete(tx, image)
            if complete:
                await archive.finish_restore(tx, image, region.clock.now())
            return complete

        if not await region.db.write(work):
            raise Postponed(region.clock.now() + _PAUSE)

    async def _settle(self, held: Job, digest: str) -> datetime | None:
        async def confirm(tx: Transaction) -> None:
            await jobs.confirm(tx, held)

        region = self._region
        return await placement.settle(region.db, region.blobs, region.clock, digest, confirm)
