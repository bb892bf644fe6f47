"""Blobs in S3, or in what speaks S3: the store of many nodes, none of which keeps anything.

Layout below the place's prefix: `data/<xx>/<uuid>` and `archive/<xx>/<uuid>` are finished, `staging/<key>/...` are the
states of objects that grow (`s3_progress.py`). The contract is in `port.py`. Which of two writers counts is decided by
the caller's records, never by the server; see `s3_writer.py`. All of this may take long: call it from a thread. Only
`address` sends nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from homeport.blobs.port import (
    ADDRESS_SECONDS,
    BlobBusy,
    BlobDamaged,
    BlobFinished,
    BlobMissing,
    BlobSealed,
    Shard,
    StorageClass,
    StorageKey,
    StoredObject,
)
from homeport.blobs.s3_bucket import Bucket, Part
from homeport.blobs.s3_place import S3Place
from homeport.blobs.s3_progress import Progress, decoded, new_name, parsed_name, shortened
from homeport.blobs.s3_reader import MemoryReader, S3BlobReader
from homeport.blobs.s3_writer import MIB, S3BlobWriter, family
from homeport.blobs.spool import Budget
from homeport.kernel.errors import Unavailable

_SPOOL_BYTES: Final = 128 * MIB  # of memory for bytes that wait to become parts
_STATE_CACHE_BYTES: Final = 16 * MIB
_SENDERS: Final = 8
_ADDRESSES: Final = 4096
_ADDRESS_REUSE_SECONDS: Final = 60
_PROBE_SECONDS: Final = 60
_STATES: Final = 4096


class _States:
    """The states that this process wrote or read last, with their tails; a state never changes."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Progress, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> tuple[Progress, bytes] | None:
        with self._lock:
            return self._known.get(name)

    def put(self, progress: Progress, tail: bytes) -> None:
        with self._lock:
            if progress.name in self._known:
                return
            self._known[progress.name] = (progress, tail)
            self._bytes += len(tail)
            while self._bytes > _STATE_CACHE_BYTES or len(self._known) > _STATES:
                _, (_, gone) = self._known.popitem(last=False)
                self._bytes -= len(gone)


class S3BlobStore:
    """The `BlobStore` of an S3 bucket. Safe to share between threads, not over a fork; any number of processes."""

    def __init__(
        self, place: S3Place, access_key_id: str | None = None, secret_access_key: str | None = None
    ) -> None:
        self._place = place
        self.bucket = Bucket(place, access_key_id, secret_access_key)
        self.budget = Budget(_SPOOL_BYTES)
        self._unsettled: dict[str, list[Future[Part]]] = {}
        self.threads = ThreadPoolExecutor(_SENDERS, thread_name_prefix="s3")
        self._states = _States()
        self._writers: dict[StorageKey, S3BlobWriter | None] = {}
        self._addresses: OrderedDict[StorageKey, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._probed = float("-inf")

    @property
    def shared(self) -> bool:
        return True

    def class_of(self, key: StorageKey) -> str | None:
        """S3's storage class for the object."""
        archived = key.storage_class is StorageClass.ARCHIVE
        return self._place.archive_class if archived else self._place.storage_class

    # --- Writing ---

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> S3BlobWriter:
        key = StorageKey(key)
        if offset < 0:
            raise ValueError("offset must not be negative")
        with self._lock:
            if key in self._writers:
                raise BlobBusy("Another request is still writing to this upload; try again")
            self._writers[key] = None
        try:
            alone = state is None
            if state is None:
                base, tail, created = self._newest_for(key, offset)
            else:
                base, tail, created = self._acknowledged(key, offset, state)
            opened = S3BlobWriter(self, key, base, tail, alone=alone, created=created)
        except BaseException:
            with self._lock:
                del self._writers[key]
            raise
        with self._lock:
            self._writers[key] = opened
        return opened

    def _newest_for(self, key: StorageKey, offset: int) -> tuple[Progress, bytes, bool]:
        """Where a writer begins that has the object to itself; whether nothing was there."""
        if self.bucket.size(key) is not None:
            raise BlobFinished(key)
        newest = self._newest(key)
        if newest is None:
            if offset:
                raise BlobMissing(key)
            return Progress(), b"", True
        if newest.offset < offset:
            raise BlobDamaged(f"{key} has {newest.offset} bytes staged, {offset} were acknowledged")
        cut = shortened(*self._load(key, newest.name), offset)
        if cut is None:
            raise Unavailable("The upload cannot go back into a part that is stored already; begin it again")
        return *cut, False

    def _acknowledged(self, key: StorageKey, offset: int, state: str) -> tuple[Progress, bytes, bool]:
        """Where a writer begins that was told which state counts."""
        if not state:
            if offset:
                raise BlobDamaged(f"nothing is known about the {offset} bytes of {key}")
            return Progress(), b"", False
        base, tail = self._load(key, state)
        if base.offset != offset:
            raise BlobDamaged(f"{key} has {base.offset} bytes staged, {offset} were acknowledged")
        with self._lock:
            unsettled = self._unsettled.pop(base.upload or "", [])
        wait(unsettled)  # else the later of two parts with one number would be an abandoned one
        if base.target is not None and self.bucket.size(base.target) is not None:
            raise BlobFinished(base.target)
        return base, tail, False

    @staticmethod
    def _staging(key: StorageKey) -> str:
        return f"staging/{key}"

    def _newest(self, key: StorageKey) -> Progress | None:
        """The state of the highest generation, as far as its name tells."""
        newest: Progress | None = None
        for each in self.bucket.listed(self._staging(key)):
            name = each.name.rpartition("/")[2]
            numbers = parsed_name(name)
            if numbers is not None and (newest is None or numbers[0] >= newest.generation):
                newest = Progress(offset=numbers[1], generation=numbers[0], name=name)
        return newest

    def _load(self, key: StorageKey, name: str) -> tuple[Progress, bytes]:
        if parsed_name(name) is None:
            raise BlobDamaged(f"{name!r} names no state of {key}")
        known = self._states.get(name)
        if known is None:
            known = decoded(name, self.bucket.get_whole(f"{self._staging(key)}/{name}"))
            self._states.put(*known)
        return known

    def tail_of(self, key: StorageKey, base: Progress) -> bytes:
        """Return the bytes of a saved state after its parts; what was cut off when it was opened stays away."""
        if not base.name:
            return b""
        _, tail = self._load(key, base.name)
        return tail[: base.offset - base.tail_start]

    def save(self, key: StorageKey, reached: Progress, tail: bytes) -> Progress:
        """Write a new state down and return it with its name. Raises StorageFull, Unavailable."""
        name = new_name(reached.generation, reached.offset)
        self.bucket.put(f"{self._staging(key)}/{name}", reached.encoded() + tail)
        saved = Progress(
            reached.offset, reached.parts, reached.upload, reached.target, reached.generation, name
        )
        self._states.put(saved, tail)
        return saved

    def forget(self, key: StorageKey, old: Progress) -> None:
        """Remove a state whose end was cut off."""
        self.bucket.delete([f"{self._staging(key)}/{old.name}"])

    def forget_all(self, key: StorageKey) -> None:
        """Remove all states of an object."""
        names = [each.name for each in self.bucket.listed(self._staging(key))]
        if names:
            self.bucket.delete(names)

    def abandon(self, upload: str, parts: list[Future[Part]]) -> None:
        """Parts that nobody will count are still on their way: the next writer of this process waits for them."""
        with self._lock:
            self._unsettled[upload] = [
                part for part in [*self._unsettled.get(upload, []), *parts] if not part.done()
            ]
            for known in [name for name, each in self._unsettled.items() if all(one.done() for one in each)]:
                del self._unsettled[known]

    def release(self, key: StorageKey, writer: S3BlobWriter) -> None:
        """Let others write, now that `writer` is closed."""
        with self._lock:
            if self._writers.get(key) is writer:
                del self._writers[key]

    def finish(self, key: StorageKey, size: int) -> None:
        key = StorageKey(key)
        with self._lock:
            busy = key in self._writers
        if busy:
            raise Unavailable("Another request is still writing to this upload; try again")
        found = self.bucket.size(key)
        if found is not None:
            if found != size:
                raise BlobDamaged(f"{key} is finished with {found} bytes, not {size}")
            self.forget_all(key)
            return
        newest = self._newest(key)
        if newest is None:
            raise BlobMissing(key)
        if newest.offset != size:
            raise BlobDamaged(f"{key} has {newest.offset} bytes staged, not {size}")
        writer = self.writer(key, size)
        try:
            writer.finish(size)
        finally:
            writer.close()

    # --- Reading ---

    def staged(self, key: StorageKey) -> MemoryReader | S3BlobReader:
        key = StorageKey(key)
        with self._lock:
            writer = self._writers.get(key)
        if writer is not None and writer.moved:
            content = writer.tail()
            if content is None:
                raise BlobSealed(key)
            return MemoryReader(content)
        newest = self._newest(key)
        if newest is None:
            raise BlobMissing(key)
        progress, tail = self._load(key, newest.name)
        if progress.parts:
            raise BlobSealed(key)
        state = f"{self._staging(key)}/{newest.name}"
        return S3BlobReader(self.bucket, state, len(progress.encoded()), len(tail))

    def reader(self, key: StorageKey) -> S3BlobReader:
        key = StorageKey(key)
        size = self.bucket.size(key)
        if size is None:
            raise BlobMissing(key)
        return S3BlobReader(self.bucket, key, 0, size)

    def address(self, key: StorageKey) -> str | None:
        key = StorageKey(key)
        now = time.monotonic()
        with self._lock:
            known = self._addresses.get(key)
        if known is not None and known[0] > now:
            return known[1]
        signed = self.bucket.sign(key, ADDRESS_SECONDS)
        with self._lock:
            self._addresses[key] = (now + _ADDRESS_REUSE_SECONDS, signed)
            self._addresses.move_to_end(key)
            while len(self._addresses) > _ADDRESSES:
                self._addresses.popitem(last=False)
        return signed

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        found = []
        for name in self.bucket.beginning(family(StorageKey(key))):
            with contextlib.suppress(ValueError):
                found.append(StorageKey(name))
        return [each for each in found if each != key]

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        shard = Shard(shard)
        # Staged ones first: one that is finished meanwhile is then seen once more, not never.
        last: StoredObject | None = None
        for each in self.bucket.listed(f"staging/{shard.rstrip('/')}"):
            folder, _, name = each.name.removeprefix("staging/").rpartition("/")
            numbers = parsed_name(name)
            try:
                key = StorageKey(folder)
            except ValueError:
                continue
            if numbers is None:
                continue
            if last is not None and last.key != key:
                yield last
            last = StoredObject(key, numbers[1], each.changed_at, finished=False)
        if last is not None:
            yield last
        yield from self._finished_in(shard.rstrip("/"))

    def finished(self) -> Iterator[StoredObject]:
        """Yield every finished object, in the order of `all_shards`; a request for a thousand. Raises Unavailable."""
        for area in ("data", "archive"):
            yield from self._finished_in(area)

    def _finished_in(self, folder: str) -> Iterator[StoredObject]:
        for each in self.bucket.listed(folder):
            try:
                key = StorageKey(each.name)
            except ValueError:
                continue
            yield StoredObject(key, each.size, each.changed_at, finished=True)

    # --- The rest ---

    def discard(self, key: StorageKey) -> None:
        key = StorageKey(key)
        with self._lock:
            writer = self._writers.get(key)
            self._addresses.pop(key, None)
        if writer is not None:
            writer.discarded = True
        self.bucket.abort_all(family(key))
        names = [each.name for each in self.bucket.listed(self._staging(key))]
        self.bucket.delete([key, *names])

    def check(self) -> None:
        now = time.monotonic()
        if now - self._probed < _PROBE_SECONDS:
            self.bucket.reach()
            return
        self.bucket.put("staging/probe", b"")  # a bucket may be readable and yet take no more
        self._probed = now

    def close(self) -> None:
        """End the threads and let go of connections."""
        self.threads.shutdown()
        self.bucket.close()
