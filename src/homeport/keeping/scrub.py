"""Reads stored bytes again, slowly and for ever, so that damage is found while somebody can still push them again.

The blobs are gone through in the order of their digests; one whose bytes were read or pushed less than `age` ago is
passed over. How far it is, is a row: whoever goes on after a restart, or on another node, begins there. Only the holder
of the turn reads; its fence is compared in the transaction that keeps what was found.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from homeport.blobs.port import BlobStore
from homeport.database.engine import Database, Transaction
from homeport.keeping import marks, scrub_store, store, verification
from homeport.keeping.model import KeptBlob, Verdict
from homeport.keeping.scrub_store import Turn
from homeport.kernel.clock import Clock
from homeport.kernel.errors import HomeportError
from homeport.telemetry import BLOBS_DAMAGED, SCRUBBED, SCRUBBED_BYTES, log

LEASE = timedelta(minutes=2)
_RENEW_SECONDS = 30.0
_BREATH_SECONDS = 0.005  # between two looks that found nothing to read
_PAGE = 200  # rows of one look: a millisecond of the event loop
_DOUBTED = (
    3  # so many blobs of one look, and the bytes of none are there: then the volume is not, rather than they
)
_RESTS = 30  # a pass begins this often in the time after which bytes are read again, at most hourly
_LONGEST_REST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how fast: bytes are read again after `age`, at most `bytes_a_second` of them."""

    age: timedelta
    bytes_a_second: int

    @property
    def rest(self) -> timedelta:
        """How long nothing is done after all blobs were looked at."""
        return min(self.age / _RESTS, _LONGEST_REST)


class Doubtful(Exception):
    """So much is missing at once that the volume is more likely to be away than the bytes."""


class Scrub:
    """The verification of one region's bytes, as one process does it."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock, pace: Pace) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._pace = pace
        self._rested = clock.now()

    async def go_on(self) -> bool:
        """Look at the next blobs, if it is one's turn; return whether there is more to do at once.

        Errors: Unavailable.
        """
        BLOBS_DAMAGED.set(await store.damaged(self._db))
        now = self._clock.now()
        if now < self._rested or not await scrub_store.is_due(self._db, now):
            return False
        due = await self._anything_due()
        if not due and not await scrub_store.cursor(self._db):  # nothing is written for that
            self._rested = self._clock.now() + self._pace.rest
            return False

        async def take(tx: Transaction) -> Turn | None:
            now = self._clock.now()
            return await scrub_store.take(tx, now, now + LEASE)

        turn = await self._db.write(take)
        if turn is None:
            return False
        if not due:  # the last blobs of a pass were read, and it ends here
            await self._write(turn, [], "", self._pace.rest)
            return False
        stop = threading.Event()
        beating = asyncio.create_task(self._keep(turn, stop))
        try:
            return await self._pass(turn, stop)
        except verification.Stopped:
            return False
        except asyncio.CancelledError:  # the next process need not wait for the end of the lease
            with contextlib.suppress(HomeportError):
                await self._write(turn, [], turn.cursor, timedelta())
            raise
        finally:
            stop.set()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def _due(self, page: Sequence[KeptBlob]) -> list[KeptBlob]:
        before = self._clock.now() - self._pace.age
        return [blob for blob in page if blob.damaged or blob.fresh_at <= before]

    async def _anything_due(self) -> bool:
        after = ""
        while page := await store.blobs(self._db, after, _PAGE):
            if self._due(page):
                return True
            after = page[-1].digest
            await asyncio.sleep(_BREATH_SECONDS)
        return False

    async def _pass(self, turn: Turn, stop: threading.Event) -> bool:
        while page := await store.blobs(self._db, turn.cursor, _PAGE):
            due = self._due(page)
            try:
                verdicts = await self._read(page, due, stop)
            except Doubtful:
                log.error("scrub_suspended", missing=len(due), reason="Is the volume of the blobs mounted?")
                await self._write(turn, [], turn.cursor, self._pace.rest)
                return False
            found = list(zip(due, verdicts, strict=False))
            # A page may take hours: what was read of it is kept, and the rest comes with the next turn.
            last = (
                page[-1].digest if len(found) == len(due) else found[-1][0].digest if found else turn.cursor
            )
            if found:
                return await self._write(turn, found, last, timedelta())
            turn = replace(turn, cursor=last)
            await asyncio.sleep(_BREATH_SECONDS)
        await self._write(turn, [], "", self._pace.rest)
        return False

    async def _read(
        self, page: Sequence[KeptBlob], due: Sequence[KeptBlob], stop: threading.Event
    ) -> list[Verdict]:
        """Return what became of the first of the due: of as many as were read in half a lease, and of one at least.

        Errors: Doubtful, when of all blobs on the page none is there.
        """
        loop = asyncio.get_running_loop()
        verdicts: list[Verdict] = []
        began = self._clock.now()
        for blob in due:
            verdicts.append(await self._one(blob, stop))
            doubtful = len(verdicts) == _DOUBTED and set(verdicts) == {Verdict.MISSING}
            if doubtful and not await loop.run_in_executor(None, self._any_there, page, stop):
                raise Doubtful
            if self._clock.now() - began >= LEASE / 2:
                break
        return verdicts

    def _any_there(self, page: Sequence[KeptBlob], stop: threading.Event) -> bool:
        return any(verification.look(self._blobs, blob, stop) is not Verdict.MISSING for blob in page)

    async def _one(self, blob: KeptBlob, stop: threading.Event) -> Verdict:
        def paced(count: int) -> None:
            SCRUBBED_BYTES.inc(count)
            stop.wait(count / self._pace.bytes_a_second)

        reading = asyncio.get_running_loop().run_in_executor(
            None, verification.read_all, self._blobs, blob, stop, paced
        )
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(Exception):
                await reading
            raise

    async def _write(
        self, turn: Turn, found: Sequence[tuple[KeptBlob, Verdict]], cursor: str, rest: timedelta
    ) -> bool:
        """Keep what was found and how far it is; false when the turn is another one's by now."""

        async def work(tx: Transaction) -> list[bool] | None:
            now = self._clock.now()
            if not await scrub_store.move(tx, turn, cursor, now + rest):
                return None
            return [await marks.write_down(tx, blob, verdict, now) for blob, verdict in found]

        marked = await self._db.write(work)
        if marked is None:
            return False
        SCRUBBED.inc(len(found))
        for (blob, verdict), new in zip(found, marked, strict=True):
            marks.tell(blob, verdict, marked=new)
        return True

    async def _keep(self, turn: Turn, stop: threading.Event) -> None:
        """Renew the turn for as long as reading takes; stop the reading when it is lost."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)

            async def work(tx: Transaction) -> bool:
                return await scrub_store.renew(tx, turn, self._clock.now() + LEASE)

            try:
                kept = await self._db.write(work)
            except HomeportError as error:  # the next one may succeed before the lease ends
                log.warning("scrub_renewal_failed", reason=error.message)
                continue
            if not kept:
                stop.set()
                return
