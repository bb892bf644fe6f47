"""Three nodes on PostgreSQL and S3, with clients that push all the while, and all that can die does.

Clients go to another node when one does not answer, as behind a load balancer. `FAULT_SECONDS=300` lets each storm last
longer.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

import asyncpg
import pytest

from tests.faults.history import History
from tests.harness.cluster import Cluster, shared_moto
from tests.harness.images import image_of, random_image
from tests.harness.oci import OciClient
from tests.harness.postgres import MISSING, Postgres, programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.timeout(200 + 4 * float(os.environ.get("FAULT_SECONDS", "0"))),
    pytest.mark.skipif(programs() is None, reason=MISSING),
]

SECONDS = float(os.environ.get("FAULT_SECONDS", "1"))
REPOSITORY = "team/storm"
BACK_SECONDS = 30.0
LEASE_SECONDS = 2


@dataclass
class Storm:
    """Clients that push for as long as the context lasts, and what they were told."""

    cluster: Cluster
    history: History
    over: threading.Event = field(default_factory=threading.Event)
    statuses: set[int] = field(default_factory=set)
    broken: int = 0
    acknowledged_at: float = 0.0
    failures: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Storm:
        for number in range(4):
            thread = threading.Thread(target=self._guarded, args=(number,))
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, number: int) -> None:
        try:
            self._push(number)
        except BaseException as error:
            self.failures.append(error)

    def _push(self, number: int) -> None:
        password, urls = self.cluster.password(), [node.url for node in self.cluster.nodes]
        turn = len(self.history)
        while not self.over.is_set():
            turn += 1
            client = OciClient(urls[(number + turn) % len(urls)], "AWS", password, seconds=40)
            # The first layer is the same in all images: clients meet at the blob that is known already.
            image = image_of([{"base": b"base" * 100}, {"own": os.urandom(20_000)}])
            tag = f"storm{id(self)}-client{number}-{turn}"
            try:
                for blob in image.blobs:
                    started = client.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
                    if not self._good(started.status, 202):
                        break
                    query = {"digest": blob.digest}
                    done = client.request("PUT", started.header("Location"), query=query, body=blob.data)
                    if not self._good(done.status, 201):
                        break
                else:
                    done = client.put_manifest(
                        REPOSITORY, tag, image.manifest.data, image.manifest.media_type
                    )
                    if self._good(done.status, 201):
                        self.history.acknowledge(tag, image)
                        self.acknowledged_at = monotonic()
                        self.over.wait(0.2)  # what counts is what dies meanwhile, not how much was pushed
            except (http.client.HTTPException, OSError):
                self.broken += 1
                self.over.wait(0.02)

    def _good(self, status: int, wanted: int) -> bool:
        if status != wanted:
            self.statuses.add(status)
            self.over.wait(0.02)
        return status == wanted

    def wait_for_a_push(self, since: float) -> float:
        """Return how long after `since` the first push was acknowledged."""
        for _ in range(int(BACK_SECONDS * 2 / 0.05)):
            if self.acknowledged_at > since or self.failures:
                return self.acknowledged_at - since
            self.over.wait(0.05)
        raise AssertionError(f"no push for {2 * BACK_SECONDS} s; the answers were {self.statuses}")


@dataclass
class Place:
    cluster: Cluster
    postgres: Postgres
    history: History
    """Of all storms: what was pushed in one survives those that follow."""

    def check(self, storm: Storm, *nodes: int) -> None:
        assert storm.failures == []
        # A proxy in between would repeat these: the server said that it was not its fault that nothing happened.
        assert all(status >= 500 for status in storm.statuses), storm.statuses
        assert len(self.history) > 10
        self.history.check(*[self.cluster.oci(index) for index in nodes])


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    store = shared_moto()
    environment = {**store.environment(), "HOMEPORT_JOB_LEASE": str(LEASE_SECONDS)}
    with Postgres() as postgres:
        database, storage = postgres.new_database(), store.url(store.new_bucket())
        with Cluster(3, database=database, storage=storage, environment=environment) as cluster:
            cluster.nodes[0].client().create_repository(repositoryName=REPOSITORY)
            cluster.password()
            yield Place(cluster, postgres, History(REPOSITORY))


def test_every_push_that_a_node_acknowledged_before_it_was_killed_is_on_all_nodes(place: Place) -> None:
    chance, cluster = random.Random(3), place.cluster
    with Storm(cluster, place.history) as storm:
        until = monotonic() + SECONDS
        while monotonic() < until:
            storm.over.wait(chance.uniform(0.1, 0.8))
            victim = chance.randrange(len(cluster.nodes))
            cluster.kill(victim)
            cluster.start(victim)
        storm.wait_for_a_push(monotonic())
    place.check(storm, 0, 1, 2)


def test_a_crash_of_the_database_loses_no_push_and_is_over_within_half_a_minute(place: Place) -> None:
    chance = random.Random(4)
    with Storm(place.cluster, place.history) as storm:
        until = monotonic() + SECONDS
        while monotonic() < until:
            storm.over.wait(chance.uniform(0.3, 1.0))
            place.postgres.kill()
            storm.over.wait(chance.uniform(0.0, 1.0))
            place.postgres.start()
            assert storm.wait_for_a_push(monotonic()) < BACK_SECONDS
    assert storm.broken == 0  # no node died with the database, nor kept anybody waiting
    place.check(storm, 1)
    assert place.cluster.nodes[0].defects == []


def leased(place: Place) -> bool:
    async def ask() -> bool:
        connection = await asyncpg.connect(place.cluster.database)
        try:
            return bool(await connection.fetchval("SELECT count(*) FROM job WHERE leased_until IS NOT NULL"))
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_when_all_nodes_and_the_database_die_at_once_their_work_is_taken_up_again(place: Place) -> None:
    cluster, pause = place.cluster, threading.Event()
    client, ecr = cluster.oci(0), cluster.nodes[0].client()
    client.push(REPOSITORY, random_image(layer_bytes=8_000_000), "archived")
    with Storm(cluster, place.history) as storm:
        ecr.update_image_storage_class(
            repositoryName=REPOSITORY, imageId={"imageTag": "archived"}, targetStorageClass="ARCHIVE"
        )
        for _ in range(1000):  # somebody copies the bytes to the archive
            if leased(place):
                break
            pause.wait(0.01)
        place.postgres.kill()
        for index in range(len(cluster.nodes)):
            cluster.kill(index)
        place.postgres.start()
        for index in range(len(cluster.nodes)):
            cluster.start(index)
        began = monotonic()
        assert storm.wait_for_a_push(began) < BACK_SECONDS
        while client.get_manifest(REPOSITORY, "archived").status != 404:  # archived images cannot be pulled
            assert monotonic() - began < BACK_SECONDS
            pause.wait(0.1)
    place.check(storm, 0, 1, 2)
