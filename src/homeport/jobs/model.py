"""A job as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a job does. Every kind may be done twice: the worker may die between the work and its last word."""

    SETTLE_BLOBS = "settle-blobs"
    """Bring the bytes of `digests` to the storage class that the images need which refer to them."""
    RESTORE_IMAGE = "restore-image"
    """Bring the bytes of the image `image` back, and then make it active."""
    PREVIEW_LIFECYCLE = "preview-lifecycle"
    """Find out what the policy of the stored plan `plan` would do."""
    RUN_LIFECYCLE = "run-lifecycle"
    """Find out what the policy of the repository of the stored plan `plan` wants, and do it."""
    SCHEDULE_LIFECYCLE = "schedule-lifecycle"
    """Add a run for each repository with a policy that had none since `slot`, in microseconds since 1970."""
    COLLECT = "collect"
    """Let go of bytes that nobody refers to any more, and delete those whose time is over."""
    REVIEW_EVERYTHING = "review-everything"
    """Have each blob reviewed once that no image refers to; `stage`, `repository` and `after` say how far that is."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was leased. `fence` is the lease: a later one has a greater number."""

    id: int
    kind: str
    subject: dict[str, Any]
    attempts: int
    fence: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs there are, and when the next one is due, in microseconds since 1970; None without any."""

    count: int
    due: int | None


class LeaseLost(Exception):
    """Another worker has the job now: nothing more may be written in its name."""
