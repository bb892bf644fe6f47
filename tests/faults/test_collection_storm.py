"""Clients push, mount, pull and delete images of the same few layers, and whole repositories, while collectors work.

The collectors are killed again and again. The layers have no delay at all, so a push may find one gone that it was just
told of; then it pushes that layer, as clients do. But a manifest that was accepted has its layers until it is deleted,
whole, at every moment. `FAULT_SECONDS=300` lets that go on for longer.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest

from tests.faults.backends import BACKENDS, backend
from tests.harness.images import Image, bytes_of, image_of
from tests.harness.oci import OciClient
from tests.harness.process import Background
from tests.harness.server import Homeport

SECONDS = float(os.environ.get("FAULT_SECONDS", "2"))
pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(240 + 2 * SECONDS)]

REPOSITORIES = ["team/one", "team/two"]
LAYERS = [{f"layer{number}": bytes([number]) * 20_000} for number in range(5)]
PAUSES = {"files": 0.05, "shared": 0.3}
"""Seconds between two images of one client: a collector that never comes to an end proves nothing."""
FOR_EVER = """
import sys
from homeport.cli.main import main
while True:
    main(["gc", "--now", "--json", "--data", sys.argv[1]], standalone_mode=False)
"""


@dataclass
class Tally:
    """What the clients did, together."""

    pushes: int = 0
    pulls: int = 0
    repositories: int = 0
    mounted: int = 0
    left: dict[tuple[str, str], Image] = field(default_factory=dict)


class Client:
    """Pushes one image after the other, uses it, and deletes it. Nobody else deletes its images."""

    def __init__(
        self, server: Homeport, number: int, over: threading.Event, tally: Tally, pause: float
    ) -> None:
        self._pause = pause
        self._oci = OciClient(server.url, "AWS", server.password())
        self._ecr: Any = server.client()
        self._number, self._over, self._tally = number, over, tally
        self._chance = random.Random(number)
        self.failure: BaseException | None = None

    def go_on(self) -> None:
        try:
            turn = 0
            while not self._over.is_set():
                turn += 1
                self._one(f"client{self._number}-{turn}")
                self._over.wait(self._pause)
        except BaseException as error:
            self.failure = error
            self._over.set()

    def _one(self, tag: str) -> None:
        repository, other = self._chance.sample(REPOSITORIES, 2)
        own = self._chance.random() < 0.3
        if own:
            repository = f"team/own{self._number}"
            self._ecr.create_repository(repositoryName=repository)
        image = image_of(self._chance.sample(LAYERS, 2), annotations={"about": tag})
        self._push(repository, other, image, tag)
        self._check(repository, image, tag)
        if own:
            self._ecr.delete_repository(repositoryName=repository, force=True)
            self._tally.repositories += 1
        elif self._over.is_set():
            self._tally.left[repository, tag] = image
        else:
            self._oci.delete(repository, image.digest).expect(202)

    def _push(self, repository: str, other: str, image: Image, tag: str) -> None:
        for blob in image.blobs:
            if (
                self._oci.request("HEAD", f"/v2/{repository}/blobs/{blob.digest}").expect(200, 404).status
                == 200
            ):
                continue
            if self._chance.random() < 0.5:
                answer = self._oci.mount_blob(repository, blob.digest, other).expect(201, 202)
                if answer.status == 201:
                    self._tally.mounted += 1
                else:  # its source is gone, and an upload was opened instead
                    query = {"digest": blob.digest}
                    where = answer.header("Location")
                    self._oci.request("PUT", where, query=query, body=blob.data).expect(201)
                continue
            self._oci.push_blob(repository, blob.data)
        while True:
            answer = self._oci.put_manifest(repository, tag, image.manifest.data, image.manifest.media_type)
            if answer.status == 201:
                self._tally.pushes += 1
                return
            assert "MANIFEST_BLOB_UNKNOWN" in answer.error_codes, answer
            for blob in image.blobs:
                self._oci.push_blob(repository, blob.data)

    def _check(self, repository: str, image: Image, tag: str) -> None:
        for _ in range(3):
            assert self._oci.pull(repository, tag) == bytes_of(image)
            self._tally.pulls += 1


def collector(server: Homeport) -> Background:
    """A process that collects without a pause."""
    argv = [sys.executable, "-c", FOR_EVER, str(server.data)]
    return Background(argv, server.environment, server.data)


@pytest.mark.parametrize("kind", BACKENDS)
def test_no_accepted_image_ever_misses_a_byte_while_collectors_work_and_die(kind: str) -> None:
    chance, over, tally, killed = random.Random(11), threading.Event(), Tally(), 0
    places: set[str] = set()
    settings = {"HOMEPORT_COLLECTION_DELAY": "0.002", "HOMEPORT_COLLECTION_INTERVAL": "1"}
    with backend(kind, environment=settings) as place:
        first, nodes = place.cluster.nodes[0], place.cluster.nodes
        first.client().put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
        for name in REPOSITORIES:
            first.client().create_repository(repositoryName=name)
        clients = [Client(nodes[number % 2], number, over, tally, PAUSES[kind]) for number in range(4)]
        threads = [threading.Thread(target=client.go_on) for client in clients]
        for thread in threads:
            thread.start()
        try:
            until = monotonic() + SECONDS

            def enough() -> bool:
                seen = min(tally.pushes, tally.repositories, tally.mounted, len(places) - len(LAYERS))
                return killed >= 2 and seen > 0 and monotonic() >= until

            while not enough() and not over.is_set() and monotonic() < until + 90:
                collecting = collector(first)
                over.wait(chance.uniform(1.5, 4.0))  # some die before their first collection ends, some later
                assert collecting.running, collecting.story()
                collecting.kill()
                killed += 1
                places |= {str(key) for [key] in place.rows("SELECT storage_key FROM blob WHERE size < 300")}
        finally:
            over.set()
            for thread in threads:
                thread.join()

        gone = len(places) - len(LAYERS)  # each was pushed again to a new place after it was collected
        print(f"{kind}: {tally.pushes} pushes, {tally.pulls} pulls, {tally.mounted} mounts, ", end="")
        print(f"{tally.repositories} repositories, {gone} layers seen anew, {killed} collectors killed")
        assert [client.failure for client in clients if client.failure is not None] == []
        assert place.cluster.defects == []
        assert min(tally.pushes, tally.repositories, tally.mounted, gone) > 0, (tally, gone)
        for node in nodes:
            node.terminate()
        assert first.command("gc", "--now").code == 0
        place.clear()
        place.assert_sound()
        first.start()
        oci = OciClient(first.url, "AWS", first.password())
        for (repository, tag), image in tally.left.items():
            assert oci.pull(repository, tag) == bytes_of(image)
