"""A backup is whole or not there, brings only what is new, and what is restored is what was backed up."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.port import BlobStore
from homeport.blobs.tiers import TieredBlobStore
from homeport.database import tables
from homeport.database.sqlite import SqliteDatabase
from homeport.keeping import restore as restoring
from homeport.keeping import store
from homeport.keeping.backup import Copied, Source, back_up
from homeport.keeping.backup_model import MANIFEST, BackupManifest, object_path
from homeport.keeping.inspection import Inspection, Options
from homeport.keeping.model import Report
from homeport.kernel.digests import digest_of
from homeport.kernel.errors import InvalidInput, Unavailable
from tests.unit.keeping.damage import change, kept, lose, spoil
from tests.unit.repositories.registry import Registry

APP = digest_of(b"app")


def silent(what: str, done: int, of: int) -> None:
    """No progress is wanted."""


@pytest.fixture
def data(registry: Registry, tmp_path: Path) -> Path:
    """The folder of the registry."""
    (tmp_path / "master.key").write_text("the key\n")
    (tmp_path / "homeport.toml").write_text('account = "111122223333"\n')
    registry.image(registry.repository(), "app", "v1")
    return tmp_path


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backups of a test go."""
    return tmp_path_factory.mktemp("elsewhere") / "backup"


@pytest.fixture
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is not there yet."""
    return tmp_path_factory.mktemp("restored") / "data"


def save(registry: Registry, data: Path, target: Path, blobs: BlobStore | None = None) -> Copied:
    source = Source(registry.db, blobs if blobs is not None else registry.blobs, registry.clock, data)
    return registry.run(back_up(source, target, silent))


def stores(new: Path) -> BlobStore:
    return TieredBlobStore(
        FileBlobStore(new / "blobs", reserve_bytes=0), FileBlobStore(new / "archive", reserve_bytes=0)
    )


def restore(registry: Registry, target: Path, new: Path) -> Report:
    """Restore, and inspect the result down to the last byte."""

    async def run() -> Report:
        to = restoring.Destination(new, lambda: stores(new))
        await restoring.restore(target, to, registry.clock, silent)
        db = SqliteDatabase(new / "homeport.db")
        try:
            return await Inspection(db, stores(new), registry.clock, Options(digests=True)).run()
        finally:
            await db.close()

    return registry.run(run())


def test_what_is_restored_is_what_was_backed_up(
    registry: Registry, data: Path, target: Path, new: Path
) -> None:
    registry.append(registry.start(registry.repository("other")), b"half of a layer")

    copied = save(registry, data, target)
    report = restore(registry, target, new)

    assert (copied.manifest.blobs, copied.new_blobs, copied.manifest.damaged) == (2, 2, ())
    assert (report.clean, report.blobs, report.objects, report.images) == (True, 2, 2, 1)
    for name in ("master.key", "homeport.toml"):
        assert (new / name).read_text() == (data / name).read_text()
    assert stat.S_IMODE((new / "master.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_the_next_backup_brings_only_what_is_new_and_removes_what_is_not_needed(
    registry: Registry, data: Path, target: Path, new: Path
) -> None:
    save(registry, data, target)
    repository = registry.repository("shop/other")
    registry.image(repository, "next", "v2")
    change(registry, delete(tables.image_tag).where(tables.image_tag.c.name == "v1"))
    change(registry, delete(tables.image).where(tables.image.c.repository_id != repository.id))
    change(registry, delete(tables.repository_blob).where(tables.repository_blob.c.digest == APP))
    change(registry, delete(tables.blob).where(tables.blob.c.digest == APP))

    copied = save(registry, data, target)

    assert (copied.new_blobs, copied.removed_objects) == (2, 1)
    assert not object_path(target, APP).exists()
    assert len(list((target / "metadata").iterdir())) == 1
    assert restore(registry, target, new).clean


def test_bytes_that_a_backup_has_are_not_copied_again(registry: Registry, data: Path, target: Path) -> None:
    save(registry, data, target)
    before = object_path(target, APP).stat()

    copied = save(registry, data, target)

    after = object_path(target, APP).stat()
    assert (copied.new_blobs, copied.new_bytes) == (0, 0)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", [lose, spoil])
def test_damaged_bytes_are_told_and_an_earlier_backup_of_them_is_kept(
    registry: Registry, data: Path, target: Path, new: Path, damage: Callable[..., None]
) -> None:
    save(registry, data, target)
    damage(registry.blobs, kept(registry, APP).storage_key)

    assert save(registry, data, target).manifest.damaged == ()
    assert save(registry, data, target.with_name("fresh")).manifest.damaged == (APP,)

    assert restore(registry, target, new).clean


def test_what_was_damaged_in_the_backup_is_marked_in_the_restored_registry(
    registry: Registry, data: Path, target: Path, new: Path
) -> None:
    spoil(registry.blobs, kept(registry, APP).storage_key)

    save(registry, data, target)
    report = restore(registry, target, new)

    assert [(each.subject, each.problem) for each in report.findings] == [(APP, "its bytes are missing")]
    db = SqliteDatabase(new / "homeport.db")
    found = registry.run(store.find(db, APP))
    registry.run(db.close())
    assert found is not None
    assert found.damaged


def test_a_backup_that_fails_leaves_the_earlier_one_valid_and_the_next_one_goes_on(
    registry: Registry, data: Path, target: Path, new: Path
) -> None:
    save(registry, data, target)
    taken = (target / MANIFEST).read_text()
    repository = registry.repository("shop/other")
    for number in range(3):
        registry.blob(repository, f"blob {number}".encode())

    with pytest.raises(Unavailable):
        save(registry, data, target, FaultyBlobStore.from_text(registry.blobs, "reader:2:unavailable"))

    assert (target / MANIFEST).read_text() == taken
    assert restore(registry, target, new).blobs == 2
    copied = save(registry, data, target)
    assert copied.manifest.blobs == 5
    assert copied.new_blobs <= 2  # what was brought by the one that failed stays
    assert restore(registry, target, new.with_name("again")).clean


def test_no_deletion_is_held_up_once_a_backup_ended_however_it_did(
    registry: Registry, data: Path, target: Path
) -> None:
    with pytest.raises(Unavailable):
        save(registry, data, target, FaultyBlobStore.from_text(registry.blobs, "reader:*:unavailable"))
    assert registry.rows(tables.deletion_hold) == []
    save(registry, data, target)
    assert registry.rows(tables.deletion_hold) == []


def test_a_folder_with_other_things_is_left_alone(registry: Registry, data: Path, target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_text("mine")

    with pytest.raises(InvalidInput, match="not empty"):
        save(registry, data, target)
    with pytest.raises(InvalidInput, match="lies in the data folder"):
        save(registry, data, data / "backup")

    assert [path.name for path in target.iterdir()] == ["thesis.txt"]


def test_the_backup_of_another_registry_is_not_replaced(registry: Registry, data: Path, target: Path) -> None:
    save(registry, data, target)
    (data / "master.key").write_text("another key\n")

    with pytest.raises(InvalidInput, match="another registry"):
        save(registry, data, target)


def test_two_backups_at_once_do_not_write_to_one_folder(registry: Registry, data: Path, target: Path) -> None:
    save(registry, data, target)
    lock = os.open(target / "backup.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with pytest.raises(InvalidInput, match="Another backup"):
        save(registry, data, target)

    os.close(lock)
    save(registry, data, target)


def test_a_folder_that_is_not_empty_is_not_restored_into(
    registry: Registry, data: Path, target: Path, new: Path
) -> None:
    save(registry, data, target)
    new.mkdir()
    (new / "thesis.txt").write_text("mine")

    with pytest.raises(InvalidInput, match="not empty"):
        restore(registry, target, new)

    assert [path.name for path in new.iterdir()] == ["thesis.txt"]


def _current(target: Path) -> Path:
    return target / "metadata" / BackupManifest.read(target).metadata


SPOILT: dict[str, Callable[[Path], object]] = {
    "an object is changed": lambda target: object_path(target, APP).write_bytes(b"apq"),
    "an object is cut": lambda target: object_path(target, APP).write_bytes(b"ap"),
    "an object is missing": lambda target: object_path(target, APP).unlink(),
    "the database is changed": lambda target: (_current(target) / "homeport.db").write_bytes(b"SQLite"),
    "the key is missing": lambda target: (_current(target) / "master.key").unlink(),
    "the key is changed": lambda target: (_current(target) / "master.key").write_text("a key\n\n"),
    "the manifest is missing": lambda target: (target / MANIFEST).unlink(),
    "the manifest is no JSON": lambda target: (target / MANIFEST).write_text("{"),
    "the manifest is another list": lambda target: (target / MANIFEST).write_text("[]"),
    "the manifest is newer": lambda target: _rewrite(target, format=2),
    "the manifest leads elsewhere": lambda target: _rewrite(target, metadata="../metadata"),
}


def _rewrite(target: Path, **changes: object) -> None:
    document = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).write_text(json.dumps(document | changes))


@pytest.mark.parametrize("what", list(SPOILT))
def test_a_backup_that_is_not_whole_is_refused_and_makes_no_registry(
    registry: Registry, data: Path, target: Path, new: Path, what: str
) -> None:
    save(registry, data, target)
    registry.run(restoring.check(target, silent))

    SPOILT[what](target)

    with pytest.raises(InvalidInput):
        registry.run(restoring.check(target, silent))
    with pytest.raises(InvalidInput):
        restore(registry, target, new)
    assert not (new / "homeport.toml").exists()
