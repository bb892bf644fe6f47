"""The clock of one node is an hour wrong: nodes that share a database agree on the time, which is the database's.

Debian's libfaketime (`tools/install-clients faketime`) makes a clock wrong for one process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import asyncpg
import pytest

from tests.harness.cluster import Cluster
from tests.harness.images import bytes_of, random_image

_LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(
        _LIBRARY is None, reason="libfaketime is not installed: tools/install-clients faketime"
    ),
]

REPOSITORY = "team/app"
HOUR = 3600
WRONG = [0, HOUR, -HOUR]


def each(index: int) -> dict[str, str]:
    if not WRONG[index]:
        return {}
    wrong = {
        "LD_PRELOAD": str(_LIBRARY),
        "FAKETIME": f"{WRONG[index]:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return {**wrong, "HOMEPORT_COLLECTION_INTERVAL": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(3, each=each) as found:
        found.nodes[0].client().create_repository(repositoryName=REPOSITORY)
        yield found
        assert found.defects == []


async def _asked(cluster: Cluster, *statements: str) -> list[Any]:
    connection = await asyncpg.connect(cluster.database)
    try:
        answers: list[list[Any]] = [await connection.fetch(each) for each in statements]
        return answers[-1]
    finally:
        await connection.close()


def ask(cluster: Cluster, *statements: str) -> list[Any]:
    """Ask the database itself; the rows of the last statement."""
    return asyncio.run(_asked(cluster, *statements))


def test_a_node_whose_clock_is_wrong_says_so_and_serves_like_all_others(cluster: Cluster) -> None:
    for node, ahead in zip(cluster.nodes, WRONG, strict=True):
        told = [record for record in node.log if record.get("event") == "clock_differs"]
        assert [round(record["ahead_seconds"], -2) for record in told] == ([ahead] if ahead else [])
    image = random_image()

    for index, node in enumerate(cluster.nodes):
        password = node.password()  # signed with the right time, and valid on every node
        assert password
        cluster.oci(index).push(REPOSITORY, image, f"by-{index}")

    for client in cluster.everywhere():
        for index in range(3):
            assert client.pull(REPOSITORY, f"by-{index}") == bytes_of(image)
    pushed = ask(cluster, "SELECT pushed_at / 1000000 AS at FROM image")
    assert all(abs(row["at"] - time()) < HOUR / 2 for row in pushed)


def test_nobody_takes_over_work_or_deletes_bytes_before_their_time(cluster: Cluster) -> None:
    key = "data/00/00000000-0000-4000-8000-000000000000"
    now = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    soon, later = f"{now} + 600 * 1000000", f"{now} + 1200 * 1000000"
    ask(
        cluster,
        "INSERT INTO job (kind, subject, run_after, attempts, fence, leased_until, created_at)"
        f" VALUES ('settle-blobs', '{{\"digests\": []}}', {soon}, 1, 1, {soon}, {now})",
        f"INSERT INTO tombstone (storage_key, delete_after) VALUES ('{key}', {later})",
    )
    ask(
        cluster,
        "INSERT INTO job (kind, subject, run_after, attempts, fence, created_at)"
        f" VALUES ('settle-blobs', '{{\"digests\": []}}', {now}, 0, 0, {now})",
    )

    pause = threading.Event()
    for _ in range(200):  # what is due now is done by whoever asks first
        if len(ask(cluster, "SELECT id FROM job")) == 1:
            break
        pause.wait(0.05)
    pause.wait(1)  # each node has asked several times by now
    cluster.restart(1)  # a node sweeps when it starts

    [held] = ask(cluster, "SELECT fence, attempts FROM job")
    assert (held["fence"], held["attempts"]) == (1, 1)
    assert len(ask(cluster, "SELECT 1 FROM tombstone")) == 1
