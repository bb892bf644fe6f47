"""`homeport move`: to PostgreSQL and object storage, and back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from homeport import config
from homeport.cli.options import data_option, explained, json_option, settings
from homeport.cli.places import HERE, new_places
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.cli.settings_file import change
from homeport.config import Settings
from homeport.database.copying import NewSqlite, NewTables, SqliteTables, Tables
from homeport.database.engine import Transaction
from homeport.folder import DATABASE_FILE, blob_store, is_initialised, migrate, open_database, prepare
from homeport.keeping import move_bytes, move_tables, store
from homeport.keeping.move_bytes import MovedBytes
from homeport.keeping.move_tables import MoveRecord
from homeport.keeping.tables_copy import Measures, Progress, is_empty, rows_in
from homeport.keeping.use import using
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from homeport.database.copying_postgres import PostgresTables

DAMAGED = 3
"""Exit status when layers are damaged, so that the registry stays where it is."""
FORMER = f"{config.FILE}.before-move"

_PLACES = ("database", "storage", "archive_storage")


@dataclass(slots=True)
class Moved:
    """What one run did; None for what did not have to move."""

    blobs: MovedBytes | None = None
    rows: Measures | None = None
    switched: bool = False
    seconds: float = 0
    changes: dict[str, str | None] = field(default_factory=dict)


@click.command()
@click.option(
    "--database",
    help=f"Where metadata shall be: the address of a PostgreSQL database, or `{HERE}` for SQLite.",
)
@click.option("--storage", help=f"Where layers shall be: s3://BUCKET/PREFIX?..., or `{HERE}` for files.")
@click.option("--archive-storage", help="Another bucket for layers of archived images [default: --storage].")
@click.option(
    "--prepare",
    "only_prepare",
    is_flag=True,
    help="Only copy layers, while the server runs; nothing is switched.",
)
@data_option
@json_option
@explained
@click.pass_context
def move(
    context: click.Context,
    database: str | None,
    storage: str | None,
    archive_storage: str | None,
    only_prepare: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Move the registry to PostgreSQL, to object storage, or to both; or back.

    With --prepare layers are copied while the server runs, as often as you like. Without it every server and command of
    this registry must be stopped: what is missing is copied, rows are copied and compared, and then the settings file
    names the new place. Whenever it is ended or killed, run it again. The old place is left as it is. Exit status 3:
    layers are damaged, so nothing was switched.
    """
    old = settings(data=data)
    if not is_initialised(old.data):
        raise click.ClickException(f"{old.data} holds no registry.")
    new = _chosen(old, database, storage, archive_storage)
    clock = SystemClock()
    began = clock.now()
    with ProgressLine() as progress:
        moved = asyncio.run(_prepare(old, new, progress) if only_prepare else _move(old, new, progress))
    moved.seconds = (clock.now() - began).total_seconds()
    if as_json:
        click.echo(json.dumps(_as_json(moved)))
    else:
        _tell(moved, old, new)
    damaged = moved.blobs.damaged if moved.blobs else []
    for digest in damaged:
        click.echo(f"Not copied, because its bytes are damaged: {digest}", err=True)
    if damaged:
        click.echo(
            "Nothing was switched. `homeport fsck --digests --repair` marks damaged layers, so that clients push them "
            "again and a move leaves them out.",
            err=True,
        )
    context.exit(DAMAGED if damaged else 0)


def _chosen(
    old: Settings, database: str | None, storage: str | None, archive_storage: str | None
) -> Settings:
    """Return the settings of the new place."""
    if database is None and storage is None:
        raise click.UsageError("Say where to: --database, --storage, or both.")
    values = new_places(database, storage, archive_storage)
    settings(data=old.data, **values)  # are they well formed?
    new = old.model_copy(update=values)
    if all(getattr(new, name) == getattr(old, name) for name in _PLACES):
        raise click.ClickException("The registry is there already: nothing to move.")
    return new


def _bytes_move(old: Settings, new: Settings) -> bool:
    return (old.storage, old.archive_storage) != (new.storage, new.archive_storage)


async def _prepare(old: Settings, new: Settings, progress: Progress) -> Moved:
    """Copy layers beside a running server."""
    if not _bytes_move(old, new):
        raise InvalidInput("--prepare copies layers, and they stay where they are.")
    with using(old.data):
        await prepare(old)
        return Moved(blobs=await _move_bytes(old, new, MoveRecord(old.data), progress))


async def _move(old: Settings, new: Settings, progress: Progress) -> Moved:
    """Copy all that is not there yet, and switch."""
    moved, record = Moved(), MoveRecord(old.data)
    with using(old.data, alone=True):
        await prepare(old)
        async with _standing_still(old) as source:
            if _bytes_move(old, new):
                if old.database != new.database:
                    async with _new_tables(new, record, progress):
                        pass  # what would be refused in the end is refused before hours of copying
                moved.blobs = await _move_bytes(old, new, record, progress)
                if moved.blobs.damaged:
                    return moved
            if old.database != new.database:
                async with _new_tables(new, record, progress) as target:
                    moved.rows = await move_tables.bring_tables(
                        source, target, _address(new), record, progress, bytes_move=_bytes_move(old, new)
                    )
        if old.database == new.database:
            await _forget_unfinished(old)
        moved.changes = {
            name: getattr(new, name) for name in _PLACES if getattr(new, name) != getattr(old, name)
        }
        _switch(old.data, moved.changes)
        record.end()
        moved.switched = True
    return moved


async def _move_bytes(old: Settings, new: Settings, record: MoveRecord, progress: Progress) -> MovedBytes:
    source, target = blob_store(old), blob_store(new)
    target.check()
    place = f"{new.storage} {new.archive_storage}"
    db = open_database(old)
    try:
        if not record.has_begun(place):
            await move_bytes.require_ours(db, target)
            record.begin(place)
        return await move_bytes.move_bytes(db, source, target, progress)
    finally:
        await db.close()


@asynccontextmanager
async def _standing_still(old: Settings) -> AsyncIterator[Tables]:
    """The rows of the old place, which nobody changes meanwhile. Errors: InvalidInput while a node runs."""
    if old.database is None:
        here = SqliteTables(old.data / DATABASE_FILE)
        try:
            yield here
        finally:
            await here.close()
        return
    shared = await _open_postgres(old.database)
    try:
        if not shared.genuine:
            click.echo("This database does not tell who uses it: be sure that no node runs.", err=True)
        await _require_rest(shared)
        yield shared
        await _require_rest(shared)  # who came meanwhile could change nothing so far
    finally:
        await shared.close()


async def _require_rest(shared: PostgresTables) -> None:
    if await shared.in_use():
        raise InvalidInput("A node or a command uses the database of this registry. Stop all of them first.")


async def _open_postgres(url: str) -> PostgresTables:
    from homeport.database.copying_postgres import PostgresTables  # only where it is used

    return await PostgresTables.open(url, alone=True)


def _address(new: Settings) -> str:
    return new.database or HERE


@asynccontextmanager
async def _new_tables(new: Settings, record: MoveRecord, progress: Progress) -> AsyncIterator[NewTables]:
    """The database of the new place, without rows. Errors: InvalidInput when it holds what is not ours."""
    if new.database is None:
        path = new.data / DATABASE_FILE
        if path.exists():
            there = SqliteTables(path)
            try:
                await _require_ours(path, record, there, progress)
            finally:
                await there.close()
        fresh = NewSqlite(path)
        try:
            yield fresh
        finally:
            await fresh.close()
        return
    from homeport.database.copying_postgres import NewPostgres

    await migrate(new)
    shared = await NewPostgres.open(new.database)
    try:
        if await shared.in_use():
            raise InvalidInput("A node uses the new database. Name an empty one that nobody uses.")
        if not await is_empty(shared):
            await move_tables.require_ours(record, _address(new), shared, progress)
            await shared.clear()
        yield shared
    finally:
        await shared.close()


async def _require_ours(path: Path, record: MoveRecord, there: Tables, progress: Progress) -> None:
    try:
        await move_tables.require_ours(record, HERE, there, progress)
    except Exception as error:  # an older schema is none of ours either
        raise InvalidInput(
            f"{path} is there already; was the registry here before it moved? Put that file elsewhere first."
        ) from error


async def _forget_unfinished(old: Settings) -> None:
    async def work(tx: Transaction) -> None:
        await store.forget_unfinished(tx)

    db = open_database(old)
    try:
        await db.write(work)
    finally:
        await db.close()


def _switch(data: Path, changes: dict[str, str | None]) -> None:
    shutil.copy2(data / config.FILE, data / FORMER)
    change(data, changes)


def _as_json(moved: Moved) -> dict[str, Any]:
    shown: dict[str, Any] = {"switched": moved.switched, "seconds": round(moved.seconds, 3)}
    if moved.blobs is not None:
        shown |= {
            "blobs": moved.blobs.blobs,
            "blobBytes": moved.blobs.blob_bytes,
            "newBlobs": moved.blobs.new_blobs,
            "newBytes": moved.blobs.new_bytes,
            "markedAsDamaged": moved.blobs.marked,
            "strangers": moved.blobs.strangers,
            "damaged": moved.blobs.damaged,
        }
    if moved.rows is not None:
        shown |= {
            "rows": rows_in(moved.rows),
            "tables": {name: each.rows for name, each in moved.rows.items()},
        }
    return shown


def _tell(moved: Moved, old: Settings, new: Settings) -> None:
    if moved.blobs is not None:
        found = moved.blobs
        click.echo(
            f"Layers: {found.blobs} with {bytes_text(found.blob_bytes)} are in {_shown(new.storage, new)}; "
            f"{found.new_blobs} with {bytes_text(found.new_bytes)} were copied now, every byte hashed."
        )
        if found.marked:
            click.echo(f"{found.marked} layers stayed behind that are marked as damaged.")
        if found.strangers:
            click.echo(
                f"{found.strangers} objects there belong to no layer, such as those deleted since they were copied: "
                "`homeport fsck` knows what to do with them."
            )
    if moved.rows is not None:
        click.echo(f"Metadata: {rows_in(moved.rows)} rows of {len(moved.rows)} tables, copied and compared.")
    click.echo(f"It took {moved.seconds:.1f} seconds.")
    if moved.switched:
        _tell_what_is_next(moved, old, new)
    elif moved.blobs is not None and not moved.blobs.damaged:
        click.echo(
            "Nothing was switched. Stop the server and run the command without --prepare for the rest."
        )


def _tell_what_is_next(moved: Moved, old: Settings, new: Settings) -> None:
    click.echo(
        f"\n{new.data / config.FILE} names the new place; as it was, it is {FORMER} beside it. Next:\n"
    )
    for name in moved.changes:
        variable = f"HOMEPORT_{name.upper()}"
        if variable in os.environ or f"{variable}_FILE" in os.environ:
            click.echo(f"  Change {variable} where it is set: it wins over the file.")
    click.echo(
        f"  Start the server again: homeport serve --data {new.data}   (without options for the old place)"
    )
    click.echo(f"  Compare what is there: homeport fsck --data {new.data}   (--digests reads every byte)")
    if new.database is not None and new.storage is not None:
        click.echo("  Add nodes if you like: each needs this master.key and these settings.")
    if old.database is not None:
        click.echo("  No node may start with the former settings: it would use the old place.")
    left = [_old_place(name, old) for name in moved.changes]
    click.echo(
        f"  Delete what was left as it is when all is well: {', '.join(each for each in left if each)}"
    )


def _old_place(name: str, old: Settings) -> str | None:
    """Where that was which a setting names, so that nobody deletes more than that."""
    if (address := getattr(old, name)) is not None:
        return _shown(address, old)
    if name == "database":
        return str(old.data / DATABASE_FILE)
    if name == "storage":
        return f"{old.data / 'blobs'}, {old.archive or old.data / 'archive'}"
    return None


def _shown(address: str | None, of: Settings) -> str:
    """An address without its password."""
    if address is None:
        return str(of.data)
    found = urlsplit(address)
    return address.replace(f":{found.password}@", ":...@") if found.password else address
