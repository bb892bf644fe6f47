"""The server is killed at each step of a push, and nothing that it acknowledged is lost or wrong.

Steps and promises: the order of a push in the architecture, section "Orders that must hold". `FAULT_ROUNDS=20`
repeats each step more often.
"""

from __future__ import annotations

import http.client
import os
from dataclasses import dataclass

import pytest

from tests.faults.history import History, assert_sound, expect_death, sweep
from tests.harness.images import Image, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "4"))

# The writes of one push: 1 upload row, 2 offset, 3 blob; 4 and 5 the configuration's upload and blob; 6 manifest.
STEPS = {
    "the upload's row is committed and the answer is not sent": {
        "HOMEPORT_DATABASE_FAULTS": "write:1:kill-after"
    },
    "half of the body is written": {"HOMEPORT_BLOB_FAULTS": "write:1:kill-half"},
    "the body is written and its offset is not": {"HOMEPORT_BLOB_FAULTS": "write:1:kill-after"},
    "the offset is committed and the answer is not sent": {"HOMEPORT_DATABASE_FAULTS": "write:2:kill-after"},
    "the bytes are about to be made durable": {"HOMEPORT_BLOB_FAULTS": "finish:1:kill-before"},
    "the bytes are durable and their row is not": {"HOMEPORT_BLOB_FAULTS": "finish:1:kill-after"},
    "the blob is committed and the answer is not sent": {"HOMEPORT_DATABASE_FAULTS": "write:3:kill-after"},
    "the manifest is about to be committed": {"HOMEPORT_DATABASE_FAULTS": "write:6:kill-before"},
    "the manifest is committed and the answer is not sent": {
        "HOMEPORT_DATABASE_FAULTS": "write:6:kill-after"
    },
}


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


@pytest.mark.parametrize("step", list(STEPS))
def test_a_push_that_is_cut_off_by_a_crash_loses_nothing_and_succeeds_when_repeated(step: str) -> None:
    with Homeport() as server:
        server.client().create_repository(repositoryName="team/app")
        password = server.password()
        history = History("team/app")
        clean = dict(server.environment)

        for turn in range(ROUNDS):
            image, tag = random_image(layer_bytes=300_000), f"v{turn}"
            server.terminate() if turn == 0 else None
            server.environment = clean | STEPS[step]
            server.start()
            pusher = Pusher(OciClient(server.url, "AWS", password), "team/app")
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                pusher.push(tag, image)
            expect_death(server)

            server.environment = clean
            server.start()
            client = OciClient(server.url, "AWS", password)
            served = client.get_blob("team/app", image.layers[0].digest).expect(200, 404)
            assert served.status == 404 or served.body == image.layers[0].data
            history.check(client)
            retry = Pusher(client, "team/app", pusher.location if turn % 2 else None)
            retry.push(tag, image)
            history.acknowledge(tag, image)
            history.check(client)
            server.terminate()

        sweep(server)
        assert_sound(server.data)
        assert server.defects == []
