"""A database that fails on purpose, for tests in one process and for kill tests of a real server.

It wraps any database and obeys a plan; with an empty plan it changes nothing. A plan is text without spaces:

    plan   = [ fault *( "," fault ) ]          write:3:kill-after,write:5+:full
    fault  = "write:" which ":" action
    which  = N | N "+" | "*"                   the Nth write in this process | from the Nth on | every write
    action: `_ACTIONS` below, which says what each does

Writes count per process, from 1, in the order in which they are asked for. Reads never fail.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from homeport.database.engine import Database, Result, Row, Statement, Work
from homeport.kernel.errors import StorageFull, Unavailable

_ACTIONS: Final = {
    "full": "raise StorageFull instead of the write",
    "unavailable": "raise Unavailable instead of the write",
    "kill-before": "SIGKILL to this process instead of the write",
    "kill-after": "SIGKILL to this process once the write is durable",
    "unavailable-after": "do the write, then raise Unavailable: a lost answer",
}
_WHICH = re.compile(r"([1-9][0-9]{0,8})(\+?)|\*")


@dataclass(frozen=True, slots=True)
class Fault:
    """`action` at write number `first`; with `onwards` at every later write too."""

    first: int
    onwards: bool
    action: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse `write:which:action`; raises ValueError that says what is wrong."""
        pieces = text.split(":")
        if len(pieces) != 3 or pieces[0] != "write":
            raise ValueError(f"a fault has the form write:which:action, not {text!r}")
        match = _WHICH.fullmatch(pieces[1])
        if match is None:
            raise ValueError(f"which write must be N, N+ or *, not {pieces[1]!r}")
        if pieces[2] not in _ACTIONS:
            raise ValueError(f"unknown action {pieces[2]!r}; there are {', '.join(_ACTIONS)}")
        return cls(int(match[1] or 1), match[0] == "*" or bool(match[2]), pieces[2])

    def hits(self, number: int) -> bool:
        """Whether this fault wants the `number`th write."""
        return number >= self.first if self.onwards else number == self.first


def faults_from_text(text: str) -> tuple[Fault, ...]:
    """Parse a whole plan; the empty text is the empty plan. Raises ValueError."""
    return tuple(Fault.from_text(part) for part in text.split(",")) if text else ()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyDatabase:
    """The database `inner`, failing as `faults` say. `kill` ends this process unless a test replaces it."""

    def __init__(
        self, inner: Database, faults: Sequence[Fault], *, kill: Callable[[], None] = _kill_this_process
    ) -> None:
        self._inner = inner
        self._faults = tuple(faults)
        self._kill = kill
        self._writes = 0

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
        action = next((fault.action for fault in self._faults if fault.hits(self._writes)), None)
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
