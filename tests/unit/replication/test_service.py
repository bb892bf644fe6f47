"""Backfills that are under way, as an engine would leave them: limits, stopping, forgetting."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from homeport.database.engine import Transaction
from homeport.kernel.errors import (
    LimitExceeded,
    ReplicationBackfillInProgress,
    ReplicationBackfillInvalidStatus,
    ReplicationBackfillNotFound,
)
from homeport.replication import service, store
from homeport.replication.model import Backfill, BackfillStatus, Destination, Rule
from tests.unit.repositories.registry import ACCOUNT, Registry

HOME = Destination("eu-central-1", ACCOUNT)
DAY = 24 * 3600


def place(number: int) -> Destination:
    return Destination(f"region-{number}", ACCOUNT)


def configure(registry: Registry, count: int) -> None:
    rules = [Rule(tuple(place(number) for number in range(count)), None, None)]
    registry.run(service.configure(registry.db, registry.clock.now(), HOME, rules))


def start(registry: Registry, number: int) -> Backfill:
    return registry.run(service.start_backfill(registry.db, registry.clock.now(), ACCOUNT, place(number)))


def under_way(
    registry: Registry, number: int, status: BackfillStatus = BackfillStatus.IN_PROGRESS
) -> Backfill:
    """A backfill that some engine is working at."""
    made = Backfill(str(uuid.uuid4()), ACCOUNT, place(number), status, None, registry.clock.now(), None)

    async def work(tx: Transaction) -> None:
        await store.add(tx, made)

    registry.run(registry.db.write(work))
    return made


def stop(registry: Registry, backfill: Backfill) -> Backfill:
    return registry.run(service.stop_backfill(registry.db, registry.clock.now(), ACCOUNT, backfill.id))


def find(registry: Registry, backfill: Backfill) -> Backfill:
    return registry.run(service.backfill(registry.db, registry.clock.now(), ACCOUNT, backfill.id))


def test_a_region_has_one_backfill_at_a_time(registry: Registry) -> None:
    configure(registry, 2)
    under_way(registry, 0)

    with pytest.raises(ReplicationBackfillInProgress):
        start(registry, 0)

    assert start(registry, 1).status is BackfillStatus.FAILED


def test_a_registry_has_ten_backfills_at_a_time(registry: Registry) -> None:
    configure(registry, 11)
    for number in range(10):
        under_way(registry, number)

    with pytest.raises(LimitExceeded):
        start(registry, 10)


def test_a_backfill_that_prepares_is_stopped_at_once(registry: Registry) -> None:
    made = under_way(registry, 0, BackfillStatus.PREPARING)
    registry.clock.advance(5)

    stopped = stop(registry, made)

    assert stopped == replace(made, status=BackfillStatus.STOPPED, ended_at=registry.clock.now())
    assert find(registry, made) == stopped


def test_a_backfill_that_copies_is_told_to_stop(registry: Registry) -> None:
    made = under_way(registry, 0)

    assert stop(registry, made) == find(registry, made) == replace(made, status=BackfillStatus.STOPPING)
    with pytest.raises(ReplicationBackfillInvalidStatus):
        stop(registry, made)


def test_a_backfill_that_is_over_is_kept_for_ninety_days(registry: Registry) -> None:
    configure(registry, 1)
    made, running = start(registry, 0), under_way(registry, 0)
    registry.clock.advance(90 * DAY)
    kept = find(registry, made)
    registry.clock.advance(1)

    assert kept == made
    with pytest.raises(ReplicationBackfillNotFound):
        find(registry, made)
    listed = registry.run(service.backfills(registry.db, registry.clock.now(), ACCOUNT, None, 10))
    assert listed == [running]


def test_backfills_that_began_at_the_same_moment_are_listed_once_each(registry: Registry) -> None:
    made = {under_way(registry, number).id for number in range(5)}

    first = registry.run(service.backfills(registry.db, registry.clock.now(), ACCOUNT, None, 3))
    position = (first[-1].started_at.timestamp() * 1_000_000, first[-1].id)
    rest = registry.run(
        service.backfills(registry.db, registry.clock.now(), ACCOUNT, (int(position[0]), position[1]), 3)
    )

    assert len(first) == 3
    assert sorted(each.id for each in [*first, *rest]) == sorted(made)
