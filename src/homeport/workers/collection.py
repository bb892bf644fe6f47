"""The jobs that free space: what nobody refers to is let go, and its bytes are deleted when their time is over.

One job at a time for all processes; a collection that was doubled by a lost lease does no harm (collection/service.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from homeport.blobs.port import BlobStore
from homeport.collection import service as collection
from homeport.collection.model import Link
from homeport.database.engine import Database, Transaction
from homeport.jobs import cron
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind
from homeport.kernel.clock import Clock, from_micros
from homeport.telemetry import (
    COLLECTED_BLOBS,
    COLLECTION_BACKLOG,
    COLLECTION_BURIED,
    COLLECTION_OVERDUE,
    RECLAIMED_BYTES,
    log,
)
from homeport.workers.jobs import Doer, Postponed

_TURN = timedelta(seconds=5)  # then other jobs have theirs


class CollectionJobs:
    """What the kinds of collection jobs do. `delay`: how long a blob may be without an image."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock, delay: timedelta) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._delay = delay
        self._slot: datetime | None = None

    def doers(self) -> Mapping[str, Doer]:
        """Return what to call for each kind."""
        return {Kind.COLLECT.value: self.collect, Kind.REVIEW_EVERYTHING.value: self.review_everything}

    async def begin(self, interval: timedelta) -> bool:
        """Add a collection for this interval unless some process did or nothing is due; return whether it did."""
        slot = cron.slot_at(self._clock.now(), interval)
        if slot == self._slot:
            return False
        await self._measure()
        begun = await collection.is_due(self._db, self._clock.now(), self._delay) and await self._add(slot)
        self._slot = slot
        return begun

    async def _add(self, slot: datetime) -> bool:
        async def work(tx: Transaction) -> bool:
            if not await cron.begin(tx, "collection", slot):
                return False
            await jobs.add(tx, Kind.COLLECT, {}, self._clock.now())
            return True

        return await self._db.write(work)

    async def _measure(self) -> None:
        now = self._clock.now()
        found = await collection.backlog(self._db, now, self._delay)
        overdue = timedelta()
        if found.oldest_due is not None:
            overdue = now - self._delay - from_micros(found.oldest_due)
        COLLECTION_BACKLOG.set(found.due)
        COLLECTION_OVERDUE.set(overdue.total_seconds())
        COLLECTION_BURIED.set(found.buried_bytes)

    async def collect(self, held: Job) -> None:
        """Do a turn of a collection. Errors: Postponed when there is more to do, Unavailable."""
        done, more = await collection.collect(self._db, self._clock, self._delay, _TURN)
        freed = await collection.delete_bytes(self._db, self._blobs, self._clock)
        COLLECTED_BLOBS.inc(done.blobs)
        RECLAIMED_BYTES.inc(freed.bytes)
        await self._measure()
        if done.links or done.repositories or freed.blobs:
            log.info(
                "collected",
                reviewed=done.reviewed,
                links=done.links,
                blobs=done.blobs,
                bytes=done.bytes,
                repositories=done.repositories,
                deleted_blobs=freed.blobs,
                deleted_bytes=freed.bytes,
            )
        if more:
            raise Postponed(self._clock.now())

    async def review_everything(self, held: Job) -> None:
        """Look once at all that is older than the notes that reviews go by, page by page. Errors: LeaseLost."""
        subject: dict[str, Any] | None = held.subject
        while subject is not None:
            subject = await self._page(held, subject)
        log.info("collection_prepared")

    async def _page(self, held: Job, subject: dict[str, Any]) -> dict[str, Any] | None:
        """Do the next page after `subject`; return what comes after it, None when that was the last one."""

        async def work(tx: Transaction) -> dict[str, Any] | None:
            await jobs.confirm(tx, held)
            now, after = self._clock.now(), str(subject.get("after", ""))
            following: dict[str, Any] | None
            if subject.get("stage", "links") == "links":
                last = await collection.review_links(tx, Link(int(subject.get("repository", 0)), after), now)
                following = {"stage": "blobs"}
                if last is not None:
                    following = {"stage": "links", "repository": last.repository_id, "after": last.digest}
            else:
                digest = await collection.review_blobs(tx, after, now)
                following = {"stage": "blobs", "after": digest} if digest is not None else None
            if following is not None:
                await jobs.proceed(tx, held, following)
            return following

        return await self._db.write(work)
