"""Readers of the S3 store: one request for each range, so nothing is held between two reads."""

from __future__ import annotations

from homeport.blobs.port import BlobDamaged, BlobMissing
from homeport.blobs.s3_bucket import Bucket


class _Reader:
    """What both readers check."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._closed = False

    @property
    def size(self) -> int:
        return self._size

    def fileno(self) -> int | None:
        if self._closed:
            raise ValueError("the reader is closed")
        return None

    def _wanted(self, offset: int, length: int) -> int:
        if self._closed:
            raise ValueError("the reader is closed")
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        return max(0, min(length, self._size - offset))

    def close(self) -> None:
        self._closed = True


class MemoryReader(_Reader):
    """The `BlobReader` of bytes that a writer of this process still holds."""

    def __init__(self, content: bytes) -> None:
        super().__init__(len(content))
        self._content = content

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + self._wanted(offset, length)]


class S3BlobReader(_Reader):
    """The `BlobReader` of `size` bytes of an object, from `start`."""

    def __init__(self, bucket: Bucket, name: str, start: int, size: int) -> None:
        super().__init__(size)
        self._bucket = bucket
        self._name = name
        self._start = start

    def read(self, offset: int, length: int) -> bytes:
        wanted = self._wanted(offset, length)
        if not wanted:
            return b""
        try:
            piece = self._bucket.get(self._name, self._start + offset, wanted)
        except BlobMissing:
            raise BlobDamaged(f"{self._name} was removed while it was read") from None
        if len(piece) != wanted:
            raise BlobDamaged(f"{self._name} has become shorter")
        return piece
