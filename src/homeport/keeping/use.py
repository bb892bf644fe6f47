"""Who uses a data folder: servers and commands side by side, or a command that needs it to itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from homeport.kernel.errors import Unavailable

FILE = "in-use.lock"


@contextlib.contextmanager
def using(data: Path, *, alone: bool = False) -> Iterator[None]:
    """Use the data folder in the block, `alone` or beside others; a child process goes on using it until it ends.

    Nobody waits. Errors: Unavailable, when somebody has it alone, or anybody has it and we want it alone.
    """
    try:
        lock = os.open(data / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unavailable(f"{data} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"A server or another command uses {data}. Stop it first."
                if alone
                else f"The registry in {data} is being moved. Wait until `homeport move` has ended."
            ) from None
        yield
    finally:
        os.close(lock)
