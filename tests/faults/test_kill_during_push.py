"""A node is killed at each step of a push; nothing that it acknowledged is lost or wrong, and another one goes on.

Steps and promises: the order of a push in the architecture, section "Orders that must hold". `FAULT_ROUNDS=20`
repeats each step more often.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults.backends import BACKENDS, Backend, backend
from tests.faults.history import History, expect_death
from tests.harness.images import Image, random_image, sha256
from tests.harness.oci import OciClient

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
REPOSITORY = "team/app"

STEPS = {
    "the upload's row is committed and the answer is not sent": "write:uploads.service.start:kill-after",
    "half of the body is written": "blob write:1:kill-half",
    "the body is written and its offset is not": "blob write:1:kill-after",
    "the offset is committed and the answer is not sent": "write:uploads.service.advance:kill-after",
    "the bytes are about to be made durable": "blob finish:1:kill-before",
    "the bytes are durable and their row is not": "blob finish:1:kill-after",
    "the blob is committed and the answer is not sent": "write:uploads.service.finish:kill-after",
    "the manifest is about to be committed": "write:images.service.put:kill-before",
    "the manifest is committed and the answer is not sent": "write:images.service.put:kill-after",
}
# The rows before the bytes are the same on both, and how an upload goes on is in `tests/oci/test_object_store.py`.
ONLY_FILES = [
    "the upload's row is committed and the answer is not sent",
    "the body is written and its offset is not",
    "the offset is committed and the answer is not sent",
    "the manifest is about to be committed",
]


def plan(step: str) -> dict[str, str]:
    """The setting by which a node dies at a step."""
    kind, _, fault = STEPS[step].rpartition(" ")
    return {f"HOMEPORT_{'BLOB' if kind else 'DATABASE'}_FAULTS": fault}


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A node that lives; the other one is started to die. At the end nothing is left that nobody needs."""
    with backend(request.param, running=1) as found:
        found.cluster.nodes[0].client().create_repository(repositoryName=REPOSITORY)
        yield found
        found.cluster.nodes[0].terminate()
        found.clear()
        found.assert_sound()
        assert found.cluster.defects == []


@pytest.fixture(scope="module")
def history(place: Backend) -> History:
    """All that any test of these nodes was promised."""
    return History(REPOSITORY)


@dataclass
class Pusher:
    """A client that streams a layer as docker does, and can go on where an earlier attempt was cut off."""

    client: OciClient
    repository: str
    location: str | None = None

    def push(self, tag: str, image: Image) -> None:
        """Push everything; raises when the connection breaks."""
        self._push_layer(image.layers[0].data)
        self.client.push_blob(self.repository, image.config.data)
        self.client.push_manifest(self.repository, image.manifest, tag)

    def _push_layer(self, data: bytes) -> None:
        digest, client = sha256(data), self.client
        if client.request("HEAD", f"/v2/{self.repository}/blobs/{digest}").expect(200, 404).status == 200:
            return
        had = self._had()
        if self.location is None:
            self.location = client.start_upload(self.repository)
        if had < len(data):
            headers = {"Content-Range": f"{had}-{len(data) - 1}"} if had else {}
            client.request("PATCH", self.location, body=data[had:], headers=headers).expect(202)
        client.request("PUT", self.location, query={"digest": digest}).expect(201)

    def _had(self) -> int:
        """How many bytes the server has of the upload that was begun earlier; 0 when there is none any more."""
        if self.location is None:
            return 0
        answer = self.client.request("GET", self.location).expect(204, 404)
        if answer.status == 404:
            self.location = None
            return 0
        last = int(answer.header("Range").partition("-")[2])
        return last + 1 if last else 0


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ONLY_FILES])
def test_a_push_that_is_cut_off_by_a_crash_loses_nothing_and_succeeds_at_another_node(
    place: Backend, history: History, step: str
) -> None:
    cut_off(place, history, step)


@pytest.mark.parametrize("place", ["files"], indirect=True)
@pytest.mark.parametrize("step", ONLY_FILES)
def test_a_push_that_is_cut_off_early_succeeds_in_another_process(
    place: Backend, history: History, step: str
) -> None:
    cut_off(place, history, step)


def cut_off(place: Backend, history: History, step: str) -> None:
    """Push through a node that dies at `step`, and again through the other one."""
    cluster, dying = place.cluster, place.cluster.nodes[1]
    clean, password = dict(dying.environment), cluster.password()
    client = cluster.oci(0)

    for turn in range(ROUNDS):
        image, tag = random_image(layer_bytes=300_000), f"{list(STEPS).index(step)}-{turn}"
        dying.environment = clean | plan(step)
        dying.start()
        dying.environment = clean
        pusher = Pusher(OciClient(dying.url, "AWS", password), REPOSITORY)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            pusher.push(tag, image)
        expect_death(dying)

        served = client.get_blob(REPOSITORY, image.layers[0].digest).expect(200, 404)
        assert served.status == 404 or served.body == image.layers[0].data
        retry = Pusher(client, REPOSITORY, pusher.location if (turn + len(history)) % 2 else None)
        retry.push(tag, image)
        history.acknowledge(tag, image)
        history.check(client)


def test_what_was_acknowledged_is_there_on_a_node_that_starts_now(place: Backend, history: History) -> None:
    assert len(history) > 0
    place.cluster.nodes[1].start()
    try:
        history.check(*place.cluster.everywhere())
    finally:
        place.cluster.nodes[1].terminate()
