"""Many clients push while the server is killed again and again: everything that was acknowledged is there."""

from __future__ import annotations

import http.client
import os
import random
import threading

import pytest

from tests.faults.history import History, assert_sound, sweep
from tests.harness.images import image_of
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

REPOSITORY = "team/storm"


def push_until(over: threading.Event, url: str, password: str, number: int, history: History) -> None:
    """Push one new image after the other, noting the acknowledged ones; an attempt that fails is given up."""
    client = OciClient(url, "AWS", password, seconds=10)
    turn = 0
    while not over.is_set():
        turn += 1
        # The first layer is the same in all images: clients meet at the blob that is known already.
        image = image_of([{"base": b"base" * 100}, {"own": os.urandom(20_000)}])
        tag = f"client{number}-{turn}"
        try:
            client.push(REPOSITORY, image, tag)
        except (http.client.HTTPException, OSError):
            over.wait(0.02)
            continue
        history.acknowledge(tag, image)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_push_that_was_acknowledged_in_a_storm_of_crashes_is_there(workers: int) -> None:
    chance = random.Random(workers)
    history, over = History(REPOSITORY), threading.Event()
    with Homeport(options=["--workers", str(workers)]) as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        password, port = server.password(), int(server.host.rpartition(":")[2])
        failures: list[BaseException] = []

        def client(number: int) -> None:
            try:
                push_until(over, server.url, password, number, history)
            except BaseException as error:
                failures.append(error)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in clients:
            thread.start()
        try:
            for _ in range(6):
                over.wait(chance.uniform(0.05, 0.6))
                server.kill()
                server.start(port)
            over.wait(0.3)
        finally:
            over.set()
            for thread in clients:
                thread.join()

        assert failures == []
        assert len(history) > 10
        history.check(OciClient(server.url, "AWS", password))
        assert [record for record in server.log if record.get("level") in ("error", "critical")] == []
        server.terminate()
        sweep(server)
        assert_sound(server.data)
