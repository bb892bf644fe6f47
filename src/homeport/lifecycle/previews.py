"""Use cases of previews: what a policy would do, found out in a job and kept for a day.

Callers have authorised already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from homeport.database.engine import Database, Reader, Transaction
from homeport.images import service as images
from homeport.images.model import Failure, ImageId
from homeport.jobs import store as jobs
from homeport.jobs.model import Kind
from homeport.kernel import limits
from homeport.kernel.errors import (
    LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress,
    LifecyclePolicyPreviewNotFound,
)
from homeport.lifecycle import defaults, plans, plans_store
from homeport.lifecycle.model import (
    EffectivePolicy,
    Entry,
    PlanKind,
    PlanStatus,
    PreviewStatus,
    StoredPlan,
)
from homeport.lifecycle.plans import AHEAD, Confirm
from homeport.lifecycle.policies import read_policy
from homeport.lifecycle.service import present
from homeport.repositories.model import Repository

_LIFE = timedelta(hours=24)
_OLDER = 100
_STATUS = {
    PlanStatus.PLANNING: PreviewStatus.IN_PROGRESS,
    PlanStatus.COMPLETE: PreviewStatus.COMPLETE,
    PlanStatus.FAILED: PreviewStatus.FAILED,
}


async def start_preview(
    db: Database,
    now: datetime,
    repository: Repository,
    text: str | None,
    *,
    extended: bool = False,
    most_rules: int = limits.LIFECYCLE_RULES,
) -> StoredPlan:
    """Start a preview of `text`, or with None of the policy that acts on the repository.

    `extended` and `most_rules` as for `service.put`. Errors: InvalidParameter, LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress, RepositoryNotFound.
    """
    if text is not None:
        read_policy(text, extended=extended, most_rules=most_rules)

    async def work(tx: Transaction) -> StoredPlan:
        await present(tx, repository)
        newest = await plans_store.newest(tx, repository.id, PlanKind.PREVIEW)
        if newest is not None and newest.status is PlanStatus.PLANNING:
            raise LifecyclePolicyPreviewInProgress(
                "A lifecycle policy preview is in progress for the repository with name "
                f"'{repository.name}' in the registry with id '{repository.account}'"
            )
        policy = EffectivePolicy(text, None) if text is not None else await defaults.effective(tx, repository)
        if policy is None:
            raise LifecyclePolicyNotFound(repository.name, repository.account)
        plan_id = await plans_store.add(tx, repository.id, PlanKind.PREVIEW, policy.text, policy.prefix, now)
        await jobs.add(tx, Kind.PREVIEW_LIFECYCLE, {"plan": plan_id}, now, now - AHEAD)
        started = await plans_store.find(tx, plan_id)
        assert started is not None
        return started

    return await db.write(work)


async def make_preview(
    db: Database, now: datetime, judged_at: datetime, plan: StoredPlan, confirm: Confirm
) -> StoredPlan:
    """Find out what the policy of the preview `plan` would do at `judged_at`; former previews go.

    Errors: InvalidParameter when it is no policy, PlanGone, those of `confirm`.
    """
    while former := await plans_store.older(db, plan.repository_id, PlanKind.PREVIEW, plan.id, _OLDER):
        for each in former:
            await plans.remove(db, each)
    totals = await plans.make(db, judged_at, plan, plan.policy, confirm)
    made = replace(plan, status=PlanStatus.COMPLETE, totals=totals, ended_at=now)

    async def work(tx: Transaction) -> None:
        await confirm(tx)
        await plans.require(tx, plan.id)
        await plans_store.put(tx, made)

    await db.write(work)
    return made


async def newest_preview(reader: Reader, repository: Repository) -> StoredPlan:
    """Return the newest preview, however far it is. Errors: LifecyclePolicyPreviewNotFound."""
    found = await plans_store.newest(reader, repository.id, PlanKind.PREVIEW)
    if found is None:
        raise LifecyclePolicyPreviewNotFound(repository.name, repository.account)
    return found


def status_at(plan: StoredPlan, now: datetime) -> PreviewStatus:
    """Return how far a preview is; one of yesterday has expired."""
    if plan.status is not PlanStatus.PLANNING and now - plan.started_at >= _LIFE:
        return PreviewStatus.EXPIRED
    return _STATUS[plan.status]


async def named(
    reader: Reader, repository: Repository, plan: StoredPlan, wanted: Sequence[ImageId]
) -> list[Entry]:
    """Return the entries of the named images, each once; images that the plan leaves alone have none."""
    found: dict[int, Entry] = {}
    for item in wanted:
        image = await images.resolve(reader, repository, item)
        if isinstance(image, Failure):
            continue
        entry = await plans_store.entry_of(reader, plan.id, image.digest)
        if entry is not None:
            found[entry.position] = entry
    return [found[position] for position in sorted(found)]
