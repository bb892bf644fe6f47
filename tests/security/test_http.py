"""Cases below the two fronts: framing, heads, hosts and logs (sections 5 and 10 where they concern every request)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Callable

import pytest

from tests.harness.images import sha256
from tests.harness.server import Homeport
from tests.oci.raw import Answer, Line, Site
from tests.security.conftest import Memory

SMUGGLED = b"GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: localhost\r\n\r\n"


def refused_and_closed(line: Line) -> Answer:
    """The answer to a request whose framing is broken: a plain refusal, and nothing after it."""
    answer = _any_answer(line)
    assert 400 <= answer.status < 500, answer
    assert line.ended(), "a connection that may be out of step must be closed"
    return answer


def _any_answer(line: Line) -> Answer:
    """Like `Line.answer`, for the parser's own refusals, which speak HTTP/1.0."""
    start = line._file.readline(65536)
    assert start.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), start
    headers: dict[str, str] = {}
    while (each := line._file.readline(65536)) not in (b"\r\n", b""):
        name, _, value = each.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(start.split()[1]), headers, line._file.read(int(headers["content-length"])))


@pytest.fixture
def location(site: Site, repository: str) -> str:
    """An open upload."""
    return site.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"").headers["location"]


BROKEN_CHUNKS = {
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "not hexadecimal": b"xyz\r\nabc\r\n0\r\n\r\n",
    "signed": b"+3\r\nabc\r\n0\r\n\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "prefixed": b"0x3\r\nabc\r\n0\r\n\r\n",
    "too many digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "beyond 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "longer than it says": b"2\r\nabc\r\n0\r\n\r\n",
    "bare line feed after the size": b"3\nabc\r\n0\r\n\r\n",
    "bare line feed after the data": b"3\r\nabc\n0\r\n\r\n",
    "line feed in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "bare carriage return": b"3\rabc\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"a" * 1_000_000 + b"\r\nabc\r\n0\r\n\r\n",
    "endless trailer line": b"0\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "endless trailers": b"0\r\n" + b"A: b\r\n" * 200_000 + b"\r\n",
}


def test_h1_a_broken_chunk_ends_the_connection_and_counts_nothing(
    site: Site, repository: str, memory: Memory, subtests: pytest.Subtests
) -> None:
    with contextlib.ExitStack() as connections:
        sent: dict[str, tuple[str, Line]] = {}
        # All are sent before the first answer is awaited, since a refused connection lingers for two seconds.
        for framing, broken in BROKEN_CHUNKS.items():
            location = site.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"").headers["location"]
            line = connections.enter_context(site.line())
            sent[framing] = location, line
            line.send_head("PATCH", location, {"Transfer-Encoding": "chunked"})
            with contextlib.suppress(ConnectionError):
                line.send(broken + SMUGGLED)
        for framing, (location, line) in sent.items():
            with subtests.test(framing):
                with contextlib.suppress(ConnectionError):
                    refused_and_closed(line)
                assert site.ask("GET", location).headers["range"] == "0-0"
    assert memory.growth < 48


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5a",
        "Content-Length: ",
        "Content-Length: \u00b2",
        "Content-Length: 99999999999999999999999999",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content-Length: 5\r\n Folded: 1",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: gzip",
        "X-Header: a\rb",
        "X-Header: a\0b",
        "X-Bad Name: 1",
        ": 1",
    ],
)
def test_h1_a_head_that_two_readers_could_disagree_about_is_refused(
    site: Site, location: str, headers: str
) -> None:
    with site.line() as line:
        head = line.head("PATCH", location)[:-2] + headers.encode("latin-1") + b"\r\n\r\n"
        line.send(head + b"0\r\n\r\n" + SMUGGLED)
        with contextlib.suppress(ConnectionError):
            refused_and_closed(line)

    assert site.ask("GET", location).headers["range"] == "0-0"


def test_h1_a_refused_body_is_never_read_as_a_request(site: Site, repository: str, location: str) -> None:
    body = SMUGGLED * 50
    for method, path, headers in (
        ("PATCH", location, {"Authorization": ""}),
        ("PATCH", location, {"Content-Range": "5-10"}),
        ("PATCH", location, {"Content-Encoding": "gzip"}),
        ("PATCH", location[:-1] + "g", {}),
        ("PUT", f"{location}?digest=x", {}),
        ("POST", f"/v2/{repository}/blobs/uploads/?digest=x", {}),
        ("POST", f"/v2/{repository}/blobs/uploads/?mount={sha256(b'x')}", {}),
        ("POST", "/v2/", {}),
        ("DELETE", location[:-1] + "g", {}),
        ("GET", "/v2/", {}),
        ("PUT", f"/v2/{repository}/manifests/-x", {}),
        ("PUT", f"/v2/{repository}/manifests/v1?x=/blobs/uploads/", {}),
        ("PUT", f"/v2/{repository}/blobs/uploads/manifests/x", {}),
    ):
        with site.line() as line:
            first = line.ask(method, path, headers, body)
            assert first.status < 500
            # Either the body was passed over and the connection goes on in step, or it is closed.
            with contextlib.suppress(ConnectionError):
                line.send(line.head("GET", f"/v2/{repository}/tags/list"))
                rest = line._file.readline(65536)
                if rest:
                    assert rest.startswith(b"HTTP/1.1 200 "), (method, path, rest)


def test_h2_a_head_has_bounds(site: Site, memory: Memory) -> None:
    for head in (
        b"GET /v2/" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PUT /v2/" + b"a" * 1_000_000 + b"/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200_000 + b"\r\n",
        b"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200_000 + b"\r\n",
        b"a" * 1_000_000,
        b"\r\n" * 500_000,
    ):
        with site.line() as line, contextlib.suppress(ConnectionError):
            line.send(head)
            if line.silent(1):
                continue  # nothing but empty lines: no request came
            assert 400 <= _any_answer(line).status < 500
    assert memory.growth < 32
    assert site.ask("GET", "/v2/").status == 200


def test_h2_a_head_that_never_ends_is_not_gathered(site: Site, memory: Memory) -> None:
    with site.line() as line, contextlib.suppress(ConnectionError):
        line.send(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(200_000):
            line.send(b"X-%d: %s\r\n" % (number, b"v" * 100))
            if number % 1000 == 0 and not line.silent(0):
                break

    assert memory.growth < 32


def test_h4_an_error_says_nothing_about_the_inside(homeport: Homeport, site: Site, repository: str) -> None:
    for method, path, headers, body in (
        ("GET", f"/v2/{repository}/manifests/{sha256(b'x')}", {}, None),
        ("PUT", f"/v2/{repository}/manifests/v1", {}, b"{"),
        ("GET", f"/v2/{repository}/tags/list?n=x'--", {}, None),
        ("GET", f"/v2/{repository}/tags/list?last='%20OR%201=1--", {}, None),
        ("POST", "/", {"X-Amz-Target": "x"}, b"{"),
        ("GET", "/../../etc/passwd", {}, None),
        ("GET", "/layers/../../etc/passwd", {}, None),
        ("PATCH", f"/v2/{repository}/blobs/uploads/x", {}, b"x"),
    ):
        answer = site.ask(method, path, headers, body)

        assert answer.status < 500
        for inside in (b"Traceback", b"sqlite", b".py", b"SELECT", str(homeport.data).encode(), b"root:"):
            assert inside not in answer.body, (path, answer)


def test_h5_a_log_line_is_one_record_whatever_a_client_sends(homeport: Homeport, site: Site) -> None:
    mark = "h5-" + os.urandom(8).hex()

    site.ask(
        "GET",
        f"/v2/{mark}%0a%7b%22event%22:%22forged%22%7d%1b[31m/tags/list",
        {"User-Agent": mark + ' "\\ {'},
    )
    site.ask("GET", f"/v2/{mark}/tags/list?a=%0d%0a", {"User-Agent": mark, "X-Amz-Target": "a\tb"})

    homeport.wait_for_log(lambda record: mark in json.dumps(record) or None, "the request")
    for line in homeport.output:
        if mark in line:
            assert json.loads(line)["event"] == "request"
            assert "\x1b" not in line


def test_h5_a_client_that_breaks_off_or_talks_nonsense_leaves_no_traceback(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()
    site = Site.of(server.url, server.password())
    server.client().create_repository(repositoryName="left/early")
    location = site.ask("POST", "/v2/left/early/blobs/uploads/", body=b"").headers["location"]
    data = os.urandom(4_000_000)
    digest = sha256(data)
    assert site.ask("POST", f"/v2/left/early/blobs/uploads/?digest={digest}", body=data).status == 201

    with site.line() as line:
        line.send_head("PATCH", location, {"Content-Length": "1000"})
        line.send(b"x")
    with site.line() as line:
        line.send_head("PUT", "/v2/left/early/manifests/v1", {"Content-Length": "1000"})
        line.send(b"x")
    with site.line() as line:
        line.send_head("GET", f"/v2/left/early/blobs/{digest}")
        line.socket.recv(1000)
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET /v2/\r\n\r\n",
    ):
        with site.line() as line:
            line.send(nonsense)
            line.silent(0.3)
    assert site.ask("GET", "/v2/").status == 200
    server.terminate()

    assert server.defects == []


def test_a23_credentials_in_a_broken_request_do_not_reach_the_log(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()
    site = Site.of(server.url, server.password())
    secret = base64.b64encode(b"AWS:the-secret-of-this-test").decode()

    for head in (
        f"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {secret}\x01\r\n\r\n",
        f"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization : Basic {secret}\r\n\r\n",
        f"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n Authorization: Basic {secret}\r\n\r\n",
        f"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {secret * 1000}\r\n\r\n",
    ):
        with site.line() as line:
            line.send(head.encode())
            with contextlib.suppress(ConnectionError):
                assert 400 <= _any_answer(line).status < 500
    site.ask("GET", "/v2/", {"Authorization": f"Basic {secret}"})
    server.terminate()

    assert not any(secret in line or "the-secret" in line for line in server.output)


def test_a15_a_header_that_decides_may_come_only_once(site: Site) -> None:
    with site.line() as line:
        head = line.head("GET", "/v2/")[:-2]
        line.send(head + b"Authorization: Basic QVdTOng=\r\n\r\n")
        assert _any_answer(line).status in (400, 401)
    with site.line() as line:
        line.send(line.head("GET", "/v2/")[:-2] + b"Host: evil.example\r\n\r\n")
        assert _any_answer(line).status == 400


def test_a16_nothing_is_believed_about_who_forwarded_a_request(site: Site) -> None:
    headers = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example;proto=https",
        "X-Remote-User": "administrator",
        "X-Original-URL": "/v2/",
        "Authorization": "",
    }

    answer = site.ask("GET", "/v2/", headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == f'Basic realm="{site.url}/",service="ecr.amazonaws.com"'


def test_a25_a_password_in_the_query_is_ignored(homeport: Homeport, site: Site) -> None:
    password = homeport.password()

    for query in (f"token={password}", f"access_token={password}", f"Authorization=Bearer%20{password}"):
        assert site.ask("GET", f"/v2/?{query}", {"Authorization": ""}).status == 401
    assert not any(password in line for line in homeport.output)
