"""The last step of a link: what becomes of its blob."""

from __future__ import annotations

from datetime import datetime

from homeport.blobs.port import StorageClass
from homeport.collection import rules, store
from homeport.collection.model import Collected
from homeport.database.engine import Transaction
from homeport.jobs import store as jobs
from homeport.jobs.model import Kind


async def bury(tx: Transaction, digest: str, where: StorageClass | None, now: datetime) -> Collected:
    """A link of the blob is gone: remove the blob when that was the last one, its bytes follow later.

    Else, when only archived images refer to it now, a job brings its bytes to the archive. Return what went.
    """
    size = await store.bury(tx, digest, rules.delete_after(now))
    if size is not None:
        return Collected(blobs=1, bytes=size)
    if (
        where is StorageClass.STANDARD
        and not await store.is_needed(tx, digest)
        and await store.is_archived(tx, digest)
    ):
        await jobs.add(tx, Kind.SETTLE_BLOBS, {"digests": [digest]}, now)
    return Collected()
