"""When a link is reviewed, and how long bytes outlive the last one. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from homeport.kernel import limits

EVERYTHING = timedelta(days=-36_500)
"""A delay by which everything that waits for a review is due, whatever its age."""


def due_at(now: datetime, delay: timedelta) -> datetime:
    """Return the moment since which a link must have been in doubt to be reviewed `now`."""
    return now - delay


def must_be_kept(review_since: datetime | None, now: datetime, delay: timedelta) -> bool:
    """Whether a client that is told `now` that a blob is there needs its review to be put off.

    Half the delay is enough for what follows, a manifest; so a blob that many clients ask for is written for rarely.
    """
    return review_since is not None and now - review_since >= delay / 2


def delete_after(now: datetime) -> datetime:
    """Return until when the bytes stay of a blob that nobody holds since `now`, for those who are about to read."""
    return now + timedelta(seconds=limits.COLLECTED_BYTES_SECONDS)
