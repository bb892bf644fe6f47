"""The bytes of one upload request: hashed and written in the same pass, in a worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from homeport.blobs.port import BlobStore
from homeport.kernel.errors import TooLarge
from homeport.kernel.limits import LAYER_BYTES
from homeport.uploads.hashing import Hash, RunningHashes
from homeport.uploads.model import Upload


class Receiving:
    """Takes the bytes that follow an upload's offset. One request, one at a time; use as a context manager.

    `offset` and `size` count what was written; nothing is acknowledged before `service.advance` or `finish`.
    """

    def __init__(
        self, blobs: BlobStore, hashes: RunningHashes, upload: Upload, limit: int = LAYER_BYTES
    ) -> None:
        self.upload = upload
        self.offset = upload.offset
        self._blobs = blobs
        self._hashes = hashes
        self._hash: Hash | None = hashes.take(upload.id, upload.offset)
        self._limit = limit
        self._writer = blobs.writer(upload.storage_key, upload.offset)

    @property
    def size(self) -> int:
        """Bytes received by this request."""
        return self.offset - self.upload.offset

    def write(self, parts: Sequence[memoryview | bytes]) -> None:
        """Write and hash `parts`, in order. Blocking. Errors: TooLarge over the layer limit, StorageFull."""
        coming = sum(len(part) for part in parts)
        if self.offset + coming > self._limit:
            raise TooLarge(f"The layer exceeds the limit of {self._limit} bytes")
        self._writer.write(parts)
        if self._hash is not None:
            for part in parts:
                self._hash.update(part)
        self.offset += coming

    def sha256(self) -> str | None:
        """Return the hex sha256 of all bytes so far, None when it was not running from the start."""
        return self._hash.hexdigest() if self._hash is not None else None

    def keep_hash(self) -> None:
        """Keep the running hash for the request that continues here."""
        if self._hash is not None:
            self._hashes.keep(self.upload.id, self.offset, self._hash)

    def close(self) -> None:
        """Let go of the stored object, which others may use from now on."""
        self._writer.close()

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
