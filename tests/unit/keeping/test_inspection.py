"""An inspection finds what is wrong, calls nothing wrong that is not, and repairs what it can without losing a byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, update

from homeport.blobs.memory import MemoryBlobReader, MemoryBlobStore
from homeport.blobs.port import StorageClass, StorageKey, new_storage_key
from homeport.database import tables
from homeport.database.engine import Statement, Transaction
from homeport.images import archive
from homeport.images import service as images
from homeport.images.model import Image, ImageId, Retention
from homeport.keeping.inspection import YOUNG, Inspection, Options
from homeport.keeping.model import Kind, Report
from homeport.keeping.purge import purge
from homeport.kernel.digests import digest_of
from homeport.repositories.model import Repository
from homeport.uploads import service as uploads
from homeport.uploads import store as upload_store
from tests.unit.keeping.damage import change, cut, damaged, kept, lose, orphan, spoil, stored
from tests.unit.repositories.registry import Registry, index_of

APP = digest_of(b"app")
HOUR, DAY = 3600.0, 86_400.0


class Meanwhile(MemoryBlobStore):
    """Something happens once a row is read and before the bytes are opened."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def happens(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


def inspect(registry: Registry, *, digests: bool = False, repair: bool = False) -> Report:
    options = Options(digests=digests, repair=repair)
    return registry.run(Inspection(registry.db, registry.blobs, registry.clock, options).run())


def found(report: Report) -> list[tuple[Kind, str]]:
    return [(each.kind, each.problem) for each in report.findings]


def pushed(registry: Registry) -> tuple[Repository, Image]:
    repository = registry.repository()
    return repository, registry.image(repository, "app", "v1")


def remove(registry: Registry, repository: Repository, tag: str) -> None:
    """Delete an image that can be restored."""
    now = registry.clock.now()
    keep = Retention(now + timedelta(days=30), "alice")
    gone, _ = registry.run(images.delete(registry.db, now, repository, [ImageId(tag=tag)], keep))
    assert gone


@pytest.mark.parametrize("repair", [False, True])
def test_a_registry_with_something_of_everything_is_clean_and_stays_as_it_is(
    registry: Registry, repair: bool
) -> None:
    repository = registry.repository()
    first, second = registry.image(repository, "app", "v1"), registry.image(repository, "other", "v2")
    registry.put(repository, index_of(first, second), "all")
    registry.blob(repository, b"pushed, but in no image yet")
    archived = registry.image(repository, "old", "old")
    registry.clock.advance(1)
    standard, to = registry.clock.now(), StorageClass.ARCHIVE
    registry.run(archive.update(registry.db, standard, repository, archived.digest, to))
    registry.image(repository, "gone", "gone")
    remove(registry, repository, "gone")
    registry.append(registry.start(repository), b"half of a layer")
    before = {name: registry.rows(table) for name, table in tables.metadata.tables.items() if name != "blob"}
    registry.clock.advance(30 * DAY)

    report = inspect(registry, digests=True, repair=repair)

    assert report.findings == []
    assert report.clean
    assert (report.blobs, report.images, report.objects) == (9, 5, 10)
    assert report.hashed_bytes == report.blob_bytes
    assert before == {
        name: registry.rows(table) for name, table in tables.metadata.tables.items() if name != "blob"
    }


@pytest.mark.parametrize(
    ("damage", "problem", "digests"),
    [
        (lose, "its bytes are missing", False),
        (cut, "its bytes have another length", False),
        (spoil, "its bytes have another digest", True),
    ],
)
def test_damaged_bytes_are_found_and_with_repair_marked_until_they_are_pushed_again(
    registry: Registry, damage: Callable[[MemoryBlobStore, StorageKey], None], problem: str, digests: bool
) -> None:
    repository, _ = pushed(registry)
    damage(registry.blobs, kept(registry, APP).storage_key)

    assert found(inspect(registry, digests=digests)) == [(Kind.BYTES, problem)]
    assert damaged(registry) == set()
    assert found(inspect(registry, digests=digests, repair=True)) == [(Kind.BYTES, problem)]
    assert damaged(registry) == {APP}

    registry.blob(repository, b"app")
    assert inspect(registry, digests=True).clean
    assert damaged(registry) == set()


def test_a_changed_byte_is_seen_only_when_bytes_are_read(registry: Registry) -> None:
    pushed(registry)
    spoil(registry.blobs, kept(registry, APP).storage_key)

    assert inspect(registry).clean
    assert not inspect(registry, digests=True).clean


def test_a_mark_is_told_and_goes_when_the_bytes_are_whole_after_all(registry: Registry) -> None:
    pushed(registry)
    key = kept(registry, APP).storage_key
    spoil(registry.blobs, key)
    inspect(registry, digests=True, repair=True)
    spoil(registry.blobs, key)  # the volume is back

    assert found(inspect(registry)) == [(Kind.BYTES, "it is marked as damaged; push it again")]
    assert damaged(registry) == {APP}
    (finding,) = inspect(registry, digests=True, repair=True).findings
    assert finding.repaired == "its bytes are whole: the mark was removed"
    assert damaged(registry) == set()


def test_bytes_that_nobody_knows_are_set_aside_and_deleted_only_on_command(registry: Registry) -> None:
    pushed(registry)
    key = orphan(registry)

    registry.clock.advance(YOUNG.total_seconds() - 1)
    assert inspect(registry, repair=True).young_orphans == 0
    registry.clock.advance(DAY)
    report = inspect(registry, repair=True)
    assert (report.clean, report.young_orphans) == (True, 1)
    registry.clock.advance(7 * DAY)
    assert found(inspect(registry)) == [(Kind.ORPHAN, "no row knows of these 8 bytes")]
    report = inspect(registry, repair=True)
    assert (report.clean, report.quarantined, report.quarantined_bytes) == (False, 1, 8)
    report = inspect(registry, repair=True)
    assert (report.clean, report.quarantined, report.quarantined_bytes) == (True, 1, 8)
    assert key in stored(registry)

    before = registry.clock.now() - timedelta(days=1)
    assert registry.run(purge(registry.db, registry.blobs, before)) == (0, 0)
    assert key in stored(registry)
    assert registry.run(purge(registry.db, registry.blobs, registry.clock.now())) == (1, 8)
    assert key not in stored(registry)
    assert inspect(registry).quarantined == 0


def test_staged_bytes_without_an_upload_are_orphans_too(registry: Registry) -> None:
    key = new_storage_key()
    registry.blobs.writer(key, 0).write([b"staged"])
    registry.clock.advance(8 * DAY)

    (finding,) = inspect(registry).findings

    assert (finding.kind, finding.subject) == (Kind.ORPHAN, key)


def test_bytes_in_quarantine_that_a_row_knows_by_now_are_never_deleted(registry: Registry) -> None:
    pushed(registry)
    key = kept(registry, APP).storage_key
    now = registry.clock.now()
    row = {"storage_key": str(key), "size": 3, "found_at": 0}
    change(registry, insert(tables.quarantine).values(**row))

    assert registry.run(purge(registry.db, registry.blobs, now)) == (0, 0)

    assert key in stored(registry)
    assert registry.rows(tables.quarantine) == []


def test_more_orphans_than_one_page_are_all_found(registry: Registry) -> None:
    keys = set()
    for _ in range(200):  # in one shard
        key = StorageKey("data/ab/ab" + new_storage_key()[10:])
        registry.blobs.writer(key, 0).write([b"x"])
        keys.add(key)
    registry.clock.advance(8 * DAY)

    report = inspect(registry, repair=True)

    assert {each.subject for each in report.findings} == keys
    assert report.quarantined == 200


def test_a_blob_that_moves_while_it_is_looked_at_is_not_called_missing(registry: Registry) -> None:
    pushed(registry)
    seen, fresh = kept(registry, APP), orphan(registry, b"app")

    async def move() -> None:
        async def work(tx: Transaction) -> None:
            known = await upload_store.stored_blob(tx, APP)
            assert known is not None
            await upload_store.repoint(tx, known, fresh)

        await registry.db.write(work)
        registry.blobs.discard(seen.storage_key)

    class Moving(Meanwhile):
        def reader(self, key: StorageKey) -> MemoryBlobReader:
            if key == seen.storage_key:
                self.happens(move())
            return registry.blobs.reader(key)

    async def run() -> Report:
        return await Inspection(registry.db, Moving(asyncio.get_running_loop()), registry.clock).run()

    assert registry.run(run()).clean


def test_a_blob_that_is_collected_while_it_is_looked_at_is_not_called_missing(registry: Registry) -> None:
    repository = registry.repository()
    blob = registry.blob(repository, b"alone")

    async def collect() -> None:
        async def work(tx: Transaction) -> None:
            for table in (tables.repository_blob, tables.blob):
                await tx.run(Statement(delete(table)))

        await registry.db.write(work)
        registry.blobs.discard(blob.storage_key)

    class Collecting(Meanwhile):
        def reader(self, key: StorageKey) -> MemoryBlobReader:
            self.happens(collect())
            return registry.blobs.reader(key)

    async def run() -> Report:
        return await Inspection(registry.db, Collecting(asyncio.get_running_loop()), registry.clock).run()

    assert registry.run(run()).clean


def test_a_manifest_that_was_changed_is_found(registry: Registry) -> None:
    repository, image = pushed(registry)
    change(registry, update(tables.image).values(manifest=b"{}"))

    (finding,) = inspect(registry).findings

    assert finding.kind is Kind.MANIFEST
    assert finding.subject == f"{repository.account}/{repository.name}@{image.digest}"
    assert "the stored manifest has the digest sha256:44136f" in finding.problem


@pytest.mark.parametrize("table", [tables.image_blob, tables.repository_blob])
def test_a_layer_that_lost_its_reference_or_link_is_linked_again(registry: Registry, table: Table) -> None:
    pushed(registry)
    before = registry.rows(tables.image_blob)
    change(registry, delete(table).where(table.c.digest == APP))

    (finding,) = inspect(registry).findings
    assert (finding.kind, finding.repaired) == (Kind.REFERENCE, "")
    (finding,) = inspect(registry, repair=True).findings
    assert finding.repaired == "linked and referred to again"

    assert inspect(registry).clean
    assert sorted(registry.rows(tables.image_blob)) == sorted(before)


def test_a_deleted_image_that_lost_its_reference_gets_it_back(registry: Registry) -> None:
    repository, _ = pushed(registry)
    remove(registry, repository, "v1")
    before = registry.rows(tables.deleted_image_blob)
    change(registry, delete(tables.deleted_image_blob).where(tables.deleted_image_blob.c.digest == APP))

    (finding,) = inspect(registry, repair=True).findings

    assert finding.subject.startswith("deleted image ")
    assert inspect(registry).clean
    assert sorted(registry.rows(tables.deleted_image_blob)) == sorted(before)


def test_an_image_whose_layer_is_gone_altogether_is_told_and_healed_by_a_push(registry: Registry) -> None:
    repository, _ = pushed(registry)
    change(registry, delete(tables.repository_blob).where(tables.repository_blob.c.digest == APP))
    lose(registry.blobs, kept(registry, APP).storage_key)
    change(registry, delete(tables.blob).where(tables.blob.c.digest == APP))

    (finding,) = inspect(registry, repair=True).findings

    assert finding.problem == f"the blob {APP} that it refers to does not exist; push it again"
    assert finding.repaired == ""
    registry.blob(repository, b"app")
    assert inspect(registry).clean


def test_rows_that_no_manifest_stands_behind_are_found(registry: Registry) -> None:
    repository, image = pushed(registry)
    other = registry.image(repository, "other")
    rows = {"image_id": image.id, "repository_id": repository.id}
    extra = digest_of(b"extra")
    change(registry, insert(tables.image_blob).values(**rows, digest=extra, media_type="a/b"))
    change(registry, insert(tables.image_child).values(**rows, digest=other.digest))

    report = inspect(registry)

    assert sorted(each.problem for each in report.findings) == [
        f"a row says that it refers to the blob {extra}, and its manifest does not",
        f"a row says that it refers to the image {other.digest}, and its manifest does not",
    ]


def test_an_index_whose_image_is_gone_and_a_tag_of_another_repository_are_found(registry: Registry) -> None:
    repository, image = pushed(registry)
    registry.put(repository, index_of(image), "all")
    elsewhere = registry.repository("shop/other")
    tag, child = tables.image_tag, tables.image
    change(registry, update(tag).where(tag.c.name == "all").values(repository_id=elsewhere.id))
    change(registry, update(child).where(child.c.id == image.id).values(digest=digest_of(b"changed")))

    problems = {each.problem for each in inspect(registry).findings}

    assert f"the image {image.digest} that it refers to is not in the repository" in problems
    assert "the tag all is of another repository" in problems


def test_an_upload_that_goes_on_for_days_keeps_its_bytes(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), b"one")
    registry.clock.advance(8 * DAY)

    assert inspect(registry, repair=True).clean

    assert registry.finish(repository, upload, digest_of(b"onetwo"), b"two").size == 6


def test_bytes_that_wait_for_their_deletion_are_no_orphans(registry: Registry) -> None:
    key = orphan(registry)

    async def work(tx: Transaction) -> None:
        await upload_store.add_tombstone(tx, key, registry.clock.now())

    registry.run(registry.db.write(work))
    registry.clock.advance(8 * DAY)

    assert inspect(registry, repair=True).clean
    registry.run(uploads.sweep(registry.db, registry.uploads, registry.clock.now()))
    assert key not in stored(registry)
