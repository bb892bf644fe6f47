"""The bytes of one upload request: hashed and written in the same pass, in a worker thread."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType

from homeport.blobs.port import (
    BlobError,
    BlobFinished,
    BlobMissing,
    BlobSealed,
    BlobStore,
    BlobWriter,
    Finished,
    StorageKey,
)
from homeport.kernel.digests import Digest
from homeport.kernel.errors import DigestInvalid, HomeportError, TooLarge, UploadNotFound
from homeport.kernel.limits import LAYER_BYTES
from homeport.uploads.hashing import Hash, RunningHashes, digest_of_stored
from homeport.uploads.model import Upload


def lost(upload: Upload) -> UploadNotFound:
    """The error for an upload whose stored bytes are not those acknowledged, as after a power cut."""
    return UploadNotFound(f"The bytes of the upload with id '{upload.id}' were lost; begin a new upload")


class _Replay:
    """A `BlobWriter` for bytes that are there already: it compares where others write.

    The server may have died after the bytes were finished and before their row was committed; the client then sends
    the same bytes again.
    """

    def __init__(self, blobs: BlobStore, key: StorageKey, offset: int, *, proven: bool) -> None:
        self._blobs = blobs
        self._key = key
        self._proven = proven
        self._reader = blobs.reader(key)
        self.offset = offset

    def cut(self, offset: int | None = None) -> None:
        """Finished bytes have no tail."""

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        before = self.offset
        for part in parts:
            if self._reader.read(self.offset, len(part)) != part:
                raise DigestInvalid("This upload was finished before, with other bytes; begin a new upload")
            self.offset += len(part)
        return self.offset - before

    def save(self) -> str:
        raise UploadNotFound("This upload was finished before; send its digest, or begin a new upload")

    def finish(self, size: int) -> Finished:
        self._blobs.finish(self._key, size)
        self.close()
        return Finished(self._key, self._proven)

    def close(self) -> None:
        self._reader.close()


def _writer(blobs: BlobStore, upload: Upload) -> BlobWriter:
    try:
        try:
            return blobs.writer(upload.storage_key, upload.offset, upload.state)
        except BlobFinished as done:
            # Where nodes share the bytes, another writer may have finished them, with others than this process hashed.
            return _Replay(blobs, done.key, upload.offset, proven=not blobs.shared)
    except BlobError as error:
        raise lost(upload) from error


class Receiving:
    """Takes the bytes that follow an upload's offset. One request, one at a time; use as a context manager.

    `limit` is how long the whole may become. `offset` and `size` count what was written; nothing is acknowledged
    before `service.advance` or `finish`.
    Errors of the constructor: UploadNotFound when the stored bytes are gone, BlobBusy while another process writes.
    """

    def __init__(
        self, blobs: BlobStore, hashes: RunningHashes, upload: Upload, limit: int = LAYER_BYTES
    ) -> None:
        self.upload = upload
        self.offset = upload.offset
        self._hashes = hashes
        self._blobs = blobs
        self._hash: Hash | None = None
        self.finished: Finished | None = None
        """Where the bytes are, once they are durable."""
        self.limit = limit
        self._writer = _writer(blobs, upload)
        self._closed = False

    def begin(self) -> None:
        """Nobody else changed the upload, so what lies beyond its offset is no-one's: cut it. Errors: Unavailable."""
        self._writer.cut()
        self._hash = self._hashes.take(self.upload.id, self.upload.offset)

    @property
    def size(self) -> int:
        """Bytes received by this request."""
        return self.offset - self.upload.offset

    def write(self, parts: Sequence[memoryview | bytes]) -> None:
        """Write and hash `parts`, in order. Blocking.

        Errors: TooLarge over the layer limit, StorageFull, Unavailable, DigestInvalid. After any of them the bytes of
        this request are gone and only those acknowledged before it are there.
        """
        coming = sum(len(part) for part in parts)
        try:
            if self.offset + coming > self.limit:
                raise TooLarge(f"The layer exceeds the limit of {self.limit} bytes")
            self._writer.write(parts)
        except HomeportError:
            self.give_back()
            raise
        if self._hash is not None:
            for part in parts:
                self._hash.update(part)
        self.offset += coming

    def give_back(self) -> None:
        """Free what is not acknowledged: a refused upload must not keep the room that it could not be given."""
        self.offset = self.upload.offset
        self._hash = None
        if not self._closed:  # once closed, others may have the object
            if not self.shared:  # there, what is not saved is forgotten when the writer is closed
                with contextlib.suppress(HomeportError, BlobError):
                    self._writer.cut(self.offset)
            self.close()

    def sha256(self) -> str | None:
        """Return the hex sha256 of all bytes so far, None when it was not running from the start."""
        return self._hash.hexdigest() if self._hash is not None else None

    def keep_hash(self) -> None:
        """Keep the running hash for the request that continues here."""
        if self._hash is not None:
            self._hashes.keep(self.upload.id, self.offset, self._hash)

    def save(self) -> str:
        """Have the bytes so far survive this node, where nodes share the store. Blocking.

        Return what the row must say about them. Errors: UploadNotFound, StorageFull, Unavailable.
        """
        return self._writer.save()

    @property
    def shared(self) -> bool:
        """Whether other nodes may continue the upload, so that `save` must come before its row."""
        return self._blobs.shared

    def running(self, algorithm: str) -> Digest | None:
        """Return the digest of all bytes if it has been running from the start, else None."""
        known = self.sha256() if algorithm == "sha256" else None
        return Digest(f"sha256:{known}") if known is not None else None

    def digest(self, algorithm: str) -> Digest:
        """Return the digest of all bytes, read back. Blocking.

        Where long staged bytes cannot be read they are finished first: nobody knows of them before their row is
        committed. Errors: those of `finish`.
        """
        try:
            return digest_of_stored(self._blobs, self.upload.storage_key, algorithm)
        except (BlobSealed, BlobMissing):
            finished = self.finish()
            return digest_of_stored(self._blobs, finished.key, algorithm)

    def prove(self, digest: Digest) -> Digest:
        """Return the digest of what is durable: `digest`, which was verified, unless that proves nothing. Blocking."""
        finished = self.finish()
        if finished.proven:
            return digest
        return digest_of_stored(self._blobs, finished.key, digest.algorithm)

    def finish(self) -> Finished:
        """Make all bytes durable and let go. Blocking. Errors: BlobError, StorageFull, Unavailable."""
        if self.finished is None:
            self.finished = self._writer.finish(self.offset)
        return self.finished

    def close(self) -> None:
        """Let go of the stored object, which others may use from now on."""
        self._closed = True
        self._writer.close()

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
