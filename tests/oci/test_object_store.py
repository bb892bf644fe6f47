"""Servers whose blobs lie in S3: several nodes, one of which dies, large layers in little memory, redirected pulls."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.ceph import ceph, missing, needs_ceph
from tests.harness.images import bytes_of, random_image, read_layout, sha256, write_layout
from tests.harness.oci import OciClient
from tests.harness.s3 import S3Server, moto
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

MIB = 1024 * 1024
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """Ceph where it is installed, else what is nearest to it."""
    with (moto if missing() else ceph)() as server:
        yield server


Start = Callable[..., Homeport]


@pytest.fixture
def start(s3: S3Server) -> Iterator[Start]:
    """`start()` starts a node; all nodes of a test share one bucket and the metadata of the first."""
    url = s3.url(s3.new_bucket(), "registry")
    first: list[Homeport] = []
    with ExitStack() as nodes:

        def make(*options: str, **environment: str) -> Homeport:
            node = Homeport(
                first[0].data if first else None,
                options=options,
                environment={"HOMEPORT_STORAGE": url, **s3.environment(), **environment},
            )
            nodes.callback(node.close)
            if not first:
                node.init()
                first.append(node)
            node.start()
            return node

        yield make


def clients(*nodes: Homeport) -> list[OciClient]:
    password = nodes[0].password()
    return [OciClient(node.url, "AWS", password) for node in nodes]


def repository(node: Homeport) -> str:
    node.client().create_repository(repositoryName="team/app")
    return "team/app"


def test_an_image_pushed_to_one_node_is_pulled_from_another_and_nothing_lies_on_their_disks(
    start: Start,
) -> None:
    one, two = start(), start()
    here, there = clients(one, two)
    image = random_image(layers=3, layer_bytes=700_000)

    here.push(repository(one), image, "v1")

    assert there.pull("team/app", "v1") == bytes_of(image)
    assert [path for path in one.data.rglob("*") if path.is_file() and path.stat().st_size > 600_000] == []
    part = there.get_blob("team/app", image.layers[0].digest, {"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, image.layers[0].data[100:200])
    for node in (one, two):
        node.terminate()
        assert node.defects == []


@pytest.mark.parametrize("chunk", [3 * MIB, 11 * MIB])
def test_each_chunk_of_a_layer_may_come_to_another_node(start: Start, chunk: int) -> None:
    one, two = start(), start()
    both = clients(one, two)
    name, data = repository(one), random.Random(chunk).randbytes(25 * MIB)

    location = both[0].start_upload(name)
    for number, at in enumerate(range(0, len(data), chunk)):
        part = data[at : at + chunk]
        both[number % 2].request(
            "PATCH", location, body=part, headers={"Content-Range": f"{at}-{at + len(part) - 1}"}
        ).expect(202)
    both[1].request("PUT", location, query={"digest": sha256(data)}).expect(201)

    for client in both:
        assert client.pull_blob(name, sha256(data)) == data


def test_an_upload_with_a_wrong_digest_is_refused_although_no_node_has_seen_all_of_it(start: Start) -> None:
    one, two = start(), start()
    here, there = clients(one, two)
    name, data = repository(one), random.Random(1).randbytes(12 * MIB)
    location = here.start_upload(name)
    here.request("PATCH", location, body=data).expect(202)

    refused = there.request("PUT", location, body=b"more", query={"digest": sha256(data)}).expect(400)

    assert refused.error_codes == ["DIGEST_INVALID"]
    assert there.get_blob(name, sha256(data)).status == 404


@pytest.mark.faults
def test_a_node_is_killed_in_the_middle_of_a_layer_and_another_one_goes_on(start: Start) -> None:
    one, two = start(), start()
    here, there = clients(one, two)
    name, data = repository(one), random.Random(2).randbytes(40 * MIB)
    location = here.start_upload(name)
    here.request("PATCH", location, body=data[: 10 * MIB]).expect(202)
    half_way, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[10 * MIB : 30 * MIB]
        half_way.set()
        go_on.wait(30)
        yield data[30 * MIB :]

    def push() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            here.request("PATCH", location, body=slowly())

    pushing = threading.Thread(target=push)
    pushing.start()
    assert half_way.wait(30)
    one.kill()
    go_on.set()
    pushing.join(30)

    reached = there.request("GET", location).expect(204).header("Range")
    at = int(reached.partition("-")[2]) + 1
    assert at == 10 * MIB  # what was acknowledged, no more and no less
    there.request(
        "PATCH", location, body=data[at:], headers={"Content-Range": f"{at}-{len(data) - 1}"}
    ).expect(202)
    there.request("PUT", location, query={"digest": sha256(data)}).expect(201)
    assert there.pull_blob(name, sha256(data)) == data


@pytest.mark.faults
@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
@pytest.mark.parametrize(
    "step",
    [
        {"HOMEPORT_BLOB_FAULTS": "save:1:kill-after"},
        {"HOMEPORT_BLOB_FAULTS": "finish:1:kill-before"},
        {"HOMEPORT_BLOB_FAULTS": "finish:1:kill-after"},
        # Of its writes the first is its own housekeeping; then come the upload's row, the offset, the blob.
        {"HOMEPORT_DATABASE_FAULTS": "write:2:kill-after"},
        {"HOMEPORT_DATABASE_FAULTS": "write:3:kill-after"},
        {"HOMEPORT_DATABASE_FAULTS": "write:4:kill-before"},
        {"HOMEPORT_DATABASE_FAULTS": "write:4:kill-after"},
    ],
    ids=lambda step: "-".join(step.values()),
)
def test_a_client_whose_node_died_at_any_step_goes_on_at_another_one(
    start: Start, step: dict[str, str], size: int
) -> None:
    sound = start()
    name, data = repository(sound), random.Random(size).randbytes(size)
    dying = start(**step)
    there, here = clients(sound, dying)
    location = None

    with contextlib.suppress(OSError, http.client.HTTPException):
        location = here.start_upload(name)
        here.request("PATCH", location, body=data).expect(202)
        here.request("PUT", location, query={"digest": sha256(data)}).expect(201)
    dying.kill()
    if location is None:
        location = there.start_upload(name)
    reached = there.request("GET", location).expect(204, 404)
    if reached.status == 204:
        last = int(reached.header("Range").partition("-")[2])
        at = last + 1 if last else 0
        there.request("PUT", location, body=data[at:], query={"digest": sha256(data)}).expect(201)

    assert there.pull_blob(name, sha256(data)) == data


def peak_memory(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@needs_ceph
def test_a_long_layer_needs_little_memory(start: Start) -> None:
    node = start()
    (client,) = clients(node)
    name, piece = repository(node), random.Random(3).randbytes(MIB)
    client.push_blob(name, b"the usual libraries are loaded by now")
    before = peak_memory(node.pid)

    data = piece * 300
    client.push_blob_streamed(name, (piece for _ in range(300)), sha256(data))
    assert client.pull_blob(name, sha256(data)) == data

    assert peak_memory(node.pid) - before < 128 * MIB


def test_pulls_are_redirected_to_the_store_and_only_for_those_who_may(start: Start) -> None:
    node = start("--download-mode", "redirect")
    (client,) = clients(node)
    name, data = repository(node), random.Random(4).randbytes(3 * MIB)
    digest = client.push_blob(name, data)
    path = f"/v2/{name}/blobs/{digest}"

    answer = client.request("GET", path).expect(307)

    assert answer.header("Location").startswith("http://127.0.0.1:")
    assert answer.header("Cache-Control") == "no-store"
    assert client.pull_blob(name, digest) == data
    part = client.get_blob(name, digest, {"Range": "bytes=5-9"})
    assert (part.status, part.body) == (206, data[5:10])
    assert client.request("HEAD", path).expect(200).header("Content-Length") == str(len(data))
    client.request("GET", path, headers={"Authorization": ""}).expect(401)
    client.request("GET", f"/v2/{name}/blobs/{sha256(b'other')}").expect(404)


def test_without_its_store_a_server_says_so_and_nothing_else(start: Start) -> None:
    node = start(HOMEPORT_STORAGE="s3://bucket/x?endpoint=http://127.0.0.1:9")
    (client,) = clients(node)
    name = repository(node)

    client.request("GET", "/readyz").expect(503)
    location = client.start_upload(name)
    refused = client.request("PUT", location, body=b"bytes", query={"digest": sha256(b"bytes")})

    assert refused.status == 503
    assert "127.0.0.1:9" not in refused.body.decode()


@pytest.mark.clients
@needs("skopeo", "skopeo")
@pytest.mark.parametrize("mode", ["auto", "redirect"])
def test_skopeo_copies_an_image_there_and_back(start: Start, mode: str) -> None:
    node = start("--download-mode", mode)
    repository(node)
    image = random_image(layers=2, layer_bytes=9 * MIB)
    remote = f"docker://{node.host}/team/app:v1"
    with Sandbox() as sandbox:
        write_layout(sandbox.folder / "there", {"v1": image})
        login = ("skopeo", "login", "--tls-verify=false", "--username", "AWS", "--password-stdin", node.host)
        sandbox.run(*login, stdin=node.password())

        sandbox.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{sandbox.folder}/there:v1", remote)
        sandbox.run("skopeo", "copy", "--src-tls-verify=false", remote, f"oci:{sandbox.folder}/back:v1")

        assert read_layout(sandbox.folder / "back") == bytes_of(image)
