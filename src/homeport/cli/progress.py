"""How far a long command is, on a terminal: one line on standard error that is written over."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import click

from homeport.kernel.clock import SystemClock

_PAUSE = timedelta(milliseconds=200)


def bytes_text(size: int) -> str:
    """Return a size in bytes for people."""
    if size < 1024:
        return f"{size} B"
    value, units = size / 1024, ["KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}"


class ProgressLine:
    """Tells what is done and how much of it, a few times a second; silent where nobody looks. A context manager."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._clock = SystemClock()
        self._told: datetime | None = None
        self._length = 0

    def __call__(self, what: str, done: int, of: int) -> None:
        """Say that `done` of `of` are done; what is called bytes is shown in units of them."""
        if not self._shown:
            return
        now = self._clock.now()
        if self._told is not None and now - self._told < _PAUSE and done < of:
            return
        self._told = now
        shown = (bytes_text(done), bytes_text(of)) if what == "bytes" else (str(done), str(of))
        self._write(f"{what}: {shown[0]} of {shown[1]}")

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._length:
            self._write("")
            click.echo("\r", err=True, nl=False)

    def _write(self, text: str) -> None:
        click.echo("\r" + text.ljust(self._length), err=True, nl=False)
        self._length = len(text)
