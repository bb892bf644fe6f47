"""All SQL about jobs. `run_after` of a leased job is the end of its lease, so that one index finds all that is due."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, null, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import job
from homeport.jobs.model import Job, Kind, LeaseLost, Waiting
from homeport.kernel.clock import to_micros

_insert = Statement(
    insert(job).values(
        kind=bindparam("kind"),
        subject=bindparam("subject"),
        run_after=bindparam("run_after"),
        attempts=0,
        fence=0,
        created_at=bindparam("now"),
    )
)
_waiting = Statement(select(func.count(), func.min(job.c.run_after)))
_due = Statement(
    select(job.c.id, job.c.kind, job.c.subject, job.c.attempts, job.c.fence)
    .where(job.c.run_after <= bindparam("now"))
    .order_by(job.c.run_after, job.c.id)
    .limit(1)
)
_due_of = Statement(
    select(job.c.id, job.c.kind, job.c.subject, job.c.attempts, job.c.fence)
    .where(
        job.c.run_after <= bindparam("now"),
        job.c.kind == bindparam("kind"),
        job.c.subject == bindparam("subject"),
    )
    .order_by(job.c.id)
    .limit(1)
)
_due_of_kind = Statement(
    select(job.c.id, job.c.kind, job.c.subject, job.c.attempts, job.c.fence)
    .where(job.c.run_after <= bindparam("now"), job.c.kind == bindparam("kind"))
    .order_by(job.c.id)
    .limit(1)
)
_mine = (job.c.id == bindparam("job"), job.c.fence == bindparam("seen"))
_lease = Statement(
    update(job)
    .where(*_mine)
    .values(
        fence=job.c.fence + 1,
        attempts=job.c.attempts + 1,
        leased_until=bindparam("until"),
        run_after=bindparam("until"),
    )
)
_renew = Statement(
    update(job).where(*_mine).values(leased_until=bindparam("until"), run_after=bindparam("until"))
)
_held = Statement(select(job.c.id).where(*_mine))
_later = Statement(
    update(job)
    .where(*_mine)
    .values(
        leased_until=null(),
        run_after=bindparam("at"),
        error=bindparam("error"),
        attempts=bindparam("attempts"),
    )
)
_proceed = Statement(update(job).where(*_mine).values(subject=bindparam("subject")))
_finish = Statement(delete(job).where(*_mine))


def _value(row: Row) -> Job:
    return Job(row[0], row[1], json.loads(row[2]), row[3], row[4])


async def add(
    tx: Transaction, kind: Kind, subject: dict[str, Any], now: datetime, run_after: datetime | None = None
) -> None:
    """Add a job that is due at once, or after `run_after`; it exists when, and only if, `tx` is committed."""
    at = to_micros(run_after if run_after is not None else now)
    await tx.run(
        _insert,
        kind=kind.value,
        subject=json.dumps(subject, sort_keys=True),
        run_after=at,
        now=to_micros(now),
    )


async def waiting(db: Reader) -> Waiting:
    """Return how many jobs there are and when the next is due. Cheap to ask again when nothing changed."""
    row = await db.first(_waiting)
    return Waiting(int(row[0]), row[1]) if row else Waiting(0, None)


async def lease(tx: Transaction, now: datetime, until: datetime) -> Job | None:
    """Take the job that is due for the longest, for oneself until `until`; None when none is due."""
    return await _leased(tx, await tx.first(_due, now=to_micros(now)), until)


async def take(
    tx: Transaction, kind: Kind, subject: dict[str, Any], now: datetime, until: datetime
) -> Job | None:
    """Take the job of that kind and about that, for oneself until `until`; None when it is not there or not due."""
    text = json.dumps(subject, sort_keys=True)
    return await _leased(
        tx, await tx.first(_due_of, kind=kind.value, subject=text, now=to_micros(now)), until
    )


async def take_any(tx: Transaction, kind: Kind, now: datetime, until: datetime) -> Job | None:
    """Take some job of that kind, for oneself until `until`; None when there is none that is due."""
    return await _leased(tx, await tx.first(_due_of_kind, kind=kind.value, now=to_micros(now)), until)


async def _leased(tx: Transaction, row: Row | None, until: datetime) -> Job | None:
    if row is None:
        return None
    found = _value(row)
    await tx.run(_lease, job=found.id, seen=found.fence, until=to_micros(until))
    return Job(found.id, found.kind, found.subject, found.attempts + 1, found.fence + 1)


async def renew(tx: Transaction, held: Job, until: datetime) -> None:
    """Keep the job until `until`. Errors: LeaseLost."""
    if await tx.run(_renew, job=held.id, seen=held.fence, until=to_micros(until)) != 1:
        raise LeaseLost


async def proceed(tx: Transaction, held: Job, subject: dict[str, Any]) -> None:
    """Write down how far the job is: whoever leases it next begins with `subject`. Errors: LeaseLost."""
    if await tx.run(_proceed, job=held.id, seen=held.fence, subject=json.dumps(subject, sort_keys=True)) != 1:
        raise LeaseLost


async def confirm(tx: Transaction, held: Job) -> None:
    """Return when the job is still one's own: what `tx` does besides is then done by its holder.

    Errors: LeaseLost.
    """
    if await tx.first(_held, job=held.id, seen=held.fence) is None:
        raise LeaseLost


async def later(tx: Transaction, held: Job, at: datetime, error: str | None, attempts: int) -> None:
    """Give the job back, due again at `at`. Errors: LeaseLost."""
    changed = await tx.run(
        _later, job=held.id, seen=held.fence, at=to_micros(at), error=error, attempts=attempts
    )
    if changed != 1:
        raise LeaseLost


async def finish(tx: Transaction, held: Job) -> None:
    """Remove the job: it is done. Errors: LeaseLost."""
    if await tx.run(_finish, job=held.id, seen=held.fence) != 1:
        raise LeaseLost
