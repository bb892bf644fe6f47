"""A counter that every writer of a data folder moves, in memory that its processes share.

Readers use it to know whether what they remember is still true: an even number that has not moved means that nothing
was committed since. It is odd while a commit is under way, and stays odd when a writer dies there, so that nobody
trusts a memory across an unfinished or unreported commit. A sequence lock without the wait; one read costs 0.2 us,
where asking SQLite (`PRAGMA data_version`) costs 4.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_COUNTER = struct.Struct("=Q")


class Generation:
    """The shared counter of one database."""

    def __init__(self, path: Path) -> None:
        """Map the counter's file, which is made when it is not there."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(file).st_size < _COUNTER.size:
                os.ftruncate(file, _COUNTER.size)
            self._memory = mmap.mmap(file, _COUNTER.size)
        finally:
            os.close(file)

    def read(self) -> int:
        """Return the counter; an odd value means that a commit is under way."""
        value: int = _COUNTER.unpack_from(self._memory)[0]
        return value

    def begin(self) -> None:
        """A commit begins; only for the holder of the write lock."""
        _COUNTER.pack_into(self._memory, 0, (self.read() + 1) | 1)

    def end(self) -> None:
        """The commit is over, whether it was kept or not."""
        _COUNTER.pack_into(self._memory, 0, self.read() + 1)

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()
