"""The jobs of lifecycle policies: previews, runs, and the runs that begin by themselves at each interval.

Each may be begun again from any point: a plan that was not ready is made anew, one that was goes on with the entries of
which nothing became yet. A job that lost its lease writes no more. The log tells every run and every image acted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from homeport.database.engine import Database, Transaction
from homeport.images.pulls import PullLog
from homeport.jobs import cron
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind, LeaseLost
from homeport.kernel.clock import Clock, from_micros, to_micros
from homeport.kernel.errors import HomeportError, InvalidParameter
from homeport.lifecycle import plans, plans_store, previews, runs
from homeport.lifecycle.model import Action, Outcome, PlanKind, PlanStatus, StoredPlan
from homeport.lifecycle.plans import Confirm
from homeport.lifecycle.runs import Acted, Moment
from homeport.registry import service as registries
from homeport.repositories import store as repositories
from homeport.repositories.model import Repository
from homeport.telemetry import LIFECYCLE_IMAGES, LIFECYCLE_RUNS, log
from homeport.workers.jobs import Doer, Postponed

TURN = timedelta(seconds=2)
"""For how long one run executes before other jobs have their turn."""
_ATTEMPTS = 5  # a plan that cannot be made or executed so often has failed; the next interval begins another
_PAGE = 50  # repositories looked at in one transaction
_DONE = {
    Action.EXPIRE: "lifecycle_image_expired",
    Action.TRANSITION: "lifecycle_image_archived",
    Action.UNTAG: "lifecycle_image_untagged",
}


class LifecycleJobs:
    """What the kinds of lifecycle jobs do. `judge` is the clock of lifecycle rules.

    With `turn` None a run is not interrupted; `progress` is told (entries executed, entries of the plan).
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        judge: Clock,
        pulls: PullLog,
        *,
        turn: timedelta | None = TURN,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._judge = judge
        self._pulls = pulls
        self._turn = turn
        self._progress = progress

    def doers(self) -> Mapping[str, Doer]:
        """Return what to call for each kind."""
        return {
            Kind.PREVIEW_LIFECYCLE.value: self.preview,
            Kind.RUN_LIFECYCLE.value: self.run,
            Kind.SCHEDULE_LIFECYCLE.value: self.schedule,
        }

    async def begin(self, slot: datetime) -> bool:
        """Begin the runs of the interval since `slot` unless some process did; return whether this one began them."""

        async def work(tx: Transaction) -> bool:
            if not await cron.begin(tx, "lifecycle", slot):
                return False
            await jobs.add(tx, Kind.SCHEDULE_LIFECYCLE, {"slot": to_micros(slot)}, self._clock.now())
            return True

        return await self._db.write(work)

    async def schedule(self, held: Job) -> None:
        """Start a run for each repository with a policy that had none in this interval. Errors: LeaseLost."""
        slot, after, started = from_micros(int(held.subject["slot"])), 0, 0
        while page := await repositories.private(self._db, after, _PAGE):
            after = page[-1].id
            started += await self._db.write(partial(self._start_due, held, page, slot))
        log.info("lifecycle_runs_started", slot=slot.isoformat(), runs=started)

    async def _start_due(self, held: Job, page: list[Repository], slot: datetime, tx: Transaction) -> int:
        await jobs.confirm(tx, held)
        return await runs.start_due(tx, self._clock.now(), page, slot)

    async def preview(self, held: Job) -> None:
        """Make a preview. Errors: LeaseLost, and what keeps a plan from being made, so that it is tried again."""
        plan = await plans_store.find(self._db, int(held.subject["plan"]))
        if plan is None or plan.status is not PlanStatus.PLANNING:
            return
        await self._guarded(held, plan, partial(self._preview, held, plan))

    async def _preview(self, held: Job, plan: StoredPlan) -> None:
        await self._pulls.flush(self._db)
        made = await previews.make_preview(
            self._db, self._clock.now(), self._judge.now(), plan, partial(_confirm, held)
        )
        log.info("lifecycle_preview", preview=plan.id, repository_id=plan.repository_id, **_figures(made))

    async def run(self, held: Job) -> None:
        """Make and execute the plan of a run. Errors: LeaseLost, Postponed, and what keeps it from being done."""
        plan = await plans_store.find(self._db, int(held.subject["plan"]))
        if plan is None or plan.status not in (PlanStatus.PLANNING, PlanStatus.EXECUTING):
            return
        await self._guarded(held, plan, partial(self._run, held, plan))

    async def _guarded(self, held: Job, plan: StoredPlan, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`; the plan has failed when that can never succeed, or did not for too often.

        Work whose plan is gone is done.
        """
        try:
            await work()
        except plans.PlanGone:
            log.info(f"lifecycle_{plan.kind.value}_gone", plan=plan.id, repository_id=plan.repository_id)
        except (LeaseLost, Postponed):
            raise
        except Exception as error:
            if not isinstance(error, InvalidParameter) and held.attempts < _ATTEMPTS:
                raise
            why = error.message if isinstance(error, HomeportError) else f"{type(error).__name__}: {error}"
            await plans.fail(self._db, self._clock.now(), plan, why, partial(_confirm, held))
            tell = log.warning if isinstance(error, HomeportError) else log.exception
            tell(
                f"lifecycle_{plan.kind.value}_failed",
                plan=plan.id,
                repository_id=plan.repository_id,
                reason=why,
            )
            if plan.kind is PlanKind.RUN:
                LIFECYCLE_RUNS.labels("failed").inc()

    async def _run(self, held: Job, plan: StoredPlan) -> None:
        repository = await repositories.by_id(self._db, plan.repository_id)
        if repository is None:
            return
        confirm = partial(_confirm, held)
        if plan.status is PlanStatus.PLANNING:
            await self._pulls.flush(self._db)
            plan = await runs.make_plan(
                self._db, self._clock.now(), self._judge.now(), plan, repository, confirm
            )
        if plan.status is PlanStatus.EXECUTING:
            plan = await self._execute(plan, repository, confirm)
        await self._tell(plan, repository)

    async def _execute(self, plan: StoredPlan, repository: Repository, confirm: Confirm) -> StoredPlan:
        begun, position = self._clock.now(), 0
        last = await plans_store.last_position(self._db, plan.id)
        while True:
            await self._pulls.flush(self._db)
            now = self._clock.now()
            keep = await registries.image_recovery(self._db, repository.account)
            moment = Moment(now, self._judge.now(), keep)
            acted, status = await runs.execute(self._db, moment, plan, repository, position, confirm)
            for each in acted:
                _told(plan, repository, each)
            if acted:
                position = acted[-1].entry.position
            if self._progress is not None:
                self._progress(position, last)
            if status is not PlanStatus.EXECUTING:
                return await plans_store.find(self._db, plan.id) or plan
            if self._turn is not None and self._clock.now() - begun >= self._turn:
                raise Postponed(self._clock.now())

    async def _tell(self, plan: StoredPlan, repository: Repository) -> None:
        outcomes: Counter[str] = Counter()
        acted: Counter[str] = Counter()
        for priority, _, outcome, count in await plans_store.outcomes(self._db, plan.id):
            outcomes[outcome.name.lower() if outcome is not None else "untouched"] += count
            if outcome is Outcome.DONE:
                acted[str(priority)] += count
        seconds = (self._clock.now() - plan.started_at).total_seconds()
        LIFECYCLE_RUNS.labels(plan.status.value).inc()
        log.info(
            "lifecycle_run",
            run=plan.id,
            registry=repository.account,
            repository=repository.name,
            policy="own" if plan.prefix is None else f"inherited from {plan.prefix}",
            status=plan.status.value,
            reason=plan.error,
            seconds=round(seconds, 3),
            outcomes=dict(outcomes),
            acted_by_rule=dict(acted),
            **_figures(plan),
        )


async def _confirm(held: Job, tx: Transaction) -> None:
    await jobs.confirm(tx, held)


def _figures(plan: StoredPlan) -> dict[str, int]:
    totals = plan.totals
    return {
        "examined": totals.examined,
        "expiring": totals.expiring,
        "expiring_bytes": totals.expiring_bytes,
        "transitioning": totals.transitioning,
        "untagging": totals.untagging,
    }


def _told(plan: StoredPlan, repository: Repository, acted: Acted) -> None:
    """Write the line of one image into the log."""
    entry, outcome = acted.entry, acted.outcome
    LIFECYCLE_IMAGES.labels(entry.action.value, outcome.name.lower()).inc()
    named = {
        "run": plan.id,
        "registry": repository.account,
        "repository": repository.name,
        "digest": entry.digest,
        "tags": list(entry.untagged if entry.action is Action.UNTAG else entry.tags),
        "rule": entry.priority,
    }
    if outcome is Outcome.DONE:
        log.info(_DONE[entry.action], **named)
    else:
        log.info(
            "lifecycle_image_left", action=entry.action.value, outcome=outcome.value, why=acted.why, **named
        )
