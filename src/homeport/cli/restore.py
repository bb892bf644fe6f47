"""`homeport restore`: a registry from a backup."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from homeport.cli.fsck import FOUND, inspect, show
from homeport.cli.options import data_option, explained, json_option, settings
from homeport.cli.places import HERE, new_places
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.cli.settings_file import changed
from homeport.config import Settings
from homeport.database.copying import NewTables
from homeport.folder import blob_store, migrate
from homeport.keeping import restore as restoring
from homeport.keeping.backup_model import METADATA, BackupManifest
from homeport.keeping.inspection import Options
from homeport.keeping.model import Report
from homeport.keeping.tables_copy import is_empty
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import InvalidInput


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only read the whole backup and verify it; nothing is restored.")
@click.option(
    "--database",
    help=f"Where metadata shall be: the address of an empty PostgreSQL database, or `{HERE}` for SQLite. "
    "[default: as it was]",
)
@click.option(
    "--storage",
    help=f"Where layers shall be: s3://BUCKET/PREFIX?..., or `{HERE}` for files. [default: as it was]",
)
@click.option("--archive-storage", help="Another bucket for layers of archived images [default: --storage].")
@data_option
@json_option
@explained
@click.pass_context
def restore(
    context: click.Context,
    directory: Path,
    check: bool,
    database: str | None,
    storage: str | None,
    archive_storage: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Make the registry that the backup in DIRECTORY holds, in a new data folder.

    Metadata and layers come to the same kind of place as they were, or where you say, whichever that was. Everything is
    verified while it is copied, and the result is inspected. Users, keys and logins are those of the backup. Uploads
    that were under way are not restored. Exit status 3: restored, and the inspection found something.
    """
    with ProgressLine() as progress:
        if check:
            manifest = asyncio.run(restoring.check(directory, progress))
            _show(manifest, f"The backup in {directory} is whole", None, as_json=as_json)
            return
        values = new_places(database, storage, archive_storage)
        stated = settings(data=directory / METADATA / BackupManifest.read(directory).metadata, **values)
        chosen = stated.model_copy(update={"data": settings(data=data).data, **values})
        destination = restoring.Destination(
            chosen.data,
            lambda: blob_store(chosen),
            None if chosen.database is None else partial(_new_tables, chosen),
            lambda text: changed(text, values),
        )
        manifest = asyncio.run(restoring.restore(directory, destination, SystemClock(), progress))
    report = inspect(chosen, Options())
    _show(manifest, f"Restored {directory} to {chosen.data}", report, as_json=as_json)
    context.exit(0 if report.clean else FOUND)


async def _new_tables(chosen: Settings) -> NewTables:
    """Open the database of the new place. Errors: InvalidInput when it has rows, Unavailable."""
    from homeport.database.copying_postgres import NewPostgres  # only where it is used

    await migrate(chosen)
    opened = await NewPostgres.open(str(chosen.database))
    try:
        if not await is_empty(opened):
            raise InvalidInput(
                f"The database is not empty. Name an empty one with --database, or `--database {HERE}` for a file."
            )
    except BaseException:
        await opened.close()
        raise
    return opened


def _show(manifest: BackupManifest, done: str, report: Report | None, *, as_json: bool) -> None:
    if as_json:
        shown: dict[str, Any] = {
            "takenAt": manifest.taken_at,
            "blobs": manifest.blobs,
            "blobBytes": manifest.blob_bytes,
            "damaged": list(manifest.damaged),
        }
        if report is not None:
            shown["inspection"] = report.as_json()
        click.echo(json.dumps(shown))
        return
    size = bytes_text(manifest.blob_bytes)
    click.echo(f"{done}: as of {manifest.taken_at}, {manifest.blobs} layers with {size}.")
    for digest in manifest.damaged:
        click.echo(f"Its bytes were damaged when the backup was taken; push it again: {digest}")
    if report is not None:
        show(report)
