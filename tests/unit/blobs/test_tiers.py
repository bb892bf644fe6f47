"""Two stores as one: what goes where, and what one of them may fail without the other."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import BlobMissing, BlobStore, StorageClass, StorageKey, new_storage_key
from homeport.blobs.tiers import TieredBlobStore
from homeport.kernel.errors import StorageFull


def push(store: BlobStore, key: StorageKey, blob: bytes) -> None:
    with closing(store.writer(key, 0)) as writer:
        writer.write([blob])
        writer.finish(len(blob))


def content(store: BlobStore, key: StorageKey) -> bytes:
    with closing(store.reader(key)) as reader:
        return reader.read(0, reader.size)


def test_the_key_of_an_object_says_in_which_folder_it_lies(tmp_path: Path) -> None:
    standard, archive = FileBlobStore(tmp_path / "blobs"), FileBlobStore(tmp_path / "elsewhere" / "cold")
    store = TieredBlobStore(standard, archive)
    here, there = new_storage_key(), new_storage_key(StorageClass.ARCHIVE)

    push(store, here, b"at hand")
    push(store, there, b"far away")

    assert (tmp_path / "blobs/data" / here.shard / here.name).read_bytes() == b"at hand"
    assert (tmp_path / "elsewhere/cold/data" / there.shard / there.name).read_bytes() == b"far away"
    assert (here.storage_class, there.storage_class) == (StorageClass.STANDARD, StorageClass.ARCHIVE)


def test_objects_of_both_storage_classes_with_the_same_name_are_apart() -> None:
    store = TieredBlobStore(MemoryBlobStore(), MemoryBlobStore())
    standard = new_storage_key()
    archived = StorageKey(standard.replace("data/", "archive/"))
    push(store, standard, b"at hand")
    push(store, archived, b"far away")

    store.discard(standard)

    assert content(store, archived) == b"far away"
    with pytest.raises(BlobMissing):
        store.reader(standard)


def test_a_full_archive_does_not_stop_pushes() -> None:
    store = TieredBlobStore(MemoryBlobStore(), FaultyBlobStore.from_text(MemoryBlobStore(), "check:*:full"))

    store.check()
    with pytest.raises(StorageFull):
        TieredBlobStore(MemoryBlobStore(0), MemoryBlobStore()).check()
