"""Whether stored bytes are the blob's: looked at, or read in full and hashed. Blocking."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import closing

from homeport.blobs.port import BlobDamaged, BlobMissing, BlobReader, BlobStore
from homeport.keeping.model import KeptBlob, Verdict
from homeport.kernel.digests import Digest
from homeport.kernel.errors import Unavailable

_PIECE = 1024 * 1024
_PAUSES = (1.0, 5.0)  # seconds: a store may be busy for a moment


class Stopped(Exception):
    """The verification was broken off."""


def look(blobs: BlobStore, blob: KeptBlob, stop: threading.Event) -> Verdict:
    """Return whether there are bytes of the right length; none is read. Errors as for `read_all`."""
    return _tried(blobs, stop, lambda: _opened(blobs, blob, lambda reader: Verdict.WHOLE))


def read_all(
    blobs: BlobStore,
    blob: KeptBlob,
    stop: threading.Event,
    passed: Callable[[int], None] | None = None,
) -> Verdict:
    """Read the bytes and return whether they have the blob's digest.

    `passed` is told of each piece how many bytes it had, and may take its time. What is read comes from the device, not
    from its cache, where that can be asked for; and it does not stay there in the place of what clients pull.
    Errors: Stopped once `stop` is set; Unavailable, StorageFull when the store as a whole is not well.
    """

    def hashed(reader: BlobReader) -> Verdict:
        found = _hash(reader, blob, stop, passed)
        return Verdict.WHOLE if found == blob.digest else Verdict.WRONG_DIGEST

    return _tried(blobs, stop, lambda: _opened(blobs, blob, hashed))


def _opened(blobs: BlobStore, blob: KeptBlob, judge: Callable[[BlobReader], Verdict]) -> Verdict:
    try:
        with closing(blobs.reader(blob.storage_key)) as reader:
            return judge(reader) if reader.size == blob.size else Verdict.WRONG_SIZE
    except BlobMissing:
        return Verdict.MISSING
    except BlobDamaged:
        return Verdict.UNREADABLE


def _tried(blobs: BlobStore, stop: threading.Event, attempt: Callable[[], Verdict]) -> Verdict:
    """Call `attempt` until it does not fail; after several failures of a store that is well the bytes are at fault."""
    for pause in _PAUSES:
        try:
            return attempt()
        except Unavailable:
            blobs.check()
        if stop.wait(pause):
            raise Stopped
    try:
        return attempt()
    except Unavailable:
        blobs.check()
        return Verdict.UNREADABLE


def _hash(
    reader: BlobReader, blob: KeptBlob, stop: threading.Event, passed: Callable[[int], None] | None
) -> str:
    algorithm = Digest(blob.digest).algorithm
    running, at = hashlib.new(algorithm), 0
    _uncached(reader, 0, blob.size)
    while at < blob.size:
        if stop.is_set():
            raise Stopped
        piece = reader.read(at, _PIECE)
        if not piece:
            raise BlobDamaged("The bytes ended early")
        running.update(piece)
        _uncached(reader, at, len(piece))
        at += len(piece)
        if passed is not None:
            passed(len(piece))
    return f"{algorithm}:{running.hexdigest()}"


def _uncached(reader: BlobReader, offset: int, count: int) -> None:
    """Drop bytes from the page cache (posix_fadvise(2)); only advice, so nothing is lost where it is not taken."""
    descriptor = reader.fileno()
    if descriptor is not None and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_DONTNEED)


def never() -> threading.Event:
    """Return what stops nothing."""
    return threading.Event()
