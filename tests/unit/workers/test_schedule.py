"""What every process of a node does by itself, and what only one of them does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from homeport.app import build_region
from homeport.config import load
from homeport.folder import initialise
from homeport.images.pulls import PullLog
from homeport.workers.schedule import Schedule


@pytest.mark.parametrize("alone", [True, False], ids=["the first worker", "any other worker"])
def test_every_worker_writes_down_the_pulls_that_it_served(
    tmp_path: Path, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        settings, _ = await initialise(load(data=tmp_path / "data", account="111122223333"))
        region = build_region(settings)
        schedule = Schedule(region)
        written = asyncio.Event()

        async def flush(_log: PullLog, db: object) -> None:
            assert db is region.db
            written.set()

        monkeypatch.setattr(PullLog, "flush", flush)
        schedule.start(alone=alone)
        try:
            await asyncio.wait_for(written.wait(), 10)
            assert (len(schedule._tasks) == 1) is not alone
        finally:
            await schedule.stop()
            await region.db.close()
            region.threads.close()

    asyncio.run(run())
