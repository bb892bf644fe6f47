"""While somebody copies what rows refer to, no bytes vanish; one that died holds nobody up for long."""

from __future__ import annotations

import pytest

from homeport.blobs.port import StorageKey
from homeport.database import tables
from homeport.database.engine import Transaction
from homeport.keeping.holds import HOLD, hold_deletions
from homeport.kernel.errors import Unavailable
from homeport.uploads import service as uploads
from homeport.uploads import store
from tests.unit.keeping.damage import orphan, stored
from tests.unit.repositories.registry import Registry


def dead(registry: Registry) -> StorageKey:
    """Bytes whose deletion is due."""
    key = orphan(registry)

    async def work(tx: Transaction) -> None:
        await store.add_tombstone(tx, key, registry.clock.now())

    registry.run(registry.db.write(work))
    return key


async def sweep(registry: Registry) -> None:
    await uploads.sweep(registry.db, registry.uploads, registry.clock.now())


def test_bytes_stay_while_they_are_held_and_go_afterwards(registry: Registry) -> None:
    key = dead(registry)

    async def run() -> None:
        async with hold_deletions(registry.db, registry.clock, "test"):
            await sweep(registry)
            assert key in stored(registry)
        await sweep(registry)

    registry.run(run())
    assert key not in stored(registry)
    assert registry.rows(tables.deletion_hold) == []


def test_a_holder_that_died_holds_nobody_up_for_long(registry: Registry) -> None:
    key = dead(registry)

    async def run() -> None:
        hold = hold_deletions(registry.db, registry.clock, "test")
        await hold.__aenter__()  # and no more of it
        await sweep(registry)
        assert key in stored(registry)
        registry.clock.advance(HOLD.total_seconds())
        await sweep(registry)

    registry.run(run())
    assert key not in stored(registry)


def test_a_hold_that_had_a_gap_is_not_confirmed(registry: Registry) -> None:
    async def run() -> None:
        async with hold_deletions(registry.db, registry.clock, "test") as hold:
            registry.clock.advance(HOLD.total_seconds() - 1)
            await hold.confirm()
            registry.clock.advance(HOLD.total_seconds() - 1)
            await hold.confirm()
            registry.clock.advance(HOLD.total_seconds())
            with pytest.raises(Unavailable, match="Start again"):
                await hold.confirm()

    registry.run(run())


def test_two_holders_do_not_end_one_anothers(registry: Registry) -> None:
    key = dead(registry)

    async def run() -> None:
        async with hold_deletions(registry.db, registry.clock, "one"):
            async with hold_deletions(registry.db, registry.clock, "two"):
                pass
            await sweep(registry)
            assert key in stored(registry)

    registry.run(run())
