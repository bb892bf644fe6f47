"""All SQL about stored plans and their entries: rows in, values out. The first entry has the position 1."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, exists, func, insert, or_, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import lifecycle_entry, lifecycle_plan, repository
from homeport.kernel.clock import from_micros, to_micros
from homeport.lifecycle.model import (
    Action,
    Entry,
    Outcome,
    PlanKind,
    PlanStatus,
    StoredPlan,
    Totals,
)

_p, _e = lifecycle_plan.c, lifecycle_entry.c
_plan = select(
    _p.id,
    _p.repository_id,
    _p.kind,
    _p.policy,
    _p.prefix,
    _p.status,
    _p.started_at,
    _p.ended_at,
    _p.totals,
    _p.error,
)
_here = and_(_p.repository_id == bindparam("repository"), _p.kind == bindparam("kind"))
_of_kind = _plan.where(_here)
_by_id = Statement(_plan.where(_p.id == bindparam("plan")))
_newest_first = Statement(
    _of_kind.where(_p.id < bindparam("before")).order_by(_p.id.desc()).limit(bindparam("count"))
)
_id_of_newest = Statement(select(func.max(_p.id)).where(_here))
_insert = Statement(
    insert(lifecycle_plan).values(
        repository_id=bindparam("repository"),
        kind=bindparam("kind"),
        policy=bindparam("policy"),
        prefix=bindparam("prefix"),
        status=PlanStatus.PLANNING.value,
        started_at=bindparam("now"),
        totals="{}",
    )
)
_set = Statement(
    update(lifecycle_plan)
    .where(_p.id == bindparam("plan"))
    .values(
        policy=bindparam("policy_"),
        prefix=bindparam("prefix_"),
        status=bindparam("status_"),
        ended_at=bindparam("ended_at_"),
        totals=bindparam("totals_"),
        error=bindparam("error_"),
    )
)
_delete = Statement(delete(lifecycle_plan).where(_p.id == bindparam("plan")))
_older = Statement(
    select(_p.id).where(_here, _p.id < bindparam("before")).order_by(_p.id).limit(bindparam("count"))
)
_over = or_(_p.status == PlanStatus.COMPLETE.value, _p.status == PlanStatus.FAILED.value)
_empty = ~exists().where(_e.plan_id == _p.id).correlate(lifecycle_plan)
_past = Statement(
    select(_p.id)
    .where(
        _p.started_at < bindparam("empty_before"),
        _over,
        or_(_p.started_at < bindparam("before"), and_(_p.kind == PlanKind.RUN.value, _empty)),
    )
    .order_by(_p.started_at)
    .limit(bindparam("count"))
)
_evaluated = Statement(
    update(repository)
    .where(repository.c.id == bindparam("repository_"), repository.c.lifecycle_policy == bindparam("policy_"))
    .values(lifecycle_evaluated_at=bindparam("now"))
)

_entry = select(
    _e.position,
    _e.image_id,
    _e.digest,
    _e.tags,
    _e.pushed_at,
    _e.storage_class,
    _e.size,
    _e.priority,
    _e.action,
    _e.untagged,
    _e.fingerprint,
    _e.outcome,
)
_of_plan = _e.plan_id == bindparam("plan")
_next = _entry.where(_of_plan, _e.position > bindparam("after"))
_entries = {
    tagged: Statement(_next.where(*condition).order_by(_e.position).limit(bindparam("count")))
    for tagged, condition in ((None, ()), (True, (_e.tags != "[]",)), (False, (_e.tags == "[]",)))
}
_pending = Statement(_next.where(_e.outcome.is_(None)).order_by(_e.position).limit(bindparam("count")))
_by_digest = Statement(_entry.where(_of_plan, _e.digest == bindparam("digest")))
_insert_entry = Statement(
    insert(lifecycle_entry).values(
        plan_id=bindparam("plan"),
        position=bindparam("position"),
        image_id=bindparam("image_id"),
        digest=bindparam("digest"),
        tags=bindparam("tags"),
        pushed_at=bindparam("pushed_at"),
        storage_class=bindparam("storage_class"),
        size=bindparam("size"),
        priority=bindparam("priority"),
        action=bindparam("action"),
        untagged=bindparam("untagged"),
        fingerprint=bindparam("fingerprint"),
    )
)
_set_outcome = Statement(
    update(lifecycle_entry)
    .where(_of_plan, _e.position == bindparam("at"))
    .values(outcome=bindparam("outcome_"))
)
_last = Statement(select(func.max(_e.position)).where(_of_plan))
_delete_entries = Statement(delete(lifecycle_entry).where(_of_plan, _e.position > bindparam("after")))
_outcomes = Statement(
    select(_e.priority, _e.action, _e.outcome, func.count())
    .where(_of_plan)
    .group_by(_e.priority, _e.action, _e.outcome)
    .order_by(_e.priority, _e.action, _e.outcome)
)


def _value(row: Row) -> StoredPlan:
    return StoredPlan(
        id=row[0],
        repository_id=row[1],
        kind=PlanKind(row[2]),
        policy=row[3],
        prefix=row[4],
        status=PlanStatus(row[5]),
        started_at=from_micros(row[6]),
        ended_at=from_micros(row[7]) if row[7] is not None else None,
        totals=Totals(**json.loads(row[8])),
        error=row[9],
    )


def _entry_value(row: Row) -> Entry:
    return Entry(
        position=row[0],
        image_id=row[1],
        digest=row[2],
        tags=tuple(json.loads(row[3])),
        pushed_at=from_micros(row[4]),
        storage_class=row[5],
        size=row[6],
        priority=row[7],
        action=Action(row[8]),
        untagged=tuple(json.loads(row[9])),
        fingerprint=row[10],
        outcome=Outcome(row[11]) if row[11] is not None else None,
    )


async def add(
    tx: Transaction, repository_id: int, kind: PlanKind, policy: str, prefix: str | None, now: datetime
) -> int:
    """Insert a plan that is being made and return its id."""
    await tx.run(
        _insert,
        repository=repository_id,
        kind=kind.value,
        policy=policy,
        prefix=prefix,
        now=to_micros(now),
    )
    row = await tx.first(_id_of_newest, repository=repository_id, kind=kind.value)
    assert row is not None
    return int(row[0])


async def find(db: Reader, plan_id: int) -> StoredPlan | None:
    """Return the plan with that id, or None."""
    row = await db.first(_by_id, plan=plan_id)
    return _value(row) if row else None


async def page(db: Reader, repository_id: int, kind: PlanKind, before: int, count: int) -> list[StoredPlan]:
    """Return up to `count` plans of a repository older than the id `before`, newest first."""
    rows = await db.all(_newest_first, repository=repository_id, kind=kind.value, before=before, count=count)
    return [_value(row) for row in rows]


async def newest(db: Reader, repository_id: int, kind: PlanKind) -> StoredPlan | None:
    """Return the newest plan of that kind, None without any."""
    found = await page(db, repository_id, kind, 2**62, 1)
    return found[0] if found else None


async def older(db: Reader, repository_id: int, kind: PlanKind, before: int, count: int) -> list[int]:
    """Return up to `count` ids of plans of a repository older than the id `before`, oldest first."""
    rows = await db.all(_older, repository=repository_id, kind=kind.value, before=before, count=count)
    return [row[0] for row in rows]


async def past(db: Reader, before: datetime, empty_before: datetime, count: int) -> list[int]:
    """Return up to `count` ids of finished plans begun before `before`, of runs without entries `empty_before`."""
    moments = {"before": to_micros(before), "empty_before": to_micros(empty_before)}
    return [row[0] for row in await db.all(_past, count=count, **moments)]


async def put(tx: Transaction, plan: StoredPlan) -> None:
    """Write what may change of a plan: its policy, how far it is, its totals."""
    await tx.run(
        _set,
        plan=plan.id,
        policy_=plan.policy,
        prefix_=plan.prefix,
        status_=plan.status.value,
        ended_at_=to_micros(plan.ended_at) if plan.ended_at is not None else None,
        totals_=json.dumps(asdict(plan.totals)),
        error_=plan.error,
    )


async def remove(tx: Transaction, plan_id: int) -> None:
    """Delete a plan with what entries it still has."""
    await tx.run(_delete, plan=plan_id)


async def set_evaluated(tx: Transaction, repository_id: int, policy: str, now: datetime) -> None:
    """The repository's own policy was evaluated, provided that it still is `policy`."""
    await tx.run(_evaluated, repository_=repository_id, policy_=policy, now=to_micros(now))


# --- Entries ---


async def add_entry(tx: Transaction, plan_id: int, entry: Entry) -> None:
    """Insert an entry; nothing became of it yet."""
    await tx.run(
        _insert_entry,
        plan=plan_id,
        position=entry.position,
        image_id=entry.image_id,
        digest=entry.digest,
        tags=json.dumps(entry.tags),
        pushed_at=to_micros(entry.pushed_at),
        storage_class=entry.storage_class,
        size=entry.size,
        priority=entry.priority,
        action=entry.action.value,
        untagged=json.dumps(entry.untagged),
        fingerprint=entry.fingerprint,
    )


async def entries(
    db: Reader, plan_id: int, after: int, count: int, tagged: bool | None = None
) -> list[Entry]:
    """Return up to `count` entries after the position `after`; only of (un)tagged images unless `tagged` is None."""
    return [
        _entry_value(row) for row in await db.all(_entries[tagged], plan=plan_id, after=after, count=count)
    ]


async def pending(db: Reader, plan_id: int, after: int, count: int) -> list[Entry]:
    """Return up to `count` entries after the position `after` of which nothing became yet."""
    return [_entry_value(row) for row in await db.all(_pending, plan=plan_id, after=after, count=count)]


async def entry_of(db: Reader, plan_id: int, digest: str) -> Entry | None:
    """Return the entry of the image with that digest, None when the plan leaves it alone."""
    row = await db.first(_by_digest, plan=plan_id, digest=digest)
    return _entry_value(row) if row else None


async def set_outcome(tx: Transaction, plan_id: int, position: int, outcome: Outcome) -> None:
    """Write what became of an entry."""
    await tx.run(_set_outcome, plan=plan_id, at=position, outcome_=outcome.value)


async def last_position(db: Reader, plan_id: int) -> int:
    """Return the position of the last entry, 0 without any."""
    row = await db.first(_last, plan=plan_id)
    return int(row[0] or 0) if row else 0


async def remove_entries(tx: Transaction, plan_id: int, after: int) -> None:
    """Delete the entries after the position `after`."""
    await tx.run(_delete_entries, plan=plan_id, after=after)


async def outcomes(db: Reader, plan_id: int) -> list[tuple[int, Action, Outcome | None, int]]:
    """Return (priority of the rule, action, outcome, how many) for each combination that there is."""
    rows = await db.all(_outcomes, plan=plan_id)
    return [(row[0], Action(row[1]), Outcome(row[2]) if row[2] is not None else None, row[3]) for row in rows]
