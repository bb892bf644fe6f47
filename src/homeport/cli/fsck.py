"""`homeport fsck`: whether a registry is as it says it is."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TextIO, cast

import click

from homeport.cli.options import (
    CurrentStderr,
    data_option,
    explained,
    json_option,
    settings,
    with_folder,
    with_settings,
)
from homeport.cli.progress import ProgressLine, bytes_text
from homeport.config import Settings
from homeport.database.snapshot import integrity
from homeport.folder import DATABASE_FILE, OpenFolder, blob_store
from homeport.keeping.inspection import ORPHANED, Inspection, Options
from homeport.keeping.model import Finding, Kind, Report
from homeport.keeping.purge import purge
from homeport.kernel.clock import SystemClock
from homeport.telemetry import configure_logs

FOUND = 3
"""Exit status when something was found."""

_SHOWN = 50


@click.command()
@click.option("--digests", is_flag=True, help="Read all bytes and compare their digests; takes long.")
@click.option(
    "--repair",
    is_flag=True,
    help="Mark damaged layers, so that clients push them again; put bytes that nobody knows into quarantine; make "
    "missing references anew.",
)
@click.option(
    "--orphan-days",
    type=click.FloatRange(0, 36_500),
    default=ORPHANED / timedelta(days=1),
    show_default=True,
    help="Age from which bytes that no row knows of count as orphans; never less than an hour.",
)
@click.option(
    "--purge-quarantine",
    "purge_days",
    type=click.FloatRange(0, 36_500),
    metavar="DAYS",
    help="Only delete what has been in quarantine for so many days.",
)
@data_option
@json_option
@explained
@click.pass_context
def fsck(
    context: click.Context,
    digests: bool,
    repair: bool,
    orphan_days: float,
    purge_days: float | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Inspect the registry, with or without a running server; nothing is changed without --repair.

    Every layer must have its bytes, all bytes must belong to something, every manifest must have its digest and find
    what it refers to. Exit status 0: all is well; 3: something was found, also if it was repaired.
    """
    chosen = settings(data=data)
    configure_logs(chosen.log_format, cast("TextIO", CurrentStderr()))
    if purge_days is not None:
        _purge(chosen, data, purge_days, as_json=as_json)
        return
    options = Options(digests=digests, repair=repair, orphan_age=timedelta(days=orphan_days))
    report = inspect(chosen, options)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        show(report)
    context.exit(0 if report.clean else FOUND)


def inspect(chosen: Settings, options: Options) -> Report:
    """Inspect the registry of some settings, and tell on a terminal how far it is."""

    async def work(folder: OpenFolder, _: str) -> Report:
        with ProgressLine() as progress:
            inspection = Inspection(folder.db, blob_store(chosen), SystemClock(), options, progress)
            if chosen.database is None:
                for line in integrity(chosen.data / DATABASE_FILE):
                    inspection.report.add(Finding(Kind.DATABASE, DATABASE_FILE, line))
            return await inspection.run()

    return with_settings(chosen, None, work)


def show(report: Report) -> None:
    """Print a report for people."""
    for each in report.findings[:_SHOWN]:
        repaired = f" ({each.repaired})" if each.repaired else ""
        click.echo(f"{each.kind.value}: {each.subject}: {each.problem}{repaired}")
    if (more := sum(report.found.values()) - len(report.findings[:_SHOWN])) > 0:
        click.echo(f"... and {more} more; --json lists them")
    hashed = f", {bytes_text(report.hashed_bytes)} read and hashed" if report.hashed_bytes else ""
    click.echo(
        f"{report.blobs} layers with {bytes_text(report.blob_bytes)}{hashed}; {report.objects} stored objects; "
        f"{report.images} images"
    )
    if report.young_orphans:
        click.echo(
            f"{report.young_orphans} objects belong to nothing, but are too young to be called orphans"
        )
    if report.quarantined:
        click.echo(
            f"{report.quarantined} objects with {bytes_text(report.quarantined_bytes)} are in quarantine"
        )
    click.echo("Nothing wrong was found." if report.clean else f"{sum(report.found.values())} findings.")


def _purge(chosen: Settings, data: Path | None, days: float, *, as_json: bool) -> None:
    async def work(folder: OpenFolder, _: str) -> tuple[int, int]:
        before = SystemClock().now() - timedelta(days=days)
        return await purge(folder.db, blob_store(chosen), before)

    purged, purged_bytes = with_folder(data, None, work)
    if as_json:
        click.echo(json.dumps({"purged": purged, "purgedBytes": purged_bytes}))
    else:
        click.echo(f"Deleted {purged} objects with {bytes_text(purged_bytes)} from quarantine.")
