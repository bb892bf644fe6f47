"""The object store dies, is overloaded or crawls: uploads go on afterwards or are refused, and memory is bounded.

The store is a real one, Ceph's gateway, behind a proxy that does what is asked of it.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import apsw
import pytest

from tests.harness.ceph import Ceph, needs_ceph
from tests.harness.cluster import Cluster, shared_ceph
from tests.harness.images import random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.proxy import Proxy
from tests.harness.s3 import S3Server
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(240), needs_ceph]

MIB = 1024 * 1024
REPOSITORY = "team/app"
OVERLOADED = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 44\r\n\r\n"
    b"<Error><Code>SlowDown</Code></Error>        "
)


@dataclass
class Place:
    node: Homeport
    ceph: Ceph
    proxy: Proxy
    client: OciClient


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    ceph = shared_ceph()
    real = ceph.server
    port = urlsplit(real.endpoint).port
    assert port is not None
    with Proxy(port) as proxy:
        store = S3Server(f"http://127.0.0.1:{proxy.port}", real.access_key_id, real.secret_access_key)
        environment = {
            **store.environment(),
            "HOMEPORT_COLLECTION_DELAY": "0",
            "HOMEPORT_COLLECTION_INTERVAL": "0",
        }
        storage = store.url(real.new_bucket())
        options = ["--download-mode", "redirect"]
        with Cluster(
            1, database="sqlite", storage=storage, environment=environment, options=options
        ) as cluster:
            node = cluster.nodes[0]
            node.client().create_repository(repositoryName=REPOSITORY)
            client = cluster.oci(0, seconds=100)
            client.push_blob(
                REPOSITORY, Random(0).randbytes(9 * MIB)
            )  # the usual libraries are loaded by now
            yield Place(node, ceph, proxy, client)
            assert node.defects == []


def reached(client: OciClient, location: str) -> int:
    """How many bytes of an upload are acknowledged."""
    last = int(client.request("GET", location).expect(204).header("Range").partition("-")[2])
    return last + 1 if last else 0


def go_on(place: Place, location: str, data: bytes) -> None:
    """Send what is missing, finish, and read everything back."""
    client, at = place.client, reached(place.client, location)
    headers = {"Content-Range": f"{at}-{len(data) - 1}"} if at else {}
    if at < len(data):
        client.request("PATCH", location, body=data[at:], headers=headers).expect(202)
    client.request("PUT", location, query={"digest": sha256(data)}).expect(201)
    assert client.pull_blob(REPOSITORY, sha256(data)) == data


def test_an_upload_survives_a_gateway_that_is_killed_in_its_midst(place: Place) -> None:
    client, data = place.client, Random(1).randbytes(30 * MIB)
    location = client.start_upload(REPOSITORY)
    client.request("PATCH", location, body=data[: 9 * MIB]).expect(202)
    half, down = threading.Event(), threading.Event()

    def coming() -> Iterator[bytes]:
        yield data[9 * MIB : 18 * MIB]
        half.set()
        assert down.wait(30)
        yield data[18 * MIB :]

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: client.request("PATCH", location, body=coming()))
        assert half.wait(30)
        place.ceph.kill_gateway()
        down.set()
        place.ceph.start_gateway()
        answer = sending.result().expect(202, 503)

    if answer.status == 503:
        assert answer.error_codes == ["UNAVAILABLE"]
    assert reached(client, location) == (30 * MIB if answer.status == 202 else 9 * MIB)
    go_on(place, location, data)


def test_an_overloaded_store_is_told_as_such_and_the_upload_goes_on_when_it_is_over(place: Place) -> None:
    client, data = place.client, Random(2).randbytes(12 * MIB)
    location = client.start_upload(REPOSITORY)
    client.request("PATCH", location, body=data[: 9 * MIB]).expect(202)
    try:
        place.proxy.answer = OVERLOADED
        place.proxy.cut()

        headers = {"Content-Range": f"{9 * MIB}-{12 * MIB - 1}"}
        refused = client.request("PATCH", location, body=data[9 * MIB :], headers=headers).expect(503)

        assert refused.error_codes == ["UNAVAILABLE"]
        assert "object store" in refused.json()["errors"][0]["message"]
        assert int(refused.header("Retry-After")) > 0
        assert place.proxy.answers_given > 1, "it was not even tried again"
        client.request("GET", "/healthz").expect(200)
    finally:
        place.proxy.answer = None
    assert reached(client, location) == 9 * MIB
    go_on(place, location, data)


def peak_memory(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
def test_clients_of_a_store_that_crawls_fill_no_memory_and_are_served_when_it_does_not(place: Place) -> None:
    data = Random(3).randbytes(40 * MIB)
    locations = [place.client.start_upload(REPOSITORY) for _ in range(6)]
    before, sent = peak_memory(place.node.pid), [0] * len(locations)
    pause = threading.Event()

    def push(number: int) -> int:
        def counted() -> Iterator[bytes]:
            for at in range(0, len(data), MIB):
                sent[number] = at
                yield data[at : at + MIB]

        return place.client.request("PATCH", locations[number], body=counted()).expect(202, 503).status

    place.proxy.rate = 1000
    with ThreadPoolExecutor(len(locations)) as pool:
        pushing = [pool.submit(push, number) for number in range(len(locations))]
        was = -1
        while was < sum(sent):  # until nobody gets anything more across
            was = sum(sent)
            pause.wait(1)
        held = peak_memory(place.node.pid) - before
        place.proxy.rate = None
        place.proxy.cut()  # what was on its way at that pace would take minutes
        for each in pushing:
            each.result()

    assert sum(sent) < len(locations) * len(data)
    assert held < 192 * MIB
    go_on(place, locations[0], data)


def test_an_address_that_was_given_out_works_although_the_blob_is_collected_meanwhile(place: Place) -> None:
    node, client = place.node, place.client
    image = random_image(layer_bytes=50_000)
    layer = image.layers[0]
    client.push(REPOSITORY, image, "v1")
    given = client.request("GET", f"/v2/{REPOSITORY}/blobs/{layer.digest}").expect(307).header("Location")
    seconds = int(parse_qs(urlsplit(given).query)["X-Amz-Expires"][0])

    client.delete(REPOSITORY, image.digest).expect(202)
    assert node.command("gc").code == 0

    client.request("GET", f"/v2/{REPOSITORY}/blobs/{layer.digest}").expect(404)
    with urllib.request.urlopen(given, timeout=20) as answer:
        assert answer.read() == layer.data
    connection = apsw.Connection(str(node.data / "homeport.db"))
    rows = connection.execute(
        "SELECT delete_after / 1000000 - unixepoch() FROM tombstone WHERE size = ?", (layer.size,)
    ).fetchall()
    connection.close()
    [(left,)] = rows
    assert isinstance(left, int)
    assert left > 10 * seconds  # a download that begins at the last moment has time to end

    assert node.command("gc", "--now").code == 0  # as if that time had passed
    with pytest.raises(urllib.error.HTTPError) as gone:
        urllib.request.urlopen(given, timeout=20)
    assert gone.value.code == 404
    gone.value.close()
