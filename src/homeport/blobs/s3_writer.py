"""One writer of a staged object in S3: parts of a multipart upload as soon as there are enough bytes for one.

What another writer does can never become part of the bytes that this one acknowledges: a state names exactly its own
parts (`s3_progress.py`), an object that two writers finish at once has two names, and whether the finished object
consists of the parts that were sent is read from what the server calls it. Where that is not certain, `finish` says so.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final

from homeport.blobs.port import SIBLING_CHARS, BlobDamaged, BlobMissing, Finished, StorageKey
from homeport.blobs.s3_bucket import Part, UploadGone
from homeport.blobs.s3_progress import Progress, parsed_name
from homeport.blobs.spool import Spool
from homeport.kernel.errors import HomeportError, StorageFull, Unavailable

if TYPE_CHECKING:
    from homeport.blobs.s3 import S3BlobStore

MIB: Final = 1024 * 1024
PART_MIN_BYTES: Final = 5 * MIB  # S3: every part but the last
_PART_NUMBERS: Final = 10_000  # S3: the highest number of a part
_AHEAD: Final = 2  # parts of one writer that are on their way at once


def part_bytes(number: int) -> int:
    """How long a part of this number becomes: short ones at first, and such that 10,000 hold the largest layer."""
    if number < 2_000:
        return 8 * MIB
    return 16 * MIB if number < 5_000 else 32 * MIB


def least_bytes(number: int) -> int:
    """How many bytes that wait when a request ends become a part of their own rather than part of the state."""
    return PART_MIN_BYTES if number < 3_000 else part_bytes(number)


def sibling(key: StorageKey) -> StorageKey:
    """A key of its own whose beginning says to which upload it belongs (see `family`)."""
    return StorageKey(key[:-SIBLING_CHARS] + secrets.token_hex(SIBLING_CHARS // 2))


def family(key: StorageKey) -> str:
    """What the names of an upload's objects begin with: 74 random bits, so no other upload's do."""
    return key[:-SIBLING_CHARS]


def composite(parts: Sequence[Part]) -> str | None:
    """What S3 calls an object made of `parts`; None where the parts' names are no MD5 digests."""
    running = hashlib.md5(usedforsecurity=False)
    for part in parts:
        if len(part.etag) != 32:
            return None
        try:
            running.update(bytes.fromhex(part.etag))
        except ValueError:
            return None
    return f"{running.hexdigest()}-{len(parts)}"


class S3BlobWriter:
    """The `BlobWriter` of a staged object in S3; see the port."""

    def __init__(
        self, store: S3BlobStore, key: StorageKey, base: Progress, tail: bytes, *, alone: bool, created: bool
    ) -> None:
        """`alone`: the caller vouches that nobody else writes. `created`: nothing was staged before."""
        self._store = store
        self._key = key
        self._base = base
        self._alone = alone
        self._closed = self._failed = False
        self.discarded = False
        self._unsaved = created
        self.moved = False
        """Whether this writer cut or wrote, so that its bytes are the staged ones."""
        self._spool = Spool(store.budget)
        self._pending: deque[Future[Part]] = deque()
        self._begin_at(base, tail)

    def _begin_at(self, base: Progress, tail: bytes) -> None:
        self._offset = base.offset
        self._parts = list(base.parts)
        self._upload, self._target = base.upload, base.target
        self._spool.clear()
        self._fill(tail)

    @property
    def offset(self) -> int:
        return self._offset

    def tail(self) -> bytes | None:
        """All bytes so far, None when some are parts already."""
        return None if self._parts or self._pending else self._spool.content()

    def cut(self, offset: int | None = None) -> None:
        self._check_open()
        to = self._offset if offset is None else offset
        if not 0 <= to <= self._offset:
            raise ValueError("only bytes that are there can be cut")
        self.moved = True
        if offset is None or to == self._offset:
            self._unsaved = self._unsaved or self._alone
            return
        self._unsaved = True
        before = self._offset - self._spool.size
        if to >= before:
            self._spool.cut(to - before)
            self._offset = to
        elif to == self._base.offset:
            wait(self._pending)
            self._pending.clear()
            tail = self._store.tail_of(self._key, self._base)
            self._begin_at(self._base, tail)
            self._unsaved = self._alone
        else:
            self._failed = True
            raise Unavailable("The upload cannot go back into a part that is stored already; begin it again")

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        self._check_open()
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        self.cut()
        before = self._offset
        try:
            for part in parts:
                view = memoryview(part)
                if not view.nbytes:
                    continue
                view = view.cast("B")
                while view:
                    room = part_bytes(self._next_number()) - self._spool.size
                    piece, view = view[:room], view[room:]
                    self._fill(piece)
                    self._offset += len(piece)
                    self._unsaved = True
                    if len(piece) == room:
                        self._send()
        except (HomeportError, BlobDamaged):
            self._failed = True
            raise
        return self._offset - before

    def _fill(self, piece: memoryview | bytes) -> None:
        try:
            self._spool.append(piece)
        except OSError as error:
            raise StorageFull(
                "No space left for what waits to be stored; free the temporary folder"
            ) from error

    def _next_number(self) -> int:
        last = self._parts[-1].number if self._parts else 0
        return last + len(self._pending) + 1

    def _send(self) -> None:
        """Let the waiting bytes become a part, in the background."""
        if self.discarded:
            raise Unavailable("The upload was cancelled")
        if self._upload is None:
            self._target = self._key if self._alone else sibling(self._key)
            self._upload = self._store.bucket.begin(self._target, self._store.class_of(self._key))
        assert self._target is not None
        while len(self._pending) >= _AHEAD:
            self._settle_one()
        number = self._next_number()  # without a gap: some servers take no other numbers
        if number > _PART_NUMBERS:
            raise Unavailable(
                "The upload has more parts than the object store takes; begin it again with longer ones"
            )
        content = self._spool.content()
        self._spool.clear()
        bucket, target, upload = self._store.bucket, self._target, self._upload
        self._pending.append(self._store.threads.submit(bucket.upload, target, upload, number, content))

    def _settle_one(self) -> None:
        try:
            self._parts.append(self._pending[0].result())
        except UploadGone:
            raise Unavailable("The upload was finished or cancelled meanwhile; ask for its status") from None
        finally:
            self._pending.popleft()

    def _settle(self) -> None:
        while self._pending:
            self._settle_one()

    def save(self) -> str:
        self._check_open()
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        if not self._unsaved and self._base.name:
            return self._base.name
        try:
            if self._spool.size >= least_bytes(self._next_number()):
                self._send()
            self._settle()
        except HomeportError:
            self._failed = True
            raise
        reached = Progress(
            self._offset, tuple(self._parts), self._upload, self._target, self._base.generation + 1
        )
        old, self._base = self._base, self._store.save(self._key, reached, self._spool.content())
        self._unsaved = False
        was = parsed_name(old.name)
        if self._alone and was is not None and reached.offset < was[1]:
            self._store.forget(self._key, old)  # whoever still reads it must not take it for the whole
        return self._base.name

    def finish(self, size: int) -> Finished:
        self._check_open()
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        if self._offset != size:
            raise BlobDamaged(f"{self._key} has {self._offset} bytes staged, not {size}")
        if self.discarded:
            raise BlobMissing(self._key)
        try:
            finished = self._finish()
        except HomeportError:
            self._failed = True
            raise
        self._unsaved = False
        if self._alone:
            self._store.forget_all(self._key)
        self.close()
        return finished

    def _finish(self) -> Finished:
        store = self._store
        if self._upload is None:
            target = self._key if self._alone else sibling(self._key)
            store.bucket.put(target, self._spool.content(), store.class_of(self._key))
            return Finished(target)
        if self._spool.size:
            self._send()
        self._settle()
        assert self._target is not None
        try:
            called = store.bucket.complete(self._target, self._upload, self._parts)
        except UploadGone:  # an attempt whose answer was lost, or another writer's
            found = store.bucket.size(self._target)
            if found is None:
                raise BlobMissing(self._key) from None
            if found != self._offset:
                raise BlobDamaged(
                    f"{self._target} is finished with {found} bytes, not {self._offset}"
                ) from None
            called = ""
        except BlobDamaged:  # some servers refuse while there are more parts than those that count
            return self._without_strays(self._target, self._upload)
        called = called or store.bucket.etag(self._target)
        return Finished(self._target, proven=called == composite(self._parts))

    def _without_strays(self, target: StorageKey, upload: str) -> Finished:
        """Finish although a writer that died left parts behind, where that is refused: with them, and then without.

        Raises BlobDamaged when a part of ours is not there as we stored it.
        """
        bucket = self._store.bucket
        there = [] if self._alone else bucket.parts(target, upload)
        ours = {part.number: part for part in self._parts}
        if {part.number: part for part in there if part.number in ours} != ours or len(there) == len(ours):
            raise BlobDamaged(f"the parts of {target} are not those that were stored")
        bucket.complete(target, upload, there)
        final = sibling(self._key)
        copy = bucket.begin(final, self._store.class_of(self._key))
        copied: list[Part] = []
        at = 0
        for part in there:
            if part.number in ours:
                copied.append(bucket.copy(target, at, part.size, final, copy, len(copied) + 1))
            at += part.size
        bucket.complete(final, copy, copied)
        bucket.delete([target])
        return Finished(final, proven=False)

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._alone and self._unsaved and not self._failed and not self.discarded:
                self.save()
        finally:
            self._closed = True
            self._spool.clear()
            if self._pending and self._upload is not None:
                self._store.abandon(self._upload, list(self._pending))
            self._store.release(self._key, self)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the writer is closed")
