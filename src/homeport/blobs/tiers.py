"""Two stores as one: bytes at hand in the one, archived bytes in the other. The key of an object says which.

The archive may lie on another disk, so nothing is ever renamed from one to the other: a move is a copy under a new
key. Readiness is that of the store for pushes; a full archive delays archiving and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from homeport.blobs.port import (
    BlobReader,
    BlobStore,
    BlobWriter,
    Shard,
    StorageClass,
    StorageKey,
    StoredObject,
)


class TieredBlobStore:
    """The `BlobStore` of `standard` for keys of that class and of `archive` for the others."""

    def __init__(self, standard: BlobStore, archive: BlobStore) -> None:
        self._standard = standard
        self._archive = archive

    def _of(self, key: StorageKey) -> BlobStore:
        archived = StorageKey(key).storage_class is StorageClass.ARCHIVE
        return self._archive if archived else self._standard

    @property
    def shared(self) -> bool:
        return self._standard.shared

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> BlobWriter:
        return self._of(key).writer(key, offset, state)

    def staged(self, key: StorageKey) -> BlobReader:
        return self._of(key).staged(key)

    def finish(self, key: StorageKey, size: int) -> None:
        self._of(key).finish(key, size)

    def reader(self, key: StorageKey) -> BlobReader:
        return self._of(key).reader(key)

    def address(self, key: StorageKey) -> str | None:
        return self._of(key).address(key)

    def discard(self, key: StorageKey) -> None:
        self._of(key).discard(key)

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        return self._of(key).siblings(key)

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        archived = Shard(shard).storage_class is StorageClass.ARCHIVE
        return (self._archive if archived else self._standard).listed(shard)

    def check(self) -> None:
        self._standard.check()
