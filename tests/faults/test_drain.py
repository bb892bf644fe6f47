"""Stopping a server: transfers under way are finished, nothing new is begun, and the process ends with success."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import http.client
import ipaddress
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.images import sha256
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults]

REPOSITORY = "team/app"
SIZE = 24_000_000
"""More than the buffers of both ends of a connection hold together."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homeport test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(private)
    return folder / "certificate.pem", folder / "key.pem"


Served = tuple[Homeport, OciClient, ssl.SSLContext | None]


@pytest.fixture(params=["plain", "tls"])
def served(
    request: pytest.FixtureRequest,
    certificate: tuple[Path, Path],
    fresh_homeport: Callable[..., Homeport],
) -> Served:
    """A server with a repository, its client, and how to trust it."""
    if request.param == "plain":
        return (*started(fresh_homeport()), None)
    public, private = certificate
    options = ["--tls-certificate", str(public), "--tls-key", str(private)]
    trust = ssl.create_default_context(cafile=str(public))
    return (*started(fresh_homeport(options=options, authority=public), trust), trust)


def started(server: Homeport, trust: ssl.SSLContext | None = None) -> tuple[Homeport, OciClient]:
    server.client().create_repository(repositoryName=REPOSITORY)
    return server, OciClient(server.url, "AWS", server.password(), context=trust)


def random_bytes(size: int = SIZE) -> bytes:
    return os.urandom(1_000_000) * (size // 1_000_000)


@contextlib.contextmanager
def connection_to(url: str, trust: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A connection whose receiving side holds little, so that the server has to wait for its reader."""
    where = urlsplit(url)
    assert where.hostname is not None
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        raw.settimeout(20)
        raw.connect((where.hostname, where.port))
        if trust is None:
            yield raw
        else:
            with trust.wrap_socket(raw, server_hostname=where.hostname) as wrapped:
                yield wrapped


def head(client: OciClient, method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(client.url).netloc}"]
    lines += [f"{name}: {value}" for name, value in {**client.headers, **headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def begin_pull(connection: socket.socket, client: OciClient, digest: str) -> http.client.HTTPResponse:
    connection.sendall(head(client, "GET", f"/v2/{REPOSITORY}/blobs/{digest}"))
    answer = http.client.HTTPResponse(connection, method="GET")
    answer.begin()
    assert answer.status == 200
    return answer


def drain(server: Homeport, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a server to stop and wait until it has begun to."""
    os.kill(server.pid, number)
    server.wait_for_log(lambda record: record if record.get("event") == "draining" else None, "draining")


def assert_refuses_connections(url: str) -> None:
    where = urlsplit(url)
    done = threading.Event()
    for _ in range(100):  # the log line comes a moment before the socket is closed
        try:
            socket.create_connection((where.hostname or "", where.port or 0), timeout=5).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was waiting to be accepted when the socket was closed
            continue
        done.wait(0.02)
    raise AssertionError("the server still accepts connections")


def wait_for_staged_bytes(server: Homeport) -> None:
    """Wait until a body is being written."""
    again = threading.Event()
    for _ in range(500):
        if any(path.stat().st_size for path in (server.data / "blobs" / "staging").glob("*/*")):
            return
        again.wait(0.02)
    raise AssertionError("no upload has begun")


def exit_code(server: Homeport, seconds: float = 20) -> int:
    return server._running().ended(seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_slow_pull_is_finished_before_the_server_stops(served: Served, number: signal.Signals) -> None:
    server, client, trust = served
    data = random_bytes()
    digest = client.push_blob(REPOSITORY, data)

    with (
        connection_to(server.url, trust) as connection,
        contextlib.closing(begin_pull(connection, client, digest)) as answer,
    ):
        hash_ = hashlib.sha256(answer.read(100_000))
        drain(server, number)
        assert_refuses_connections(server.url)
        assert server._running().running
        while piece := answer.read(1_000_000):
            hash_.update(piece)

    assert "sha256:" + hash_.hexdigest() == digest
    assert exit_code(server) == 0
    assert server.defects == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_slow_upload_is_finished_before_the_server_stops(served: Served, number: signal.Signals) -> None:
    server, client, trust = served
    data = random_bytes(3_000_000)
    location = client.start_upload(REPOSITORY)

    with connection_to(server.url, trust) as connection:
        path = f"{location}?digest={sha256(data)}"
        connection.sendall(head(client, "PUT", path, **{"Content-Length": str(len(data))}))
        connection.sendall(data[:2_000_000])
        wait_for_staged_bytes(server)
        drain(server, number)
        assert_refuses_connections(server.url)
        connection.sendall(data[2_000_000:])
        with contextlib.closing(http.client.HTTPResponse(connection, method="PUT")) as answer:
            answer.begin()
            assert (answer.status, answer.headers["Connection"]) == (201, "close")
            answer.read()

    assert exit_code(server) == 0
    server.kill()
    server.start()
    client.url = server.url
    assert client.pull_blob(REPOSITORY, sha256(data)) == data
    assert server.defects == []


def test_the_end_of_an_answer_reaches_a_client_that_reads_it_late(served: Served) -> None:
    server, client, trust = served
    data = random_bytes(4_000_000)
    digest = client.push_blob(REPOSITORY, data)

    with (
        connection_to(server.url, trust) as connection,
        contextlib.closing(begin_pull(connection, client, digest)) as answer,
    ):
        drain(server)
        threading.Event().wait(1.5)  # everything that the server can send without us is sent by now
        assert answer.read() == data

    assert exit_code(server) == 0


def test_a_server_that_stops_is_never_called_ready(fresh_homeport: Callable[..., Homeport]) -> None:
    server, client = started(fresh_homeport())
    digest = client.push_blob(REPOSITORY, random_bytes())
    probe = http.client.HTTPConnection(server.host, timeout=10)
    probe.request("GET", "/readyz")
    ready = probe.getresponse()
    ready.read()
    assert ready.status == 200
    kept: Any = probe.sock

    with (
        connection_to(server.url) as connection,
        contextlib.closing(begin_pull(connection, client, digest)) as answer,
    ):
        drain(server)
        assert_refuses_connections(server.url)
        # The open connection of a health check is closed at once (or answers 503); a new one is refused.
        with contextlib.suppress(ConnectionError):
            kept.sendall(head(client, "GET", "/readyz"))
            said = kept.recv(1000)
            assert said == b"" or said.startswith(b"HTTP/1.1 503")
        answer.read()

    probe.close()
    assert exit_code(server) == 0


def test_a_transfer_that_takes_too_long_is_cut_and_the_server_still_ends_well(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server, client = started(fresh_homeport(options=["--drain-seconds", "1"]))
    data = random_bytes()
    digest = client.push_blob(REPOSITORY, data)

    with (
        connection_to(server.url) as connection,
        contextlib.closing(begin_pull(connection, client, digest)) as answer,
    ):
        drain(server)
        assert exit_code(server, 10) == 0
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()

    assert any(record.get("event") == "drain_timeout" for record in server.log)


def test_an_upload_that_is_cut_can_be_continued_after_the_restart(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server, client = started(fresh_homeport(options=["--drain-seconds", "1"]))
    data = random_bytes(3_000_000)
    location = client.start_upload(REPOSITORY)
    client.request("PATCH", location, body=data[:1_000_000]).expect(202)

    with connection_to(server.url) as connection:
        connection.sendall(head(client, "PATCH", location, **{"Content-Length": "2000000"}))
        connection.sendall(data[1_000_000:2_000_000])
        drain(server)
        assert exit_code(server, 10) == 0

    server.kill()
    server.start()
    client.url = server.url
    had = int(client.request("GET", location).expect(204).header("Range").partition("-")[2]) + 1
    assert 1_000_000 <= had <= 2_000_000
    client.request("PATCH", location, body=data[had:]).expect(202)
    client.request("PUT", location, query={"digest": sha256(data)}).expect(201)
    assert client.pull_blob(REPOSITORY, sha256(data)) == data
    assert server.defects == []
