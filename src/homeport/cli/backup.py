"""`homeport backup`: a copy of the whole registry, taken while it is in use."""

from __future__ import annotations

import json
from pathlib import Path

import click

from homeport.cli.options import data_option, explained, json_option, settings, with_folder
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.folder import OpenFolder, blob_store
from homeport.keeping.backup import Copied, Source, back_up
from homeport.keeping.backup_model import KEY
from homeport.kernel.clock import SystemClock

DAMAGED = 3
"""Exit status when the backup is complete but for layers whose bytes are damaged in the registry."""


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
    if chosen.database is not None:
        raise click.ClickException(
            "The metadata is in PostgreSQL, which has backups of its own: see docs/how-to/backup.md, "
            "'PostgreSQL and object storage'."
        )

    async def work(folder: OpenFolder, _: str) -> Copied:
        with ProgressLine() as progress:
            source = Source(folder.db, blob_store(chosen), SystemClock(), chosen.data)
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
