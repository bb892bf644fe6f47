"""Bytes go when nobody refers to them, and never sooner."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from homeport.blobs.port import BlobReader, StorageClass, StorageKey
from homeport.collection import service as collection
from homeport.collection.model import Collected
from homeport.collection.rules import EVERYTHING
from homeport.database import tables
from homeport.database.engine import Statement, Transaction
from homeport.images import archive, recycle
from homeport.images.model import Image
from homeport.jobs.model import Kind
from homeport.kernel.digests import digest_of
from homeport.kernel.errors import LayerAlreadyExists, LayersNotFound
from homeport.repositories.model import Repository
from homeport.uploads import placement
from homeport.uploads import service as uploads
from tests.unit.collection.space import (
    DAY,
    DELAY,
    HOUR,
    assert_sound,
    collect,
    delete_bytes,
    delete_image,
    delete_repository,
    find,
    head,
    purge,
)
from tests.unit.repositories.registry import MemoryBlobs, Registry, manifest_of

LAYER, CONFIG = b"app", b'{"of": "app"}'


def test_a_layer_waits_a_day_for_its_manifest_and_then_goes(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, LAYER)

    registry.clock.advance(DAY - 1)
    assert collect(registry) == Collected()
    assert find(registry, repository, LAYER) is not None

    registry.clock.advance(1)
    assert collect(registry) == Collected(reviewed=1, links=1, blobs=1, bytes=len(LAYER))
    assert find(registry, repository, LAYER) is None
    assert_sound(registry)


def test_the_layers_of_an_image_stay_for_as_long_as_it_does(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository, LAYER.decode())

    for _ in range(3):
        registry.clock.advance(10 * DAY)
        assert collect(registry).links == 0

    assert find(registry, repository, LAYER) is not None
    assert_sound(registry)


def test_a_layer_that_an_image_needs_is_reviewed_once(registry: Registry) -> None:
    registry.image(registry.repository(), LAYER.decode())
    registry.clock.advance(DAY)

    assert collect(registry).reviewed == 2
    registry.clock.advance(DAY)
    assert collect(registry).reviewed == 0


def test_the_space_of_a_deleted_image_is_free_a_day_and_an_hour_later(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode())
    registry.clock.advance(DAY)
    collect(registry)
    delete_image(registry, repository, image)

    registry.clock.advance(DAY - 1)
    assert collect(registry).blobs == 0
    registry.clock.advance(1)
    assert collect(registry).blobs == 2
    registry.clock.advance(HOUR - 1)
    assert delete_bytes(registry) == Collected()
    registry.clock.advance(1)
    assert delete_bytes(registry) == Collected(blobs=2, bytes=len(LAYER + CONFIG))

    assert registry.blobs.keys() == set()
    assert registry.rows(tables.tombstone) == []


def test_a_layer_of_two_images_goes_with_the_second(registry: Registry) -> None:
    repository = registry.repository()
    first = registry.image(repository, LAYER.decode())
    registry.blob(repository, b"{}")
    second = registry.put(repository, manifest_of(b"{}", [LAYER]))
    delete_image(registry, repository, first)
    registry.clock.advance(DAY)

    assert collect(registry).links == 1  # the first one's own configuration
    assert find(registry, repository, LAYER) is not None
    delete_image(registry, repository, second)
    registry.clock.advance(DAY)
    assert collect(registry).links == 2
    assert registry.rows(tables.blob) == []


def test_a_layer_that_another_repository_holds_keeps_its_bytes(registry: Registry) -> None:
    here, there = registry.repository("team/here"), registry.repository("team/there")
    image = registry.image(here, LAYER.decode())
    registry.image(there, LAYER.decode())
    delete_image(registry, here, image)
    registry.clock.advance(DAY)

    assert collect(registry) == Collected(reviewed=4, links=2)

    assert find(registry, here, LAYER) is None
    assert find(registry, there, LAYER) is not None
    assert_sound(registry)


def test_a_mounted_layer_that_no_manifest_names_goes_and_its_source_does_not(registry: Registry) -> None:
    source, target = registry.repository("team/source"), registry.repository("team/target")
    registry.image(source, LAYER.decode())
    registry.clock.advance(DAY)
    registry.run(uploads.mount(registry.db, registry.clock.now(), target, source, digest_of(LAYER)))

    registry.clock.advance(DAY)
    assert collect(registry).links == 1

    assert find(registry, target, LAYER) is None
    assert find(registry, source, LAYER) is not None


def test_an_image_in_the_bin_keeps_its_layers_until_its_time_is_over(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode())
    delete_image(registry, repository, image, until=registry.clock.now() + timedelta(days=7))

    registry.clock.advance(6 * DAY)
    assert collect(registry).links == 0
    registry.clock.advance(DAY)
    assert purge(registry) == 1
    assert collect(registry).links == 0
    registry.clock.advance(DAY)
    assert collect(registry).links == 2
    assert_sound(registry)


def test_an_image_that_is_restored_on_its_last_day_pulls_for_ever(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode())
    delete_image(registry, repository, image, until=registry.clock.now() + timedelta(days=7))
    registry.clock.advance(7 * DAY - 1)
    collect(registry)
    restoring = recycle.restore(
        registry.db, registry.clock.now(), repository, image.digest, None, registry.room
    )
    registry.run(restoring)

    for _ in range(3):
        purge(registry)
        registry.clock.advance(DAY)
        assert collect(registry).links == 0

    assert find(registry, repository, LAYER) is not None


def test_a_client_that_was_told_to_skip_a_layer_can_still_push_its_manifest(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode())
    delete_image(registry, repository, image)
    registry.clock.advance(DAY)
    assert head(registry, repository, LAYER) is not None
    assert head(registry, repository, CONFIG) is not None
    registry.clock.advance(DAY / 2)

    assert collect(registry).links == 0
    registry.put(repository, manifest_of(CONFIG, [LAYER]))

    registry.clock.advance(2 * DAY)
    assert collect(registry).links == 0
    assert_sound(registry)


def test_asking_for_a_layer_that_is_in_use_or_fresh_writes_nothing(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository, LAYER.decode())
    before = registry.rows(tables.repository_blob)

    registry.clock.advance(DAY / 2 - 1)
    head(registry, repository, LAYER)
    assert registry.rows(tables.repository_blob) == before

    registry.clock.advance(DAY)
    collect(registry)
    before = registry.rows(tables.repository_blob)
    head(registry, repository, LAYER)
    assert registry.rows(tables.repository_blob) == before


def test_a_client_is_not_told_to_skip_a_layer_that_was_collected_this_moment(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, LAYER)
    known = find(registry, repository, LAYER)
    assert known is not None
    registry.clock.advance(DAY)
    collect(registry)

    claimed = uploads.claim(registry.db, registry.clock.now(), repository, known, DELAY)

    assert registry.run(claimed) is None
    with pytest.raises(LayersNotFound):
        registry.put(repository, manifest_of(LAYER, []))


def test_a_layer_that_exists_already_is_kept_for_the_manifest_of_who_was_told_so(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, LAYER)
    registry.clock.advance(DAY - 1)
    upload = registry.append(registry.start(repository), LAYER)

    with pytest.raises(LayerAlreadyExists):
        registry.run(
            uploads.finish_parts(
                registry.db,
                registry.uploads,
                registry.clock.now(),
                registry.place(repository),
                upload,
                digest_of(LAYER),
            )
        )

    registry.clock.advance(DAY - 1)
    assert collect(registry).links == 0
    assert find(registry, repository, LAYER) is not None


def test_a_layer_that_is_pushed_again_before_its_old_bytes_are_deleted_keeps_the_new_ones(
    registry: Registry,
) -> None:
    repository = registry.repository()
    registry.blob(repository, LAYER)
    registry.clock.advance(DAY)
    collect(registry)

    pushed = registry.blob(repository, LAYER)
    registry.clock.advance(HOUR)
    assert delete_bytes(registry).blobs == 1

    assert registry.content(pushed) == LAYER
    assert_sound(registry)


def test_everything_at_once_takes_what_the_delay_protects_and_nothing_that_is_needed(
    registry: Registry,
) -> None:
    repository = registry.repository()
    registry.image(repository, LAYER.decode())
    registry.blob(repository, b"without a manifest")

    done = collect(registry, EVERYTHING)
    freed = delete_bytes(registry, at_once=True)

    assert (done.links, done.blobs, freed.blobs) == (1, 1, 1)
    assert find(registry, repository, LAYER) is not None
    assert registry.rows(tables.tombstone) == []
    assert_sound(registry)


def test_collectors_that_work_at_the_same_time_take_everything_once(registry: Registry) -> None:
    repository = registry.repository()
    for number in range(20):
        registry.blob(repository, f"layer {number}".encode())
    registry.clock.advance(DAY)

    async def both() -> list[tuple[Collected, bool]]:
        work = [collection.collect(registry.db, registry.clock, DELAY) for _ in range(3)]
        return await asyncio.gather(*work)

    done = [each for each, _ in registry.run(both())]

    assert sum(each.links for each in done) == sum(each.blobs for each in done) == 20
    assert len(registry.rows(tables.tombstone)) == 20
    assert_sound(registry)


def test_a_collection_that_takes_long_lets_others_have_their_turn(registry: Registry) -> None:
    repository = registry.repository()
    for number in range(70):
        registry.blob(repository, f"layer {number}".encode())
    registry.clock.advance(DAY)

    done, more = registry.run(collection.collect(registry.db, registry.clock, DELAY, timedelta()))

    assert more
    assert 0 < done.links < 70
    assert collect(registry).links == 70 - done.links


def test_nothing_is_deleted_while_a_backup_holds_deletions(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, LAYER)
    registry.clock.advance(DAY)
    collect(registry)
    registry.clock.advance(HOUR)
    hold(registry, timedelta(minutes=5))

    assert delete_bytes(registry, at_once=True) == Collected()
    registry.clock.advance(301)
    assert delete_bytes(registry).blobs == 1


def hold(registry: Registry, length: timedelta) -> None:
    from sqlalchemy import insert

    from homeport.kernel.clock import to_micros

    until = to_micros(registry.clock.now() + length)

    async def work(tx: Transaction) -> None:
        await tx.run(Statement(insert(tables.deletion_hold).values(id="b", reason="backup", until=until)))

    registry.run(registry.db.write(work))


def archived(registry: Registry, repository: Repository) -> Image:
    """An image whose bytes are in the archive."""
    image = registry.image(repository, LAYER.decode())
    registry.clock.advance(1)
    registry.run(
        archive.update(registry.db, registry.clock.now(), repository, image.digest, StorageClass.ARCHIVE)
    )
    registry.clock.advance(DAY + 1)
    settle(registry, registry.blobs)
    return image


async def nobody_minds(tx: Transaction) -> None:
    """A `Confirm` that always goes on."""


def settle(registry: Registry, blobs: MemoryBlobs) -> None:
    for data in (LAYER, CONFIG):
        registry.run(placement.settle(registry.db, blobs, registry.clock, digest_of(data), nobody_minds))


def test_the_space_of_a_deleted_archived_image_is_freed_in_the_archive(registry: Registry) -> None:
    repository = registry.repository()
    image = archived(registry, repository)
    assert {row[3] for row in registry.rows(tables.blob)} == {"ARCHIVE"}
    delete_image(registry, repository, image)
    registry.clock.advance(DAY)

    assert collect(registry).blobs == 2
    registry.clock.advance(HOUR)
    registry.run(uploads.sweep(registry.db, registry.uploads, registry.clock.now()))
    delete_bytes(registry)

    assert registry.blobs.keys() == set()


def test_the_bytes_of_an_archived_image_go_to_the_archive_once_no_other_repository_holds_them(
    registry: Registry,
) -> None:
    cold, warm = registry.repository("team/cold"), registry.repository("team/warm")
    registry.blob(warm, LAYER)  # no image refers to it, but it was pushed this day
    image = registry.image(cold, LAYER.decode())
    registry.clock.advance(1)
    registry.run(archive.update(registry.db, registry.clock.now(), cold, image.digest, StorageClass.ARCHIVE))
    before = len(registry.rows(tables.job))
    registry.clock.advance(DAY)

    assert collect(registry).links == 1

    assert [row[1] for row in registry.rows(tables.job)[before:]] == [Kind.SETTLE_BLOBS]


class SlowBlobs(MemoryBlobs):
    """Blobs whose readers wait until they may go on."""

    def __init__(self, inner: MemoryBlobs) -> None:
        self.__dict__.update(inner.__dict__)
        self.reading, self.go_on = threading.Event(), threading.Event()

    def reader(self, key: StorageKey) -> BlobReader:  # type: ignore[override]
        self.reading.set()
        assert self.go_on.wait(20)
        return super().reader(key)


def test_a_blob_that_is_collected_while_it_moves_to_the_archive_leaves_no_copy(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, LAYER.decode())
    registry.clock.advance(1)
    registry.run(
        archive.update(registry.db, registry.clock.now(), repository, image.digest, StorageClass.ARCHIVE)
    )
    registry.clock.advance(DAY + 1)
    slow = SlowBlobs(registry.blobs)

    async def race() -> None:
        moving = asyncio.create_task(
            placement.settle(registry.db, slow, registry.clock, digest_of(LAYER), nobody_minds)
        )
        await asyncio.get_running_loop().run_in_executor(None, slow.reading.wait, 20)
        await asyncio.to_thread(lambda: None)
        await collect_image()
        slow.go_on.set()
        await moving

    async def collect_image() -> None:
        from homeport.images import service as images
        from homeport.images.model import ImageId

        await images.delete(registry.db, registry.clock.now(), repository, [ImageId(image.digest)])
        await collection.collect(registry.db, registry.clock, EVERYTHING)

    registry.run(race())

    assert registry.rows(tables.blob) == []
    assert {str(key) for key in registry.blobs.keys()} == {  # noqa: SIM118
        row[0] for row in registry.rows(tables.tombstone)
    }


def test_the_layers_of_a_deleted_repository_go_with_it(registry: Registry) -> None:
    gone, other = registry.repository("team/gone"), registry.repository("team/other")
    registry.image(gone, LAYER.decode())
    registry.blob(gone, b"only here")
    registry.image(other, LAYER.decode())

    delete_repository(registry, gone)

    assert {row[0] for row in registry.rows(tables.blob)} == {digest_of(LAYER), digest_of(CONFIG)}
    assert_sound(registry)
