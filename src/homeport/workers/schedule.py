"""What happens by itself: pull times are written, jobs are done, lifecycle policies run, what is stale is removed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from homeport.images import recycle
from homeport.jobs import cron
from homeport.kernel.errors import Unavailable
from homeport.lifecycle import plans
from homeport.region import Region
from homeport.telemetry import SWEPT, log
from homeport.uploads import service as uploads
from homeport.workers.collection import CollectionJobs
from homeport.workers.jobs import JobWorker
from homeport.workers.lifecycle import LifecycleJobs
from homeport.workers.scrub import ScrubWorker
from homeport.workers.storage import StorageJobs

_FLUSH_SECONDS = 5.0
_SWEEP_SECONDS = 300.0
_JOBS_SECONDS = 0.25  # asking whether anything is due costs microseconds
_SLOT_SECONDS = 1.0  # how late an interval of lifecycle policies begins at most


class Schedule:
    """The periodic work of one process."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._lifecycle = LifecycleJobs(region.db, region.clock, region.lifecycle_clock, region.pulls)
        self._collection = CollectionJobs(region.db, region.blobs, region.clock, region.collection_delay)
        doers = {**StorageJobs(region).doers(), **self._lifecycle.doers(), **self._collection.doers()}
        self._jobs = JobWorker(region.db, region.clock, doers, region.job_lease)
        self._scrub = ScrubWorker(region)
        self._slot: datetime | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, alone: bool = True) -> None:
        """Begin; the first sweep runs at once, so that what a crash left is gone soon after a restart.

        Every process writes the pulls that it saw; `alone` says that this one does what once per node is enough for.
        """
        self._tasks = [asyncio.create_task(self._every(_FLUSH_SECONDS, self._flush, "flush_pulls"))]
        if not alone:
            return
        self._tasks += [
            asyncio.create_task(self._every(_SWEEP_SECONDS, self._sweep, "sweep")),
            asyncio.create_task(self._every(_JOBS_SECONDS, self._do_jobs, "jobs")),
            asyncio.create_task(self._every(_SLOT_SECONDS, self._scrub.go_on, "scrub")),
        ]
        if (interval := self._region.lifecycle_interval) is not None:
            begin = functools.partial(self._begin_lifecycle, interval)
            self._tasks.append(asyncio.create_task(self._every(_SLOT_SECONDS, begin, "lifecycle")))
        if (interval := self._region.collection_interval) is not None:
            begin = functools.partial(self._begin_collection, interval)
            self._tasks.append(asyncio.create_task(self._every(_SLOT_SECONDS, begin, "collection")))

    async def stop(self) -> None:
        """End, and write what is pending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._flush()
        except Unavailable as error:
            log.warning("flush_pulls_failed", reason=error.message)

    async def _flush(self) -> None:
        await self._region.pulls.flush(self._region.db)

    async def _sweep(self) -> None:
        removed = await uploads.sweep(self._region.db, self._region.uploads, self._region.clock.now())
        if removed:
            SWEPT.inc(removed)
            log.info("swept", removed=removed)
        await self._region.secrets.purge(self._region.clock.now())
        if forgotten := await recycle.purge(
            self._region.db, self._region.lifecycle_clock.now(), self._region.clock.now()
        ):
            log.info("deleted_images_forgotten", images=forgotten)
        if removed := await plans.sweep(self._region.db, self._region.clock.now()):
            log.info("lifecycle_plans_forgotten", plans=removed)

    async def _begin_lifecycle(self, interval: timedelta) -> None:
        slot = cron.slot_at(self._region.clock.now(), interval)
        if slot != self._slot:
            await self._lifecycle.begin(slot)
            self._slot = slot

    async def _begin_collection(self, interval: timedelta) -> None:
        await self._collection.begin(interval)

    async def _do_jobs(self) -> None:
        await self._jobs.run_due()

    @staticmethod
    async def _every(seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        while True:
            try:
                await work()
            except Unavailable as error:  # a full disk must not end the schedule
                log.warning(f"{name}_failed", reason=error.message)
            except Exception:
                log.exception(f"{name}_failed")
            await asyncio.sleep(seconds)
