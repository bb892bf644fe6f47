"""The jobs of lifecycle policies: what changes under a run's feet, dies in its midst, or is not its own any more."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from homeport.collection import drain
from homeport.database import tables
from homeport.database.engine import Database, Transaction
from homeport.images import archive, pins, recycle
from homeport.images import service as images
from homeport.images import store as images_store
from homeport.images.model import Image, ImageId, Status
from homeport.images.pulls import PullLog
from homeport.jobs import cron
from homeport.jobs import store as jobs
from homeport.jobs.model import Job, Kind, LeaseLost
from homeport.kernel.clock import LaterClock
from homeport.kernel.errors import (
    LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress,
    LifecycleRunInProgress,
    LifecycleRunNotFound,
)
from homeport.kernel.names import RepositoryName
from homeport.lifecycle import defaults, plans, plans_store, previews, rules, runs
from homeport.lifecycle import service as lifecycle
from homeport.lifecycle import store as policies
from homeport.lifecycle.model import Outcome, PlanKind, PlanStatus, PreviewStatus, Reason, StoredPlan
from homeport.lifecycle.runs import BATCH, Moment
from homeport.registry import service as registries
from homeport.registry.model import Setting
from homeport.repositories import service as repositories
from homeport.repositories import store as repositories_store
from homeport.repositories.model import Repository, Settings
from homeport.telemetry import REGISTRY
from homeport.workers.jobs import LEASE, JobWorker, Postponed
from homeport.workers.lifecycle import LifecycleJobs
from tests.unit.repositories.registry import ACCOUNT, ALICE, Registry, index_of, manifest_of

SOON = timedelta(days=30)


def policy(count: str = "sinceImagePushed", number: int = 14, action: str = "expire", **more: Any) -> str:
    unit = {} if count == "imageCountMoreThan" else {"countUnit": "days"}
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    selection = {"tagStatus": "any", "countType": count, "countNumber": number, **unit, **more}
    rule = {"rulePriority": 1, "selection": selection, "action": {"type": action, **target}}
    return json.dumps({"rules": [rule]})


class Bench:
    """A repository with a policy on a clock that is a month ahead, and a worker for its jobs."""

    def __init__(self, registry: Registry, text: str | None = None, ahead: timedelta = SOON) -> None:
        self.registry = registry
        self.repository = registry.repository()
        self.pulls = PullLog()
        self.judge = LaterClock(registry.clock, ahead)
        self.jobs = LifecycleJobs(registry.db, registry.clock, self.judge, self.pulls)
        self.worker = JobWorker(registry.db, registry.clock, self.jobs.doers())
        self.put(text or policy())

    def put(self, text: str) -> None:
        self.registry.run(lifecycle.put(self.registry.db, self.repository, text, extended=True))

    def start(self) -> int:
        return self.registry.run(runs.start_run(self.registry.db, self.registry.clock.now(), self.repository))

    def run(self) -> StoredPlan:
        """Start a run and do it to its end."""
        plan_id = self.start()
        self.work()
        return self.plan(plan_id)

    def work(self) -> None:
        while self.registry.run(self.worker.run_due()):
            pass

    def planned(self) -> StoredPlan:
        """A run whose plan is made and of which nothing was executed yet."""
        plan = self.plan(self.start())
        now = self.registry.clock.now()
        return self.registry.run(
            runs.make_plan(self.registry.db, now, self.judge.now(), plan, self.repository, _nothing)
        )

    def plan(self, plan_id: int) -> StoredPlan:
        found = self.registry.run(plans_store.find(self.registry.db, plan_id))
        assert found is not None
        return found

    def outcomes(self, plan: StoredPlan) -> list[Outcome | None]:
        entries = self.registry.run(runs.entries(self.registry.db, plan.id, 0, 1000))
        return [entry.outcome for entry in entries]

    def there(self) -> set[str]:
        rows = self.registry.rows(tables.image)
        column = list(tables.image.columns).index(tables.image.c.digest)
        return {row[column] for row in rows}

    def write(self, work: Callable[[Transaction], Any]) -> None:
        self.registry.run(self.registry.db.write(work))


async def _nothing(_: Transaction) -> None:
    """Anybody may write."""


def lease(registry: Registry) -> Job:
    """Take the job that is due, as a worker does."""

    async def work(tx: Transaction) -> Job | None:
        now = registry.clock.now()
        return await jobs.lease(tx, now, now + LEASE)

    held = registry.run(registry.db.write(work))
    assert held is not None
    return held


# --- Unchanged since it was planned ---


def test_an_image_that_was_pulled_since_the_plan_stays(registry: Registry) -> None:
    bench = Bench(registry, policy("sinceImagePulled", 14))
    pulled, idle = registry.image(bench.repository, "a", "a"), registry.image(bench.repository, "b", "b")
    plan = bench.planned()
    registry.clock.advance(1)

    bench.pulls.note(pulled.id, None, registry.clock.now())  # noted in memory; nothing has written it yet
    bench.work()

    assert bench.outcomes(plan) == [Outcome.CHANGED, Outcome.DONE]
    assert bench.there() == {pulled.digest}
    assert idle.digest not in bench.there()


def test_an_image_that_was_tagged_or_lost_a_tag_since_the_plan_stays(registry: Registry) -> None:
    bench = Bench(registry)
    tagged = registry.image(bench.repository, "a")
    untagged = registry.image(bench.repository, "b", "one")
    other = registry.image(bench.repository, "c", "two")
    plan = bench.planned()

    registry.image(bench.repository, "a", "release")

    async def lose(tx: Transaction) -> None:
        await images_store.remove_tag(tx, bench.repository.id, "one")

    bench.write(lose)
    bench.work()

    assert bench.outcomes(plan) == [Outcome.CHANGED, Outcome.CHANGED, Outcome.DONE]
    assert bench.there() == {tagged.digest, untagged.digest}
    assert other.digest not in bench.there()


def test_a_tag_that_was_moved_away_and_back_since_the_plan_protects_its_image(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "latest")
    plan = bench.planned()

    registry.clock.advance(60)
    registry.image(bench.repository, "b", "latest")
    registry.image(bench.repository, "a", "latest")
    bench.work()

    assert bench.outcomes(plan) == [Outcome.CHANGED]
    assert image.digest in bench.there()


def test_an_image_that_was_deleted_and_pushed_again_since_the_plan_is_another_one(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    plan = bench.planned()

    now = registry.clock.now()
    registry.run(images.delete(registry.db, now, bench.repository, [ImageId(tag="v1")]))
    registry.image(bench.repository, "a", "v1")
    bench.work()

    assert bench.outcomes(plan) == [Outcome.GONE]
    assert bench.there() == {image.digest}


@pytest.mark.parametrize(
    "text",
    [
        policy(),
        policy(action="transition"),
        policy("sinceTagged", action="untag", tagStatus="tagged", tagPatternList=["v*"]),
    ],
    ids=["expire", "transition", "untag"],
)
def test_an_image_whose_tag_was_pinned_since_the_plan_stays(registry: Registry, text: str) -> None:
    bench = Bench(registry, text)
    image = registry.image(bench.repository, "a", "v1")
    plan = bench.planned()

    registry.run(pins.pin(registry.db, registry.clock.now(), bench.repository, "v1", ALICE))
    bench.work()

    assert bench.outcomes(plan) == [Outcome.REFUSED]
    found = registry.run(images_store.by_tag(registry.db, bench.repository.id, "v1"))
    assert (found.digest, found.status) == (image.digest, Status.ACTIVE) if found else False


def test_an_image_that_an_index_names_since_the_plan_stays(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    plan = bench.planned()

    index = registry.put(bench.repository, index_of(image), "multi")
    bench.work()

    assert bench.outcomes(plan) == [Outcome.REFUSED]
    assert bench.there() == {image.digest, index.digest}


def referrer_of(registry: Registry, repository: Repository, subject: Image, content: str = "sig") -> Image:
    config = f'{{"signs": "{content}"}}'.encode()
    registry.blob(repository, config)
    near = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.manifest_size}
    return registry.put(repository, manifest_of(config, [], subject=near))


def test_a_signature_stays_when_what_it_signs_does(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    signature = referrer_of(registry, bench.repository, image)
    plan = bench.planned()

    registry.image(bench.repository, "a", "v2")
    bench.work()

    assert bench.outcomes(plan) == [Outcome.CHANGED, Outcome.CHANGED]
    assert bench.there() == {image.digest, signature.digest}


def test_an_image_that_was_archived_since_the_plan_stays_for_its_ninety_days(registry: Registry) -> None:
    bench = Bench(registry, ahead=timedelta(days=200))
    image = registry.image(bench.repository, "a", "v1")
    plan = bench.planned()

    async def move(tx: Transaction) -> None:
        await archive.archive_one(tx, registry.clock.now(), bench.repository, image)

    bench.write(move)
    registry.run(bench.worker.run_due())

    assert bench.outcomes(plan) == [Outcome.CHANGED]
    assert bench.there() == {image.digest}


def test_whoever_deletes_a_policy_stops_its_run(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    plan = bench.planned()

    registry.run(lifecycle.delete(registry.db, bench.repository))
    bench.work()

    stopped = bench.plan(plan.id)
    assert (stopped.status, bench.outcomes(plan)) == (PlanStatus.FAILED, [None])
    assert stopped.error is not None
    assert bench.there() == {image.digest}


# --- Dying, leases, turns ---


def many(bench: Bench, count: int) -> set[str]:
    return {
        bench.registry.image(bench.repository, str(number), f"v{number}").digest for number in range(count)
    }


def test_a_run_goes_on_where_a_dead_worker_left_it(registry: Registry) -> None:
    bench = Bench(registry)
    many(bench, BATCH + 10)
    plan = bench.planned()
    lease(registry)  # by a worker that executes one batch and dies
    at = Moment(registry.clock.now(), bench.judge.now(), None)
    acted, status = registry.run(runs.execute(registry.db, at, plan, bench.repository, 0, _nothing))
    assert (len(acted), status) == (BATCH, PlanStatus.EXECUTING)
    assert len(bench.there()) == 10

    bench.work()
    assert bench.plan(plan.id).status is PlanStatus.EXECUTING  # its lease still holds
    registry.clock.advance(LEASE.total_seconds())
    bench.work()

    assert bench.plan(plan.id).status is PlanStatus.COMPLETE
    assert bench.outcomes(plan) == [Outcome.DONE] * (BATCH + 10)
    assert bench.there() == set()


def test_a_plan_whose_maker_died_is_made_anew(registry: Registry) -> None:
    bench = Bench(registry)
    many(bench, 3)
    plan = bench.plan(bench.start())
    made = registry.run(
        plans.make(registry.db, bench.judge.now(), plan, plan.policy, _nothing)
    )  # and then nothing told that it was ready
    assert made.expiring == 3
    late = registry.image(bench.repository, "late", "v9")

    bench.work()

    assert bench.plan(plan.id).totals.expiring == 4
    assert bench.outcomes(plan) == [Outcome.DONE] * 4
    assert late.digest not in bench.there()


def test_a_worker_that_lost_its_lease_does_nothing_any_more(registry: Registry) -> None:
    bench = Bench(registry)
    digests = many(bench, 3)
    plan = bench.planned()
    slow = lease(registry)
    registry.clock.advance(LEASE.total_seconds())
    lease(registry)

    with pytest.raises(LeaseLost):
        registry.run(bench.jobs.run(slow))

    assert bench.there() == digests
    assert bench.outcomes(plan) == [None] * 3


def test_a_long_run_gives_other_jobs_their_turn(registry: Registry) -> None:
    bench = Bench(registry)
    many(bench, BATCH + 1)
    bench.jobs = LifecycleJobs(registry.db, registry.clock, bench.judge, bench.pulls, turn=timedelta(0))
    plan_id = bench.start()
    held = lease(registry)

    with pytest.raises(Postponed) as postponed:
        registry.run(bench.jobs.run(held))

    assert postponed.value.until == registry.clock.now()
    assert len(bench.there()) == 1
    assert bench.plan(plan_id).status is PlanStatus.EXECUTING
    registry.run(bench.jobs.run(held))
    assert bench.plan(plan_id).status is PlanStatus.COMPLETE


def test_whoever_asks_for_many_explanations_does_not_keep_others_waiting(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    begun, others_are_served = threading.Event(), threading.Event()

    def slow(*_: object) -> list[Reason]:
        begun.set()
        assert others_are_served.wait(20)
        return []

    monkeypatch.setattr(rules, "explain", slow)

    async def ask() -> None:
        wanted = ImageId(digest=image.digest)
        asked = [
            asyncio.create_task(runs.explain(registry.db, bench.judge.now(), bench.repository, wanted))
            for _ in range(40)
        ]
        await asyncio.wait_for(asyncio.to_thread(begun.wait), 10)
        judging = plans.judge(registry.db, bench.judge.now(), bench.repository.id, policy())
        judged = await asyncio.wait_for(judging, 10)
        await asyncio.wait_for(asyncio.to_thread(begun.is_set), 10)
        others_are_served.set()
        await asyncio.gather(*asked)
        assert len(judged.entries) == 1

    registry.run(ask())


class Deleting(PullLog):
    """Deletes a repository when pulls are written, which is what a job does last before it judges."""

    def __init__(self, registry: Registry, repository: Repository) -> None:
        super().__init__()
        self._registry = registry
        self._name = repository.name

    async def flush(self, db: Database) -> None:
        if await repositories.find(db, ACCOUNT, self._name) is not None:
            await repositories.delete(db, self._registry.clock.now(), ACCOUNT, self._name, force=True)


@pytest.mark.parametrize("kind", list(PlanKind))
def test_work_on_a_repository_that_is_deleted_meanwhile_is_over_and_no_failure(
    registry: Registry, kind: PlanKind
) -> None:
    bench = Bench(registry)
    registry.image(bench.repository, "a", "v1")
    registry.run(defaults.put_default(registry.db, registry.clock.now(), ACCOUNT, "ROOT", policy()))
    if kind is PlanKind.RUN:
        bench.start()
    else:
        now = registry.clock.now()
        registry.run(previews.start_preview(registry.db, now, bench.repository, policy()))
    job = f"{kind.value}-lifecycle"
    failed = REGISTRY.get_sample_value("homeport_jobs_total", {"kind": job, "outcome": "failed"})

    doers = LifecycleJobs(
        registry.db, registry.clock, bench.judge, Deleting(registry, bench.repository)
    ).doers()
    registry.run(JobWorker(registry.db, registry.clock, doers).run_due())

    assert registry.rows(tables.job) == []
    assert registry.rows(tables.lifecycle_plan) == []
    assert REGISTRY.get_sample_value("homeport_jobs_total", {"kind": job, "outcome": "failed"}) == failed


def test_no_entry_is_written_to_a_plan_that_is_gone(registry: Registry) -> None:
    bench = Bench(registry)
    registry.image(bench.repository, "a", "v1")
    plan = bench.plan(bench.start())

    async def delete_first(tx: Transaction) -> None:
        await drain.detach(tx, bench.repository.id)
        await drain.step(tx, bench.repository.id, registry.clock.now())

    with pytest.raises(plans.PlanGone):
        registry.run(plans.make(registry.db, bench.judge.now(), plan, plan.policy, delete_first))


def test_a_run_of_a_repository_that_was_deleted_is_over(registry: Registry) -> None:
    bench = Bench(registry)
    bench.start()
    now = registry.clock.now()
    registry.run(repositories.delete(registry.db, now, ACCOUNT, bench.repository.name, force=True))

    bench.work()

    assert registry.rows(tables.job) == []
    assert registry.rows(tables.lifecycle_plan) == []


def store_text(bench: Bench, text: str) -> None:
    async def work(tx: Transaction) -> None:
        await policies.set_policy(tx, bench.repository.id, text)

    bench.write(work)


def test_a_policy_that_cannot_be_read_any_more_fails_its_run_and_its_preview(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    store_text(bench, '{"rules": [{"made": "by a later version"}]}')

    failed = bench.run()
    registry.run(previews.start_preview(registry.db, registry.clock.now(), bench.repository, None))
    bench.work()
    preview = registry.run(previews.newest_preview(registry.db, bench.repository))

    assert failed.status is PlanStatus.FAILED
    assert failed.error is not None
    assert "validation failure" in failed.error
    assert previews.status_at(preview, registry.clock.now()) is PreviewStatus.FAILED
    assert registry.rows(tables.job) == []
    assert bench.there() == {image.digest}


def test_a_plan_that_cannot_be_made_for_long_has_failed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(registry)
    plan_id = bench.start()

    async def broken(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(plans, "judge", broken)
    for _ in range(5):
        bench.work()
        registry.clock.advance(60)

    assert bench.plan(plan_id).status is PlanStatus.FAILED
    assert bench.plan(plan_id).error == "OSError: the disk is gone"
    assert registry.rows(tables.job) == []


# --- What comes of it ---


def test_a_run_tells_when_the_policy_was_evaluated(registry: Registry) -> None:
    bench = Bench(registry)
    registry.clock.advance(5)

    ran = bench.run()

    assert ran.ended_at == registry.clock.now()
    stored = registry.run(lifecycle.get(registry.db, bench.repository))
    assert stored.evaluated_at == registry.clock.now()


def test_expired_images_are_kept_for_as_long_as_the_registry_says(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")
    registry.run(
        registries.put_setting(registry.db, registry.clock.now(), ACCOUNT, Setting.IMAGE_RECOVERY, "3")
    )

    bench.run()

    judged = bench.judge.now()
    find = partial(recycle.find, registry.db)
    kept = registry.run(find(judged + timedelta(days=2), bench.repository, image.digest))
    assert kept is not None
    assert (kept.tags, kept.deleted_by) == (("v1",), "lifecycle policy, rule 1")
    assert registry.run(find(judged + timedelta(days=3), bench.repository, image.digest)) is None


def test_explanations_come_with_the_policy_that_acts(registry: Registry) -> None:
    bench = Bench(registry)
    image = registry.image(bench.repository, "a", "v1")

    acting, found, reasons = registry.run(
        runs.explain(registry.db, bench.judge.now(), bench.repository, ImageId(tag="v1"))
    )

    assert (acting.prefix, found.digest) == (None, image.digest)
    assert [reason.verdict.name for reason in reasons] == ["ACTED_ON"]


# --- Starting ---


def test_a_repository_has_one_run_at_a_time(registry: Registry) -> None:
    bench = Bench(registry)
    first = bench.start()

    with pytest.raises(LifecycleRunInProgress):
        bench.start()
    bench.work()

    assert bench.start() > first


def test_without_any_policy_there_is_no_run(registry: Registry) -> None:
    bench = Bench(registry)
    registry.run(lifecycle.delete(registry.db, bench.repository))

    with pytest.raises(LifecyclePolicyNotFound):
        bench.start()


def test_a_run_belongs_to_its_repository(registry: Registry) -> None:
    bench = Bench(registry)
    other, plan_id = registry.repository("shop/other"), bench.start()

    with pytest.raises(LifecycleRunNotFound):
        registry.run(runs.run(registry.db, other, plan_id))
    assert registry.run(runs.run(registry.db, bench.repository, plan_id)).id == plan_id


def test_a_command_takes_over_the_run_of_a_dead_server_but_not_of_a_living_one(registry: Registry) -> None:
    bench = Bench(registry)
    plan_id = bench.start()
    lease(registry)

    def hold() -> tuple[StoredPlan, Job]:
        now = registry.clock.now()
        return registry.run(runs.hold_run(registry.db, now, now + LEASE, bench.repository))

    with pytest.raises(LifecycleRunInProgress):
        hold()
    registry.clock.advance(LEASE.total_seconds())
    plan, held = hold()

    assert plan.id == plan_id
    registry.run(bench.worker.do(held))
    assert bench.plan(plan_id).status is PlanStatus.COMPLETE
    assert registry.rows(tables.job) == []


def slots(registry: Registry, *processes: Bench) -> list[bool]:
    slot = cron.slot_at(registry.clock.now(), timedelta(hours=1))
    return [registry.run(each.jobs.begin(slot)) for each in processes]


def test_of_several_processes_one_begins_an_interval_and_each_policy_runs_once(registry: Registry) -> None:
    bench = Bench(registry)
    inheriting = registry.repository("team/app")
    registry.repository("other/none")
    now = registry.clock.now()
    registry.run(defaults.put_default(registry.db, now, ACCOUNT, "team", policy("imageCountMoreThan", 5)))

    def ran(repository: Repository) -> int:
        return len(registry.run(runs.runs(registry.db, repository, 2**62, 10)))

    assert slots(registry, bench, bench) == [True, False]
    bench.work()
    assert (ran(bench.repository), ran(inheriting)) == (1, 1)

    registry.clock.advance(3600)
    bench.run()  # by hand, in the new interval: enough for it
    assert slots(registry, bench) == [True]
    bench.work()
    assert (ran(bench.repository), ran(inheriting)) == (2, 2)


def test_what_somebody_waits_for_goes_before_the_runs_of_the_interval(registry: Registry) -> None:
    bench = Bench(registry)
    slots(registry, bench)
    registry.run(bench.worker.run_one())  # the run of each policy is started now
    registry.clock.advance(1)

    start_preview(bench)

    assert lease(registry).kind == Kind.PREVIEW_LIFECYCLE.value
    assert lease(registry).kind == Kind.RUN_LIFECYCLE.value


def test_no_policy_acts_on_a_public_repository(registry: Registry) -> None:
    bench = Bench(registry)
    now, name = registry.clock.now(), RepositoryName("team/app")

    async def add(tx: Transaction) -> None:
        await repositories_store.add(tx, ACCOUNT, name, Settings(), now, public=True)

    bench.write(add)
    public = registry.run(repositories.get(registry.db, ACCOUNT, name, public=True))
    registry.run(defaults.put_default(registry.db, now, ACCOUNT, "ROOT", policy()))

    slots(registry, bench)
    bench.work()

    assert len(registry.rows(tables.lifecycle_plan)) == 1  # of the private one
    assert registry.run(runs.runs(registry.db, public, 2**62, 10)) == []
    with pytest.raises(LifecyclePolicyNotFound):
        registry.run(runs.start_run(registry.db, now, public))


def test_images_and_runs_are_counted(registry: Registry) -> None:
    def counted() -> list[float]:
        done = {"action": "expire", "outcome": "done"}
        return [
            REGISTRY.get_sample_value("homeport_lifecycle_images_total", done) or 0,
            REGISTRY.get_sample_value("homeport_lifecycle_runs_total", {"outcome": "complete"}) or 0,
        ]

    bench = Bench(registry)
    many(bench, 3)
    before = counted()

    bench.run()

    assert [after - then for after, then in zip(counted(), before, strict=True)] == [3, 1]


# --- Previews and old plans ---


def start_preview(bench: Bench, text: str | None = None) -> StoredPlan:
    now = bench.registry.clock.now()
    return bench.registry.run(previews.start_preview(bench.registry.db, now, bench.repository, text))


def test_a_preview_does_not_begin_while_another_one_runs(registry: Registry) -> None:
    bench = Bench(registry)
    start_preview(bench)

    with pytest.raises(LifecyclePolicyPreviewInProgress):
        start_preview(bench)
    bench.work()
    start_preview(bench)


def test_a_preview_expires_after_a_day(registry: Registry) -> None:
    bench = Bench(registry)
    start_preview(bench)
    bench.work()

    def status(now: datetime) -> PreviewStatus:
        return previews.status_at(registry.run(previews.newest_preview(registry.db, bench.repository)), now)

    now = registry.clock.now()
    assert status(now + timedelta(hours=24, seconds=-1)) is PreviewStatus.COMPLETE
    assert status(now + timedelta(hours=24)) is PreviewStatus.EXPIRED


def test_a_preview_shows_the_inherited_policy_of_a_repository_without_its_own(registry: Registry) -> None:
    bench = Bench(registry)
    registry.run(lifecycle.delete(registry.db, bench.repository))
    text = policy("imageCountMoreThan", 5)
    registry.run(defaults.put_default(registry.db, registry.clock.now(), ACCOUNT, "ROOT", text))

    assert (started := start_preview(bench)).prefix == "ROOT"
    assert started.policy == text


def test_former_previews_go_with_all_their_entries(registry: Registry) -> None:
    bench = Bench(registry)
    many(bench, 3)
    for _ in range(2):
        start_preview(bench)
        bench.work()

    assert len(registry.rows(tables.lifecycle_plan)) == 1
    assert len(registry.rows(tables.lifecycle_entry)) == 3


def test_runs_are_remembered_for_a_month_and_empty_ones_for_a_day(registry: Registry) -> None:
    bench = Bench(registry)
    many(bench, 2)
    acted = bench.run()
    bench.run()

    def sweep(after: timedelta) -> list[int]:
        registry.run(plans.sweep(registry.db, acted.started_at + after))
        found = registry.run(plans_store.page(registry.db, bench.repository.id, PlanKind.RUN, 2**62, 10))
        return [plan.id for plan in found]

    assert len(sweep(timedelta(hours=23))) == 2
    assert sweep(timedelta(days=2)) == [acted.id]
    assert sweep(timedelta(days=31)) == []
    assert registry.rows(tables.lifecycle_entry) == []
