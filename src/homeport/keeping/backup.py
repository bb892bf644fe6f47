"""Copies a registry while it is in use, so that what was acknowledged before can be restored as a whole.

The order: (1) hold up deletions; (2) copy the metadata as of one moment; (3) copy the bytes of every blob that this
copy names, unless an earlier backup has brought them; (4) make all of it durable; (5) see that the hold had no gap; (6)
replace the manifest; (7) remove what only the former backup needed. Until (6) the former backup is the valid one,
whenever and however this one ends. Finished bytes never change, so it does not matter when in (3) they are copied.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from homeport import __version__
from homeport.blobs.port import BlobDamaged, BlobMissing, BlobStore
from homeport.database.copying import NewSqlite, Tables
from homeport.database.engine import Database, Reader
from homeport.database.migrate import HEAD
from homeport.database.snapshot import Snapshot, copy_database
from homeport.keeping import store
from homeport.keeping.backup_model import (
    DATABASE,
    KEY,
    LOCK,
    MANIFEST,
    METADATA,
    OBJECTS,
    PARTS,
    SETTINGS,
    BackupManifest,
    Part,
    object_path,
)
from homeport.keeping.durable import (
    copy_file,
    new_file,
    sha256_of,
    shares_blocks,
    translated,
    write_all,
)
from homeport.keeping.holds import hold_deletions
from homeport.keeping.model import KeptBlob
from homeport.keeping.tables_copy import Progress, copy_tables
from homeport.kernel.clock import Clock
from homeport.kernel.digests import Digest
from homeport.kernel.durable import flush_file, flush_folder
from homeport.kernel.errors import InvalidInput

_PAGE = 256  # blobs
_AT_ONCE = 4  # threads that copy: most of the time of a small object is waiting for its flush
_PIECE = 1024 * 1024
_FAR_PIECE = 8 * 1024 * 1024  # from a store where each read is a request


@dataclass(frozen=True, slots=True)
class Source:
    """The registry that is copied: its metadata, its bytes, and its folder."""

    db: Database
    blobs: BlobStore
    clock: Clock
    data: Path
    moment: Callable[[], Awaitable[Tables]] | None = None
    """Opens the metadata as of now; None where it is a file in the folder."""


@dataclass(slots=True)
class Copied:
    """What one backup did. Bytes of all blobs, and of those that no earlier backup had brought."""

    manifest: BackupManifest
    new_blobs: int = 0
    new_bytes: int = 0
    removed_objects: int = 0


@dataclass(slots=True)
class _Objects:
    """What is known about the objects of a backup so far."""

    blobs: int = 0
    blob_bytes: int = 0
    new_blobs: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)


async def back_up(source: Source, target: Path, progress: Progress) -> Copied:
    """Write a complete backup of `source` into the folder `target`, which is new, empty or holds an earlier one.

    Errors: InvalidInput for another folder, StorageFull, Unavailable.
    """
    with translated(str(target)), _to_oneself(source, target):
        folder = target / METADATA / f"{source.clock.now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700, parents=True)
        async with hold_deletions(source.db, source.clock, f"backup to {target}") as hold:
            taken_at = source.clock.now()
            loop = asyncio.get_running_loop()
            await _copy_metadata(source, folder, progress)
            parts = await loop.run_in_executor(None, _copy_parts, source, folder)
            with Snapshot(folder / DATABASE) as snapshot:
                objects = await _copy_objects(source, snapshot, target, progress)
            await loop.run_in_executor(None, _flush, target, folder, objects)
            await hold.confirm()
        manifest = BackupManifest(
            version=__version__,
            schema=HEAD,
            taken_at=taken_at.isoformat(),
            metadata=folder.name,
            parts=parts,
            blobs=objects.blobs,
            blob_bytes=objects.blob_bytes,
            damaged=tuple(objects.damaged),
        )
        with new_file(target / MANIFEST) as file:
            write_all(file, manifest.as_text().encode())
        flush_folder(target)
        removed = await _prune(target, manifest)
        return Copied(manifest, objects.new_blobs, objects.new_bytes, removed)


@contextlib.contextmanager
def _to_oneself(source: Source, target: Path) -> Iterator[None]:
    """Make the folder of the backup, and be the only one to write there."""
    if target.resolve().is_relative_to(source.data.resolve()):
        raise InvalidInput(
            f"{target} lies in the data folder; a backup belongs elsewhere, best on another disk."
        )
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (target / LOCK).exists() and any(target.iterdir()):
        raise InvalidInput(f"{target} is not empty and holds no backup of Homeport.")
    lock = os.open(target / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(f"Another backup is being written to {target}.") from None
        if (target / MANIFEST).exists():
            earlier = BackupManifest.read(target)
            if earlier.parts[KEY].sha256 != sha256_of(source.data / KEY):
                raise InvalidInput(f"{target} holds the backup of another registry.")
        yield
    finally:
        os.close(lock)


async def _copy_metadata(source: Source, folder: Path, progress: Progress) -> None:
    """Write the metadata as of one moment into a SQLite file, wherever it is kept."""
    if source.moment is not None:
        tables = await source.moment()
        try:
            new = NewSqlite(folder / DATABASE)
            try:
                await copy_tables(tables, new, progress)
                await new.commit()
            finally:
                await new.close()
        finally:
            await tables.close()
        return
    told = partial(progress, "metadata pages")
    copy = partial(copy_database, source.data / DATABASE, folder / DATABASE, told)
    await asyncio.get_running_loop().run_in_executor(None, copy)


def _copy_parts(source: Source, folder: Path) -> dict[str, Part]:
    (folder / DATABASE).chmod(0o600)
    flush_file(folder / DATABASE)
    for name in (KEY, SETTINGS):
        copy_file(source.data / name, folder / name)
    return {name: Part((folder / name).stat().st_size, sha256_of(folder / name)) for name in PARTS}


async def _copy_objects(source: Source, snapshot: Reader, target: Path, progress: Progress) -> _Objects:
    done, after = _Objects(), ""
    _, total = await store.totals(snapshot)
    loop = asyncio.get_running_loop()
    while page := await store.blobs(snapshot, after, _PAGE):
        for blob in page:
            folder = object_path(target, blob.digest).parent
            if folder not in done.folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                done.folders.add(folder)
        shares = [page[number::_AT_ONCE] for number in range(_AT_ONCE)]
        copy = partial(_copy_share, source.blobs, target)
        copied = await asyncio.gather(*(loop.run_in_executor(None, copy, share) for share in shares))
        for blob, outcome in (each for share in copied for each in share):
            done.blobs += 1
            done.blob_bytes += blob.size
            if outcome is None:
                done.damaged.append(blob.digest)
            elif outcome:
                done.new_blobs += 1
                done.new_bytes += blob.size
        after = page[-1].digest
        progress("bytes", done.blob_bytes, total)
    done.damaged.sort()
    return done


def _copy_share(
    blobs: BlobStore, target: Path, share: Sequence[KeptBlob]
) -> list[tuple[KeptBlob, bool | None]]:
    return [(blob, _copy_object(blobs, blob, object_path(target, blob.digest))) for blob in share]


def _copy_object(blobs: BlobStore, blob: KeptBlob, path: Path) -> bool | None:
    """Copy the bytes of a blob, unless they are there; return whether they were copied, None when they are damaged."""
    try:
        if path.stat().st_size == blob.size:
            return False
    except FileNotFoundError:
        pass
    digest = Digest(blob.digest)
    running, at = hashlib.new(digest.algorithm), 0
    try:
        with closing(blobs.reader(blob.storage_key)) as reader:
            if reader.size != blob.size:
                return None
            with new_file(path) as file:
                shared = shares_blocks(file, reader.fileno())
                while piece := reader.read(at, _FAR_PIECE if blobs.shared else _PIECE):
                    running.update(piece)
                    at += len(piece)
                    if not shared:
                        write_all(file, piece)
                if at != blob.size or f"{digest.algorithm}:{running.hexdigest()}" != digest:
                    raise BlobDamaged("the bytes are not those of the digest")
    except (BlobMissing, BlobDamaged):
        return None
    return True


def _flush(target: Path, folder: Path, objects: _Objects) -> None:
    """Make the names of everything that was written durable, from the inside out."""
    for each in sorted(objects.folders):
        flush_folder(each)
    algorithms = {each.parent for each in objects.folders}
    made = [*algorithms, *({target / OBJECTS} if algorithms else ())]
    for each in (*made, folder, folder.parent, target, target.parent):
        flush_folder(each)


async def _prune(target: Path, manifest: BackupManifest) -> int:
    """Remove what does not belong to the backup of `manifest`; return how many objects went."""
    for folder in (target / METADATA).iterdir():
        if folder.name != manifest.metadata:
            shutil.rmtree(folder)
    removed = 0
    with Snapshot(target / METADATA / manifest.metadata / DATABASE) as snapshot:
        for path in (target / OBJECTS).glob("*/*/*"):
            if await store.find(snapshot, f"{path.parent.parent.name}:{path.name}") is None:
                path.unlink()
                removed += 1
    return removed
