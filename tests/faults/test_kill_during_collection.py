"""A collector is killed at each of its steps: no image misses a byte, a push of what it took succeeds, nothing stays.

How the rows of deleted repositories go is in `test_drain.py`. Steps and promises: "Collect" in the architecture,
section "Orders that must hold".
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.faults.backends import BACKENDS, Backend, backend
from tests.faults.history import History
from tests.harness.images import bytes_of, image_of

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

REPOSITORY = "team/app"
SHARED = {"base": b"shared by all images" * 100}

STEPS = {
    "a link is about to go": "write:collection.service.review:kill-before",
    "a link is gone, and with it a blob": "write:collection.service.review:kill-after",
    "bytes are about to be deleted": "blob discard:1:kill-before",
    "bytes are deleted and still waited for": "blob discard:1:kill-after",
    "bytes are deleted and forgotten": "write:collection.store.forget:kill-after",
}


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A node that serves meanwhile and collects nothing itself. At the end exactly what is needed is stored."""
    quiet = {"HOMEPORT_COLLECTION_INTERVAL": "0"}
    with backend(request.param, 1, environment=quiet) as found:
        node = found.cluster.nodes[0]
        node.client().create_repository(repositoryName=REPOSITORY)
        yield found
        node.terminate()
        assert node.command("gc", "--now").code == 0
        found.clear()
        found.assert_sound()
        assert node.defects == []


@pytest.fixture(scope="module")
def history(place: Backend) -> History:
    return History(REPOSITORY)


@pytest.mark.parametrize("step", list(STEPS))
def test_a_collector_that_dies_takes_nothing_that_is_needed(
    place: Backend, history: History, step: str
) -> None:
    [node], client = place.cluster.nodes, place.cluster.oci(0)
    clean, (kind, _, fault) = dict(node.environment), STEPS[step].rpartition(" ")
    kept, gone = (image_of([SHARED, {"own": f"{step} {name}".encode()}]) for name in ("kept", "gone"))
    number = list(STEPS).index(step)
    client.push(REPOSITORY, kept, f"kept-{number}")
    history.acknowledge(f"kept-{number}", kept)
    client.push(REPOSITORY, gone, "gone")
    client.delete(REPOSITORY, gone.digest).expect(202)

    node.environment = clean | {f"HOMEPORT_{'BLOB' if kind else 'DATABASE'}_FAULTS": fault}
    dead = node.command("gc", "--now")
    node.environment = clean

    assert dead.code == -signal.SIGKILL, dead
    history.check(client)
    client.push(REPOSITORY, gone, f"again-{number}")
    history.acknowledge(f"again-{number}", gone)
    assert client.pull(REPOSITORY, f"again-{number}") == bytes_of(gone)
