"""The collection happens by itself: once for all processes, and once for what is older than its notes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from homeport.blobs.port import new_storage_key
from homeport.database import migrate, tables
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.jobs.model import Job, Kind
from homeport.kernel.digests import digest_of
from homeport.telemetry import COLLECTED_BLOBS, COLLECTION_BACKLOG, COLLECTION_OVERDUE, RECLAIMED_BYTES
from homeport.workers.collection import CollectionJobs
from homeport.workers.jobs import JobWorker
from tests.unit.collection.space import DAY, DELAY, HOUR
from tests.unit.repositories.registry import Registry

INTERVAL = timedelta(minutes=5)
LAYER = b"layer"


def jobs_of(registry: Registry) -> CollectionJobs:
    return CollectionJobs(registry.db, registry.blobs, registry.clock, DELAY)


def begin(registry: Registry, process: CollectionJobs) -> bool:
    return registry.run(process.begin(INTERVAL))


def run_due(registry: Registry, process: CollectionJobs) -> int:
    return registry.run(JobWorker(registry.db, registry.clock, process.doers()).run_due())


def number(metric: object) -> float:
    return metric._value.get()  # type: ignore[attr-defined,no-any-return]


def test_one_process_of_all_begins_a_collection_in_each_interval(registry: Registry) -> None:
    registry.blob(registry.repository(), LAYER)
    registry.clock.advance(DAY)
    one, other = jobs_of(registry), jobs_of(registry)

    assert [begin(registry, each) for each in (one, other, one)] == [True, False, False]
    assert [row[1] for row in registry.rows(tables.job)] == [Kind.COLLECT]

    assert run_due(registry, other) == 1
    assert registry.rows(tables.blob) == []
    assert registry.rows(tables.job) == []


def test_nothing_is_begun_while_nothing_is_due(registry: Registry) -> None:
    registry.blob(registry.repository(), LAYER)

    assert not begin(registry, jobs_of(registry))
    assert registry.rows(tables.job) == registry.rows(tables.cron) == []


def test_bytes_whose_time_is_over_are_deleted_in_a_later_interval(registry: Registry) -> None:
    registry.blob(registry.repository(), LAYER)
    registry.clock.advance(DAY)
    process = jobs_of(registry)
    before = number(COLLECTED_BLOBS), number(RECLAIMED_BYTES)
    begin(registry, process)
    run_due(registry, process)
    assert len(registry.blobs.keys()) == 1

    registry.clock.advance(HOUR)
    assert begin(registry, process)
    run_due(registry, process)

    assert registry.blobs.keys() == set()
    assert (number(COLLECTED_BLOBS), number(RECLAIMED_BYTES)) == (before[0] + 1, before[1] + len(LAYER))


def test_an_operator_sees_how_far_the_collection_is_behind(registry: Registry) -> None:
    registry.blob(registry.repository(), LAYER)
    registry.clock.advance(DAY + 90)
    process = jobs_of(registry)

    begin(registry, process)
    assert (number(COLLECTION_BACKLOG), number(COLLECTION_OVERDUE)) == (1, 90)

    run_due(registry, process)
    assert (number(COLLECTION_BACKLOG), number(COLLECTION_OVERDUE)) == (0, 0)


@pytest.fixture
def old(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry as version 0.2 left it: an image, a layer whose image is gone, a blob whose repository is gone."""
    path = tmp_path / "old.db"
    monkeypatch.setattr(migrate, "HEAD", "0002")
    migrate_sqlite(path)
    monkeypatch.undo()
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute("INSERT INTO account VALUES ('111122223333', 'default', 0)")
        connection.execute(
            "INSERT INTO repository (id, account_id, public, name, created_at, tag_mutability, mutability_filters, "
            "scan_on_push, encryption_type) VALUES (1, '111122223333', 0, 'a', 0, 'MUTABLE', '[]', 0, 'AES256')"
        )
        connection.execute(
            "INSERT INTO image (id, repository_id, digest, media_type, size, manifest_size, pushed_at, status, "
            "manifest) VALUES (1, 1, 'sha256:m', 'm', 1, 1, 0, 'ACTIVE', '{}')"
        )
        for name in ("used", "unused", "orphan"):
            digest, key = digest_of(name.encode()), new_storage_key()
            writer = registry.blobs.writer(key, 0)
            writer.write([name.encode()])
            writer.finish(len(name))
            connection.execute(
                "INSERT INTO blob VALUES (?, ?, ?, 'STANDARD', 0)", (digest, len(name), str(key))
            )
            if name != "orphan":
                connection.execute("INSERT INTO repository_blob VALUES (1, ?, 0)", (digest,))
        used = digest_of(b"used")
        connection.execute("INSERT INTO image_blob VALUES (1, ?, 1, 'm')", (used,))
    connection.close()
    assert migrate_sqlite(path) == "0002"
    registry.run(registry.db.close())
    registry.db = SqliteDatabase(path)
    return registry


def test_what_an_older_version_left_behind_is_found_and_goes(
    old: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.collection.service._PAGE", 1)
    process = jobs_of(old)

    assert run_due(old, process) == 1
    assert {row[0] for row in old.rows(tables.blob)} == {digest_of(b"used"), digest_of(b"unused")}
    assert {row[1]: row[3] is None for row in old.rows(tables.repository_blob)} == {
        digest_of(b"used"): True,
        digest_of(b"unused"): False,
    }

    old.clock.advance(DAY)
    begin(old, process)
    run_due(old, process)
    assert [row[0] for row in old.rows(tables.blob)] == [digest_of(b"used")]


def test_the_look_at_an_older_folder_goes_on_where_a_crash_ended_it(
    old: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.collection.service._PAGE", 1)
    process, pages = jobs_of(old), 0
    whole = CollectionJobs._page

    async def broken(self: CollectionJobs, held: Job, subject: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal pages
        pages += 1
        if pages in (2, 6):
            raise OSError("a crash")
        return await whole(self, held, subject)

    monkeypatch.setattr(CollectionJobs, "_page", broken)
    reached = []
    for _ in range(3):
        run_due(old, process)
        reached += [json.loads(row[2]) for row in old.rows(tables.job)]
        old.clock.advance(60)

    assert [each["stage"] for each in reached] == ["links", "blobs"]
    assert all(each["after"] for each in reached)
    assert old.rows(tables.job) == []
    assert len(old.rows(tables.blob)) == 2
