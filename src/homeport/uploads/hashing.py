"""Running hashes of open uploads, so that the usual push is read once.

A hash lives in this process only. When it is missing (restart, another worker, another algorithm) the stored bytes are
read back and hashed at completion: slower, never wrong. No serialised hash state exists to be poisoned (case B10).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Protocol

from homeport.blobs.port import BlobMissing, BlobStore, StorageKey
from homeport.kernel.digests import Digest

_KEPT = 4096  # about 1 MiB of hash objects
_READ_BYTES = 1024 * 1024


class Hash(Protocol):
    """The part of a hashlib object that is used here."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest so far."""
        ...


class RunningHashes:
    """Hashes by upload id, each valid for exactly one offset; the least recently used go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, Hash]] = OrderedDict()

    def take(self, upload_id: str, offset: int) -> Hash | None:
        """Remove and return the sha256 of the upload's first `offset` bytes; None when it is not known."""
        if offset == 0:
            self._kept.pop(upload_id, None)
            return hashlib.sha256()
        known = self._kept.pop(upload_id, None)
        return known[1] if known is not None and known[0] == offset else None

    def keep(self, upload_id: str, offset: int, hash_: Hash) -> None:
        """Remember the hash of the upload's first `offset` bytes."""
        self._kept[upload_id] = (offset, hash_)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def drop(self, upload_id: str) -> None:
        """Forget an upload."""
        self._kept.pop(upload_id, None)


def digest_of_stored(blobs: BlobStore, key: StorageKey, algorithm: str) -> Digest:
    """Read the bytes of `key` back and return their digest. Blocking. Errors: BlobMissing.

    They are staged, or finished already by an attempt that died before it could commit their row.
    """
    hash_ = hashlib.new(algorithm)
    try:
        reader = blobs.staged(key)
    except BlobMissing:
        reader = blobs.reader(key)
    try:
        at = 0
        while piece := reader.read(at, _READ_BYTES):
            hash_.update(piece)
            at += len(piece)
    finally:
        reader.close()
    return Digest(f"{algorithm}:{hash_.hexdigest()}")
