"""Holds up every deletion of bytes for as long as somebody copies what rows refer to."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

from homeport.database.engine import Database, Transaction
from homeport.keeping import store
from homeport.kernel.clock import Clock
from homeport.kernel.errors import HomeportError, Unavailable

HOLD = timedelta(minutes=10)
"""How long deletions wait for a holder that has died."""
_RENEW_SECONDS = 60.0


class Hold:
    """A hold in force, as `hold_deletions` gives it."""

    def __init__(self, db: Database, clock: Clock, id_: str) -> None:
        self._db = db
        self._clock = clock
        self._id = id_

    async def confirm(self) -> None:
        """Prolong the hold; it has been in force without a gap. Errors: Unavailable when it has not."""

        async def work(tx: Transaction) -> bool:
            now = self._clock.now()
            return await store.renew_hold(tx, self._id, now, now + HOLD)

        if not await self._db.write(work):
            raise Unavailable(
                f"This was stopped for more than {HOLD // timedelta(minutes=1)} minutes, and bytes that it needs may "
                "have been deleted meanwhile. Start again."
            )


@contextlib.asynccontextmanager
async def hold_deletions(db: Database, clock: Clock, reason: str) -> AsyncIterator[Hold]:
    """Let no bytes vanish that a row refers to which is read in the block. Errors: Unavailable, StorageFull."""
    id_ = str(uuid.uuid4())
    hold = Hold(db, clock, id_)

    async def begin(tx: Transaction) -> None:
        now = clock.now()
        await store.add_hold(tx, id_, reason, now, now + HOLD)

    async def end(tx: Transaction) -> None:
        await store.end_hold(tx, id_)

    await db.write(begin)
    beating = asyncio.create_task(_keep(hold))
    try:
        yield hold
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        with contextlib.suppress(HomeportError):  # else it ends by itself
            await db.write(end)


async def _keep(hold: Hold) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        with contextlib.suppress(HomeportError):  # whether there was a gap is asked at the end
            await hold.confirm()
