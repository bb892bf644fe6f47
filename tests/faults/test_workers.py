"""Several worker processes are one server: each can go on where another stopped, and one that dies is replaced."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.images import bytes_of, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Homeport, LogRecord

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up the owner of a socket in /proc"),
]

REPOSITORY = "team/app"


@pytest.fixture
def server(fresh_homeport: Callable[..., Homeport]) -> Homeport:
    server = fresh_homeport(options=["--workers", "2"])
    serving(server, 2)
    server.client().create_repository(repositoryName=REPOSITORY)
    return server


@pytest.fixture
def client(server: Homeport) -> OciClient:
    return OciClient(server.url, "AWS", server.password())


def serving(server: Homeport, count: int) -> list[int]:
    """Wait until `count` workers have begun to serve, dead ones included, and return their process ids."""
    seen: list[int] = []

    def enough(record: LogRecord) -> list[int] | None:
        if record.get("event") == "serving" and record["pid"] not in seen:
            seen.append(record["pid"])
        return seen if len(seen) >= count else None

    return list(server.wait_for_log(enough, f"{count} workers"))


class Line:
    """A connection that stays open, so that one worker answers everything on it."""

    def __init__(self, client: OciClient) -> None:
        self._client = client
        self.http = http.client.HTTPConnection(client.url.removeprefix("http://"), timeout=20)
        self.ask("GET", "/healthz", 200)

    def ask(self, method: str, path: str, status: int, body: bytes | None = None) -> dict[str, str]:
        self.http.request(method, path, body=body, headers=self._client.headers)
        answer = self.http.getresponse()
        said = answer.read()
        assert answer.status == status, said
        return dict(answer.headers)

    def worker(self, pids: list[int]) -> int:
        """Which of the processes holds the other end."""
        near, far = self.http.sock.getsockname()[1], self.http.sock.getpeername()[1]
        ends = (f":{far:04X}", f":{near:04X}")
        for line in Path("/proc/net/tcp").read_text().splitlines():
            fields = line.split()
            if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
                inode = f"socket:[{fields[9]}]"
                for pid in pids:
                    links = [
                        link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()
                    ]
                    if Path(inode) in links:
                        return pid
        raise AssertionError("nobody holds the other end")


@contextlib.contextmanager
def two_workers(server: Homeport, client: OciClient) -> Iterator[tuple[Line, Line]]:
    """Connections to two different workers."""
    pids = serving(server, 2)
    lines: list[Line] = []
    found: dict[int, Line] = {}
    try:
        for _ in range(200):
            line = Line(client)
            lines.append(line)
            found.setdefault(line.worker(pids), line)
            if len(found) == 2:
                break
        assert len(found) == 2, "one worker takes every connection"
        first, second = found.values()
        yield first, second
    finally:
        for line in lines:
            line.http.close()


def test_an_upload_goes_on_in_another_worker(server: Homeport, client: OciClient) -> None:
    data = os.urandom(3_000_000)
    with two_workers(server, client) as (first, second):
        location = client.start_upload(REPOSITORY)

        first.ask("PATCH", location, 202, data[:1_000_000])
        second.ask("PATCH", location, 202, data[1_000_000:2_000_000])
        first.ask("PATCH", location, 202, data[2_000_000:])  # its running hash is of the first part alone
        second.ask("PUT", f"{location}?digest={sha256(data)}", 201)

        for line in (first, second):
            line.ask("HEAD", f"/v2/{REPOSITORY}/blobs/{sha256(data)}", 200)
    assert client.pull_blob(REPOSITORY, sha256(data)) == data
    assert server.defects == []


def test_two_workers_never_write_to_one_upload_at_once(server: Homeport, client: OciClient) -> None:
    data = os.urandom(2_000_000)
    with two_workers(server, client) as (first, second):
        location = client.start_upload(REPOSITORY)
        first.http.putrequest("PATCH", location)
        for name, value in {**client.headers, "Content-Length": str(len(data))}.items():
            first.http.putheader(name, value)
        first.http.endheaders(data[:1_000_000])
        staging = server.data / "blobs" / "staging"
        waited = threading.Event()
        for _ in range(500):
            if any(path.stat().st_size for path in staging.glob("*/*")):
                break
            waited.wait(0.01)

        second.http.request("PATCH", location, body=b"intruder", headers=client.headers)
        refused = second.http.getresponse()
        refused.read()
        first.http.send(data[1_000_000:])
        taken = first.http.getresponse()
        taken.read()

        assert refused.status in (416, 503)
        assert taken.status == 202
        first.ask("PUT", f"{location}?digest={sha256(data)}", 201)
    assert client.pull_blob(REPOSITORY, sha256(data)) == data


def test_a_worker_sees_at_once_what_another_has_committed(server: Homeport, client: OciClient) -> None:
    client.push(REPOSITORY, random_image(), "moving")
    with two_workers(server, client) as (first, second):
        for _ in range(30):
            image = random_image()
            client.push(REPOSITORY, image)
            path = f"/v2/{REPOSITORY}/manifests/moving"
            first.http.request(
                "PUT",
                path,
                body=image.manifest.data,
                headers={**client.headers, "Content-Type": image.manifest.media_type},
            )
            answer = first.http.getresponse()
            answer.read()
            assert answer.status == 201

            for line in (second, first):
                assert line.ask("HEAD", path, 200)["Docker-Content-Digest"] == image.digest


def test_a_worker_that_dies_is_replaced_and_requests_go_on(server: Homeport, client: OciClient) -> None:
    image = random_image()
    client.push(REPOSITORY, image, "before")
    known = serving(server, 2)

    for round_, victim in enumerate(known):
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(
            lambda record, round_=round_: record if record.get("event") == "worker_died" else None,  # type: ignore[misc]
            "the death of a worker",
        )
        assert client.pull(REPOSITORY, "before") == bytes_of(image)
        client.push(REPOSITORY, random_image(), f"during{round_}")
        serving(server, 3 + round_)

    assert client.pull(REPOSITORY, "before") == bytes_of(image)
    assert len(client.tags(REPOSITORY)) == 3
    server.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_workers_stop_with_their_server_and_connections_are_refused(
    server: Homeport, client: OciClient, number: signal.Signals
) -> None:
    workers = serving(server, 2)
    client.push(REPOSITORY, random_image(), "v1")

    os.kill(server.pid, number)

    assert server._running().ended(20) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    with pytest.raises(ConnectionRefusedError):
        client.request("GET", "/healthz")
    assert server.defects == []


def test_no_worker_outlives_a_server_that_was_killed(server: Homeport) -> None:
    workers = serving(server, 2)

    os.kill(server.pid, signal.SIGKILL)
    assert server._running().ended(20) == -signal.SIGKILL

    for pid in workers:
        path = Path(f"/proc/{pid}/stat")
        gone = threading.Event()
        for _ in range(500):
            # A process that has ended may wait as a zombie for whoever adopted it.
            if not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z":
                break
            gone.wait(0.02)
        else:
            raise AssertionError(f"worker {pid} goes on alone")
