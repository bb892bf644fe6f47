"""Makes a registry from a backup: everything is verified, and the new folder is one only when all of it is there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from homeport.blobs.port import BlobFinished, BlobStore
from homeport.database.copying import NewTables, SqliteTables
from homeport.database.engine import Reader, Transaction
from homeport.database.migrate import migrate_sqlite
from homeport.database.snapshot import Snapshot, integrity
from homeport.database.sqlite import SqliteDatabase
from homeport.keeping import store, verification
from homeport.keeping.backup_model import DATABASE, KEY, METADATA, SETTINGS, BackupManifest, object_path
from homeport.keeping.durable import (
    copy_file,
    new_file,
    sha256_of,
    translated,
    write_all,
)
from homeport.keeping.model import KeptBlob, Verdict
from homeport.keeping.tables_copy import Progress, copy_tables
from homeport.kernel.clock import Clock
from homeport.kernel.digests import Digest
from homeport.kernel.durable import flush_folder
from homeport.kernel.errors import InvalidInput, Unavailable

_PAGE = 256
_AT_ONCE = 4
_PIECE = 1024 * 1024

Handle = Callable[[KeptBlob, Path], None]
"""Does something with the bytes of a blob in a file. Errors: InvalidInput when they are not the blob's."""


async def check(backup: Path, progress: Progress) -> BackupManifest:
    """Read a whole backup and compare it with its manifest and digests; nothing is written.

    Errors: InvalidInput says what is wrong.
    """
    with translated(str(backup)):
        manifest = _checked_parts(backup)
        await _each_object(backup, manifest, _compare, progress)
        return manifest


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a registry is made: its data folder, which must not exist or be empty, and what is elsewhere."""

    data: Path
    blobs: Callable[[], BlobStore]
    """Opens the place of the bytes, once it may be made."""
    tables: Callable[[], Awaitable[NewTables]] | None = None
    """Opens another database for the metadata, without rows; None where it is a file in the folder."""
    settings: Callable[[str], str] = str
    """Makes the text of the settings file from that in the backup."""


async def restore(backup: Path, to: Destination, clock: Clock, progress: Progress) -> BackupManifest:
    """Make a registry from the backup in `backup`.

    Uploads that were open are not restored. The settings file is written last: without it the folder holds no registry.
    Errors: InvalidInput when the folder is not empty or the backup is not whole, Unavailable, StorageFull.
    """
    data = to.data
    with translated(str(data)):
        manifest = _checked_parts(backup)
        _make_empty(data)
        folder = backup / METADATA / manifest.metadata
        for name in (DATABASE, KEY):
            copy_file(folder / name, data / name)
        migrate_sqlite(data / DATABASE)
        if to.tables is not None:
            await (await to.tables()).close()  # what would be refused is refused before the bytes are copied
        await _each_object(backup, manifest, partial(_bring, to.blobs()), progress)
        await _adjust(data, manifest, clock)
        if to.tables is not None:
            await _hand_over(data / DATABASE, await to.tables(), progress)
        with new_file(data / SETTINGS) as file:
            write_all(file, to.settings((folder / SETTINGS).read_text()).encode())
        flush_folder(data)
        flush_folder(data.parent)
        return manifest


async def _hand_over(file: Path, target: NewTables, progress: Progress) -> None:
    """Bring the metadata from the restored file to another database; then the file goes."""
    try:
        source = SqliteTables(file)
        try:
            await copy_tables(source, target, progress)
            await target.commit()
        finally:
            await source.close()
    finally:
        await target.close()
    for each in file.parent.glob(f"{file.stem}.*"):
        each.unlink()


def _make_empty(data: Path) -> None:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(data.iterdir()):
        raise InvalidInput(f"{data} is not empty. Name a new folder, or remove what is in it.")


def _checked_parts(backup: Path) -> BackupManifest:
    manifest = BackupManifest.read(backup)
    folder = backup / METADATA / manifest.metadata
    for name, part in manifest.parts.items():
        try:
            same = (folder / name).stat().st_size == part.size and sha256_of(folder / name) == part.sha256
        except FileNotFoundError:
            raise InvalidInput(f"The backup is not whole: {folder / name} is missing.") from None
        if not same:
            raise InvalidInput(f"The backup is not whole: {folder / name} is not as it was written.")
    return manifest


async def _each_object(backup: Path, manifest: BackupManifest, handle: Handle, progress: Progress) -> None:
    """Call `handle` with every blob that the backup's metadata names, and the file of its bytes."""
    damaged, after, done = set(manifest.damaged), "", 0
    loop = asyncio.get_running_loop()
    with Snapshot(backup / METADATA / manifest.metadata / DATABASE) as snapshot:
        while page := await _blobs(snapshot, after):
            wanted = [blob for blob in page if blob.digest not in damaged]
            shares = [wanted[number::_AT_ONCE] for number in range(_AT_ONCE)]
            share = partial(_handle_share, backup, handle)
            await asyncio.gather(*(loop.run_in_executor(None, share, each) for each in shares))
            after, done = page[-1].digest, done + sum(blob.size for blob in page)
            progress("bytes", done, manifest.blob_bytes)


async def _blobs(snapshot: Reader, after: str) -> list[KeptBlob]:
    return await store.blobs(snapshot, after, _PAGE)


def _handle_share(backup: Path, handle: Handle, share: Sequence[KeptBlob]) -> None:
    for blob in share:
        path = object_path(backup, blob.digest)
        try:
            handle(blob, path)
        except FileNotFoundError:
            raise InvalidInput(f"The backup is not whole: {path} is missing.") from None


def _refuse(path: Path) -> InvalidInput:
    return InvalidInput(f"The backup is not whole: {path} does not have the bytes of its digest.")


def _compare(blob: KeptBlob, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, Digest(blob.digest).algorithm).hexdigest()
    if found != Digest(blob.digest).hex:
        raise _refuse(path)


def _bring(blobs: BlobStore, blob: KeptBlob, path: Path) -> None:
    """Store the bytes of a blob where its row says that they are."""
    running, size = hashlib.new(Digest(blob.digest).algorithm), 0
    try:
        with path.open("rb") as file, closing(blobs.writer(blob.storage_key, 0)) as writer:
            while piece := file.read(_PIECE):
                running.update(piece)
                size += writer.write([piece])
            if size != blob.size or running.hexdigest() != Digest(blob.digest).hex:
                raise _refuse(path)
            writer.finish(size)
    except BlobFinished:  # a bucket that was not lost has it still
        if verification.read_all(blobs, blob, verification.never()) is not Verdict.WHOLE:
            raise Unavailable(f"{blob.storage_key} is stored already, with other bytes. Remove it.") from None


async def _adjust(data: Path, manifest: BackupManifest, clock: Clock) -> None:
    """Let the metadata say what is so in the new place. Errors: InvalidInput when they are broken."""
    db = SqliteDatabase(data / DATABASE)

    async def work(tx: Transaction) -> None:
        await store.forget_what_was_not_restored(tx)
        await store.remove_marks(tx)  # an earlier backup may have had the bytes of what was damaged by now
        for digest in manifest.damaged:
            if (blob := await store.find(tx, digest)) is not None:
                await store.mark(tx, blob, clock.now())

    try:
        await db.write(work)
    finally:
        await db.close()
    if broken := integrity(data / DATABASE):
        raise InvalidInput(f"The metadata in the backup is broken: {broken[0]}")
