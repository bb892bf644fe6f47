"""What time it is for all nodes of a registry: the database server's clock, whatever their own clocks say.

Leases, tombstones and tokens are written by one node and judged by another, so one clock must decide. Asking it for
every request would cost a round trip each; a process asks now and then, and counts on from there by a clock that nobody
sets. Must not know any table.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, cast, extract, func, select

from homeport.database.engine import Reader, Statement
from homeport.kernel.clock import Clock, from_micros
from homeport.kernel.errors import Unavailable
from homeport.telemetry import log

_NOW: Final = Statement(select(cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)))
_MEASURE_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_TELL: Final = timedelta(seconds=30)
# Goes on while the machine sleeps, where there is such a clock.
_COUNTER: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _counted() -> timedelta:
    return timedelta(seconds=time.clock_gettime(_COUNTER))


class DatabaseClock:
    """The clock of a database server. Until it was asked, `own` decides."""

    def __init__(self, db: Reader, own: Clock) -> None:
        self._db = db
        self._own = own
        self._start: datetime | None = None  # what it was there when our counter began
        self._told = False

    def now(self) -> datetime:
        """Return this moment as an aware UTC datetime."""
        return self._own.now() if self._start is None else self._start + _counted()

    async def measure(self) -> None:
        """Ask what time it is. Errors: Unavailable."""
        before = _counted()
        row = await self._db.first(_NOW)
        after = _counted()
        assert row is not None, "a query without a table has one row"
        self._start = from_micros(int(row[0])) - (before + after) / 2
        self._tell(self._own.now() - self.now())

    def _tell(self, ahead: timedelta) -> None:
        differs = abs(ahead) > _TELL
        if differs and not self._told:
            log.warning("clock_differs", ahead_seconds=round(ahead.total_seconds()))
        self._told = differs

    async def keep_right(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            try:
                await self.measure()
            except Unavailable:  # whoever needs the database is told
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(_MEASURE_SECONDS)
