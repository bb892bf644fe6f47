"""Moments: always UTC, exact to the microsecond in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.clock import ManualClock, SystemClock, from_micros, to_micros

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_system_clock_tells_utc() -> None:
    before = datetime.now(UTC)

    told = SystemClock().now()

    assert before <= told <= datetime.now(UTC)
    assert told.utcoffset() == timedelta(0)


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(NEW_YEAR)

    first, second = clock.now(), clock.now()
    clock.advance(1.5)
    third = clock.now()
    clock.advance(-1.5)

    assert first == second == clock.now() == NEW_YEAR
    assert third - first == timedelta(seconds=1.5)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_stored_moment_comes_back_exactly(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_a_moment_of_another_zone_is_stored_as_the_same_moment() -> None:
    local = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))

    assert to_micros(local) == to_micros(NEW_YEAR)
    assert from_micros(to_micros(local)).utcoffset() == timedelta(0)


def test_micros_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC)) == 1_000_007
