"""`homeport backup`: a copy of the whole registry, taken while it is in use."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click

from homeport.cli.options import data_option, explained, json_option, settings, with_folder
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.config import Settings
from homeport.database.clock import DatabaseClock
from homeport.database.copying import Tables
from homeport.folder import OpenFolder, blob_store, clock
from homeport.keeping.backup import Copied, Source, back_up
from homeport.keeping.backup_model import KEY

DAMAGED = 3
"""Exit status when the backup is complete but for layers whose bytes are damaged in the registry."""


def _moment(chosen: Settings) -> Callable[[], Awaitable[Tables]] | None:
    """What opens the metadata as of one moment, where it is not a file."""
    if (url := chosen.database) is None:
        return None
    from homeport.database.copying_postgres import PostgresTables  # only where it is used

    return partial(PostgresTables.open, url)


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@data_option
@json_option
@explained
@click.pass_context
def backup(context: click.Context, directory: Path, data: Path | None, as_json: bool) -> None:
    """Write a backup of the registry into DIRECTORY, while a server runs or not.

    A directory that holds an earlier backup is brought up to date: only new layers are copied, and until all is copied
    the earlier backup stays valid. The directory contains the registry's master key: who reads it can read everything.
    Exit status 3: complete, except for layers whose bytes are damaged in the registry itself.
    """
    chosen = settings(data=data)

    async def work(folder: OpenFolder, _: str) -> Copied:
        with ProgressLine() as progress:
            now = clock(chosen, folder.db)
            if isinstance(now, DatabaseClock):
                await now.measure()  # by which the others judge whether deletions are held up
            source = Source(folder.db, blob_store(chosen), now, chosen.data, _moment(chosen))
            return await back_up(source, directory, progress)

    copied = with_folder(data, None, work)
    manifest = copied.manifest
    if as_json:
        shown = {
            "directory": str(directory),
            "takenAt": manifest.taken_at,
            "blobs": manifest.blobs,
            "blobBytes": manifest.blob_bytes,
            "newBlobs": copied.new_blobs,
            "newBytes": copied.new_bytes,
            "removedObjects": copied.removed_objects,
            "damaged": list(manifest.damaged),
        }
        click.echo(json.dumps(shown))
    else:
        click.echo(
            f"Backed up {manifest.blobs} layers with {bytes_text(manifest.blob_bytes)} to {directory}; "
            f"{copied.new_blobs} with {bytes_text(copied.new_bytes)} were new."
        )
        click.echo(
            f"It contains {KEY}, which opens every secret of the registry: keep it where nobody reads it."
        )
    for digest in manifest.damaged:
        click.echo(f"Not in the backup, because its bytes are damaged: {digest}", err=True)
    context.exit(DAMAGED if manifest.damaged else 0)
