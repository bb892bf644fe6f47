"""Remembers when images were pulled and writes it in batches: a pull must not cost a durable write.

A crash may lose the last few seconds of these moments, nothing else. ECR refreshes lastRecordedPullTime at least once
in 24 hours; we do at most once an hour per image.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from homeport.database.engine import Database, Transaction
from homeport.images import store

_REFRESH = timedelta(hours=1)
_PENDING = 10_000  # images between two flushes; more pulls than that are simply noted next time


class PullLog:
    """The pulls since the last flush, one moment per image."""

    def __init__(self) -> None:
        self._pending: dict[int, datetime] = {}

    @staticmethod
    def is_due(recorded: datetime | None, now: datetime) -> bool:
        """Whether a pull at `now` is worth noting when the last recorded one was `recorded`."""
        return recorded is None or now - recorded >= _REFRESH

    def note(self, image_id: int, recorded: datetime | None, now: datetime) -> None:
        """Note a pull at `now` of an image whose last recorded pull was `recorded`."""
        if self.is_due(recorded, now) and len(self._pending) < _PENDING:
            self._pending[image_id] = now

    async def flush(self, db: Database) -> None:
        """Write what was noted."""
        if not self._pending:
            return
        batch, self._pending = self._pending, {}

        async def work(tx: Transaction) -> None:
            await store.record_pulls(tx, batch.items())

        await db.write(work)
