"""Bytes come to another place whole or not at all, once, and never among those of another registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import BlobStore, StorageKey, all_shards, new_storage_key
from homeport.blobs.tiers import TieredBlobStore
from homeport.database import tables
from homeport.keeping import move_bytes, store
from homeport.keeping.model import KeptBlob, Verdict
from homeport.keeping.move_bytes import MovedBytes
from homeport.keeping.move_tables import MoveRecord
from homeport.keeping.tables_copy import Progress
from homeport.keeping.verification import never, read_all
from homeport.kernel.digests import digest_of
from homeport.kernel.errors import InvalidInput, StorageFull, Unavailable
from tests.unit.keeping.damage import change, kept, lose, spoil
from tests.unit.repositories.registry import Registry

APP = digest_of(b"app")


def silent(what: str, done: int, of: int) -> None:
    """No progress is wanted."""


@pytest.fixture
def full(registry: Registry) -> Registry:
    """A registry with layers, among them an empty one and one of several pieces."""
    repository = registry.repository()
    registry.image(repository, "app", "v1")
    for content in (b"", b"x" * 3_000_000, *(f"layer {number}".encode() for number in range(20))):
        registry.blob(repository, content)
    return registry


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobStore]:
    """Where the bytes go."""
    folder = tmp_path_factory.mktemp("target")
    stores = [FileBlobStore(folder / name, reserve_bytes=0) for name in ("blobs", "archive")]
    yield TieredBlobStore(*stores)
    for each in stores:
        each.close()


def move(registry: Registry, target: BlobStore, progress: Progress = silent) -> MovedBytes:
    return registry.run(move_bytes.move_bytes(registry.db, registry.blobs, target, progress))


def blobs(registry: Registry) -> list[KeptBlob]:
    return registry.run(store.blobs(registry.db, "", 1000))


def objects(target: BlobStore) -> dict[StorageKey, bool]:
    return {each.key: each.finished for shard in all_shards() for each in target.listed(shard)}


def stray(target: BlobStore) -> StorageKey:
    """Put bytes there that no row of ours knows."""
    key = new_storage_key()
    writer = target.writer(key, 0)
    writer.write([b"not ours"])
    writer.finish(8)
    return key


def test_every_layer_comes_once_under_its_key_and_is_whole(full: Registry, target: BlobStore) -> None:
    told: list[tuple[int, int]] = []

    first = move(full, target, lambda what, done, of: told.append((done, of)))

    expected = blobs(full)
    size = sum(blob.size for blob in expected)
    assert (first.blobs, first.new_blobs, first.blob_bytes, first.new_bytes) == (24, 24, size, size)
    assert all(read_all(target, blob, never()) is Verdict.WHOLE for blob in expected)
    assert told == sorted(told)
    assert told[-1] == (size, size)
    again = move(full, target)
    assert (again.blobs, again.new_blobs, again.new_bytes) == (24, 0, 0)


@pytest.mark.parametrize("fault", ["finish:9:unavailable", "write:9:full", "finish:9:unavailable-after"])
def test_a_run_that_fails_is_gone_on_with_and_leaves_nothing_unfinished(
    full: Registry, target: BlobStore, fault: str
) -> None:
    with pytest.raises((Unavailable, StorageFull)):
        move(full, FaultyBlobStore.from_text(target, fault))

    second = move(full, target)

    assert 0 < second.new_blobs < second.blobs == 24
    assert all(read_all(target, blob, never()) is Verdict.WHOLE for blob in blobs(full))
    assert all(objects(target).values())


@pytest.mark.parametrize("damage", [lose, spoil])
def test_damaged_bytes_are_told_and_not_copied_unless_they_are_marked(
    full: Registry, target: BlobStore, damage: Callable[..., None]
) -> None:
    blob = kept(full, APP)
    damage(full.blobs, blob.storage_key)

    found = move(full, target)
    assert (found.damaged, found.marked, found.blobs) == ([APP], 0, 23)
    assert blob.storage_key not in objects(target)

    change(full, tables.blob.update().where(tables.blob.c.digest == APP).values(damaged_at=1))
    found = move(full, target)
    assert (found.damaged, found.marked, found.blobs) == ([], 1, 23)


def test_what_was_deleted_after_it_was_copied_is_left_as_a_stranger(
    full: Registry, target: BlobStore
) -> None:
    move(full, target)
    for table in (tables.image_tag, tables.image, tables.repository_blob):
        change(full, delete(table))
    change(full, delete(tables.blob).where(tables.blob.c.digest == APP))

    found = move(full, target)

    assert (found.blobs, found.strangers) == (23, 1)
    assert len(objects(target)) == 24


def test_only_an_empty_place_or_one_of_this_registry_is_used(full: Registry, target: BlobStore) -> None:
    full.run(move_bytes.require_ours(full.db, target))
    stray(target)
    with pytest.raises(InvalidInput, match="another registry"):
        full.run(move_bytes.require_ours(full.db, target))
    move(full, target)
    full.run(move_bytes.require_ours(full.db, target))


def test_an_object_of_another_length_in_the_target_is_named(full: Registry, target: BlobStore) -> None:
    key = kept(full, APP).storage_key
    writer = target.writer(key, 0)
    writer.write([b"ap"])
    writer.finish(2)

    with pytest.raises(Unavailable, match=rf"{key} with 2 bytes, not 3\. Remove that object"):
        move(full, target)


def test_a_source_that_has_nothing_is_taken_for_the_wrong_one(
    full: Registry, target: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_bytes, "_TOO_MANY", 5)

    with pytest.raises(InvalidInput, match="Is the old place the one that the settings name"):
        full.run(move_bytes.move_bytes(full.db, MemoryBlobStore(), target, silent))

    assert objects(target) == {}


def test_what_was_begun_is_remembered_without_addresses(tmp_path: Path) -> None:
    MoveRecord(tmp_path).begin("s3://bucket secret")

    assert MoveRecord(tmp_path).has_begun("s3://bucket secret")
    assert not MoveRecord(tmp_path).has_begun("s3://other")
    assert "secret" not in (tmp_path / "move.json").read_text()
    MoveRecord(tmp_path).end()
    assert not MoveRecord(tmp_path).has_begun("s3://bucket secret")
    (tmp_path / "move.json").write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read"):
        MoveRecord(tmp_path)
