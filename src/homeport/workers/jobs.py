"""Does the jobs of a region, one at a time in each process: leased, kept alive, retried with back-off, fenced.

A worker that dies leaves its lease; when that ends, any worker takes the job with a greater fence. A worker that was
only slow finds its fence outdated and can neither finish the job nor write in its name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from homeport.database.engine import Database, Transaction
from homeport.jobs import store
from homeport.jobs.model import Job, LeaseLost
from homeport.kernel.clock import Clock, to_micros
from homeport.kernel.errors import HomeportError
from homeport.telemetry import JOBS, JOBS_WAITING, log

LEASE = timedelta(seconds=30)
"""How long a job is left to a worker that says nothing; it says that it goes on three times as often."""
_LAST_RETRY = timedelta(minutes=10)
_BATCH = 100  # jobs of one turn: then others on the schedule have theirs


class Postponed(Exception):
    """The job cannot be done yet, through nobody's fault: it is due again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


Doer = Callable[[Job], Awaitable[None]]


def backoff(attempts: int) -> timedelta:
    """Return how long a job waits after it failed for the `attempts`th time: 1 s, doubled, at most 10 minutes."""
    doublings = min(max(attempts - 1, 0), 20)
    return min(timedelta(seconds=1 << doublings), _LAST_RETRY)


class JobWorker:
    """One process's share of the jobs. `doers` says how each kind is done."""

    def __init__(
        self, db: Database, clock: Clock, doers: Mapping[str, Doer], lease: timedelta = LEASE
    ) -> None:
        self._db = db
        self._clock = clock
        self._doers = doers
        self._lease = lease

    async def run_due(self) -> int:
        """Do what is due, oldest first; return how many jobs were begun. Errors: Unavailable."""
        begun = 0
        while begun < _BATCH:
            known = await store.waiting(self._db)
            JOBS_WAITING.set(known.count)
            if known.due is None or known.due > to_micros(self._clock.now()):
                break
            if not await self.run_one():
                break
            begun += 1
        return begun

    async def run_one(self) -> bool:
        """Lease one due job and do it; false when none is due. Errors: Unavailable."""

        async def take(tx: Transaction) -> Job | None:
            now = self._clock.now()
            return await store.lease(tx, now, now + self._lease)

        held = await self._db.write(take)
        if held is None:
            return False
        await self.do(held)
        return True

    async def do(self, held: Job) -> None:
        """Do a job that was leased, and keep the lease meanwhile; whatever becomes of it is written down.

        Errors: Unavailable.
        """
        beating = asyncio.create_task(self._keep(held))
        try:
            await self._do(held, beating)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _do(self, held: Job, beating: asyncio.Task[None]) -> None:
        doer = self._doers.get(held.kind)
        try:
            if doer is None:
                raise LookupError(f"this program knows no job of kind {held.kind!r}")
            working = asyncio.ensure_future(doer(held))
            try:
                await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await _end(working)
                with contextlib.suppress(LeaseLost, HomeportError):  # another one may go on with it at once
                    await self._back(held, self._clock.now(), None, held.attempts - 1)
                raise
            if not working.done():
                await _end(working)
                raise LeaseLost
            working.result()
            await self._finish(held)
        except LeaseLost:
            self._count(held, "lost")
        except Postponed as postponed:
            await self._return(held, postponed.until, None, 0)
            JOBS.labels(held.kind, "postponed").inc()
        except Exception as error:
            await self._failed(held, error)

    async def _keep(self, held: Job) -> None:
        """Renew the lease for as long as the job takes; return when it is lost."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)

            async def work(tx: Transaction) -> None:
                await store.renew(tx, held, self._clock.now() + self._lease)

            try:
                await self._db.write(work)
            except LeaseLost:
                return
            except HomeportError as error:  # the next one may succeed before the lease ends
                log.warning("job_renewal_failed", job=held.id, kind=held.kind, reason=error.message)

    async def _finish(self, held: Job) -> None:
        async def work(tx: Transaction) -> None:
            await store.finish(tx, held)

        await self._db.write(work)
        JOBS.labels(held.kind, "done").inc()
        log.info("job_done", job=held.id, kind=held.kind, attempts=held.attempts)

    async def _failed(self, held: Job, error: Exception) -> None:
        reason = error.message if isinstance(error, HomeportError) else f"{type(error).__name__}: {error}"
        wait = backoff(held.attempts)
        JOBS.labels(held.kind, "failed").inc()
        tell = log.warning if isinstance(error, HomeportError) else log.exception
        tell(
            "job_failed",
            job=held.id,
            kind=held.kind,
            attempts=held.attempts,
            retry_seconds=wait.total_seconds(),
            reason=reason,
        )
        await self._return(held, self._clock.now() + wait, reason, held.attempts)

    async def _return(self, held: Job, at: datetime, error: str | None, attempts: int) -> None:
        try:
            await self._back(held, at, error, attempts)
        except LeaseLost:
            self._count(held, "lost")

    async def _back(self, held: Job, at: datetime, error: str | None, attempts: int) -> None:
        async def work(tx: Transaction) -> None:
            await store.later(tx, held, at, error, attempts)

        await self._db.write(work)

    @staticmethod
    def _count(held: Job, outcome: str) -> None:
        JOBS.labels(held.kind, outcome).inc()
        log.warning("job_lost", job=held.id, kind=held.kind, attempts=held.attempts)


async def _end(working: asyncio.Future[None]) -> None:
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
