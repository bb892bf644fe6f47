"""The power goes while a registry on one machine works: what it acknowledged is on the disk, and all of it is whole.

No real disk is switched off here. A disk is simulated that keeps of each file, and of each folder's names, what was
flushed last, and of the rest nothing or, by chance, what was written since. All flushes are seen: those of our own
code at `os.fsync`, those of SQLite in a file system layer of its own. Not seen are lies of a device about its flushes,
writes that are torn within a file, and how a particular file system repairs itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from homeport import config
from homeport.blobs.files import FileBlobStore
from homeport.database.sqlite import SqliteDatabase
from homeport.images.model import Image
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import Unavailable
from homeport.uploads import store as upload_store
from homeport.uploads.service import Uploads
from tests.unit.repositories.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.faults]

DATABASE = "homeport.db"


class Disk:
    """What of a folder would be there after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[Path, dict[str, int]] = {}
        self._content: dict[int, bytes] = {}
        self.fails = False
        """Whether the device refuses the next flush (and claims success for those that follow, as Linux does)."""
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            self._keep_names(folder)
        for path in root.rglob("*"):
            if path.is_file():
                self._content[path.stat().st_ino] = path.read_bytes()

    def flushed(self, path: Path) -> None:
        """A flush of a file or folder succeeded."""
        if path == self.root or self.root in path.parents:
            if path.is_dir():
                self._keep_names(path)
            elif path.exists():
                self._content[path.stat().st_ino] = path.read_bytes()

    def _keep_names(self, folder: Path) -> None:
        self._names[folder] = {each.name: each.inode() for each in os.scandir(folder)}

    def after_a_power_cut(self, to: Path, chance: random.Random | None = None) -> Path:
        """Write what is left to a new folder; with `chance` some files have what was written last."""
        self._restore(self.root, to, chance)
        return to

    def _restore(self, folder: Path, to: Path, chance: random.Random | None) -> None:
        to.mkdir()
        for name, inode in self._names.get(folder, {}).items():
            path = folder / name
            if path in self._names:
                self._restore(path, to / name, chance)
                continue
            content = self._content.get(inode, b"")
            if (
                chance is not None
                and chance.random() < 0.5
                and path.is_file()
                and path.stat().st_ino == inode
            ):
                content = path.read_bytes()
            if not name.endswith("-shm"):  # memory that processes share
                (to / name).write_bytes(content)


class _SeenFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        super().__init__("unix", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._disk.flushed(self._path)
        # SQLite flushes the folder with a new journal; the name of the file itself is then there too.
        self._disk.flushed(self._path.parent)


class _SeenFiles(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("power", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _SeenFile(self._disk, name, flags)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    root = tmp_path / "data"
    root.mkdir()
    found, flush = Disk(root), os.fsync

    def fsync(descriptor: int) -> None:
        if found.fails:
            found.fails = False
            raise OSError(5, "Input/output error")
        flush(descriptor)
        found.flushed(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    layer = _SeenFiles(found)
    yield found
    layer.unregister()


class OnDisk(Registry):
    """A registry whose blobs are files, like its database."""

    def __init__(self, folder: Path, runner: asyncio.Runner, disk: Disk) -> None:
        super().__init__(folder, runner)
        self.files = FileBlobStore(folder / "blobs")
        self.uploads = Uploads(self.files)
        disk.flushed(folder)  # made by `init`, which flushes what it makes (below)
        disk.flushed(folder / DATABASE)


def pulled(folder: Path, images: Sequence[Image], runner: asyncio.Runner) -> None:
    """What is left of a registry still has the images, whole."""
    db, files = SqliteDatabase(folder / DATABASE), FileBlobStore(folder / "blobs")
    try:
        with closing(apsw.Connection(str(folder / DATABASE))) as connection:
            assert connection.pragma("integrity_check") == "ok"
            [(repository,)] = connection.execute("SELECT id FROM repository").fetchall()
            rows: list[Any] = connection.execute("SELECT digest, manifest FROM image").fetchall()
            manifests = {str(digest): bytes(manifest) for digest, manifest in rows}
        for image in images:
            assert image.digest in manifests, f"{image.digest} was acknowledged and is gone"
            manifest = json.loads(manifests[image.digest])
            for part in [manifest["config"], *manifest["layers"]]:
                found = runner.run(upload_store.find_blob(db, int(str(repository)), part["digest"]))
                assert found is not None
                with closing(files.reader(found.storage_key)) as reader:
                    assert digest_of(reader.read(0, reader.size)) == Digest(part["digest"])
    finally:
        files.close()
        runner.run(db.close())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up open files in /proc")
def test_whatever_was_acknowledged_before_the_power_went_is_there_and_whole(
    disk: Disk, tmp_path: Path
) -> None:
    chance = random.Random(8)
    with asyncio.Runner() as runner:
        registry = OnDisk(disk.root, runner, disk)
        repository = registry.repository()
        pushed: list[Image] = []
        for number in range(25):
            content = f"{number} {chance.randbytes(chance.randrange(1, 40_000)).hex()}"
            pushed.append(registry.image(repository, content, f"v{number}"))
            if number % 3 == 0:  # something is under way too
                registry.append(registry.start(repository), b"half of a layer")
            for turn, by_chance in enumerate([None, chance]):
                left = disk.after_a_power_cut(tmp_path / f"left-{number}-{turn}", by_chance)
                pulled(left, [pushed[-1], chance.choice(pushed)], runner)
        registry.files.close()
        runner.run(registry.db.close())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up open files in /proc")
def test_a_flush_that_fails_is_never_taken_for_one_that_succeeded(disk: Disk, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        registry = OnDisk(disk.root, runner, disk)
        repository = registry.repository()
        layer, whole = b"layer" * 1000, registry.image(repository, "before", "before")
        upload = registry.append(registry.start(repository), layer)

        disk.fails = True
        with pytest.raises(Unavailable):
            registry.finish(repository, upload, digest_of(layer))
        with pytest.raises(Unavailable, match="restart"):  # the device would claim success now
            registry.blob(repository, b"another layer")
        with pytest.raises(Unavailable, match="restart"):
            registry.files.check()  # so /readyz says

        pulled(disk.after_a_power_cut(tmp_path / "left"), [whole], runner)
        registry.files.close()
        registry.files = FileBlobStore(disk.root / "blobs")  # restarted
        registry.uploads = Uploads(registry.files)
        after = registry.image(repository, "after", "after")
        pulled(disk.after_a_power_cut(tmp_path / "later"), [after], runner)
        registry.files.close()
        runner.run(registry.db.close())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up open files in /proc")
def test_a_folder_that_was_made_before_the_power_went_is_known_afterwards(disk: Disk, tmp_path: Path) -> None:
    data = disk.root / "registry"
    data.mkdir()

    config.write(config.load(data=data, account="111122223333"))

    left = disk.after_a_power_cut(tmp_path / "left") / "registry"
    assert config.load(data=left).account == "111122223333"
