"""Deletes what has been in quarantine for long, when somebody says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from homeport.blobs.port import BlobStore, StorageKey
from homeport.database.engine import Database, Transaction
from homeport.keeping import store

_BATCH = 100


async def purge(db: Database, blobs: BlobStore, before: datetime) -> tuple[int, int]:
    """Delete the objects that came into quarantine before then; return how many there were, and their bytes.

    What a row knows of by now (an older copy of the database was put back, say) is taken out of quarantine instead.
    Errors: Unavailable.
    """
    purged = purged_bytes = 0
    while batch := await store.long_aside(db, before, _BATCH):
        owned = [key for key, _ in batch if await store.is_owned(db, key)]
        lost = [(key, size) for key, size in batch if key not in owned]
        await asyncio.get_running_loop().run_in_executor(None, _discard, blobs, [key for key, _ in lost])

        async def work(tx: Transaction, done: Sequence[StorageKey] = [key for key, _ in batch]) -> None:
            await store.take_back(tx, done)

        await db.write(work)
        purged += len(lost)
        purged_bytes += sum(size for _, size in lost)
    return purged, purged_bytes


def _discard(blobs: BlobStore, keys: Sequence[StorageKey]) -> None:
    for key in keys:
        blobs.discard(key)
