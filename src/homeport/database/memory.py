"""What one process remembers of a database that others change too.

A memory belongs to one snapshot: the text by which PostgreSQL names the set of transactions whose changes are visible.
That set only grows, so when the same text comes back, nothing was committed in between and every answer that was read
meanwhile is still what would be read now. Another text starts an empty memory. Asking for the text costs one short
query, which all requests that wait for one share.

A request says that it begins (`catch_up`), waits for a snapshot that was taken after that, and for a moment is answered
from memory. So whoever was told that a tag is deleted, by whichever node, is never served it afterwards. Must not know
any table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final

from homeport.database.engine import Row

_REMEMBERED_BYTES: Final = 8 * 1024 * 1024  # of answers, per process
_DERIVED: Final = 10_000  # derived values at a time, per process
_BURST_SECONDS: Final = 0.25  # a request that takes longer asks the rows themselves from then on


class Remembered:
    """What is remembered under one snapshot."""

    __slots__ = ("_answers", "_bytes", "derived")

    def __init__(self) -> None:
        self._answers: dict[Any, Any] = {}
        self._bytes = 0
        self.derived: dict[Any, Any] = {}

    def recall(self, key: Any) -> Any:
        """Return the answer under `key`, or None."""
        return self._answers.get(key)

    def keep(self, key: Any, answer: Any, rows: Iterable[Row]) -> None:
        """Remember `answer`, made of `rows`, while there is room."""
        size = 256 + sum(len(value) for row in rows for value in row if isinstance(value, bytes | str))
        if size <= _REMEMBERED_BYTES // 16 and self._bytes + size <= _REMEMBERED_BYTES:
            self._answers[key] = answer
            self._bytes += size


_NONE: Final[tuple[Any, float]] = (None, 0.0)
# Of the present task: the memory that its questions may be answered from, and since when.
_burst: ContextVar[tuple[Any, float]] = ContextVar("burst", default=_NONE)


class Memory:
    """The memory of one process. `look` returns the text of a snapshot taken now, None when none can be had."""

    def __init__(self, look: Callable[[], Awaitable[str | None]]) -> None:
        self._look = look
        self._snapshot: str | None = None
        self._present = Remembered()
        self._waiting: list[asyncio.Future[bool]] = []
        self._looking: asyncio.Task[None] | None = None

    def present(self) -> Remembered | None:
        """Return what the present request may be answered from, None when it must ask the rows."""
        whose, began = _burst.get()
        return self._present if whose is self and monotonic() - began < _BURST_SECONDS else None

    async def catch_up(self) -> None:
        """Let the calling task's questions be answered from memory for a moment, once that is known to be true."""
        told = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_all())
        began = monotonic()
        _burst.set((self, began) if await told else _NONE)

    def leave(self) -> None:
        """The calling task changed something: what it asks from now on it asks the rows."""
        _burst.set(_NONE)

    async def close(self) -> None:
        """Let nobody wait any longer."""
        if self._looking is not None:
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_for_all(self) -> None:
        try:
            while self._waiting:
                # Whoever comes from here on waits for the next one: this one may be taken before they began.
                told, self._waiting = self._waiting, []
                snapshot = None
                try:
                    snapshot = await self._look()
                finally:
                    if snapshot is None or snapshot != self._snapshot:
                        self._present, self._snapshot = Remembered(), snapshot
                    for each in told:
                        if not each.done():
                            each.set_result(snapshot is not None)
        finally:
            self._looking = None

    def derived(self) -> dict[Any, Any]:
        """Return a place for what follows from rows alone; one that is thrown away when nothing is remembered."""
        present = self.present()
        return present.derived if present is not None and len(present.derived) < _DERIVED else {}
