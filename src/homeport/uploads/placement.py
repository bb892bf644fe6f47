"""Where the bytes of a blob lie: moved between storage classes without a moment in which they could be lost.

The order of a move: (1) commit a tombstone for the copy's key, so that a copy without an owner goes by itself; (2) copy
under the new key and make it durable; (3) read the copy back and compare its digest; (4) in one transaction: the copy's
tombstone goes, the blob's row names the copy, the original gets a tombstone; (5) the sweep removes the original. A
process that dies between any two of them leaves the blob whole under the key that its row names.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta

from homeport.blobs.port import (
    BlobDamaged,
    BlobReader,
    BlobStore,
    BlobWriter,
    StorageClass,
    StorageKey,
    new_storage_key,
)
from homeport.collection import store as references
from homeport.database.engine import Database, Reader, Transaction
from homeport.images import archive_store
from homeport.jobs import store as jobs
from homeport.jobs.model import Kind
from homeport.kernel import limits
from homeport.kernel.clock import Clock
from homeport.kernel.digests import Digest
from homeport.kernel.errors import Unavailable
from homeport.uploads import store
from homeport.uploads.model import Blob

_COPY_BYTES = 1024 * 1024
_COPY_LIFE = timedelta(hours=24)  # of a copy that nobody finishes
_READERS = timedelta(minutes=5)  # how long the original stays for those who have just looked up its key
_PUSH = timedelta(seconds=limits.UPLOAD_AGE_SECONDS)  # how long a pushed layer may wait for its manifest

Confirm = Callable[[Transaction], Awaitable[None]]
"""Raises when its caller lost the right to go on."""


class Stopped(Exception):
    """The copy was broken off."""


async def replace_stored(tx: Transaction, digest: str, storage_key: StorageKey, now: datetime) -> bool:
    """The bytes of a blob came once more, as `storage_key`: let them take the place of archived or damaged ones.

    False when the blob's bytes are at hand anyway. A job looks again when no manifest has come in time for bytes that
    were archived.
    """
    known = await store.stored_blob(tx, digest)
    if known is None:
        return False
    archived = known.storage_key.storage_class is StorageClass.ARCHIVE
    if not archived and not known.damaged:
        return False
    await store.repoint(tx, known, storage_key)
    await store.add_tombstone(tx, known.storage_key, now + _READERS)
    if archived:
        await jobs.add(tx, Kind.SETTLE_BLOBS, {"digests": [digest]}, now, now + _PUSH)
    return True


async def wanted(db: Reader, digest: str, now: datetime) -> tuple[StorageClass | None, datetime | None]:
    """Return where the images that refer to a blob want its bytes, None for where they are; and when to ask again.

    A layer that was pushed a while ago and not yet made part of an image may be needed any moment.
    """
    if await references.is_needed(db, digest):
        return StorageClass.STANDARD, None
    if not await references.is_archived(db, digest):
        return None, None
    pushed = await archive_store.last_push(db, digest)
    if pushed is not None and now - pushed < _PUSH:
        return None, pushed + _PUSH
    return StorageClass.ARCHIVE, None


async def settle(
    db: Database, blobs: BlobStore, clock: Clock, digest: str, confirm: Confirm
) -> datetime | None:
    """Bring a blob's bytes to where they are wanted; return when to look again, None when that is not needed.

    Errors: those of `confirm`, BlobError, StorageFull, Unavailable; the blob is then where it was.
    """
    target, again = await wanted(db, digest, clock.now())
    known = await store.stored_blob(db, digest)
    if known is None or target is None or known.storage_key.storage_class is target:
        return again
    copy = new_storage_key(target)

    async def announce(tx: Transaction) -> None:
        await confirm(tx)
        await store.add_tombstone(tx, copy, clock.now() + _COPY_LIFE)

    await db.write(announce)
    try:
        await _copy(blobs, known, copy)
    except BaseException:
        await _remove(db, blobs, copy)
        raise

    async def switch(tx: Transaction) -> bool:
        await confirm(tx)
        now = clock.now()
        if (await wanted(tx, digest, now))[0] is not target:
            return False
        if not await store.repoint(tx, known, copy):
            return False
        if not await store.save(tx, copy, now):
            raise Unavailable("The copy of a blob took longer than it is kept; it is made again")
        await store.add_tombstone(tx, known.storage_key, now + _READERS)
        return True

    try:
        switched = await db.write(switch)
    except Exception:
        await _remove(db, blobs, copy)
        raise
    if not switched:  # somebody needs the blob elsewhere by now, or has brought its bytes
        await _remove(db, blobs, copy)
        return clock.now()
    return again


async def _copy(blobs: BlobStore, known: Blob, copy: StorageKey) -> None:
    stop = threading.Event()
    work = asyncio.get_running_loop().run_in_executor(None, copy_verified, blobs, known, copy, stop)
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        work.exception()  # seen: how it ended is of no more interest
        raise


def copy_verified(blobs: BlobStore, known: Blob, copy: StorageKey, stop: threading.Event) -> None:
    """Copy the bytes of `known` to the key `copy`, durably, and prove that both are the blob's. Blocking.

    Errors: BlobError, StorageFull, Unavailable; Stopped once `stop` is set.
    """
    with closing(blobs.reader(known.storage_key)) as reader, closing(blobs.writer(copy, 0)) as writer:
        writer.finish(_pass_on(reader, known, stop, writer))
    with closing(blobs.reader(copy)) as reader:
        _pass_on(reader, known, stop)


def _pass_on(reader: BlobReader, known: Blob, stop: threading.Event, writer: BlobWriter | None = None) -> int:
    """Read all of `reader`, which must be the bytes of `known`, and write them to `writer`; return how many."""
    digest = Digest(known.digest)
    running = hashlib.new(digest.algorithm)
    at = 0
    while piece := reader.read(at, _COPY_BYTES):
        if stop.is_set():
            raise Stopped
        running.update(piece)
        at += len(piece)
        if writer is not None:
            writer.write([piece])
    if at != known.size or f"{digest.algorithm}:{running.hexdigest()}" != digest:
        raise BlobDamaged(f"{known.storage_key} or its copy has {at} bytes that are not those of {digest}")
    return at


async def _remove(db: Database, blobs: BlobStore, copy: StorageKey) -> None:
    """Remove a copy that was not used. What cannot be done now is left to its tombstone."""
    await asyncio.get_running_loop().run_in_executor(None, blobs.discard, copy)

    async def work(tx: Transaction) -> None:
        await store.remove_tombstone(tx, copy)

    await db.write(work)
