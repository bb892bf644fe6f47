"""Stored bytes are read again in time, slowly, by one process at a time; damage is marked and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.memory import MemoryBlobReader, MemoryBlobStore
from homeport.blobs.port import BlobStore, StorageKey
from homeport.database import tables
from homeport.database.engine import Transaction
from homeport.keeping import scrub_store, verification
from homeport.keeping.scrub import LEASE, Pace, Scrub
from homeport.kernel.clock import to_micros
from homeport.kernel.digests import digest_of
from homeport.kernel.errors import LayersNotFound, Unavailable
from homeport.uploads import service as uploads
from tests.unit.keeping.damage import cut, damaged, kept, lose, spoil, stored
from tests.unit.repositories.registry import MemoryBlobs, Registry, manifest_of

APP = digest_of(b"app")
MONTH = timedelta(days=30)
PACE = Pace(MONTH, 10**12)


class Counting(MemoryBlobs):
    """Another view of the same bytes, which knows what was read."""

    def __init__(self, of: MemoryBlobStore) -> None:
        self.__dict__.update(of.__dict__)
        self.opened: list[StorageKey] = []

    def reader(self, key: StorageKey) -> MemoryBlobReader:
        self.opened.append(key)
        return super().reader(key)


def scrub(registry: Registry, blobs: BlobStore | None = None, pace: Pace = PACE) -> None:
    """Let one process do all that is due."""

    async def run() -> None:
        worker = Scrub(registry.db, blobs if blobs is not None else registry.blobs, registry.clock, pace)
        while await worker.go_on():
            pass

    registry.run(run())


def age(registry: Registry, by: timedelta = MONTH) -> None:
    registry.clock.advance(by.total_seconds())


def test_bytes_are_read_when_they_are_old_enough_and_then_not_again_for_as_long(registry: Registry) -> None:
    registry.image(registry.repository())
    blobs = Counting(registry.blobs)

    scrub(registry, blobs)
    assert blobs.opened == []
    age(registry)
    scrub(registry, blobs)
    assert sorted(blobs.opened) == sorted(stored(registry))
    assert kept(registry, APP).fresh_at == registry.clock.now()
    age(registry, MONTH - timedelta(hours=2))
    scrub(registry, blobs)
    assert len(blobs.opened) == 2
    age(registry)
    scrub(registry, blobs)
    assert len(blobs.opened) == 4
    assert damaged(registry) == set()


@pytest.mark.parametrize("damage", [lose, cut, spoil])
def test_damage_is_marked_and_a_push_of_the_same_bytes_heals_it(
    registry: Registry, damage: Callable[[MemoryBlobStore, StorageKey], None]
) -> None:
    repository = registry.repository()
    registry.image(repository)
    seen = kept(registry, APP).storage_key
    damage(registry.blobs, seen)
    age(registry)

    scrub(registry)

    assert damaged(registry) == {APP}
    found = registry.run(uploads.blob(registry.db, repository, APP))
    assert found is not None
    assert not found.at_hand
    registry.blob(repository, b"app")
    found = registry.run(uploads.blob(registry.db, repository, APP))
    assert found is not None
    assert found.at_hand
    assert found.storage_key != seen
    assert registry.content(found) == b"app"
    registry.clock.advance(3600)
    registry.run(uploads.sweep(registry.db, registry.uploads, registry.clock.now()))
    assert seen not in stored(registry)


def test_no_image_is_pushed_onto_a_damaged_layer(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository)
    spoil(registry.blobs, kept(registry, APP).storage_key)
    age(registry)
    scrub(registry)
    config = registry.blob(repository, b"{}")

    with pytest.raises(LayersNotFound):
        registry.put(repository, manifest_of(b"{}", [b"app"]), "v2")

    registry.blob(repository, b"app")
    registry.put(repository, manifest_of(b"{}", [b"app"]), "v2")
    assert config.size == 2


@pytest.mark.parametrize("operation", ["read", "reader"])
def test_bytes_that_the_device_refuses_to_read_again_and_again_are_damaged(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(verification, "_PAUSES", (0.0, 0.0))
    registry.image(registry.repository())
    age(registry)

    scrub(registry, FaultyBlobStore.from_text(registry.blobs, f"{operation}:1:unavailable"))
    assert damaged(registry) == set()
    age(registry)
    scrub(registry, FaultyBlobStore.from_text(registry.blobs, f"{operation}:*:unavailable"))
    assert len(damaged(registry)) == 2


def test_a_store_that_fails_as_a_whole_damages_nothing(registry: Registry) -> None:
    registry.image(registry.repository())
    age(registry)

    with pytest.raises(Unavailable):
        scrub(registry, FaultyBlobStore.from_text(registry.blobs, "read:*:unavailable,check:*:unavailable"))
    age(registry, LEASE)
    with pytest.raises(Unavailable):
        scrub(registry, FaultyBlobStore.from_text(registry.blobs, "reader:*:unavailable,check:*:full"))

    assert damaged(registry) == set()


def test_a_volume_that_is_away_damages_nothing_and_is_read_when_it_is_back(registry: Registry) -> None:
    repository = registry.repository()
    for number in range(5):
        registry.image(repository, f"app {number}")
    age(registry)

    scrub(registry, MemoryBlobStore())
    assert damaged(registry) == set()
    age(registry, timedelta(hours=1))
    scrub(registry)

    assert {row[5] for row in registry.rows(tables.blob)} == {to_micros(registry.clock.now())}


def test_many_lost_blobs_are_marked_when_others_are_there(registry: Registry) -> None:
    repository = registry.repository()
    for number in range(5):
        registry.image(repository, f"app {number}")
    rows = sorted(registry.rows(tables.blob))
    for row in rows[:-1]:
        lose(registry.blobs, StorageKey(row[2]))
    age(registry)

    scrub(registry)

    assert damaged(registry) == {row[0] for row in rows[:-1]}


def test_a_mark_goes_when_the_bytes_are_back(registry: Registry) -> None:
    registry.image(registry.repository())
    key = kept(registry, APP).storage_key
    spoil(registry.blobs, key)
    age(registry)
    scrub(registry)
    spoil(registry.blobs, key)
    age(registry, timedelta(hours=1))

    scrub(registry)

    assert damaged(registry) == set()


def test_only_one_process_reads_at_a_time_and_another_goes_on_where_it_died(registry: Registry) -> None:
    repository = registry.repository()
    for number in range(10):
        registry.blob(repository, f"blob {number}".encode())
    age(registry)
    digests = sorted(row[0] for row in registry.rows(tables.blob))

    async def take(tx: Transaction) -> scrub_store.Turn | None:
        return await scrub_store.take(tx, registry.clock.now(), registry.clock.now() + LEASE)

    async def move(tx: Transaction) -> bool:
        assert turn is not None
        return await scrub_store.move(tx, turn, digests[3], registry.clock.now() + LEASE)

    turn = registry.run(registry.db.write(take))  # a process that died after four blobs
    assert turn is not None
    assert registry.run(registry.db.write(move))
    blobs = Counting(registry.blobs)
    scrub(registry, blobs)
    assert blobs.opened == []
    age(registry, LEASE)
    scrub(registry, blobs)

    assert len(blobs.opened) == 6
    assert not registry.run(registry.db.write(move))  # and it was not dead, only slow: its turn is over


def test_reading_keeps_to_its_pace(registry: Registry) -> None:
    registry.blob(registry.repository(), bytes(200_000))
    age(registry)

    began = time.monotonic()
    scrub(registry, pace=Pace(MONTH, 1_000_000))

    assert time.monotonic() - began >= 0.2


def test_nothing_is_written_while_nothing_is_due(registry: Registry) -> None:
    registry.image(registry.repository())

    scrub(registry)

    assert registry.rows(tables.scrub) == []
