"""Use cases of replication: one function each, one transaction each. Callers have authorised already.

This version stores what the owner wants and copies nothing: statuses say so with the failure code NOT_AVAILABLE.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import (
    InvalidParameter,
    LimitExceeded,
    ReplicationBackfillInProgress,
    ReplicationBackfillInvalidStatus,
    ReplicationBackfillNotFound,
)
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.registry import store as documents
from homeport.replication import rules, store
from homeport.replication.model import NOT_AVAILABLE, Backfill, BackfillStatus, Destination, Rule

_KIND = "replication"
_KEPT = timedelta(days=limits.BACKFILL_DAYS)


async def configuration(db: Reader, account: str) -> tuple[Rule, ...]:
    """Return the rules of a registry, none when nobody has set any."""
    text = await documents.document(db, account, _KIND)
    return rules.read(text) if text is not None else ()


async def configure(
    db: Database, now: datetime, home: Destination, wanted: Sequence[Rule], quotas: Quotas = ECR_QUOTAS
) -> None:
    """Replace the rules of the registry `home`; an empty list ends replication. Errors: InvalidParameter."""
    rules.check(wanted, home, quotas)

    async def work(tx: Transaction) -> None:
        await documents.put_document(tx, home.account, _KIND, rules.text_of(wanted), now)

    await db.write(work)


async def start_backfill(db: Database, now: datetime, account: str, destination: Destination) -> Backfill:
    """Start a backfill to a configured destination; it fails at once, since nothing is copied in this version.

    Errors: InvalidParameter for a destination that no rule names, ReplicationBackfillInProgress, LimitExceeded.
    """
    started = Backfill(
        str(uuid.uuid4()), account, destination, BackfillStatus.FAILED, NOT_AVAILABLE, now, now
    )

    async def work(tx: Transaction) -> None:
        if destination not in rules.destinations(await configuration(tx, account)):
            raise InvalidParameter(
                "destination", "The destination must be part of the replication configuration of the registry"
            )
        await store.forget(tx, account, now - _KEPT)
        running = await store.running(tx, account)
        if any(each.destination.region == destination.region for each in running):
            raise ReplicationBackfillInProgress(
                f"A replication backfill to the region '{destination.region}' is already in progress "
                f"in the registry with id '{account}'"
            )
        if len(running) >= limits.REPLICATION_BACKFILLS:
            raise LimitExceeded(
                f"A registry can have at most {limits.REPLICATION_BACKFILLS} replication backfills in progress"
            )
        await store.add(tx, started)

    await db.write(work)
    return started


async def stop_backfill(db: Database, now: datetime, account: str, backfill_id: str) -> Backfill:
    """Stop a backfill that is not over. Errors: ReplicationBackfillNotFound, ReplicationBackfillInvalidStatus."""

    async def work(tx: Transaction) -> Backfill:
        found = await backfill(tx, now, account, backfill_id)
        if found.status is BackfillStatus.PREPARING:
            stopped = replace(found, status=BackfillStatus.STOPPED, ended_at=now)
        elif found.status is BackfillStatus.IN_PROGRESS:
            stopped = replace(found, status=BackfillStatus.STOPPING)
        else:
            raise ReplicationBackfillInvalidStatus(
                f"The replication backfill with id '{found.id}' in the registry with id '{account}' cannot be "
                f"stopped because its status is {found.status.value}"
            )
        await store.set_status(tx, stopped.id, stopped.status, stopped.ended_at)
        return stopped

    return await db.write(work)


async def backfill(db: Reader, now: datetime, account: str, backfill_id: str) -> Backfill:
    """Return a backfill; one that ended is kept for 90 days. Errors: ReplicationBackfillNotFound."""
    found = await store.find(db, account, backfill_id.lower(), now - _KEPT)
    if found is None:
        raise ReplicationBackfillNotFound(
            f"The replication backfill with id '{backfill_id}' does not exist in the registry with id '{account}'"
        )
    return found


async def backfills(
    db: Reader, now: datetime, account: str, position: tuple[int, str] | None, count: int
) -> list[Backfill]:
    """Return up to `count` backfills after `position` (start in microseconds, id), the latest first."""
    return await store.page(db, account, now - _KEPT, position, count)
