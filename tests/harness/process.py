"""Programs that a test starts: the registry, a container engine, a client.

Output of a long-running program is collected line by line, so a test waits for the line that announces
an event instead of sleeping, and a failure shows everything that the program said. Only processes
started here are ever signalled. Knows nothing about registries.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_the_tests() -> None:
    """In the new process: die when the test process does, even when that is killed (prctl(2))."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ProgramFailed(AssertionError):
    """A program ended, answered or stayed silent in a way that the test did not allow."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program that has ended said."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"$ {' '.join(self.argv)}\nexit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def finish(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    folder: Path,
    stdin: str = "",
    seconds: float = 50,
) -> Finished:
    """Run a program to its end and return what it said, whatever its exit code.

    Args:
        argv: the command.
        environment: the whole environment of the program; nothing is inherited beside it.
        folder: working directory.
        stdin: text for its standard input.
        seconds: how long it may take.

    Raises:
        ProgramFailed: it did not end in time.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            env=dict(environment),
            cwd=folder,
            input=stdin.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        out, err = ((part or b"").decode("utf-8", "replace") for part in (late.stdout, late.stderr))
        raise ProgramFailed(f"not done after {seconds} s\n{Finished(words, -1, out, err)}") from None
    return Finished(
        words,
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


class Background:
    """A child process in a process group of its own, with its output collected.

    On Linux it ends when the thread that started it does, so start it in the main thread.

    Args:
        argv: the command.
        environment: the whole environment of the child; nothing is inherited beside it.
        folder: working directory.
    """

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        self.argv = [str(word) for word in argv]
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            self.argv,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_the_tests,
        )
        streams = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        self._open_streams = len(streams)
        self._readers = [threading.Thread(target=self._collect, args=(s,), daemon=True) for s in streams]
        for reader in self._readers:
            reader.start()

    def _collect(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                with self._changed:
                    self._lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
                    self._changed.notify_all()
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        """Process id of the child, which also leads its process group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process.poll() is None

    def lines(self) -> list[str]:
        """Everything printed so far on both outputs, in order of arrival."""
        with self._changed:
            return list(self._lines)

    def wait_for(
        self, find: Callable[[str], T | None], what: str, *, start: int = 0, seconds: float = 30
    ) -> T:
        """Return the first thing that `find` finds in a line, waiting for lines that are still to come.

        Args:
            find: given a line, returns what was looked for, or None.
            what: the thing waited for, in words, for the failure text.
            start: number of lines, as counted by `lines`, that are not looked at.
            seconds: how long to wait.

        Raises:
            ProgramFailed: the program ended or the time passed without such a line.
        """
        deadline = time.monotonic() + seconds
        seen = start
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    found = find(line)
                    if found is not None:
                        return found
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if left <= 0 or not self._open_streams:
                    # Its streams close a moment before it can be waited for.
                    reason = f"{seconds} s passed" if left <= 0 else f"it ended ({self._process.wait(10)})"
                    raise ProgramFailed(f"{reason} without {what}\n{self._story()}")
                self._changed.wait(left)

    def _story(self) -> str:
        return "\n".join([f"$ {' '.join(self.argv)}", *self._lines])

    def story(self) -> str:
        """The command and everything it printed, for failure texts."""
        with self._changed:
            return self._story()

    def ended(self, seconds: float = 30) -> int:
        """Wait for the end and return the exit code (negative: the signal that ended it).

        Raises:
            ProgramFailed: still running after `seconds`.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"still running after {seconds} s\n{self.story()}") from None
        for reader in self._readers:
            reader.join(seconds)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone."""
        if self.running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL for the child and everything in its process group; returns when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.ended()

    def stop(self, seconds: float = 20) -> None:
        """End the child however it takes: SIGTERM, then SIGKILL after `seconds`."""
        self.signal(signal.SIGTERM)
        try:
            self.ended(seconds)
        except ProgramFailed:
            self.kill()
