"""Two nodes that work on the same things at the same time, one of which may stand still: each thing happens once.

On PostgreSQL one in ten of their transactions is undone as if it had met another one, and nobody notices.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.backends import BACKENDS, Backend, backend
from tests.faults.history import History
from tests.harness.images import image_of, random_image, sha256
from tests.harness.oci import OciClient, Response
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(120)]

REPOSITORY = "team/app"
STANDS_STILL = {"HOMEPORT_BLOB_FAULTS": "reader:1:stop"}
MEETS_OTHERS = {"HOMEPORT_DATABASE_FAULTS": "write:5%:conflict,write:5%:deadlock"}
LEASE = {"HOMEPORT_JOB_LEASE": "1"}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def each(kind: str) -> Callable[[int], dict[str, str]]:
    def settings(index: int) -> dict[str, str]:
        own = {"HOMEPORT_METRICS_PORT": free_port()} | (MEETS_OTHERS if kind == "shared" else {})
        return own | (STANDS_STILL if index else {})

    return settings


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with backend(request.param, environment=LEASE, each=each(request.param)) as found:
        found.cluster.nodes[0].client().create_repository(repositoryName=REPOSITORY)
        yield found
        assert found.cluster.defects == []


def test_of_two_nodes_that_append_to_one_upload_one_wins_and_the_other_is_told_where_it_stands(
    place: Backend,
) -> None:
    here, there = place.cluster.everywhere()
    begun = b"begun" * 200
    at = len(begun)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(6):
            location = here.start_upload(REPOSITORY)
            here.request("PATCH", location, body=begun).expect(202)
            parts = [os.urandom(70_000), os.urandom(90_000)]
            together = threading.Barrier(2)

            def append(
                client: OciClient,
                part: bytes,
                location: str = location,
                together: threading.Barrier = together,
            ) -> Response:
                together.wait(10)
                headers = {"Content-Range": f"{at}-{at + len(part) - 1}"}
                return client.request("PATCH", location, body=part, headers=headers)

            answers = list(pool.map(append, (here, there), parts))

            assert sorted(answer.status for answer in answers) == [202, 416]
            won = next(number for number, answer in enumerate(answers) if answer.status == 202)
            whole = begun + parts[won]
            told = answers[1 - won].header("Range")
            assert told in (
                f"0-{at - 1}",
                f"0-{len(whole) - 1}",
            )  # as it was when the other one was turned away
            for client in (here, there):
                assert client.request("GET", location).header("Range") == f"0-{len(whole) - 1}"
            there.request("PUT", location, query={"digest": sha256(whole)}).expect(201)
            assert here.pull_blob(REPOSITORY, sha256(whole)) == whole


def retries(node: Homeport) -> float:
    """How many transactions of a node were run again."""
    port = node.environment["HOMEPORT_METRICS_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("homeport_database_retries_total")
    )


def test_clients_of_two_nodes_wait_for_nobody_longer_than_a_second_and_nothing_happens_twice(
    place: Backend,
) -> None:
    history, chosen = History(REPOSITORY), count()
    before = place.count("image")

    def push(client: OciClient, until: float, slowest: list[float]) -> int:
        done = 0
        while monotonic() < until or done < 5:
            # The first layer and the tag are everybody's: clients meet at a blob and at a row.
            image = image_of([{"base": b"base" * 100}, {"own": os.urandom(2_000)}])
            tag = f"image-{next(chosen)}"
            for blob in image.blobs:
                client.push_blob(REPOSITORY, blob.data)
            client.push_manifest(REPOSITORY, image.manifest, "latest")
            began = monotonic()
            client.push_manifest(REPOSITORY, image.manifest, tag)
            slowest.append(monotonic() - began)
            history.acknowledge(tag, image)
            done += 1
        return done

    slowest: list[float] = []
    for _ in range(4):  # a busy machine is slow for a moment; who starves is always slow
        slowest.clear()
        until = monotonic() + 1.5
        clients = [*place.cluster.everywhere(), *place.cluster.everywhere()]
        with ThreadPoolExecutor(len(clients)) as pool:
            done = [work.result() for work in [pool.submit(push, each, until, slowest) for each in clients]]
        assert min(done) >= 5
        if max(slowest) < 1:
            break
    else:
        pytest.fail(f"somebody waited for {max(slowest)} s")

    assert place.count("image") - before == len(history)
    assert place.count("image_tag WHERE name LIKE 'image-%'") == len(history)
    history.check(place.cluster.oci(0))
    if place.kind == "shared":
        assert min(retries(node) for node in place.cluster.nodes) > 0


def stands_still(node: Homeport) -> bool:
    return Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def archived(place: Backend, tag: str) -> bool:
    found = place.rows(
        "SELECT i.status FROM image i JOIN image_tag t ON t.image_id = i.id"
        f" WHERE t.name = '{tag}' AND i.status = 'ARCHIVED'"
    )
    return bool(found) and not place.count("job")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_work_of_a_node_that_stands_still_is_done_by_another_one_and_not_once_more_when_it_wakes_up(
    place: Backend,
) -> None:
    sound, still = place.cluster.nodes
    client, pause = place.cluster.oci(0), threading.Event()
    tag = ""
    for turn in range(20):
        tag = f"archived-{turn}"
        client.push(REPOSITORY, random_image(layer_bytes=50_000), tag)
        sound.client().update_image_storage_class(
            repositoryName=REPOSITORY, imageId={"imageTag": tag}, targetStorageClass="ARCHIVE"
        )
        for _ in range(400):  # whoever asks first does it: the sound one, or the one that stops at it
            if stands_still(still) or archived(place, tag):
                break
            pause.wait(0.05)
        if stands_still(still):
            break
    assert stands_still(still), "the sound node took every job"
    try:
        for _ in range(400):
            if archived(place, tag):
                break
            pause.wait(0.05)
        assert archived(place, tag)
        before = place.rows("SELECT digest, storage_key, storage_class FROM blob ORDER BY digest")
    finally:
        os.kill(still.pid, signal.SIGCONT)
    still.wait_for_log(lambda record: record if record.get("event") == "job_lost" else None, "the lost job")

    assert place.rows("SELECT digest, storage_key, storage_class FROM blob ORDER BY digest") == before
    assert place.count("job") == 0
    done = [record for record in still.log if record.get("event") == "job_done"]
    mine = {record["job"] for record in done if record["kind"] == "settle-blobs"}
    others = {record["job"] for record in sound.log if record.get("event") == "job_done"}
    assert not mine & others
