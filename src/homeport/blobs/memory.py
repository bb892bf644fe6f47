"""Blobs in memory: the same contract without a disk, for tests and for a registry that may forget.

Bounded by `capacity_bytes`. Nothing survives the process, so `finish` promises visibility only.
The contract is in `port.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

from homeport.blobs.port import (
    BlobBusy,
    BlobDamaged,
    BlobFinished,
    BlobMissing,
    Finished,
    Shard,
    StorageKey,
    StoredObject,
)
from homeport.kernel.clock import Clock, SystemClock
from homeport.kernel.errors import StorageFull, Unavailable


class _Object:
    """The bytes of one key, whether somebody is appending to them, and whether they still count."""

    __slots__ = ("changed_at", "content", "discarded", "writing")

    def __init__(self, now: datetime) -> None:
        self.content = bytearray()
        self.changed_at = now
        self.writing = False
        self.discarded = False


class MemoryBlobWriter:
    """The `BlobWriter` of a staged object in memory; see the port."""

    def __init__(self, store: MemoryBlobStore, key: StorageKey, item: _Object, offset: int) -> None:
        self._store = store
        self._key = key
        self._item = item
        self._offset = offset
        self._closed = False
        self._failed = False

    @property
    def offset(self) -> int:
        return self._offset

    def cut(self, offset: int | None = None) -> None:
        if self._closed:
            raise ValueError("the writer is closed")
        to = self._offset if offset is None else offset
        if not 0 <= to <= self._offset:
            raise ValueError("only bytes that are there can be cut")
        self._store._cut(self._item, to)
        self._offset = to

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        if self._closed:
            raise ValueError("the writer is closed")
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        self.cut()
        total = sum(memoryview(part).nbytes for part in parts)
        try:
            self._store._append(self._item, parts, total)
        except StorageFull:
            self._failed = True
            raise
        self._offset += total
        return total

    def save(self) -> str:
        return ""

    def finish(self, size: int) -> Finished:
        if self._closed:
            raise ValueError("the writer is closed")
        self._store._finish_held(self._key, self._item, size)
        self.close()
        return Finished(self._key)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._item.writing = False


class MemoryBlobReader:
    """The `BlobReader` of an object in memory; see the port."""

    def __init__(self, key: StorageKey, item: _Object) -> None:
        self._key = key
        self._item: _Object | None = item
        self._size = len(item.content)

    @property
    def size(self) -> int:
        return self._size

    def fileno(self) -> int | None:
        if self._item is None:
            raise ValueError("the reader is closed")
        return None

    def read(self, offset: int, length: int) -> bytes:
        if self._item is None:
            raise ValueError("the reader is closed")
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        wanted = max(0, min(length, self._size - offset))
        piece = bytes(self._item.content[offset : offset + wanted])
        if len(piece) < wanted:
            raise BlobDamaged(f"{self._key} has become shorter than {self._size} bytes")
        return piece

    def close(self) -> None:
        self._item = None


class MemoryBlobStore:
    """The `BlobStore` of one process. `capacity_bytes` bounds staged and finished bytes together."""

    def __init__(self, capacity_bytes: int = 1024 * 1024 * 1024, clock: Clock | None = None) -> None:
        self._capacity_bytes = capacity_bytes
        self._clock = clock if clock is not None else SystemClock()
        self._used = 0
        self._staged: dict[StorageKey, _Object] = {}
        self._finished: dict[StorageKey, _Object] = {}
        self._lock = threading.Lock()

    def _append(self, item: _Object, parts: Sequence[memoryview | bytes], total: int) -> None:
        with self._lock:
            if item.discarded:  # as with an unlinked file: accepted, and gone with the writer
                return
            if self._used + total > self._capacity_bytes:
                raise StorageFull("No space left to store the blob; raise the capacity of the blob store")
            for part in parts:
                item.content += part
            item.changed_at = self._clock.now()
            self._used += total

    @property
    def shared(self) -> bool:
        return False

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> MemoryBlobWriter:
        key = StorageKey(key)
        if offset < 0:
            raise ValueError("offset must not be negative")
        with self._lock:
            if key in self._finished:
                raise BlobFinished(key)
            item = self._staged.get(key)
            if item is None:
                if offset:
                    raise BlobMissing(key)
                item = self._staged[key] = _Object(self._clock.now())
            if item.writing:
                raise BlobBusy("Another request is still writing to this upload; try again")
            size = len(item.content)
            if size < offset:
                raise BlobDamaged(f"{key} has {size} bytes staged, {offset} were acknowledged")
            item.writing = True
            return MemoryBlobWriter(self, key, item, offset)

    def _cut(self, item: _Object, offset: int) -> None:
        with self._lock:
            if item.discarded:  # its bytes are not counted any more
                return
            self._used -= len(item.content) - offset
            del item.content[offset:]

    def _open_reader(self, objects: dict[StorageKey, _Object], key: StorageKey) -> MemoryBlobReader:
        key = StorageKey(key)
        with self._lock:
            item = objects.get(key)
            if item is None:
                raise BlobMissing(key)
            return MemoryBlobReader(key, item)

    def staged(self, key: StorageKey) -> MemoryBlobReader:
        return self._open_reader(self._staged, key)

    def reader(self, key: StorageKey) -> MemoryBlobReader:
        return self._open_reader(self._finished, key)

    def finish(self, key: StorageKey, size: int) -> None:
        key = StorageKey(key)
        with self._lock:
            item = self._finished.get(key) or self._staged.get(key)
            if item is None:
                raise BlobMissing(key)
            if item.writing:
                raise Unavailable("Another request is still writing to this upload; try again")
            self._promote(key, item, size)

    def _finish_held(self, key: StorageKey, item: _Object, size: int) -> None:
        with self._lock:
            if self._staged.get(key) is not item:
                raise BlobMissing(key)
            self._promote(key, item, size)

    def _promote(self, key: StorageKey, item: _Object, size: int) -> None:
        if len(item.content) != size:
            raise BlobDamaged(f"{key} has {len(item.content)} bytes, not {size}")
        self._finished[key] = item
        self._staged.pop(key, None)

    def address(self, key: StorageKey) -> str | None:
        return None

    def discard(self, key: StorageKey) -> None:
        key = StorageKey(key)
        with self._lock:
            for objects in (self._staged, self._finished):
                item = objects.pop(key, None)
                if item is not None:
                    item.discarded = True
                    self._used -= len(item.content)

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        return []

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        shard = Shard(shard)
        with self._lock:
            held = [(False, *each) for each in self._staged.items()]
            held += [(True, *each) for each in self._finished.items()]
        for finished, key, item in held:
            if key.startswith(shard):
                yield StoredObject(key, len(item.content), item.changed_at, finished)

    def check(self) -> None:
        with self._lock:
            if self._used >= self._capacity_bytes:
                raise StorageFull("The blob store is full; raise its capacity")
