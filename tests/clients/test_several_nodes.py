"""Three nodes on PostgreSQL and a real object store behind a real load balancer, with docker and skopeo as clients,
while nodes are killed: what clients do succeeds, and what they were told is stored is there on every node.

What clients do by themselves: docker sends a layer up to five times and fetches one up to five times from where it
stopped, but asks for nothing else twice; skopeo repeats a copy as often as `--retry-times` says, here three times, yet
not when a layer that it fetches ends too early. So a command that a kill cut off is repeated as a build pipeline does,
at most twice, and never more often than nodes were killed. TEST_SEVERAL_NODES_SECONDS makes the test longer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.clients.test_docker import forget, image_id, imported, pushed_digest
from tests.clients.test_skopeo import FROM_PLAIN, PLAIN, TO_PLAIN
from tests.harness.balancer import Balancer, program
from tests.harness.ceph import needs_ceph
from tests.harness.cluster import Cluster, shared_ceph
from tests.harness.images import bytes_of, random_image, read_layout, sha256, write_layout
from tests.harness.oci import OciClient
from tests.harness.postgres import MISSING, programs
from tests.harness.process import Finished, ProgramFailed
from tests.harness.sandbox import Sandbox, needs, needs_root

SECONDS = float(os.environ.get("TEST_SEVERAL_NODES_SECONDS", "15"))
_BETWEEN_KILLS = (1.0, 3.0)  # seconds that all nodes serve
_DOWN = 0.5  # seconds that a node stays away
_REPEATS = 2  # of one command
_KILLS = 3  # at least: each node once, however slow the machine is

pytestmark = [
    pytest.mark.clients,
    pytest.mark.faults,
    needs("docker", "docker.io or docker-cli"),
    needs("dockerd", "docker.io"),
    needs("skopeo", "skopeo"),
    needs_root("a docker engine of the tests' own needs root"),
    pytest.mark.skipif(program() is None, reason="haproxy is not installed: install the package haproxy"),
    needs_ceph,
    pytest.mark.skipif(programs() is None, reason=MISSING),
    pytest.mark.timeout(240 + 2 * SECONDS),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    store = shared_ceph().server
    own = store.environment() | {"HOMEPORT_TRUSTED_PROXIES": "127.0.0.1/32", "HOMEPORT_NODES": "3"}
    with Cluster(3, storage=store.url(store.new_bucket()), environment=own) as made:
        yield made
        assert [line for line in made.defects if '"level": "error"' in line] == []


@pytest.fixture(scope="module")
def balancer(cluster: Cluster) -> Iterator[Balancer]:
    with Sandbox() as place, Balancer([cluster.url(index) for index in range(3)], place.folder) as made:
        yield made


@dataclass
class Account:
    """What clients were told, and what went wrong."""

    stored: dict[str, str] = field(default_factory=dict)  # digest by repository:tag
    done: Counter[str] = field(default_factory=Counter)
    repeated: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def repeat(self, step: Callable[[int], None], until: threading.Event, name: str) -> None:
        """Do `step` again and again; a failure ends it."""
        number = 0
        try:
            while not until.is_set():
                step(number)
                number += 1
        except Exception as error:  # a test's thread: the test tells it
            self.failures.append(f"{name}, round {number}: {error}")
        self.done[name] += number

    def command(self, sandbox: Sandbox, *argv: str) -> Finished:
        """Run a command as a build pipeline does. Raises ProgramFailed after its last repetition."""
        for left in reversed(range(_REPEATS + 1)):
            done = sandbox.attempt(*argv, seconds=120)
            if done.code == 0:
                return done
            if not left:
                raise ProgramFailed(str(done))
            self.repeated.append(f"{argv[0]} {argv[1]}: {done.err.strip().splitlines()[-1:]}")
        raise AssertionError("the last attempt returns or raises")


def docker_steps(docker: Sandbox, host: str, account: Account) -> Callable[[int], None]:
    """Push an image of layers, forget it, pull it back by digest."""

    def step(number: int) -> None:
        name = f"{host}/by/docker:v{number}"
        made = imported(docker, name, {"large": random.randbytes(12_000_000), "n": b"%d" % number})
        digest = pushed_digest(account.command(docker, "docker", "push", name).out)
        account.stored[f"by/docker:v{number}"] = digest
        forget(docker, name)
        by_digest = f"{host}/by/docker@{digest}"
        account.command(docker, "docker", "pull", by_digest)
        assert image_id(docker, by_digest) == made
        forget(docker, by_digest)

    return step


def skopeo_steps(skopeo: Sandbox, host: str, account: Account) -> Callable[[int], None]:
    """Copy an image to the registry and back, and compare every byte."""

    def step(number: int) -> None:
        image = random_image(layers=4, layer_bytes=2_500_000)
        write_layout(skopeo.folder / f"there-{number}", {"v1": image})
        remote = f"docker://{host}/by/skopeo:v{number}"
        copy = ("skopeo", "copy", "--retry-times", "3")
        account.command(skopeo, *copy, TO_PLAIN, f"oci:{skopeo.folder}/there-{number}:v1", remote)
        account.stored[f"by/skopeo:v{number}"] = image.digest
        account.command(skopeo, *copy, FROM_PLAIN, remote, f"oci:{skopeo.folder}/back-{number}:v1")
        assert read_layout(skopeo.folder / f"back-{number}") == bytes_of(image)
        for folder in ("there", "back"):
            shutil.rmtree(skopeo.folder / f"{folder}-{number}")

    return step


def login(sandbox: Sandbox, host: str, password: str) -> None:
    words = ("login", "--username", "AWS", "--password-stdin")
    sandbox.run("docker", *words, host, stdin=password)
    sandbox.run("skopeo", *words, PLAIN, host, stdin=password)


def test_docker_and_skopeo_go_on_while_nodes_are_killed_and_all_that_was_acknowledged_is_on_every_node(
    cluster: Cluster, balancer: Balancer, sandbox: Sandbox, docker_host: str
) -> None:
    sandbox.environment["DOCKER_HOST"] = docker_host
    for name in ("by/docker", "by/skopeo"):
        cluster.nodes[0].client().create_repository(repositoryName=name)
    login(sandbox, balancer.host, cluster.password())
    account, stop, kills = Account(), threading.Event(), 0
    steps = {
        "docker": docker_steps(sandbox, balancer.host, account),
        "skopeo": skopeo_steps(sandbox, balancer.host, account),
    }
    clients = [
        threading.Thread(target=account.repeat, args=(step, stop, name)) for name, step in steps.items()
    ]
    for client in clients:
        client.start()

    try:
        end = time.monotonic() + SECONDS
        while (time.monotonic() < end or kills < _KILLS) and not account.failures:
            time.sleep(random.uniform(*_BETWEEN_KILLS))
            victim = kills % 3
            cluster.kill(victim)
            kills += 1
            time.sleep(_DOWN)
            cluster.start(victim)
            balancer.wait_for_nodes(3)
    finally:
        stop.set()
        for client in clients:
            client.join()

    print(
        f"{kills} kills, rounds {dict(account.done)}, {len(account.stored)} images, repeated {account.repeated}"
    )
    assert account.failures == []
    assert len(account.repeated) <= kills
    assert all(account.done[name] for name in steps)
    for place, digest in account.stored.items():
        repository = place.partition(":")[0]
        for node in cluster.everywhere():
            check_image(node, repository, digest)
            assert node.pull_manifest(repository, place.partition(":")[2]).digest == digest


def test_nodes_that_stop_finish_what_clients_have_begun_behind_a_balancer_that_sends_them_nothing_new(
    cluster: Cluster, balancer: Balancer
) -> None:
    cluster.nodes[0].client().create_repository(repositoryName="upgrade")
    client = OciClient(balancer.url, "AWS", cluster.password(), seconds=60)
    layer = random.randbytes(3_000_000)
    begun, stopping = threading.Event(), threading.Event()
    answers: list[int] = []

    def slowly() -> Iterator[bytes]:
        yield layer[:1_000_000]
        begun.set()
        assert stopping.wait(60)
        yield layer[1_000_000:]

    def send() -> None:
        answers.append(client.request("PATCH", location, body=slowly()).status)

    location = client.start_upload("upgrade")
    sending = threading.Thread(target=send)
    sending.start()
    assert begun.wait(20)
    for node in cluster.nodes:
        node._running().signal(signal.SIGTERM)
    balancer.wait_for_nodes(0)
    stopping.set()
    sending.join()

    assert answers == [202]
    for index, node in enumerate(cluster.nodes):
        node.terminate()
        cluster.start(index)
    balancer.wait_for_nodes(3)


def check_image(node: OciClient, repository: str, digest: str) -> None:
    """Pull everything that a manifest names and hash it."""
    manifest = node.get_manifest(repository, digest).expect(200).body
    assert sha256(manifest) == digest
    named = json.loads(manifest)
    for blob in (named["config"], *named["layers"]):
        assert sha256(node.pull_blob(repository, blob["digest"])) == blob["digest"]
