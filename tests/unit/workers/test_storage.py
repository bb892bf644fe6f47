"""Bytes that move between storage classes: whole at every moment, whoever fails or wants them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.port import BlobError, StorageClass, StorageKey
from homeport.database import tables
from homeport.database.engine import Statement, Transaction
from homeport.images import archive
from homeport.images import service as images
from homeport.images.model import Image, ImageId, Status
from homeport.kernel.clock import to_micros
from homeport.kernel.digests import digest_of
from homeport.kernel.errors import Unavailable
from homeport.repositories.model import Repository
from homeport.uploads import placement, store
from homeport.uploads import service as uploads
from tests.unit.repositories.registry import Registry, manifest_of

LAYER = b"app"
DIGEST = digest_of(LAYER)
DAYS = timedelta(days=2).total_seconds()


async def nobody_minds(tx: Transaction) -> None:
    """A `Confirm` that always goes on."""


def settle(
    registry: Registry,
    digest: str = DIGEST,
    confirm: placement.Confirm = nobody_minds,
    faults: str = "",
) -> object:
    blobs = FaultyBlobStore.from_text(registry.blobs, faults)
    return registry.run(placement.settle(registry.db, blobs, registry.clock, digest, confirm))


def key(registry: Registry, digest: str = DIGEST) -> StorageKey:
    """Where the row says that the bytes are; they are proven to be there and whole."""
    found = registry.run(store.stored_blob(registry.db, digest))
    assert found is not None
    assert digest_of(registry.content(found)) == digest
    return found.storage_key


def move(registry: Registry, repository: Repository, image: Image, target: StorageClass) -> Status:
    registry.clock.advance(1)
    return registry.run(archive.update(registry.db, registry.clock.now(), repository, image.digest, target))


def archived(registry: Registry) -> tuple[Repository, Image]:
    """A repository with an archived image whose bytes are at hand still."""
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode(), "v1")
    assert move(registry, repository, image, StorageClass.ARCHIVE) is Status.ARCHIVED
    return repository, image


def sweep(registry: Registry) -> None:
    registry.clock.advance(DAYS)
    registry.run(uploads.sweep(registry.db, registry.uploads, registry.clock.now()))


def kept(registry: Registry) -> set[str]:
    """The keys of everything that the blob store holds."""
    keys = registry.blobs.keys()
    return {str(each) for each in keys}


def assert_nothing_is_left_over(registry: Registry) -> None:
    sweep(registry)
    assert registry.rows(tables.tombstone) == []
    assert kept(registry) == {str(row[2]) for row in registry.rows(tables.blob)}


def test_bytes_of_an_archived_image_move_and_the_original_goes_later(registry: Registry) -> None:
    archived(registry)
    before = key(registry)

    assert settle(registry) is None

    assert key(registry).storage_class is StorageClass.ARCHIVE
    assert before in kept(registry)  # for readers that have just looked it up
    assert_nothing_is_left_over(registry)
    assert before not in kept(registry)


def test_bytes_of_a_restored_image_move_back(registry: Registry) -> None:
    repository, image = archived(registry)
    settle(registry)
    move(registry, repository, image, StorageClass.STANDARD)

    settle(registry)

    assert key(registry).storage_class is StorageClass.STANDARD
    assert_nothing_is_left_over(registry)


@pytest.mark.parametrize("count", ["1", "2", "*"])
@pytest.mark.parametrize(
    "fault", ["reader:{}:unavailable", "writer:{}:unavailable", "write:{}:short", "write:{}:unavailable",
              "finish:{}:unavailable", "finish:{}:unavailable-after", "read:{}:flip", "read:{}:truncate"],
)  # fmt: skip
def test_a_copy_that_fails_changes_nothing_and_leaves_nothing(
    registry: Registry, fault: str, count: str
) -> None:
    archived(registry)
    before = key(registry)

    try:
        settle(registry, faults=fault.format(count))
    except (Unavailable, BlobError):
        assert key(registry) == before
    else:  # there was no such call, or it did not matter
        assert key(registry).storage_class is StorageClass.ARCHIVE
    settle(registry)

    assert key(registry).storage_class is StorageClass.ARCHIVE
    assert_nothing_is_left_over(registry)


@pytest.mark.parametrize("step", [1, 2])
def test_a_worker_that_lost_its_lease_changes_nothing(registry: Registry, step: int) -> None:
    archived(registry)
    before = key(registry)
    calls: list[int] = []

    async def lost(tx: Transaction) -> None:
        calls.append(len(calls))
        if len(calls) == step:
            raise Unavailable("lost")

    with pytest.raises(Unavailable):
        settle(registry, confirm=lost)

    assert key(registry) == before
    assert_nothing_is_left_over(registry)


def test_a_worker_that_dies_after_its_copy_leaves_it_to_the_sweep(registry: Registry) -> None:
    archived(registry)
    before = key(registry)

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    blobs = FaultyBlobStore.from_text(registry.blobs, "finish:1:kill-after,discard:*:kill-before")
    blobs._plan.kill = kill
    with pytest.raises(Killed):
        registry.run(placement.settle(registry.db, blobs, registry.clock, DIGEST, nobody_minds))

    assert len(registry.rows(tables.tombstone)) == 1
    assert key(registry) == before
    settle(registry)
    assert key(registry).storage_class is StorageClass.ARCHIVE
    assert_nothing_is_left_over(registry)


def between(registry: Registry, change: Callable[[Transaction], object]) -> placement.Confirm:
    """A `Confirm` at whose second call, when the copy is made, `change` happens first."""
    calls: list[int] = []

    async def confirm(tx: Transaction) -> None:
        calls.append(1)
        if len(calls) == 2:
            await change(tx)  # type: ignore[misc]

    return confirm


def test_a_push_that_comes_during_the_copy_wins(registry: Registry) -> None:
    repository, image = archived(registry)
    before = key(registry)

    async def pushed(tx: Transaction) -> None:
        await archive.restore_at_once(tx, repository, image, registry.clock.now())

    again = settle(registry, confirm=between(registry, pushed))

    assert again == registry.clock.now()
    assert key(registry) == before
    assert_nothing_is_left_over(registry)


def test_bytes_that_came_anew_during_the_copy_stay(registry: Registry) -> None:
    repository, image = archived(registry)
    settle(registry)
    move(registry, repository, image, StorageClass.STANDARD)
    fresh = registry.start(registry.repository("other")).storage_key

    async def came(tx: Transaction) -> None:
        with_bytes = registry.blobs.writer(fresh, 0)
        with_bytes.write([LAYER])
        with_bytes.finish(len(LAYER))
        await placement.replace_stored(tx, DIGEST, fresh, registry.clock.now())

    settle(registry, confirm=between(registry, came))

    assert key(registry) == fresh


def test_a_copy_that_took_longer_than_its_tombstone_is_not_used(registry: Registry) -> None:
    archived(registry)
    before = key(registry)

    async def slow(tx: Transaction) -> None:
        registry.clock.advance(timedelta(hours=25).total_seconds())

    with pytest.raises(Unavailable):
        settle(registry, confirm=between(registry, slow))

    assert key(registry) == before
    assert_nothing_is_left_over(registry)


def test_a_layer_that_was_just_pushed_elsewhere_stays_for_its_manifest(registry: Registry) -> None:
    archived(registry)
    registry.clock.advance(1)
    pushed_at = registry.clock.now()
    registry.blob(registry.repository("other"), LAYER)

    assert settle(registry) == pushed_at + timedelta(hours=24)
    assert key(registry).storage_class is StorageClass.STANDARD

    registry.clock.advance(timedelta(hours=24).total_seconds())
    assert settle(registry) is None
    assert key(registry).storage_class is StorageClass.ARCHIVE


def test_a_layer_that_comes_again_takes_the_place_of_its_archived_bytes(registry: Registry) -> None:
    archived(registry)
    settle(registry)
    other = registry.repository("other")
    config = b"{}"

    registry.blob(other, LAYER)
    registry.blob(other, config)
    registry.put(other, manifest_of(config, [LAYER]), "v1")

    assert key(registry).storage_class is StorageClass.STANDARD
    assert settle(registry) is None
    assert key(registry).storage_class is StorageClass.STANDARD
    assert_nothing_is_left_over(registry)


def test_bytes_that_came_again_without_a_manifest_go_back_after_a_day(registry: Registry) -> None:
    archived(registry)
    settle(registry)
    registry.clock.advance(1)
    registry.run(registry.db.write(_forget_jobs))
    registry.blob(registry.repository("other"), LAYER)
    due = registry.clock.now() + timedelta(hours=24)

    [row] = registry.rows(tables.job)
    assert (row[1], row[3]) == ("settle-blobs", to_micros(due))
    assert key(registry).storage_class is StorageClass.STANDARD
    registry.clock.advance(timedelta(hours=24).total_seconds())
    assert settle(registry) is None
    assert key(registry).storage_class is StorageClass.ARCHIVE


def test_a_deleted_image_asks_for_the_bytes_that_only_archived_ones_need_now(registry: Registry) -> None:
    archived(registry)
    other = registry.repository("other")
    active = registry.image(other, LAYER.decode(), "v1")
    registry.run(registry.db.write(_forget_jobs))

    wanted = [ImageId(digest=active.digest)]
    registry.run(images.delete(registry.db, registry.clock.now(), other, wanted))

    [row] = registry.rows(tables.job)
    assert row[1] == "settle-blobs"
    assert DIGEST in row[2]


async def _forget_jobs(tx: Transaction) -> None:
    await tx.run(Statement(tables.job.delete()))
