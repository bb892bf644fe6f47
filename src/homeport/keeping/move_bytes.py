"""Copies the bytes of all blobs from one store to another, under the same keys, while the registry runs or not.

Every byte is hashed on its way, and an object is finished only when its digest is right: what is finished in the target
is whole, and a later run copies the rest. Rows and target are compared shard by shard, which bounds memory. Nothing is
ever removed, neither here nor there; what was deleted after it was copied is left in the target as an orphan.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Protocol, runtime_checkable

from homeport.blobs.port import (
    BlobDamaged,
    BlobFinished,
    BlobMissing,
    BlobReader,
    BlobStore,
    Shard,
    StorageKey,
    StoredObject,
    all_shards,
)
from homeport.database.engine import Reader
from homeport.keeping import store, verification
from homeport.keeping.model import KeptBlob, Verdict
from homeport.keeping.tables_copy import Progress
from homeport.kernel.digests import Digest
from homeport.kernel.errors import InvalidInput, Unavailable

_PAGE = 256  # blobs
_AT_ONCE = 4  # threads that copy: most of the time of a small object is waiting for an answer or a flush
_SHARDS_AT_ONCE = 16  # that are listed together
_PIECE = 1024 * 1024
_FAR_PIECE = 8 * 1024 * 1024  # from a store where each read is a request
_LEFTOVERS = 64  # of a run that was killed at most, among the first that it had not finished
_TOO_MANY = 1000  # damaged blobs: rather the wrong place
_SAMPLE = 64  # objects of a target that are looked up before it is taken for another registry's


class _Stopped(Exception):
    """The copy was broken off."""


class _Bad(Exception):
    """The source does not have the bytes of the blob."""


@dataclass(slots=True)
class MovedBytes:
    """What became of the bytes. Bytes of all blobs that the target has now, and of those that this run brought."""

    blobs: int = 0
    blob_bytes: int = 0
    new_blobs: int = 0
    new_bytes: int = 0
    marked: int = 0
    """Blobs that are marked as damaged already and have no bytes to be copied."""
    strangers: int = 0
    """Objects of the target that no blob has."""
    damaged: list[str] = field(default_factory=list)
    """Digests of blobs that the source does not have whole, and nobody knew."""


@runtime_checkable
class _Listing(Protocol):
    """A store that lists all it has in few requests; others are listed shard by shard."""

    def finished(self) -> Iterator[StoredObject]:
        """Yield every finished object, in the order of `all_shards`. Blocking."""
        ...


async def require_ours(db: Reader, target: BlobStore) -> None:
    """Return when the target is empty or holds bytes of this registry. Errors: InvalidInput, Unavailable."""
    strange = 0
    async for _, found in _listed(target):
        keys = list(found)[:_SAMPLE]
        if keys and await store.unknown(db, keys) != keys:
            return
        strange += len(keys)
        if strange >= _SAMPLE:
            break
    if strange:
        raise InvalidInput(
            "The new place for layers holds objects of another registry. Name an empty bucket, prefix or folder."
        )


async def move_bytes(db: Reader, source: BlobStore, target: BlobStore, progress: Progress) -> MovedBytes:
    """Copy the bytes of every blob that the target does not have. Errors: InvalidInput, Unavailable, StorageFull."""
    _, total = await store.totals(db)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="move") as threads:
        mover = _Mover(db, source, target, progress, total, threads)
        try:
            async for shard, there in _listed(target):
                await mover.move(shard, there)
        finally:
            mover.stop.set()
    mover.moved.damaged.sort()
    return mover.moved


@dataclass(slots=True)
class _Mover:
    """One run of `move_bytes`."""

    db: Reader
    source: BlobStore
    target: BlobStore
    progress: Progress
    total: int
    threads: ThreadPoolExecutor
    moved: MovedBytes = field(default_factory=MovedBytes)
    stop: threading.Event = field(default_factory=threading.Event)
    begun: int = 0

    async def move(self, shard: Shard, there: dict[StorageKey, int]) -> None:
        """Bring what a shard of the target does not have; `there` says what that is now."""
        after = ""
        while page := await store.blobs_of_shard(self.db, shard, after, _PAGE):
            after = page[-1].storage_key
            missing = []
            for blob in page:
                size = there.pop(blob.storage_key, None)
                if size is None:
                    missing.append(blob)
                elif size == blob.size:
                    self._count(blob)
                else:
                    raise Unavailable(
                        f"The new place has {blob.storage_key} with {size} bytes, not {blob.size}. Remove that object."
                    )
            await self._bring(missing)
        self.moved.strangers += len(there)

    def _count(self, blob: KeptBlob) -> None:
        self.moved.blobs += 1
        self.moved.blob_bytes += blob.size
        self.progress("bytes", self.moved.blob_bytes, self.total)

    async def _bring(self, missing: Sequence[KeptBlob]) -> None:
        loop = asyncio.get_running_loop()
        under_way = []
        for blob in missing:
            self.begun += 1
            copy = partial(self._copy, blob, begun_before=self.begun <= _LEFTOVERS)
            under_way.append(loop.run_in_executor(self.threads, copy))
        try:
            for blob, copied in zip(missing, under_way, strict=True):
                if await copied:
                    self.moved.new_blobs += 1
                    self.moved.new_bytes += blob.size
                    self._count(blob)
                else:
                    await self._judge(blob)
        except BaseException:
            self.stop.set()
            await asyncio.gather(*under_way, return_exceptions=True)
            raise

    async def _judge(self, blob: KeptBlob) -> None:
        """The bytes of `blob` are not there, or not whole: is that so for a row that still stands?"""
        known = await store.find(self.db, blob.digest)
        if known is None or known.storage_key != blob.storage_key:
            return  # deleted meanwhile, or moved by itself: the last run comes when nothing moves any more
        if known.damaged:
            self.moved.marked += 1
            return
        self.moved.damaged.append(blob.digest)
        if len(self.moved.damaged) >= _TOO_MANY:
            raise InvalidInput(
                f"{_TOO_MANY} layers are not whole. Is the old place the one that the settings name?"
            )

    def _copy(self, blob: KeptBlob, *, begun_before: bool) -> bool:
        """Copy the bytes of a blob; false when the source does not have them. Blocking."""
        if begun_before and not self.stop.is_set():
            self.target.discard(blob.storage_key)  # parts of a run that was killed
        try:
            with closing(self.source.reader(blob.storage_key)) as reader:
                if reader.size != blob.size:
                    return False
                self._pass_on(reader, blob)
        except BlobMissing:
            return False
        except _Bad:
            self.target.discard(blob.storage_key)
            return False
        return True

    def _pass_on(self, reader: BlobReader, blob: KeptBlob) -> None:
        try:
            with closing(self.target.writer(blob.storage_key, 0)) as writer:
                writer.cut()  # also where no byte follows
                for piece in self._pieces(reader, blob):
                    writer.write([piece])
                proven = writer.finish(blob.size).proven
        except BlobFinished:  # finished by a run that was still there when we looked
            proven = False
        except (BlobMissing, BlobDamaged) as error:
            raise Unavailable(
                f"The new place lost bytes of {blob.storage_key}: {error}. Try again."
            ) from error
        if not proven and verification.read_all(self.target, blob, self.stop) is not Verdict.WHOLE:
            raise Unavailable(f"The new place has other bytes as {blob.storage_key}. Remove that object.")

    def _pieces(self, reader: BlobReader, blob: KeptBlob) -> Iterator[bytes]:
        """Yield the bytes of a blob; the last comes only when all of them are right. Errors: _Bad, _Stopped."""
        digest, length = Digest(blob.digest), _FAR_PIECE if self.source.shared else _PIECE
        running, at = hashlib.new(digest.algorithm), 0
        if not blob.size and running.hexdigest() != digest.hex:
            raise _Bad
        while at < blob.size:
            if self.stop.is_set():
                raise _Stopped
            try:
                piece = reader.read(at, length)
            except BlobDamaged as error:
                raise _Bad from error
            if not piece:
                raise _Bad
            running.update(piece)
            at += len(piece)
            if at >= blob.size and running.hexdigest() != digest.hex:
                raise _Bad
            yield piece


async def _listed(target: BlobStore) -> AsyncIterator[tuple[Shard, dict[StorageKey, int]]]:
    """Yield each shard with what is finished there, and its size in bytes."""
    loop = asyncio.get_running_loop()
    if isinstance(target, _Listing):
        stream = _Stream(target.finished())
        for shard in all_shards():
            yield shard, await loop.run_in_executor(None, stream.of, shard)
        return

    def listed(shard: Shard) -> dict[StorageKey, int]:
        return {each.key: each.size for each in target.listed(shard) if each.finished}

    shards = all_shards()
    while group := list(islice(shards, _SHARDS_AT_ONCE)):
        together = [loop.run_in_executor(None, listed, shard) for shard in group]
        for shard, there in zip(group, await asyncio.gather(*together), strict=True):
            yield shard, there


class _Stream:
    """A listing in the order of shards, taken one shard at a time."""

    def __init__(self, objects: Iterator[StoredObject]) -> None:
        self._objects = objects
        self._next = next(objects, None)

    def of(self, shard: Shard) -> dict[StorageKey, int]:
        """Return what the shard has, and its size in bytes. Blocking."""
        found = {}
        while self._next is not None and self._next.key.startswith(shard):
            found[self._next.key] = self._next.size
            self._next = next(self._objects, None)
        return found
