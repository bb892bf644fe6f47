"""What the registry asks of a place for bytes: write staged bytes, make them durable, read, discard.

A store knows storage keys and bytes; it must not know digests, repositories or who asks. The order of
calls of a push (row first, then bytes, then the offset by compare-and-swap, then `finish`) belongs to the
caller. All methods block: call them from a worker thread. The contract in prose is here; as a program it
is `tests/contract/test_blob_store.py`, which every driver passes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self

from homeport.kernel.errors import Unavailable

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_KEY = re.compile(rf"(?:data|archive)/([0-9a-f]{{2}})/(?=\1){_UUID4}")
_PREFIX = re.compile(r"(data|archive)/([0-9a-f]{2})/")
_NAME_CHARS = 36
SIBLING_CHARS = 12
"""How much of its end tells an object of an upload from its siblings: 48 random bits; 74 before it tell the upload."""
ADDRESS_SECONDS = 240
"""How long an address can be used to begin a download: less than bytes outlive the last row that names them."""


class StorageClass(StrEnum):
    """Where bytes lie: at hand, or where room is cheap and reading may be slow."""

    STANDARD = "STANDARD"
    ARCHIVE = "ARCHIVE"


class StorageKey(str):
    """The name of one object, ``data/<xx>/<uuid4>``, where xx is the first two hex digits of the uuid.

    An object of the archive is ``archive/<xx>/<uuid4>``. Beyond that names carry no meaning: every upload and every
    copy gets its own, so bytes are never overwritten or raced for.
    Raises ValueError on any other text, so a key that exists is safe to turn into a path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _KEY.fullmatch(text):
            raise ValueError("a storage key must have the form data/<xx>/<uuid4> or archive/<xx>/<uuid4>")
        return super().__new__(cls, text)

    @property
    def storage_class(self) -> StorageClass:
        """Where the object belongs."""
        return StorageClass.STANDARD if self[0] == "d" else StorageClass.ARCHIVE

    @property
    def shard(self) -> str:
        """The folder, two hex digits: 256 folders keep each one small."""
        return self[-_NAME_CHARS : 2 - _NAME_CHARS]

    @property
    def name(self) -> str:
        """The name inside the folder: the uuid with dashes."""
        return self[-_NAME_CHARS:]


def new_storage_key(storage_class: StorageClass = StorageClass.STANDARD) -> StorageKey:
    """A fresh random key; collisions are as likely as those of uuid4 (122 random bits)."""
    name = str(uuid.uuid4())
    area = "data" if storage_class is StorageClass.STANDARD else "archive"
    return StorageKey(f"{area}/{name[:2]}/{name}")


class Shard(str):
    """What the keys of a 256th of a storage class begin with, ``data/<xx>/`` or ``archive/<xx>/``.

    Raises ValueError on any other text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _PREFIX.fullmatch(text):
            raise ValueError("a shard must have the form data/<xx>/ or archive/<xx>/")
        return super().__new__(cls, text)

    @property
    def storage_class(self) -> StorageClass:
        """Where the objects belong."""
        return StorageClass.STANDARD if self[0] == "d" else StorageClass.ARCHIVE

    @property
    def name(self) -> str:
        """The two hex digits."""
        return self[-3:-1]


def all_shards() -> Iterator[Shard]:
    """Return each shard of each storage class: together they list everything that a store holds."""
    for area in ("data", "archive"):
        for number in range(256):
            yield Shard(f"{area}/{number:02x}/")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as a listing shows it. `size` in bytes; `changed_at` by the clock of the store."""

    key: StorageKey
    size: int
    changed_at: datetime
    finished: bool


class BlobError(Exception):
    """The stored bytes are not as the caller's records say; the caller decides what a client sees."""


class BlobMissing(BlobError):
    """No bytes under that key in the state that was asked for (staged or finished)."""


class BlobDamaged(BlobError):
    """There are bytes, but not those acknowledged: too few, too many, or not an ordinary file of ours."""


class BlobBusy(Unavailable):
    """Another writer has the object now."""


class BlobFinished(BlobError):
    """The object is finished; finished bytes never change, so there is nothing to append to."""

    def __init__(self, key: StorageKey) -> None:
        super().__init__(key)
        self.key = key
        """Under which key the bytes are read."""


class BlobSealed(BlobError):
    """The staged bytes are safe, and the store can read them only once they are finished."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a writer's bytes: under which key they are durable, and whether they are surely those."""

    key: StorageKey
    proven: bool = True
    """False when another writer's bytes may be among them: read them back before anybody else may."""


class BlobWriter(Protocol):
    """Appends to one staged object, and has it to itself. Used by one thread at a time."""

    @property
    def offset(self) -> int:
        """Bytes in the object so far, which is where the next write goes. Unknown after an error."""
        ...

    def cut(self, offset: int | None = None) -> None:
        """Remove bytes beyond `offset`: a crash may have left more than was acknowledged.

        Without an argument that is where the next write goes; an earlier one takes back what this writer wrote,
        also after an error, and becomes where the next write goes. Raises ValueError for a later one.

        The first `write` does it by itself. It is a step of its own so that the caller, who has the object to itself
        once it is open, can make sure first that its idea of the offset is not out of date.
        """
        ...

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        """Append every byte of every part, in order; return how many bytes that was.

        The bytes are readable through `staged` afterwards, but durable only after `finish`. On any error
        an unknown share of them was written and this writer takes no more: open another one at the last
        acknowledged offset. Raises StorageFull, Unavailable; ValueError once closed.
        """
        ...

    def save(self) -> str:
        """Have what was written survive this process, as far as it needs to for another node to continue.

        Returns what `BlobStore.writer` of that node must be told, at most 100 printable characters; the caller
        records it with the offset. Nothing is done, and nothing needs recording, where the store is not `shared`.
        Raises StorageFull, Unavailable.
        """
        ...

    def finish(self, size: int) -> Finished:
        """`BlobStore.finish` without letting go in between, then `close`.

        What was verified under this writer is what becomes durable: nobody can write to the object meanwhile. A
        shared store cannot keep others away, so with a `state` it finishes under a key that no other writer uses, and
        says which; the object under the writer's own key is then to be discarded.
        """
        ...

    def close(self) -> None:
        """Let go of the object; the staged bytes stay. A second close does nothing.

        Raises Unavailable or StorageFull when a network file system only now reports a lost write: then
        the last acknowledged offset is still the truth.
        """
        ...


class BlobReader(Protocol):
    """A snapshot of one object's length with random access to its bytes. Used by one thread at a time."""

    @property
    def size(self) -> int:
        """Bytes in the object when the reader was opened."""
        ...

    def fileno(self) -> int | None:
        """A descriptor for the kernel's sendfile, owned by the reader; None when there is none."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`: fewer only at the end, none beyond it.

        Raises BlobDamaged when the object has become shorter than `size`, Unavailable when the device
        fails, ValueError for a negative argument or once closed.
        """
        ...

    def close(self) -> None:
        """Let go of the object. A second close does nothing."""
        ...


class BlobStore(Protocol):
    """Staged objects grow through one writer at a time; finished objects are durable and never change.

    Every method raises ValueError for a key that is not a StorageKey, StorageFull when there is no room
    and Unavailable when the device fails.
    """

    @property
    def shared(self) -> bool:
        """Whether writers on other nodes may have the object too: then only `state` says whose bytes count."""
        ...

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> BlobWriter:
        """Open the staged object for appending at exactly `offset` bytes; offset 0 creates it.

        `state` is what `save` returned when `offset` was acknowledged, empty when nothing is; without it the caller
        vouches that nobody else writes to the object. Stores that are not `shared` do not need it.

        No byte changes before `cut` or `write`. Raises BlobMissing when offset > 0 and nothing is staged,
        BlobDamaged when fewer than `offset` bytes are staged, BlobFinished when the object is finished, and
        BlobBusy while another writer has the object (a writer whose process died has let go).
        """
        ...

    def staged(self, key: StorageKey) -> BlobReader:
        """Read staged bytes back, for example to hash them again at completion.

        Raises BlobMissing; BlobSealed where long staged objects cannot be read before they are finished.
        """
        ...

    def finish(self, key: StorageKey, size: int) -> None:
        """Make the staged object durable and visible to `reader`; on return it survives a power cut.

        Calling it again after success, or after a crash at any point, is safe. Raises BlobMissing when
        there is neither a staged nor a finished object, BlobDamaged when it does not have exactly `size`
        bytes (an unacknowledged tail must be cut with `writer(key, size).cut()` first), Unavailable while a
        writer has it. When the device refuses to make the bytes durable the object is gone: a retry must
        push again, because a second attempt to flush may succeed falsely.
        """
        ...

    def reader(self, key: StorageKey) -> BlobReader:
        """Read a finished object. Raises BlobMissing for one that is absent or only staged."""
        ...

    def address(self, key: StorageKey) -> str | None:
        """Where a client reads a finished object by itself, for at most `ADDRESS_SECONDS`; None if it cannot.

        Whether the object is there is not looked at.
        """
        ...

    def discard(self, key: StorageKey) -> None:
        """Remove the object, staged or finished; silent when it is absent.

        Not flushed: after a power cut the object may be back, unreferenced, for a sweep to find.
        """
        ...

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        """The other finished objects that writers of the same upload made: of a `shared` store; others have none.

        At most one of them was ever acknowledged; only the caller knows which.
        """
        ...

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        """Yield every object of a shard, staged or finished, in no order; nothing that is not an object.

        One that comes, goes or is finished meanwhile may be left out (if it is new or gone) or shown twice, never
        left out because it was finished. Memory is bounded, however many there are. Raises Unavailable.
        """
        ...

    def check(self) -> None:
        """Readiness: return when a push could be stored now. Raises Unavailable or StorageFull."""
        ...
