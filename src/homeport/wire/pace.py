"""How slowly may a body come? Slow clients cost memory and connections, so a minimum rate holds (case B12)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from homeport.kernel.errors import RequestTimeout
from homeport.kernel.limits import BODY_MIN_BYTES_PER_WINDOW, BODY_WINDOW_SECONDS

Result = TypeVar("Result")


class Pace:
    """Watches one body: in every window of time a minimum of bytes must come."""

    __slots__ = ("_came", "_until")

    def __init__(self) -> None:
        self._came = 0
        self._until = monotonic() + BODY_WINDOW_SECONDS

    def came(self, count: int) -> None:
        """Note that `count` bytes came. Errors: RequestTimeout when the window that ended had too few."""
        self._came += count
        now = monotonic()
        if now < self._until:
            return
        if self._came < BODY_MIN_BYTES_PER_WINDOW:
            raise RequestTimeout(
                f"The body came slower than {BODY_MIN_BYTES_PER_WINDOW} bytes in {BODY_WINDOW_SECONDS} seconds. "
                "Ask for the status of the upload and continue from there."
            )
        self._came, self._until = 0, now + BODY_WINDOW_SECONDS

    async def wait(self, more: Callable[[], Awaitable[Result]]) -> Result:
        """Await what `more` returns; it is called again after a cancellation. Errors: RequestTimeout."""
        while True:
            try:
                async with asyncio.timeout(max(self._until - monotonic(), 0.01)):
                    return await more()
            except TimeoutError:
                self.came(0)
