"""`homeport restore`: a registry from a backup."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from homeport.cli.fsck import FOUND, inspect, show
from homeport.cli.options import data_option, explained, json_option, settings
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.folder import blob_store
from homeport.keeping import restore as restoring
from homeport.keeping.backup_model import METADATA, BackupManifest
from homeport.keeping.inspection import Options
from homeport.keeping.model import Report
from homeport.kernel.clock import SystemClock


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only read the whole backup and verify it; nothing is restored.")
@data_option
@json_option
@explained
@click.pass_context
def restore(context: click.Context, directory: Path, check: bool, data: Path | None, as_json: bool) -> None:
    """Make the registry that the backup in DIRECTORY holds, in a new data folder.

    Everything is verified while it is copied, and the result is inspected. Users, keys and logins are those of the
    backup. Uploads that were under way are not restored. Exit status 3: restored, and the inspection found something.
    """
    with ProgressLine() as progress:
        if check:
            manifest = asyncio.run(restoring.check(directory, progress))
            _tell(manifest, f"The backup in {directory} is whole", None, as_json=as_json)
            return
        stated = settings(data=directory / METADATA / BackupManifest.read(directory).metadata)
        chosen = stated.model_copy(update={"data": settings(data=data).data})
        manifest = asyncio.run(
            restoring.restore(directory, chosen.data, lambda: blob_store(chosen), SystemClock(), progress)
        )
    report = inspect(chosen, Options())
    _tell(manifest, f"Restored {directory} to {chosen.data}", report, as_json=as_json)
    context.exit(0 if report.clean else FOUND)


def _tell(manifest: BackupManifest, done: str, report: Report | None, *, as_json: bool) -> None:
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
