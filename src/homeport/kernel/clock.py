"""What time is it? The only room that may ask the operating system.

Moments are aware UTC datetimes in the domain and whole microseconds since 1970 in the database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return this moment as an aware UTC datetime."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now(self) -> datetime:
        """Return this moment as an aware UTC datetime."""
        return datetime.now(UTC)


class LaterClock:
    """Another clock, ahead of it by the same time always (behind, when that is negative)."""

    def __init__(self, clock: Clock, ahead: timedelta) -> None:
        self._clock = clock
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the moment that is as far ahead of the other clock's."""
        return self._clock.now() + self._ahead


class ManualClock:
    """A clock that moves only when told to; for tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the moment that was set last."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward (or back, when negative) by `seconds`."""
        self._now += timedelta(seconds=seconds)


def to_micros(moment: datetime) -> int:
    """Return `moment` as microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of `micros` microseconds since 1970-01-01."""
    return _EPOCH + timedelta(microseconds=micros)
