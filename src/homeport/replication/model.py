"""Replication as values. Words are ECR's (botocore `ecr` model)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NOT_AVAILABLE = "ReplicationNotAvailable"
"""The failure code of copies in this version, which stores the configuration and copies nothing."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A registry to copy to."""

    region: str
    account: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Images of repositories whose name begins with a prefix go to the destinations; no prefixes means all.

    `deletes` is None where the owner did not say whether deletions follow.
    """

    destinations: tuple[Destination, ...]
    prefixes: tuple[str, ...] | None
    deletes: bool | None


class BackfillStatus(StrEnum):
    """How far a backfill is (botocore, ReplicationBackfillStatus)."""

    PREPARING = "PREPARING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Backfill:
    """One copying of everything that was pushed before a destination was configured."""

    id: str
    account: str
    destination: Destination
    status: BackfillStatus
    failure_code: str | None
    started_at: datetime
    ended_at: datetime | None
