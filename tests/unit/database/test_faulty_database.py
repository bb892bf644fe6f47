"""The database that fails on purpose fails exactly as its plan says."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.database.engine import Result, Row, Statement, Transaction, Work
from homeport.database.faulty import _ACTIONS, Fault, FaultyDatabase, faults_from_text, unit_of
from homeport.kernel.errors import StorageFull, Unavailable
from homeport.uploads import store as uploads_store


class Recording:
    """A database that only notes which units ran."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.closed = False

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        return [(1,)]

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        return (1,)

    async def write(self, work: Work[Result]) -> Result:
        return await work(self)  # type: ignore[arg-type]

    async def catch_up(self) -> None:
        return None

    def derived(self) -> dict[Any, Any]:
        return {}

    async def close(self) -> None:
        self.closed = True


class Killed(BaseException):
    """Stands in for the end of the process."""


def outcomes(plan: str, writes: int) -> tuple[list[str], list[int]]:
    """How each of some writes ended under a plan, and which of them were done."""
    inner = Recording()

    def kill() -> None:
        raise Killed

    db = FaultyDatabase(inner, faults_from_text(plan), kill=kill)
    ended = []

    async def scenario() -> None:
        for number in range(1, writes + 1):

            async def work(_: Transaction, number: int = number) -> None:
                inner.done.append(number)

            try:
                await db.write(work)
                ended.append("ok")
            except (Killed, StorageFull, Unavailable) as error:
                ended.append(type(error).__name__)

    asyncio.run(scenario())
    return ended, inner.done


@pytest.mark.parametrize(
    ("plan", "ended", "done"),
    [
        ("", ["ok", "ok", "ok"], [1, 2, 3]),
        ("write:2:full", ["ok", "StorageFull", "ok"], [1, 3]),
        ("write:2+:unavailable", ["ok", "Unavailable", "Unavailable"], [1]),
        ("write:*:kill-before", ["Killed", "Killed", "Killed"], []),
        ("write:1:kill-after,write:3:unavailable-after", ["Killed", "ok", "Unavailable"], [1, 2, 3]),
    ],
)
def test_a_plan_decides_which_writes_fail_and_whether_they_were_done(
    plan: str, ended: list[str], done: list[int]
) -> None:
    assert outcomes(plan, 3) == (ended, done)


def work_of_a_test() -> Work[None]:
    async def work(_: Transaction) -> None:
        return None

    return work


def test_a_plan_can_name_the_function_whose_write_fails() -> None:
    name = unit_of(work_of_a_test())
    db = FaultyDatabase.from_text(Recording(), f"write:{name}:full")

    async def other(_: Transaction) -> None:
        return None

    async def scenario() -> None:
        await db.write(other)
        with pytest.raises(StorageFull):
            await db.write(work_of_a_test())
        await db.write(work_of_a_test())  # only the first

    assert name.endswith("test_faulty_database.work_of_a_test")
    assert (
        unit_of(partial(uploads_store.remove_tombstone, storage_key="")) == "uploads.store.remove_tombstone"
    )
    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("action", "error"),
    [("conflict", asyncpg.SerializationError), ("deadlock", asyncpg.DeadlockDetectedError)],
)
def test_a_write_that_meets_another_one_is_done_and_then_undone_once(
    action: str, error: type[Exception]
) -> None:
    class Retrying(Recording):
        async def write(self, work: Work[Result]) -> Result:
            with pytest.raises(error):
                await work(self)  # type: ignore[arg-type]
            return await work(self)  # type: ignore[arg-type]

    inner = Retrying()
    db = FaultyDatabase.from_text(inner, f"write:1:{action}")

    async def work(_: Transaction) -> None:
        inner.done.append(1)

    asyncio.run(db.write(work))
    assert inner.done == [1, 1]


def test_chance_decides_about_so_many_of_a_hundred_writes() -> None:
    ended, _ = outcomes("write:20%:full", 500)

    assert 40 < ended.count("StorageFull") < 180


def test_reads_and_closing_pass_through() -> None:
    inner = Recording()
    db = FaultyDatabase.from_text(inner, "write:*:full")
    statement: Any = object()

    async def scenario() -> tuple[list[Row], Row | None]:
        found = await db.all(statement), await db.first(statement)
        await db.close()
        return found

    assert asyncio.run(scenario()) == ([(1,)], (1,))
    assert inner.closed


@pytest.mark.parametrize(
    "text",
    [
        "write",
        "write:1",
        "write:0:full",
        "write:0%:full",
        "write:100%:full",
        "write:finish:full",
        "read:1:full",
        "write:1:flip",
        "write:1:full,",
        " write:1:full",
    ],
)
def test_a_text_that_is_not_a_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        faults_from_text(text)


@given(st.sampled_from(list(_ACTIONS)), st.integers(1, 999_999_999), st.booleans())
def test_every_fault_can_be_written_as_text(action: str, first: int, onwards: bool) -> None:
    text = f"write:{first}{'+' if onwards else ''}:{action}"

    assert faults_from_text(text) == (Fault(first, onwards, action),)
