"""`homeport gc`: what the collection of unreferenced layers would free, and freeing it now.

The command works on the data folder, with or without a running server, and may be stopped at any moment.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO, cast

import click

from homeport.blobs.port import BlobStore
from homeport.cli.options import CurrentStderr, data_option, explained, json_option, settings, with_folder
from homeport.collection import rules
from homeport.collection import service as collection
from homeport.collection.forecast import forecast
from homeport.collection.model import Backlog, Collected
from homeport.database.engine import Database, Transaction
from homeport.folder import OpenFolder, blob_store
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind
from homeport.kernel.clock import Clock, SystemClock
from homeport.telemetry import configure_logs
from homeport.workers.collection import CollectionJobs
from homeport.workers.jobs import LEASE, JobWorker

_PENDING = 3  # exit status of a dry run that found something
_PROGRESS = timedelta(seconds=2)


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only tell what would go. Exit status 3 when that is anything.")
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Take also what the delay still protects, and delete its bytes at once. Nothing that an image needs is lost, "
    "but pushes and pulls that are under way may fail and have to be repeated.",
)
@data_option
@json_option
@explained
@click.pass_context
def gc(context: click.Context, dry_run: bool, at_once: bool, data: Path | None, as_json: bool) -> None:
    """Free the space of layers that no image refers to any more.

    A server does so by itself, at every collection_interval, when a layer was without an image for collection_delay.
    """
    chosen = settings(data=data)
    clock = SystemClock()
    configure_logs("auto", cast("TextIO", CurrentStderr()))
    delay = rules.EVERYTHING if at_once else timedelta(seconds=chosen.collection_delay)

    async def look(folder: OpenFolder, _: str) -> tuple[Collected, Backlog]:
        now = clock.now()
        return await forecast(folder.db, now, delay), await collection.backlog(folder.db, now, delay)

    async def act(folder: OpenFolder, _: str) -> tuple[Collected, Collected, Backlog]:
        run = _Run(folder.db, blob_store(chosen), clock, delay)
        done, freed = await run.all(at_once=at_once)
        return done, freed, await collection.backlog(folder.db, clock.now(), delay)

    if dry_run:
        would, left = with_folder(data, None, look)
        _show(as_json, would, None, left)
        context.exit(_PENDING if would.links or would.repositories else 0)
    done, freed, left = with_folder(data, None, act)
    _show(as_json, done, freed, left)


class _Run:
    """One collection by command."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock, delay: timedelta) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._delay = delay
        self._told: datetime = clock.now()

    async def all(self, *, at_once: bool) -> tuple[Collected, Collected]:
        """Do everything that is due; return what was let go of, and what was deleted."""
        await self._prepare()
        done, _ = await collection.collect(self._db, self._clock, self._delay, tell=self._tell)
        freed = await collection.delete_bytes(self._db, self._blobs, self._clock, at_once=at_once)
        return done, freed

    async def _prepare(self) -> None:
        """Finish the look at a folder of version 0.2 that no server has finished."""

        async def take(tx: Transaction) -> Job | None:
            now = self._clock.now()
            return await jobs.take_any(tx, Kind.REVIEW_EVERYTHING, now, now + LEASE)

        held = await self._db.write(take)
        if held is not None:
            doers = CollectionJobs(self._db, self._blobs, self._clock, self._delay).doers()
            await JobWorker(self._db, self._clock, doers).do(held)

    def _tell(self, done: Collected) -> None:
        if self._clock.now() - self._told >= _PROGRESS:
            self._told = self._clock.now()
            click.echo(f"  {done.reviewed} layers reviewed, {done.blobs} blobs let go", err=True)


def _show(as_json: bool, gone: Collected, freed: Collected | None, left: Backlog) -> None:
    if as_json:
        shown = {
            "dryRun": freed is None,
            "layers": gone.links,
            "blobs": gone.blobs,
            "bytes": gone.bytes,
            "deletedRepositories": gone.repositories,
            "freedBlobs": freed.blobs if freed is not None else 0,
            "freedBytes": freed.bytes if freed is not None else 0,
            "unfreedBlobs": left.buried,
            "unfreedBytes": left.buried_bytes,
        }
        click.echo(json.dumps(shown))
        return
    verb = "would be" if freed is None else "were"
    click.echo(
        f"{gone.blobs} blobs with {_bytes(gone.bytes)} {verb} let go, {gone.links} layers of repositories"
    )
    if gone.repositories:
        click.echo(f"{gone.repositories} deleted repositories {verb} cleared")
    if freed is not None:
        click.echo(f"{freed.blobs} blobs were deleted, which freed {_bytes(freed.bytes)}")
    if left.buried:
        click.echo(
            f"{left.buried} blobs with {_bytes(left.buried_bytes)} are deleted within the hour, "
            "when no download can be reading them"
        )


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    value, units = size / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}"
