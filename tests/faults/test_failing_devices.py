"""Devices and databases that fail now and then: whatever fails is refused and not acknowledged, and repeating succeeds.

The failures are planned ones (`blobs/faulty.py`, `database/faulty.py`); a disk that is really full is in
`test_full_disk.py`, one that cannot flush in `test_power_loss.py`.
"""

from __future__ import annotations

import pytest

from tests.faults.backends import BACKENDS, backend
from tests.faults.history import History
from tests.harness.images import random_image
from tests.harness.oci import OciClient, Response

pytestmark = [pytest.mark.slow, pytest.mark.faults]

REPOSITORY = "team/app"
FAILS = {
    "HOMEPORT_BLOB_FAULTS": "writer:2:unavailable,write:2:full,write:4:short,save:2:unavailable,"
    "finish:2:unavailable-after,finish:4:full,finish:5:unavailable",
    "HOMEPORT_DATABASE_FAULTS": "write:uploads.service.start:unavailable,write:uploads.service.advance:full,"
    "write:uploads.service.finish:unavailable-after,write:images.service.put:unavailable-after",
}


class Persistent:
    """A client that begins each blob again until it is taken, as a build server would repeat a push."""

    def __init__(self, client: OciClient) -> None:
        self._client = client
        self.refused = 0

    def _taken(self, answer: Response, wanted: int) -> bool:
        if answer.status == wanted:
            return True
        assert answer.expect(503).error_codes == ["UNAVAILABLE"]
        assert int(answer.header("Retry-After")) > 0
        self.refused += 1
        return False

    def push_blob(self, data: bytes, digest: str) -> None:
        for _ in range(20):
            started = self._client.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
            if not self._taken(started, 202):
                continue
            sent = self._client.request("PATCH", started.header("Location"), body=data)
            if not self._taken(sent, 202):
                continue
            done = self._client.request("PUT", started.header("Location"), query={"digest": digest})
            if self._taken(done, 201):
                return
        pytest.fail("the push never succeeds")

    def push_manifest(self, tag: str, data: bytes, kind: str) -> None:
        for _ in range(20):
            if self._taken(self._client.put_manifest(REPOSITORY, tag, data, kind), 201):
                return
        pytest.fail("the push never succeeds")


@pytest.mark.parametrize("kind", BACKENDS)
def test_what_a_failing_device_refuses_is_not_acknowledged_and_succeeds_when_it_is_repeated(
    kind: str,
) -> None:
    history = History(REPOSITORY)
    with backend(kind, 1) as place:
        [node] = place.cluster.nodes
        node.client().create_repository(repositoryName=REPOSITORY)
        node.environment |= FAILS
        node.restart()
        client = Persistent(place.cluster.oci(0))
        for number in range(6):
            image, tag = random_image(layer_bytes=50_000), f"v{number}"
            for blob in image.blobs:
                client.push_blob(blob.data, blob.digest)
            client.push_manifest(tag, image.manifest.data, image.manifest.media_type)
            history.acknowledge(tag, image)

        assert client.refused >= 9
        assert place.count("image") == len(history)
        history.check(place.cluster.oci(0))
        for name in FAILS:
            node.environment.pop(name)
        node.terminate()
        place.clear()
        place.assert_sound()
        assert node.defects == []
