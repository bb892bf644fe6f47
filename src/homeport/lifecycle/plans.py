"""Stored plans: how one is made, for a preview or a run, and how it goes.

A plan may have as many entries as a repository has images, so it is written and removed a batch at a time, and pushes
have their turn between. While it is not complete its status is PLANNING; one whose maker died is begun again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.clock import from_micros, to_micros
from homeport.lifecycle import candidates, plans_store, rules, savings
from homeport.lifecycle.candidates import fingerprint_of
from homeport.lifecycle.model import (
    Action,
    Candidate,
    Decision,
    Entry,
    PlanStatus,
    Rule,
    StoredPlan,
    Totals,
)
from homeport.lifecycle.policies import read_policy

ROWS = 200
"""Entries written or removed in one transaction: some milliseconds."""
KEPT = timedelta(days=30)
EMPTY_KEPT = timedelta(days=1)
"""A run that found nothing to do is worth knowing of for less long: each repository has one at each interval."""
AHEAD = timedelta(days=1)
"""Somebody waits for what was asked for: it is due so long ago that it goes before the runs of the interval."""


class PlanGone(Exception):
    """The plan was removed, together with its repository, while it was made or executed: nothing is left to do."""


# A thread of its own: judging may take many seconds, and files are opened in the threads that all share.
_JUDGING = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-judging")

Confirm = Callable[[Transaction], Awaitable[None]]
"""Asked in every transaction; raises when its caller may write no more."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a policy comes to: entries in the order of execution, and the ids of images that go or are archived."""

    entries: list[Entry]
    totals: Totals
    expiring: frozenset[int]
    transitioning: frozenset[int]
    """With the referrers that are archived along."""


def stored_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules of a policy that was accepted once: what may be said, and how much, can have changed since.

    Errors: InvalidParameter.
    """
    return read_policy(text, extended=True, most_rules=sys.maxsize)


async def judge(reader: Reader, now: datetime, repository_id: int, text: str) -> Judged:
    """Return what the policy `text` would do to a repository at `now`. The rules are applied in a thread.

    The totals tell bytes, too. Errors: InvalidParameter when it is no policy.
    """
    images = await candidates.read(reader, repository_id)
    loop = asyncio.get_running_loop()
    judged = await loop.run_in_executor(_JUDGING, _judge, text, images, to_micros(now))
    gone, moved = await savings.freed(reader, repository_id, judged.expiring, judged.transitioning)
    return replace(judged, totals=replace(judged.totals, expiring_bytes=gone, transitioning_bytes=moved))


def _judge(text: str, images: Sequence[Candidate], now: int) -> Judged:
    decisions = rules.plan(stored_rules(text), images, now)
    ids: dict[Action, set[int]] = {action: set() for action in Action}
    for decision in decisions:
        ids[decision.action].add(decision.image.id)
    return Judged(
        entries=[_entry(position, decision) for position, decision in enumerate(decisions, start=1)],
        totals=Totals(
            examined=len(images),
            expiring=len(ids[Action.EXPIRE]),
            transitioning=len(ids[Action.TRANSITION]),
            untagging=len(ids[Action.UNTAG]),
        ),
        expiring=frozenset(ids[Action.EXPIRE]),
        transitioning=frozenset(_with_referrers(images, ids[Action.TRANSITION])),
    )


def _with_referrers(images: Iterable[Candidate], ids: set[int]) -> set[int]:
    """Return the ids with those of the images that refer to theirs, directly or not, and are archived along."""
    if not ids:
        return ids
    referrers: dict[str, list[Candidate]] = {}
    waiting: list[Candidate] = []
    for image in images:
        if image.subject is not None and not (image.pinned or image.listed_live):
            referrers.setdefault(image.subject, []).append(image)
        if image.id in ids:
            waiting.append(image)
    found = set(ids)
    while waiting:
        for near in referrers.get(waiting.pop().digest, ()):
            if near.id not in found:
                found.add(near.id)
                waiting.append(near)
    return found


def _entry(position: int, decision: Decision) -> Entry:
    image = decision.image
    return Entry(
        position=position,
        image_id=image.id,
        digest=image.digest,
        tags=tuple(tag.name for tag in image.tags),
        pushed_at=from_micros(image.pushed_at),
        storage_class="ARCHIVE" if image.archived else "STANDARD",
        size=image.size,
        priority=decision.priority,
        action=decision.action,
        untagged=decision.tags,
        fingerprint=fingerprint_of(image),
    )


async def require(tx: Transaction, plan_id: int) -> None:
    """Return when the plan is still there. Errors: PlanGone."""
    if await plans_store.find(tx, plan_id) is None:
        raise PlanGone


async def make(db: Database, now: datetime, plan: StoredPlan, text: str, confirm: Confirm) -> Totals:
    """Judge by the policy `text` and write the entries of `plan`; what it had before goes. Its status stays.

    Errors: InvalidParameter when the text is no policy, PlanGone, those of `confirm`.
    """
    await clear(db, plan.id, confirm)
    judged = await judge(db, now, plan.repository_id, text)
    for first in range(0, len(judged.entries), ROWS):
        await _write(db, plan.id, judged.entries[first : first + ROWS], confirm)
    return judged.totals


async def _write(db: Database, plan_id: int, entries: Sequence[Entry], confirm: Confirm) -> None:
    async def work(tx: Transaction) -> None:
        await confirm(tx)
        await require(tx, plan_id)
        for entry in entries:
            await plans_store.add_entry(tx, plan_id, entry)

    await db.write(work)


async def clear(db: Database, plan_id: int, confirm: Confirm | None = None) -> None:
    """Remove all entries of a plan. Errors: those of `confirm`."""
    last = await plans_store.last_position(db, plan_id)
    while last > 0:
        last = max(last - ROWS, 0)
        await _remove_after(db, plan_id, last, confirm)


async def _remove_after(db: Database, plan_id: int, position: int, confirm: Confirm | None) -> None:
    async def work(tx: Transaction) -> None:
        if confirm is not None:
            await confirm(tx)
        await plans_store.remove_entries(tx, plan_id, position)

    await db.write(work)


async def remove(db: Database, plan_id: int) -> None:
    """Remove a plan with all its entries."""
    await clear(db, plan_id)

    async def work(tx: Transaction) -> None:
        await plans_store.remove(tx, plan_id)

    await db.write(work)


async def sweep(db: Database, now: datetime) -> int:
    """Remove the plans that are over for long; return how many."""
    removed = 0
    while found := await plans_store.past(db, now - KEPT, now - EMPTY_KEPT, ROWS):
        for plan_id in found:
            await remove(db, plan_id)
        removed += len(found)
    return removed


async def fail(db: Database, now: datetime, plan: StoredPlan, why: str, confirm: Confirm) -> None:
    """End a plan, if it is still there, that cannot be made or executed. Errors: those of `confirm`."""

    async def work(tx: Transaction) -> None:
        await confirm(tx)
        current = await plans_store.find(tx, plan.id)
        if current is not None:
            await plans_store.put(tx, replace(current, status=PlanStatus.FAILED, ended_at=now, error=why))

    await db.write(work)
