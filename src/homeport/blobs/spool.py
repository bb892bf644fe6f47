"""Bytes that wait until they are enough for a part: in memory while the process has room for that, else in a file.

A thousand slow uploads may each hold most of a part; together they must not hold more memory than the budget.
"""

from __future__ import annotations

import tempfile
import threading
from typing import IO


class Budget:
    """How many bytes of memory all spools of a process may hold together."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Reserve `count` bytes; false when there are not as many left."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give(self, count: int) -> None:
        """Return what was reserved."""
        with self._lock:
            self._left += count


class Spool:
    """Grows at the end; used by one thread at a time. Raises OSError when its file cannot grow."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0
        """Bytes in it."""

    def append(self, piece: memoryview | bytes) -> None:
        """Add a copy of `piece`."""
        count = len(piece)
        if self._file is None and self._budget.take(count):
            self._memory += piece
        else:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `clear` closes it
                self._file.write(self._memory)
                self._forget()
            self._file.write(piece)
        self.size += count

    def content(self) -> bytes:
        """Return all of it."""
        if self._file is None:
            return bytes(self._memory)
        self._file.seek(0)
        return self._file.read()

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes."""
        kept = self.content()[:size]
        self.clear()
        self.append(kept)

    def clear(self) -> None:
        """Empty it, and let go of what it holds."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._forget()
        self.size = 0

    def _forget(self) -> None:
        self._budget.give(len(self._memory))
        self._memory = bytearray()
