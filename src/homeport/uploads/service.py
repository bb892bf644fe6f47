"""Use cases of uploads. The order of steps is architecture.md section 4, "Push of a blob"; do not change it lightly.

Callers have authorised already. Bytes move in `receiving.py`; here rows decide what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from homeport.blobs.port import BlobBusy, BlobError, BlobStore, StorageKey, new_storage_key
from homeport.collection import service as collection
from homeport.collection.model import Link
from homeport.collection.rules import must_be_kept
from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.digests import Digest
from homeport.kernel.errors import (
    DigestInvalid,
    EmptyUpload,
    LayerAlreadyExists,
    LayerPartTooSmall,
    LimitExceeded,
    RangeInvalid,
    RepositoryNotFound,
    Unavailable,
    UploadNotFound,
)
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from homeport.uploads import placement, store
from homeport.uploads.hashing import RunningHashes
from homeport.uploads.model import Blob, Upload
from homeport.uploads.receiving import Receiving, lost

T = TypeVar("T")

_TAKEN = "Another request writes or has written to this upload; ask for its status"


class Uploads:
    """What the use cases share in one process: the bytes, the running hashes, and which uploads are being written."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self.hashes = RunningHashes()
        self._busy: set[str] = set()

    @asynccontextmanager
    async def receive(
        self, db: Reader, upload: Upload, limit: int = limits.LAYER_BYTES
    ) -> AsyncIterator[Receiving]:
        """Have the upload to oneself and take bytes for it, up to `limit`, for as long as the context lasts.

        The row is read again once nobody else can write: a request that looked it up before another one advanced
        it must not touch bytes that are acknowledged since.
        Errors: RangeInvalid when another request is writing or has written, UploadNotFound.
        """
        if upload.id in self._busy:
            raise RangeInvalid(_TAKEN, upload.offset)
        self._busy.add(upload.id)
        try:
            try:
                received = await self._open(upload, limit)
            except BlobBusy:
                raise RangeInvalid(_TAKEN, upload.offset) from None
            with received:
                version = await store.version(db, upload.id)
                if version is None:
                    if not await store.is_owned(db, upload):
                        await _aside(partial(self.blobs.discard, upload.storage_key))
                    raise UploadNotFound(
                        f"The upload with id '{upload.id}' was finished or cancelled meanwhile"
                    )
                if version != upload.version:
                    raise RangeInvalid(_TAKEN, upload.offset)
                received.begin()
                yield received
        finally:
            self._busy.discard(upload.id)

    async def _open(self, upload: Upload, limit: int) -> Receiving:
        if not self.blobs.shared:  # opening a file costs less than asking a thread to
            return Receiving(self.blobs, self.hashes, upload, limit)
        opened: list[Receiving] = []
        try:
            await _aside(lambda: opened.append(Receiving(self.blobs, self.hashes, upload, limit)))
        except asyncio.CancelledError:
            for each in opened:
                each.close()
            raise
        return opened[0]


async def _aside(work: Callable[[], T]) -> T:
    """Run blocking `work` in a thread to its end, also when the caller is cancelled: what it uses is then free."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        running.exception()  # seen: how it ended is of no more interest
        raise


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upload belongs: the repository, and the principal who may continue it."""

    repository: Repository
    principal: str


def layer_bytes(repository: Repository, quotas: Quotas) -> int:
    """Return the largest layer that the repository takes, in bytes."""
    return quotas.public_layer_bytes if repository.public else quotas.layer_bytes


async def start(db: Database, now: datetime, place: Place) -> Upload:
    """Open an upload; its row is durable before the first byte comes.

    Errors: LimitExceeded when the principal has too many open, RepositoryNotFound.
    """
    upload_id, key = str(uuid.uuid4()), new_storage_key()
    repository = place.repository

    async def work(tx: Transaction) -> None:
        await repositories.get(tx, repository.account, repository.name, public=repository.public)
        if await store.count_open(tx, place.principal) >= limits.UPLOADS_PER_PRINCIPAL:
            raise LimitExceeded(
                f"{limits.UPLOADS_PER_PRINCIPAL} uploads are open already. Finish or cancel some, or wait: "
                "an upload without progress is removed after 24 hours"
            )
        await store.add(tx, upload_id, repository.id, place.principal, key, now)

    await db.write(work)
    return Upload(upload_id, repository.id, place.principal, key, 0, 0, 0, 0)


async def find(db: Reader, place: Place, upload_id: str) -> Upload:
    """Return the open upload. Errors: UploadNotFound, also for uploads of others."""
    found = await store.find(db, upload_id, place.repository.id, place.principal)
    if found is None:
        raise UploadNotFound(
            f"The upload with id '{upload_id[:64]}' does not exist in the repository with name "
            f"'{place.repository.name}' in the registry with id '{place.repository.account}'"
        )
    return found


async def advance(db: Database, now: datetime, received: Receiving, *, small_part: bool = False) -> Upload:
    """Acknowledge the bytes that `received` wrote.

    Errors: RangeInvalid when another node was faster, UploadNotFound, StorageFull, Unavailable.
    """
    seen = received.upload
    state = await _aside(received.save) if received.shared else ""
    advanced = replace(
        seen,
        offset=received.offset,
        version=seen.version + 1,
        parts=seen.parts + 1,
        small_parts=2 if seen.small_parts else int(small_part),
        state=state,
    )

    async def work(tx: Transaction) -> bool:
        won = await store.advance(tx, seen, advanced.offset, advanced.small_parts, now, state)
        if not won:
            await _disown(tx, seen, now)
        return won

    if not await db.write(work):
        raise RangeInvalid("Another request has written to this upload", seen.offset)
    received.keep_hash()
    return advanced


async def _disown(tx: Transaction, seen: Upload, now: datetime) -> None:
    """Have bytes removed that were written after the upload's row had gone (cancelled meanwhile)."""
    if not await store.is_owned(tx, seen):
        await store.add_tombstone(tx, seen.storage_key, now)


async def finish(
    db: Database, uploads: Uploads, now: datetime, place: Place, received: Receiving, digest: Digest
) -> Blob:
    """Turn the received bytes into a blob of the repository.

    Errors: DigestInvalid when the bytes have another digest (the upload is removed), UploadNotFound and
    RepositoryNotFound when it or the repository went away meanwhile.
    """
    upload, size = received.upload, received.offset
    try:
        found = received.running(digest.algorithm) or await _aside(partial(received.digest, digest.algorithm))
        if found == digest:
            found = await _aside(partial(received.prove, digest))
    except BlobError as error:
        raise lost(upload) from error
    key = received.finished.key if received.finished is not None else upload.storage_key
    if found != digest:
        if key != upload.storage_key:
            await _abandon(db, uploads.blobs, key, now)
        await cancel(db, uploads, now, upload)
        raise DigestInvalid(f"The uploaded bytes have the digest {found}, not {digest}")

    async def work(tx: Transaction) -> bool | None:
        if not await store.close(tx, upload):
            await _disown(tx, upload, now)
            return None
        if key != upload.storage_key:  # what lies under the upload's own key is of no more use
            await store.add_tombstone(tx, upload.storage_key, now)
        present = await repositories.find(
            tx, place.repository.account, place.repository.name, public=place.repository.public
        )
        if present is None or present.id != upload.repository_id:
            raise RepositoryNotFound(place.repository.name, place.repository.account)
        added = await store.add_blob(tx, digest, size, key, now)
        if not added:
            added = await placement.replace_stored(tx, digest, key, now)
        if not added:
            await store.add_tombstone(tx, key, now)
        await store.link(tx, upload.repository_id, digest, now)
        return added

    try:
        added = await db.write(work)
    except RepositoryNotFound:
        if key != upload.storage_key:
            await _abandon(db, uploads.blobs, key, now)
        raise
    uploads.hashes.drop(upload.id)
    if added is None:
        if key != upload.storage_key:
            await _abandon(db, uploads.blobs, key, now)
        raise UploadNotFound(f"The upload with id '{upload.id}' was finished or cancelled meanwhile")
    if not added:
        await _remove_bytes(db, uploads.blobs, key)
    return Blob(digest, size, key)


async def _abandon(db: Database, blobs: BlobStore, key: StorageKey, now: datetime) -> None:
    """Remove bytes that were finished under a key of their own and will not become a blob."""

    async def work(tx: Transaction) -> None:
        await store.add_tombstone(tx, key, now)

    await db.write(work)
    await _remove_bytes(db, blobs, key)


def layer_exists(place: Place, digest: Digest) -> LayerAlreadyExists:
    """The error for completing a layer that the repository holds already."""
    return LayerAlreadyExists(
        f"The layer with digest '{digest}' already exists in the repository with name "
        f"'{place.repository.name}' in registry with id '{place.repository.account}'"
    )


async def finish_parts(
    db: Database,
    uploads: Uploads,
    now: datetime,
    place: Place,
    upload: Upload,
    digest: Digest,
    quotas: Quotas = ECR_QUOTAS,
) -> Blob:
    """`finish` as CompleteLayerUpload wants it.

    Errors: those of `finish`, EmptyUpload, LayerPartTooSmall, LayerAlreadyExists.
    """
    if not upload.parts:
        raise EmptyUpload(f"The upload with id '{upload.id}' does not contain any layer parts")
    if upload.small_parts == 2:
        raise LayerPartTooSmall(
            f"Layer parts except the last one must have at least {quotas.layer_part_min_bytes} bytes"
        )
    known = await store.find_blob(db, place.repository.id, digest)
    if known is not None and known.at_hand:
        known = await claim(db, now, place.repository, known)
    if known is not None and known.at_hand:
        await cancel(db, uploads, now, upload)
        raise layer_exists(place, digest)
    async with uploads.receive(db, upload) as received:
        return await finish(db, uploads, now, place, received, digest)


async def cancel(db: Database, uploads: Uploads, now: datetime, upload: Upload) -> None:
    """Remove an upload and its bytes; nothing happens when somebody else finished or changed it first."""

    async def work(tx: Transaction) -> bool:
        closed = await store.close(tx, upload)
        if closed:
            await store.add_tombstone(tx, upload.storage_key, now)
        return closed

    if await db.write(work):
        uploads.hashes.drop(upload.id)
        await _remove_bytes(db, uploads.blobs, upload.storage_key)


async def mount(
    db: Database, now: datetime, target: Repository, source: Repository, digest: Digest
) -> Blob | None:
    """Let `target` hold a blob of `source` without moving bytes; None when `source` does not hold it."""

    async def work(tx: Transaction) -> Blob | None:
        found = await store.find_blob(tx, source.id, digest)
        if found is not None and not found.at_hand:
            return None
        if found is not None:
            await repositories.get(tx, target.account, target.name, public=target.public)
            await store.link(tx, target.id, digest, now)
        return found

    return await db.write(work)


async def blob(db: Reader, repository: Repository, digest: Digest) -> Blob | None:
    """Return a blob that the repository holds, or None."""
    return await store.find_blob(db, repository.id, digest)


async def claim(
    db: Database, now: datetime, repository: Repository, known: Blob, delay: timedelta = timedelta()
) -> Blob | None:
    """A client is about to be told that it need not push `known`: see to it that the manifest finds the blob.

    A review that is due within half the `delay` of the collection is put off. Return the blob as it is then, None when
    it was collected meanwhile.
    """
    if not must_be_kept(known.review_since, now, delay):
        return known
    with contextlib.suppress(Unavailable):  # a full disk takes no manifest either, and reading must go on
        await collection.keep(db, now, Link(repository.id, known.digest))
    return await store.find_blob(db, repository.id, known.digest)


async def sweep(db: Database, uploads: Uploads, now: datetime) -> int:
    """Remove uploads without progress for a day, and bytes whose tombstone is due; return how many of both.

    Runs at start and then every few minutes, in batches, until nothing is due.
    """
    removed = 0
    before = now - timedelta(seconds=limits.UPLOAD_AGE_SECONDS)
    while batch := await store.stale(db, before, 100):
        for upload in batch:
            await cancel(db, uploads, now, upload)
        removed += len(batch)
    while keys := await store.due_tombstones(db, now, 100):
        for key in keys:
            await _remove_bytes(db, uploads.blobs, key)
        removed += len(keys)
    return removed


async def _remove_bytes(db: Database, blobs: BlobStore, storage_key: StorageKey) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, blobs.discard, storage_key)
    if blobs.shared:  # a node that died may have finished bytes under a name that no row has
        for sibling in await loop.run_in_executor(None, blobs.siblings, storage_key):
            if not await store.is_needed(db, sibling):
                await loop.run_in_executor(None, blobs.discard, sibling)

    async def work(tx: Transaction) -> None:
        await store.remove_tombstone(tx, storage_key)

    await db.write(work)
