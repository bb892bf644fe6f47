"""A database that fails on purpose, for tests in one process and for kill tests of a real server.

It wraps any database and obeys a plan; with an empty plan it changes nothing. A plan is text without spaces:

    plan   = [ fault *( "," fault ) ]          write:3:kill-after,write:5+:full
    fault  = "write:" which ":" action
    which  = N | N "+" | "*"                   the Nth write in this process | from the Nth on | every write
           | P "%"                             so many of a hundred, by chance
           | unit                              the first write by that function, such as uploads.service.finish
    action: `_ACTIONS` below, which says what each does

Writes count per process, from 1, in the order in which they are asked for. Reads never fail.
"""

from __future__ import annotations

import functools
import os
import random
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from homeport.database.engine import Database, Result, Row, Statement, Transaction, Work
from homeport.kernel.errors import StorageFull, Unavailable

_ACTIONS: Final = {
    "full": "raise StorageFull instead of the write",
    "unavailable": "raise Unavailable instead of the write",
    "kill-before": "SIGKILL to this process instead of the write",
    "kill-after": "SIGKILL to this process once the write is durable",
    "unavailable-after": "do the write, then raise Unavailable: a lost answer",
    "conflict": "undo the write because it met another one, as only PostgreSQL does; it is then done again",
    "deadlock": "the same, as PostgreSQL ends a circle of units that wait for one another",
}
_CONFLICTS: Final = {"conflict": "SerializationError", "deadlock": "DeadlockDetectedError"}
_WHICH = re.compile(r"([1-9][0-9]{0,8})(\+?)|\*|([1-9][0-9]?)%|([a-z_]+(?:\.[a-z_A-Z]+)+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """`action` at write number `first`; with `onwards` at every later write too.

    With `unit` at the first write of that unit instead, with `percent` at so many of a hundred writes.
    """

    first: int
    onwards: bool
    action: str
    unit: str = ""
    percent: int = 0

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse `write:which:action`; raises ValueError that says what is wrong."""
        pieces = text.split(":")
        if len(pieces) != 3 or pieces[0] != "write":
            raise ValueError(f"a fault has the form write:which:action, not {text!r}")
        match = _WHICH.fullmatch(pieces[1])
        if match is None:
            raise ValueError(f"which write must be N, N+, *, P% or a function, not {pieces[1]!r}")
        if pieces[2] not in _ACTIONS:
            raise ValueError(f"unknown action {pieces[2]!r}; there are {', '.join(_ACTIONS)}")
        onwards = match[0] == "*" or bool(match[2])
        return cls(int(match[1] or 1), onwards, pieces[2], match[4] or "", int(match[3] or 0))

    def hits(self, number: int, unit: str = "", of_unit: int = 1) -> bool:
        """Whether this fault wants the `number`th write, the `of_unit`th one by the function `unit`."""
        if self.percent:
            return random.randrange(100) < self.percent  # noqa: S311 - chance, no secret
        if self.unit:
            return self.unit == unit and of_unit == 1
        return number >= self.first if self.onwards else number == self.first


def unit_of(work: Work[Any]) -> str:
    """Return the name of the function that a unit of work belongs to, such as `uploads.service.finish`."""
    while isinstance(work, functools.partial):
        work = work.func
    name = getattr(work, "__qualname__", type(work).__qualname__).partition(".<locals>")[0]
    return f"{getattr(work, '__module__', '')}.{name}".removeprefix("homeport.")


def faults_from_text(text: str) -> tuple[Fault, ...]:
    """Parse a whole plan; the empty text is the empty plan. Raises ValueError."""
    return tuple(Fault.from_text(part) for part in text.split(",")) if text else ()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Meeting:
    """A unit of work that is undone because it met another one: at first surely, then `percent` times of a hundred."""

    def __init__(self, work: Work[Result], error: str, percent: int) -> None:
        self.__code__ = getattr(work, "__code__", None)  # by which a database tells kinds of units apart
        self._work = work
        self._error = error
        self._percent = percent
        self._tried = False

    async def __call__(self, tx: Transaction) -> Any:
        result = await self._work(tx)
        again, self._tried = self._tried, True
        if not again or random.randrange(100) < self._percent:  # noqa: S311 - chance, no secret
            import asyncpg  # only where it is used: a start takes no longer

            raise getattr(asyncpg, self._error)("a planned fault")
        return result


class FaultyDatabase:
    """The database `inner`, failing as `faults` say. `kill` ends this process unless a test replaces it."""

    def __init__(
        self, inner: Database, faults: Sequence[Fault], *, kill: Callable[[], None] = _kill_this_process
    ) -> None:
        self._inner = inner
        self._faults = tuple(faults)
        self._kill = kill
        self._writes = 0
        self._by_unit: dict[str, int] = {}

    @classmethod
    def from_text(cls, inner: Database, text: str) -> Self:
        """Wrap `inner` with the plan in `text`; raises ValueError for a text that is not a plan."""
        return cls(inner, faults_from_text(text))

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        return await self._inner.all(statement, **values)

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        return await self._inner.first(statement, **values)

    def derived(self) -> dict[Any, Any]:
        """As the inner database."""
        return self._inner.derived()

    async def catch_up(self) -> None:
        """As the inner database."""
        await self._inner.catch_up()

    async def write(self, work: Work[Result]) -> Result:
        self._writes += 1
        unit = unit_of(work)
        of_unit = self._by_unit[unit] = self._by_unit.get(unit, 0) + 1
        fault = next((fault for fault in self._faults if fault.hits(self._writes, unit, of_unit)), None)
        action = fault.action if fault is not None else None
        if fault is not None and action in _CONFLICTS:
            return await self._inner.write(_Meeting(work, _CONFLICTS[fault.action], fault.percent))
        if action == "full":
            raise StorageFull("No space left to store metadata (a planned fault)")
        if action == "unavailable":
            raise Unavailable("The metadata database failed (a planned fault)")
        if action == "kill-before":
            self._kill()
        result = await self._inner.write(work)
        if action == "kill-after":
            self._kill()
        if action == "unavailable-after":
            raise Unavailable("The answer of the metadata database was lost (a planned fault)")
        return result

    async def close(self) -> None:
        await self._inner.close()
