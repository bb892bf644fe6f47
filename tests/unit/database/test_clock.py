"""The clock of a database server decides for all nodes, whatever their own clocks say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.database import clock as room
from homeport.database.clock import DatabaseClock
from homeport.database.engine import Row, Statement
from homeport.database.postgres import PostgresDatabase
from homeport.kernel.clock import ManualClock, SystemClock, to_micros
from homeport.kernel.errors import Unavailable
from tests.harness.postgres import Postgres

THERE = datetime(2026, 5, 1, tzinfo=UTC)


class Server:
    """Answers what time it is, or that it is not there."""

    def __init__(self) -> None:
        self.now: datetime | None = THERE

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        if self.now is None:
            raise Unavailable("away")
        return (to_micros(self.now),)

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        raise AssertionError("only one row is asked for")


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """What the counter of this process says, as a clock since 1970."""
    counter = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(room, "_counted", lambda: counter.now() - datetime(1970, 1, 1, tzinfo=UTC))
    return counter


def test_time_goes_on_from_what_the_server_said_although_our_own_clock_jumps(passed: ManualClock) -> None:
    own, server = ManualClock(THERE - timedelta(days=1)), Server()
    clock = DatabaseClock(server, own)
    assert clock.now() == own.now()  # nobody was asked yet

    asyncio.run(clock.measure())
    passed.advance(5)
    own.advance(3600)

    assert clock.now() == THERE + timedelta(seconds=5)


def test_a_server_that_was_corrected_is_believed_when_it_is_asked_again(passed: ManualClock) -> None:
    server = Server()
    clock = DatabaseClock(server, ManualClock(THERE))
    asyncio.run(clock.measure())

    server.now = THERE + timedelta(seconds=90)
    asyncio.run(clock.measure())
    assert clock.now() == THERE + timedelta(seconds=90)

    server.now = None
    with pytest.raises(Unavailable):
        asyncio.run(clock.measure())
    passed.advance(1)
    assert clock.now() == THERE + timedelta(seconds=91)


def test_postgresql_says_what_time_it_is(postgres: Postgres) -> None:
    url = postgres.new_database()

    async def scenario() -> datetime:
        db = PostgresDatabase(url)
        try:
            clock = DatabaseClock(db, ManualClock(THERE))
            await clock.measure()
            return clock.now()
        finally:
            await db.close()

    assert abs(asyncio.run(scenario()) - SystemClock().now()) < timedelta(seconds=5)  # the same machine
