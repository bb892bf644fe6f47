"""Jobs: leased, retried with back-off, fenced, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from homeport.database import tables
from homeport.database.engine import Transaction
from homeport.jobs import store
from homeport.jobs.model import Job, Kind, LeaseLost
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import StorageFull
from homeport.telemetry import REGISTRY
from homeport.workers.jobs import LEASE, JobWorker, Postponed, backoff
from tests.unit.repositories.registry import Registry

KIND = Kind.SETTLE_BLOBS


def add(registry: Registry, number: int = 1, after: timedelta = timedelta(0)) -> None:
    async def work(tx: Transaction) -> None:
        now = registry.clock.now()
        await store.add(tx, KIND, {"number": number}, now, now + after)

    registry.run(registry.db.write(work))


def worker(registry: Registry, do: Callable[[Job], Awaitable[None]]) -> JobWorker:
    return JobWorker(registry.db, registry.clock, {KIND.value: do})


def take(registry: Registry) -> Job | None:
    """Lease what is due and do nothing about it, as a worker that dies."""

    async def work(tx: Transaction) -> Job | None:
        now = registry.clock.now()
        return await store.lease(tx, now, now + LEASE)

    return registry.run(registry.db.write(work))


def remaining(registry: Registry) -> list[tuple[int, int, str | None]]:
    """(run after, attempts, error) of every job."""
    columns = [column.name for column in tables.job.columns]
    rows = [dict(zip(columns, row, strict=True)) for row in registry.rows(tables.job)]
    return [(row["run_after"], row["attempts"], row["error"]) for row in rows]


class Doer:
    """Does jobs as it is told: each outcome for one job, an exception or None."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.done: list[int] = []

    async def __call__(self, job: Job) -> None:
        self.done.append(job.subject["number"])
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome


def test_jobs_are_done_in_order_and_are_gone(registry: Registry) -> None:
    for number in (1, 2, 3):
        add(registry, number)
    doer = Doer()

    assert registry.run(worker(registry, doer).run_due()) == 3

    assert doer.done == [1, 2, 3]
    assert remaining(registry) == []


def test_a_job_waits_until_it_is_due(registry: Registry) -> None:
    add(registry, after=timedelta(minutes=1))
    doer = Doer()

    assert registry.run(worker(registry, doer).run_due()) == 0
    registry.clock.advance(60)
    assert registry.run(worker(registry, doer).run_due()) == 1


def test_a_job_of_a_transaction_that_failed_never_was(registry: Registry) -> None:
    async def work(tx: Transaction) -> None:
        await store.add(tx, KIND, {"number": 1}, registry.clock.now())
        raise StorageFull("no room")

    with pytest.raises(StorageFull):
        registry.run(registry.db.write(work))

    assert remaining(registry) == []


def test_a_failed_job_is_tried_again_ever_more_slowly(registry: Registry) -> None:
    add(registry)
    doer = Doer(StorageFull("no room"), OSError("broken"), None)
    one = worker(registry, doer)

    registry.run(one.run_due())
    assert remaining(registry) == [(to_micros(registry.clock.now() + timedelta(seconds=1)), 1, "no room")]
    assert registry.run(one.run_due()) == 0
    registry.clock.advance(1)
    registry.run(one.run_due())
    due = to_micros(registry.clock.now() + timedelta(seconds=2))
    assert remaining(registry) == [(due, 2, "OSError: broken")]
    registry.clock.advance(2)
    registry.run(one.run_due())

    assert doer.done == [1, 1, 1]
    assert remaining(registry) == []


def test_waits_double_up_to_ten_minutes() -> None:
    waits = [backoff(attempts).total_seconds() for attempts in range(1, 13)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert backoff(10**9) == timedelta(minutes=10)


def test_a_job_of_a_kind_that_nobody_knows_stays_and_says_so(registry: Registry) -> None:
    add(registry)

    registry.run(JobWorker(registry.db, registry.clock, {}).run_due())

    [(_, attempts, error)] = remaining(registry)
    assert attempts == 1
    assert error is not None
    assert "settle-blobs" in error


def test_a_postponed_job_has_not_failed(registry: Registry) -> None:
    add(registry)
    until = registry.clock.now() + timedelta(hours=1)

    registry.run(worker(registry, Doer(Postponed(until))).run_due())

    assert remaining(registry) == [(to_micros(until), 0, None)]


def test_what_became_of_jobs_is_counted(registry: Registry) -> None:
    def counted() -> list[float]:
        return [
            REGISTRY.get_sample_value("homeport_jobs_total", {"kind": KIND.value, "outcome": outcome}) or 0
            for outcome in ("done", "failed", "postponed")
        ]

    before = counted()
    for number in (1, 2, 3):
        add(registry, number)
    until = registry.clock.now() + timedelta(hours=1)
    one = worker(registry, Doer(None, StorageFull("no room"), Postponed(until)))

    registry.run(one.run_due())
    registry.run(one.run_due())

    assert [after - then for after, then in zip(counted(), before, strict=True)] == [1, 1, 1]
    assert REGISTRY.get_sample_value("homeport_jobs_waiting") == 2


def test_a_leased_job_is_left_to_its_worker_until_the_lease_ends(registry: Registry) -> None:
    add(registry)
    first = take(registry)
    doer = Doer()
    assert first is not None

    assert registry.run(worker(registry, doer).run_due()) == 0
    registry.clock.advance(LEASE.total_seconds())
    assert registry.run(worker(registry, doer).run_due()) == 1

    assert doer.done == [1]
    assert remaining(registry) == []


def test_two_workers_never_hold_the_same_job(registry: Registry) -> None:
    for number in range(5):
        add(registry, number)

    held = [take(registry) for _ in range(6)]

    numbers = [job.subject["number"] for job in held if job is not None]
    assert numbers == [0, 1, 2, 3, 4]
    assert held[5] is None


def test_a_slow_worker_can_do_nothing_in_the_name_of_its_successor(registry: Registry) -> None:
    add(registry)
    slow = take(registry)
    registry.clock.advance(LEASE.total_seconds())
    successor = take(registry)
    assert slow is not None
    assert successor is not None
    assert successor.fence > slow.fence

    later = registry.clock.now() + LEASE

    async def refused(what: Callable[[Transaction], Awaitable[None]]) -> None:
        async def work(tx: Transaction) -> None:
            await what(tx)

        with pytest.raises(LeaseLost):
            await registry.db.write(work)

    registry.run(refused(lambda tx: store.confirm(tx, slow)))
    registry.run(refused(lambda tx: store.renew(tx, slow, later)))
    registry.run(refused(lambda tx: store.later(tx, slow, later, "mine", 1)))
    registry.run(refused(lambda tx: store.finish(tx, slow)))
    registry.run(registry.db.write(lambda tx: store.finish(tx, successor)))
    assert remaining(registry) == []


def test_a_worker_whose_lease_ended_meanwhile_leaves_the_job_alone(registry: Registry) -> None:
    add(registry)

    async def overtaken(job: Job) -> None:
        async def work(tx: Transaction) -> None:
            registry.clock.advance(LEASE.total_seconds())
            await store.lease(tx, registry.clock.now(), registry.clock.now() + LEASE)

        await registry.db.write(work)

    registry.run(worker(registry, overtaken).run_one())

    assert remaining(registry) == [(to_micros(registry.clock.now() + LEASE), 2, None)]


def test_a_worker_that_is_stopped_gives_its_job_back_at_once(registry: Registry) -> None:
    add(registry)
    stopped: list[bool] = []

    async def scenario() -> None:
        begun = asyncio.Event()

        async def endless(job: Job) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)

        running = asyncio.create_task(worker(registry, endless).run_due())
        await begun.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    registry.run(scenario())

    assert stopped == [True]
    assert remaining(registry) == [(to_micros(registry.clock.now()), 0, None)]
