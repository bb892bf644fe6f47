"""Use cases of runs: a plan is made of the policy that acts on a repository, and executed.

Entries are executed a few in a transaction. Each is guarded: the image must be there as it was when it was judged,
with no index, subject or pinned tag that protects it; else nothing happens to it. Every transaction also asks whether
the policy is still the same, so that who deletes a policy stops what it does. Callers have authorised already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeport.database.engine import Database, Reader, Transaction
from homeport.images import archive, pins
from homeport.images import service as images
from homeport.images import store as images_store
from homeport.images.model import Failure, Image, ImageId, Retention, Status
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import (
    ImageStorageClassUpdateNotSupported,
    LifecyclePolicyNotFound,
    LifecycleRunInProgress,
    LifecycleRunNotFound,
)
from homeport.lifecycle import candidates, defaults, plans, plans_store, rules
from homeport.lifecycle import images_store as lifecycle_images
from homeport.lifecycle.candidates import fingerprint
from homeport.lifecycle.model import (
    Action,
    EffectivePolicy,
    Entry,
    Outcome,
    PlanKind,
    PlanStatus,
    Reason,
    StoredPlan,
)
from homeport.lifecycle.plans import AHEAD, Confirm
from homeport.lifecycle.selection import ARCHIVE_DAYS
from homeport.lifecycle.service import present
from homeport.repositories.model import Repository

BATCH = 50
"""Entries executed in one transaction: some sixty milliseconds, for which pushes wait."""
_ARCHIVE_STAY = timedelta(days=ARCHIVE_DAYS)
# One thread for all who ask: however many they are, pulls and runs have threads of their own.
_EXPLAINING = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-explaining")
_UNDER_WAY = (PlanStatus.PLANNING, PlanStatus.EXECUTING)


# --- Starting and looking ---


async def start_run(db: Database, now: datetime, repository: Repository) -> int:
    """Have the policy that acts on the repository evaluated and executed soon; return the id of the run.

    Errors: LifecyclePolicyNotFound, LifecycleRunInProgress, RepositoryNotFound.
    """

    async def work(tx: Transaction) -> int:
        return await _start(tx, now, repository)

    return await db.write(work)


async def _start(tx: Transaction, now: datetime, repository: Repository) -> int:
    await present(tx, repository)
    newest = await plans_store.newest(tx, repository.id, PlanKind.RUN)
    if newest is not None and newest.status in _UNDER_WAY:
        raise _under_way(repository)
    policy = await defaults.effective(tx, repository)
    if policy is None:
        raise LifecyclePolicyNotFound(repository.name, repository.account)
    return await _add(tx, now, repository, policy, now - AHEAD)


def _under_way(repository: Repository) -> LifecycleRunInProgress:
    return LifecycleRunInProgress(
        f"A lifecycle policy run is in progress for the repository with name '{repository.name}' "
        f"in the registry with id '{repository.account}'"
    )


async def _add(
    tx: Transaction, now: datetime, repository: Repository, policy: EffectivePolicy, due: datetime
) -> int:
    plan_id = await plans_store.add(tx, repository.id, PlanKind.RUN, policy.text, policy.prefix, now)
    await jobs.add(tx, Kind.RUN_LIFECYCLE, {"plan": plan_id}, now, due)
    return plan_id


async def start_due(
    tx: Transaction, now: datetime, repositories: Sequence[Repository], slot: datetime
) -> int:
    """Start a run of each repository that has a policy and had no run begun since `slot`; return how many."""
    started = 0
    for repository in repositories:
        policy = await defaults.effective(tx, repository)
        if policy is None:
            continue
        newest = await plans_store.newest(tx, repository.id, PlanKind.RUN)
        if newest is not None and (newest.status in _UNDER_WAY or newest.started_at >= slot):
            continue
        await _add(tx, now, repository, policy, now)
        started += 1
    return started


async def hold_run(
    db: Database, now: datetime, until: datetime, repository: Repository
) -> tuple[StoredPlan, Job]:
    """Start a run, or take up one that nobody works on, for oneself until `until`.

    Errors: LifecyclePolicyNotFound, LifecycleRunInProgress when another process works on it, RepositoryNotFound.
    """

    async def work(tx: Transaction) -> tuple[StoredPlan, Job]:
        newest = await plans_store.newest(tx, repository.id, PlanKind.RUN)
        left = newest is not None and newest.status in _UNDER_WAY
        plan_id = newest.id if newest is not None and left else await _start(tx, now, repository)
        held = await jobs.take(tx, Kind.RUN_LIFECYCLE, {"plan": plan_id}, now, until)
        plan = await plans_store.find(tx, plan_id)
        if held is None or plan is None:
            raise _under_way(repository)
        return plan, held

    return await db.write(work)


async def runs(reader: Reader, repository: Repository, before: int, count: int) -> list[StoredPlan]:
    """Return up to `count` runs older than the id `before`, newest first."""
    return await plans_store.page(reader, repository.id, PlanKind.RUN, before, count)


async def run(reader: Reader, repository: Repository, plan_id: int) -> StoredPlan:
    """Return a run. Errors: LifecycleRunNotFound."""
    found = await plans_store.find(reader, plan_id)
    if found is None or found.repository_id != repository.id or found.kind is not PlanKind.RUN:
        raise LifecycleRunNotFound(
            f"There is no lifecycle policy run {plan_id} of the repository with name '{repository.name}' "
            f"in the registry with id '{repository.account}'"
        )
    return found


async def entries(reader: Reader, plan_id: int, after: int, count: int) -> list[Entry]:
    """Return up to `count` entries of a plan after the position `after` (0 for the first), in order of execution."""
    return await plans_store.entries(reader, plan_id, after, count)


async def explain(
    reader: Reader, now: datetime, repository: Repository, image_id: ImageId
) -> tuple[EffectivePolicy, Image, list[Reason]]:
    """Return the policy that acts on the repository, an image, and what each rule would say of it at `now`.

    No rule says anything of an image that is on its way back from the archive.
    Errors: ImageNotFound, LifecyclePolicyNotFound.
    """
    policy = await defaults.effective(reader, repository)
    if policy is None:
        raise LifecyclePolicyNotFound(repository.name, repository.account)
    image = await images.resolve(reader, repository, image_id)
    if isinstance(image, Failure):
        raise images.not_found(repository, image_id)
    seen = await candidates.read(reader, repository.id)
    if all(each.id != image.id for each in seen):
        return policy, image, []
    moment, asked = to_micros(now), image.id

    def work() -> list[Reason]:
        return rules.explain(plans.stored_rules(policy.text), seen, moment, asked)

    return policy, image, await asyncio.get_running_loop().run_in_executor(_EXPLAINING, work)


# --- Doing ---


async def make_plan(
    db: Database,
    now: datetime,
    judged_at: datetime,
    plan: StoredPlan,
    repository: Repository,
    confirm: Confirm,
) -> StoredPlan:
    """Make the plan of a run, of the policy that acts on the repository now, and return it ready to be executed.

    A run without a policy, which was deleted since the run was started, has failed.
    Errors: InvalidParameter when the policy is none, PlanGone, those of `confirm`.
    """
    policy = await defaults.effective(db, repository)
    if policy is None:
        why = "The policy was deleted before it was evaluated"
        await plans.fail(db, now, plan, why, confirm)
        return replace(plan, status=PlanStatus.FAILED, error=why)
    totals = await plans.make(db, judged_at, plan, policy.text, confirm)
    made = replace(plan, policy=policy.text, prefix=policy.prefix, status=PlanStatus.EXECUTING, totals=totals)

    async def work(tx: Transaction) -> None:
        await confirm(tx)
        await plans.require(tx, plan.id)
        await plans_store.put(tx, made)

    await db.write(work)
    return made


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of an entry, and why when nothing was done."""

    entry: Entry
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a batch is executed, by the clock and by that of lifecycle rules; for how long images can be restored."""

    now: datetime
    judged_at: datetime
    keep: timedelta | None


async def execute(
    db: Database, at: Moment, plan: StoredPlan, repository: Repository, after: int, confirm: Confirm
) -> tuple[list[Acted], PlanStatus]:
    """Execute the next entries of a plan, after the position `after`; return them, and how far the plan is then.

    With the last of them the plan is complete and the policy counts as evaluated, in the same transaction.
    Errors: PlanGone, those of `confirm`.
    """

    async def work(tx: Transaction) -> tuple[list[Acted], PlanStatus]:
        await confirm(tx)
        await plans.require(tx, plan.id)
        policy = await defaults.effective(tx, repository)
        if policy is None or policy.text != plan.policy:
            return [], await _end(tx, at.now, plan, "The policy was changed or deleted during the run")
        waiting = await plans_store.pending(tx, plan.id, after, BATCH)
        pinned = await pins.names(tx, repository.id) if waiting else frozenset()
        acted = [await _act(tx, at, repository, entry, pinned) for entry in waiting]
        for each in acted:
            await plans_store.set_outcome(tx, plan.id, each.entry.position, each.outcome)
        if len(waiting) == BATCH:
            return acted, PlanStatus.EXECUTING
        return acted, await _end(tx, at.now, plan, None)

    return await db.write(work)


async def _end(tx: Transaction, now: datetime, plan: StoredPlan, error: str | None) -> PlanStatus:
    status = PlanStatus.COMPLETE if error is None else PlanStatus.FAILED
    await plans_store.put(tx, replace(plan, status=status, ended_at=now, error=error))
    if error is None and plan.prefix is None:
        await plans_store.set_evaluated(tx, plan.repository_id, plan.policy, now)
    return status


async def _act(
    tx: Transaction, at: Moment, repository: Repository, entry: Entry, pinned: frozenset[str]
) -> Acted:
    image = await images_store.by_digest(tx, repository.id, entry.digest)
    if image is None or image.id != entry.image_id:
        return Acted(entry, Outcome.GONE, "it was deleted, by the policy or by somebody else")
    tags = await lifecycle_images.tags_of(tx, image.id)
    if image.status is Status.ACTIVATING or entry.fingerprint != fingerprint(
        tags,
        _micros(image.pulled_at),
        image.status is Status.ARCHIVED,
        _micros(image.archived_at),
        _micros(image.activated_at),
    ):
        return Acted(
            entry, Outcome.CHANGED, "it was pulled, tagged, untagged, archived or restored meanwhile"
        )
    if image.subject is not None and await images_store.by_digest(tx, repository.id, image.subject):
        return Acted(entry, Outcome.CHANGED, "the image that it refers to is there")
    if any(tag.name in pinned for tag in tags):
        return Acted(entry, Outcome.REFUSED, "one of its tags is pinned")
    why = await _do(tx, at, repository, entry, image)
    return Acted(entry, Outcome.REFUSED, why) if why else Acted(entry, Outcome.DONE)


def _micros(moment: datetime | None) -> int | None:
    return to_micros(moment) if moment is not None else None


async def _do(tx: Transaction, at: Moment, repository: Repository, entry: Entry, image: Image) -> str | None:
    """Do what an entry says; return why that cannot be done, None once it is."""
    if entry.action is Action.UNTAG:
        for tag in entry.untagged:
            await images_store.remove_tag(tx, repository.id, tag)
        return None
    if entry.action is Action.TRANSITION:
        try:
            await archive.archive_one(tx, at.now, repository, image)
        except ImageStorageClassUpdateNotSupported as error:
            return error.message
        return None
    assert entry.action is Action.EXPIRE
    if image.status is Status.ARCHIVED and (
        image.archived_at is None or at.judged_at - image.archived_at < _ARCHIVE_STAY
    ):
        return f"an archived image stays for at least {ARCHIVE_DAYS} days"
    keep = (
        Retention(at.judged_at + at.keep, f"lifecycle policy, rule {entry.priority}")
        if at.keep is not None
        else None
    )
    failure = await images.remove_image(tx, at.now, repository, image, keep)
    return failure.reason if failure is not None else None
