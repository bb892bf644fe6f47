"""Section 3 of the security cases: blobs and uploads. One function for each case, named after its id."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import datetime
import gzip
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from botocore.exceptions import ClientError

import homeport
from homeport.access.tokens import DownloadTokens
from homeport.app import build_region
from homeport.config import load
from homeport.folder import initialise, sealer
from homeport.kernel import limits
from homeport.kernel.digests import Digest
from homeport.kernel.errors import RangeInvalid, RequestTimeout, UploadNotFound
from homeport.kernel.names import RepositoryName
from homeport.repositories import service as repositories
from homeport.repositories.model import Settings as RepositorySettings
from homeport.uploads import service as uploads
from homeport.uploads.service import Place
from homeport.wire import body as wire_body
from homeport.wire import pace as wire_pace
from homeport.wire.connection import Server
from homeport.wire.threads import ByteThreads
from tests.harness.images import random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Answer, Site
from tests.security.conftest import Memory

MIB = 1024 * 1024


def opened(site: Site, repository: str) -> str:
    """Open an upload; returns its location."""
    answer = site.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"")
    assert answer.status == 202, answer
    return answer.headers["location"]


def push(site: Site, repository: str, data: bytes) -> str:
    """Push a blob; returns its digest."""
    digest = sha256(data)
    answer = site.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", body=data)
    assert answer.status == 201, answer
    return digest


def mount(site: Site, target: str, digest: str, source: str) -> Answer:
    return site.ask("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={source}", body=b"")


def status(site: Site, repository: str, digest: str) -> int:
    return site.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status


def staged_files(server: Homeport) -> set[Path]:
    return {path for path in (server.data / "blobs" / "staging").rglob("*") if path.is_file()}


def file_of(server: Homeport, digest: str) -> Path:
    """The file that holds a finished blob."""
    with contextlib.closing(sqlite3.connect(server.data / "homeport.db")) as db:
        (key,) = db.execute("SELECT storage_key FROM blob WHERE digest = ?", (digest,)).fetchone()
    return server.data / "blobs" / str(key)


@pytest.mark.usefixtures("mounting")
def test_b1_a_mount_from_a_repository_that_may_not_be_pulled_finds_nothing(
    homeport: Homeport, site: Site, new_repository: Callable[[], str], stranger: Callable[..., Credentials]
) -> None:
    mine, secret = new_repository(), new_repository()
    digest = push(site, secret, os.urandom(100))
    asking = Site.of(homeport.url, homeport.password(stranger(mine)))

    denied = mount(asking, mine, digest, secret)
    absent = mount(asking, mine, digest, "no/such/repository")
    nothing = mount(asking, mine, sha256(os.urandom(9)), secret)

    assert (denied.status, absent.status, nothing.status) == (202, 202, 202)
    assert set(denied.headers) == set(absent.headers) == set(nothing.headers)
    assert status(site, mine, digest) == 404


@pytest.mark.usefixtures("mounting")
def test_b2_both_repositories_of_a_mount_must_be_granted(
    homeport: Homeport, site: Site, new_repository: Callable[[], str], stranger: Callable[..., Credentials]
) -> None:
    target, source = new_repository(), new_repository()
    digest = push(site, source, os.urandom(100))
    only_target, only_source, both = (
        Site.of(homeport.url, homeport.password(stranger(*names)))
        for names in ((target,), (source,), (target, source))
    )

    assert mount(only_target, target, digest, source).status == 202
    mount(only_source, target, digest, source).refused(403, "DENIED")
    assert status(site, target, digest) == 404
    assert mount(both, target, digest, source).status == 201
    assert status(site, target, digest) == 200


def test_b3_a_blob_exists_only_in_the_repository_it_was_pushed_to(
    homeport: Homeport, site: Site, new_repository: Callable[[], str], stranger: Callable[..., Credentials]
) -> None:
    here, there = new_repository(), new_repository()
    data = os.urandom(100)
    digest = push(site, there, data)
    asking = Site.of(homeport.url, homeport.password(stranger(here)))

    for who in (site, asking):
        for method in ("HEAD", "GET"):
            known = who.ask(method, f"/v2/{here}/blobs/{digest}")
            unknown = who.ask(method, f"/v2/{here}/blobs/{sha256(b'unknown')}")
            assert (known.status, unknown.status) == (404, 404)
            assert known.body.replace(digest.encode(), b"") == unknown.body.replace(
                sha256(b"unknown").encode(), b""
            )
    layers = homeport.client().batch_check_layer_availability(repositoryName=here, layerDigests=[digest])[
        "layers"
    ]
    assert layers[0]["layerAvailability"] == "UNAVAILABLE"
    push(asking, here, data)
    assert status(asking, here, digest) == 200


def test_b4_a_blob_of_a_deleted_repository_is_gone_at_once(
    homeport: Homeport, site: Site, oci: OciClient, repository: str
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")
    layer = f"/v2/{repository}/blobs/{image.layers[0].digest}"
    for _ in range(3):
        assert site.ask("GET", layer).status == 200

    homeport.client().delete_repository(repositoryName=repository, force=True)
    site.ask("GET", layer).refused(404, "NAME_UNKNOWN")
    homeport.client().create_repository(repositoryName=repository)

    site.ask("GET", layer).refused(404, "BLOB_UNKNOWN")
    site.ask("GET", f"/v2/{repository}/manifests/v1").refused(404, "MANIFEST_UNKNOWN")
    site.ask("GET", f"/v2/{repository}/manifests/{image.digest}").refused(404, "MANIFEST_UNKNOWN")


@pytest.mark.usefixtures("mounting")
def test_b5_a_blob_deleted_in_one_repository_stays_in_the_other(
    homeport: Homeport, site: Site, new_repository: Callable[[], str]
) -> None:
    first, second = new_repository(), new_repository()
    data = os.urandom(100_000)
    digest = push(site, first, data)
    assert mount(site, second, digest, first).status == 201

    homeport.client().delete_repository(repositoryName=first, force=True)

    assert status(site, first, digest) == 404
    assert site.ask("GET", f"/v2/{second}/blobs/{digest}").body == data


def test_b6_a_commit_with_the_wrong_digest_leaves_nothing(
    homeport: Homeport, site: Site, repository: str
) -> None:
    before = staged_files(homeport)
    data = os.urandom(200_000)
    location = opened(site, repository)
    assert site.ask("PATCH", location, body=data[:100_000]).status == 202

    site.ask("PUT", f"{location}?digest={sha256(b'other')}", body=data[100_000:]).refused(
        400, "DIGEST_INVALID"
    )

    site.ask("GET", location).refused(404, "BLOB_UPLOAD_UNKNOWN")
    assert status(site, repository, sha256(b"other")) == 404
    assert status(site, repository, sha256(data)) == 404
    assert staged_files(homeport) == before


@pytest.mark.parametrize(
    "announced",
    [
        "0-9",
        "5-14",
        "11-20",
        "20-10",
        "10-18",
        "10-20",
        "10-9223372036854775807",
        "9223372036854775807-9223372036854775808",
        "9223372036854775808-9223372036854775817",
        "18446744073709551616-18446744073709551625",
        "-10-19",
        "10--19",
        "-10",
        "10-",
        "-",
        "",
        "bytes 0-9/20",
        "bytes */20",
        "a-b",
        "10-19,20-29",
        "10 - 19",
        "0x0a-0x13",
        "1e1-19",
        "\xb2-19",
    ],
)
def test_b7_a_content_range_that_does_not_fit_is_refused_and_counts_nothing(
    site: Site, repository: str, announced: str
) -> None:
    data = os.urandom(20)
    location = opened(site, repository)
    assert site.ask("PATCH", location, {"Content-Range": "0-9"}, data[:10]).status == 202
    if not announced:
        announced = " "

    for method in ("PATCH", "PUT"):
        path = location if method == "PATCH" else f"{location}?digest={sha256(data)}"
        answer = site.ask(method, path, {"Content-Range": announced}, data[10:])
        answer.refused(416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["range"] == "0-9"

    assert site.ask("GET", location).headers["range"] == "0-9"
    assert status(site, repository, sha256(data)) == 404
    assert site.ask("PATCH", location, {"Content-Range": "10-19"}, data[10:]).status == 202
    assert site.ask("PUT", f"{location}?digest={sha256(data)}").status == 201


def test_b7_a_chunked_body_must_be_as_long_as_announced(site: Site, repository: str) -> None:
    location = opened(site, repository)

    for announced in ("0-9", "0-11"):
        with site.line() as line:
            answer = line.ask_chunked("PATCH", location, [b"12345", b"678901"], {"Content-Range": announced})
            answer.refused(416, "BLOB_UPLOAD_INVALID") if announced == "0-9" else answer.refused(416)
        assert site.ask("GET", location).headers["range"] == "0-0"

    with site.line() as line:
        answer = line.ask_chunked("PATCH", location, [b"12345", b"678901"], {"Content-Range": "0-10"})
        assert answer.headers["range"] == "0-10"


def test_b8_only_one_of_two_clients_can_write_to_an_upload(site: Site, repository: str) -> None:
    data = os.urandom(300_000)
    location = opened(site, repository)

    with site.line() as first, site.line() as second:
        first.send_head("PATCH", location, {"Content-Length": str(len(data))})
        first.send(data[:200_000])
        _writing(site, location)
        answer = second.ask("PATCH", location, body=b"x" * 300_000).refused(416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["range"] == "0-0"
        first.send(data[200_000:])
        assert first.answer().headers["range"] == f"0-{len(data) - 1}"

    digest = sha256(data)
    assert site.ask("PUT", f"{location}?digest={digest}").status == 201
    assert site.ask("GET", f"/v2/{repository}/blobs/{digest}").body == data


def _writing(site: Site, location: str) -> None:
    """Return when another request is writing to the upload."""
    deadline = time.monotonic() + 10
    while site.ask("PATCH", location, body=b"").status != 416:
        assert time.monotonic() < deadline


def test_b8_many_racing_requests_never_mix_their_bytes(site: Site, repository: str) -> None:
    for _ in range(5):
        location = opened(site, repository)
        bodies = [os.urandom(1) * 50_000 for _ in range(8)]
        with ThreadPoolExecutor(len(bodies)) as threads:
            answers = list(threads.map(lambda body: site.ask("PATCH", location, body=body), bodies))  # noqa: B023
        assert {answer.status for answer in answers} <= {202, 416}
        ends = {
            int(answer.headers["range"].removeprefix("0-")): body
            for answer, body in zip(answers, bodies, strict=True)
            if answer.status == 202
        }
        assert sorted(ends) == [(place + 1) * 50_000 - 1 for place in range(len(ends))]
        data = b"".join(ends[end] for end in sorted(ends))

        assert site.ask("GET", location).headers["range"] == f"0-{len(data) - 1}"
        answer = site.ask("PUT", f"{location}?digest={sha256(data)}")
        assert answer.status == 201, answer
        assert site.ask("GET", f"/v2/{repository}/blobs/{sha256(data)}").body == data


def test_b8_a_late_writer_in_another_worker_cannot_change_acknowledged_bytes(tmp_path: Path) -> None:
    good, evil = b"good" * 1000, b"evil" * 1000

    async def race() -> bytes:
        settings, _ = await initialise(load(data=tmp_path / "data", account="111122223333"))
        one, two = build_region(settings), build_region(settings)
        try:
            now = one.clock.now()
            name = RepositoryName("race/here")
            repository = await repositories.create(one.db, now, one.account, name, RepositorySettings(), {})
            place = Place(repository, "arn:aws:iam::111122223333:user/somebody")
            upload = await uploads.start(one.db, now, place)
            seen_by_two = await uploads.find(two.db, place, upload.id)
            async with one.uploads.receive(one.db, upload) as received:
                received.write([good])
                with pytest.raises(RangeInvalid):
                    async with two.uploads.receive(two.db, seen_by_two):
                        pytest.fail("two workers have the upload")
                acknowledged = await uploads.advance(one.db, now, received)

            # The second worker looked the upload up before that, and begins to write only now.
            async def come_late() -> None:
                async with two.uploads.receive(two.db, seen_by_two) as late:
                    late.write([evil])
                    await uploads.advance(two.db, now, late)

            with pytest.raises(RangeInvalid):
                await come_late()

            assert await uploads.find(two.db, place, upload.id) == acknowledged
            async with one.uploads.receive(one.db, acknowledged) as last:
                blob = await uploads.finish(one.db, one.uploads, now, place, last, Digest(sha256(good)))
            with pytest.raises(UploadNotFound):
                async with two.uploads.receive(two.db, seen_by_two):
                    pytest.fail("a finished upload goes on")
            with contextlib.closing(two.blobs.reader(blob.storage_key)) as reader:
                return reader.read(0, blob.size)
        finally:
            await one.db.close()
            await two.db.close()

    assert asyncio.run(race()) == good
    staging = tmp_path / "data" / "blobs" / "staging"
    assert [path for path in staging.rglob("*") if path.is_file()] == []


def test_b9_the_address_of_an_upload_is_an_opaque_id_and_nothing_else(site: Site, repository: str) -> None:
    location = opened(site, repository)
    assert re.fullmatch(
        rf"/v2/{repository}/blobs/uploads/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}", location
    )

    forged = f"{location}?_state=eyJPZmZzZXQiOjEwMDB9&offset=1000&startedat=0"
    answer = site.ask("PATCH", forged, body=b"12345")

    assert answer.status == 202
    assert answer.headers["range"] == "0-4"
    assert answer.headers["location"] == location
    assert site.ask("PUT", f"{forged}&digest={sha256(b'12345')}").status == 201


def test_b10_no_state_is_a_serialised_object() -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "jsonpickle", "cloudpickle", "_pickle"}
    found = []
    for path in Path(homeport.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                call = ast.unparse(node.func)
                names = {"pickle"} if call in ("yaml.load", "yaml.unsafe_load", "yaml.full_load") else set()
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = {"pickle"} if node.func.id in ("eval", "exec") else set()
            else:
                continue
            found += [f"{path}:{node.lineno}" for _ in names & banned]

    assert found == []


@pytest.mark.slow
def test_b11_a_principal_can_keep_only_so_many_uploads_open(
    homeport: Homeport, site: Site, repository: str, stranger: Callable[..., Credentials]
) -> None:
    flooder = Site.of(homeport.url, homeport.password(stranger(repository)))
    start = f"/v2/{repository}/blobs/uploads/"

    answers: list[Answer] = []
    with flooder.line() as line:
        for _ in range(limits.UPLOADS_PER_PRINCIPAL // 50):
            line.send(line.head("POST", start, {"Content-Length": "0"}) * 50)
            answers = [line.answer() for _ in range(50)]
            assert {answer.status for answer in answers} == {202}
        line.ask("POST", start, body=b"").refused(429, "TOOMANYREQUESTS")
        line.ask("POST", f"{start}?digest={sha256(b'x')}", body=b"x").refused(429, "TOOMANYREQUESTS")

        assert line.ask("DELETE", answers[0].headers["location"]).status == 204
        assert line.ask("POST", start, body=b"").status == 202
    assert site.ask("POST", start, body=b"").status == 202


class _Wire:
    """The connection layer by itself, with a handler that only receives; runs an event loop in a thread."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def __enter__(self) -> _Wire:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _run(self) -> None:
        threads = ByteThreads()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                await wire_body.receive(request, lambda parts: None, threads)
            except RequestTimeout as error:
                self.outcomes.append(error.message)
                return web.Response(status=408)
            return web.Response(status=201)

        server = Server(handle, lambda request, response: None)
        runner = web.ServerRunner(server, handle_signals=False)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
        threads.close()


@pytest.mark.parametrize("framing", ["length", "chunked", "parsed"])
def test_b12_a_client_that_sends_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch, framing: str) -> None:
    monkeypatch.setattr(wire_pace, "BODY_WINDOW_SECONDS", 0.6)
    # Only addresses of uploads are read from the socket; any other body goes through the parser.
    path = "/v2/a/blobs/uploads/1" if framing != "parsed" else "/elsewhere"
    headers = {"Transfer-Encoding": "chunked"} if framing == "chunked" else {"Content-Length": "1000"}

    with _Wire() as wire:
        site = Site(f"http://127.0.0.1:{wire.port}", "none")
        with site.line() as line:
            line.send_head("PATCH", path, headers)
            for _ in range(3):  # slow, but within the window
                line.send(b"1\r\nx\r\n" if framing == "chunked" else b"x")
                assert line.silent(0.1)
            began = time.monotonic()
            answer = line.answer()
            assert answer.status == 408
            assert time.monotonic() - began < 5
            assert line.ended()
        assert len(wire.outcomes) == 1
    assert limits.BODY_WINDOW_SECONDS <= 60


def test_b13_an_unauthorised_push_is_refused_before_its_body(site: Site, repository: str) -> None:
    location = opened(site, repository)

    for method, path in (
        ("PUT", f"{location}?digest={sha256(b'x')}"),
        ("POST", f"/v2/{repository}/blobs/uploads/?digest={sha256(b'x')}"),
        ("PUT", f"/v2/{repository}/manifests/v1"),
        ("PATCH", location),
    ):
        with site.line() as line:
            head = {"Authorization": "", "Content-Length": "1000000000", "Expect": "100-continue"}
            line.send_head(method, path, head)
            assert line.answer().status == 401
            if method == "PATCH":
                # What comes next could only be the body: the server must not take it as a request.
                line.send(line.head("GET", "/v2/"))
                assert line.ended()


def test_b14_many_ranges_cost_no_more_than_the_whole(site: Site, repository: str) -> None:
    data = os.urandom(100_000)
    path = f"/v2/{repository}/blobs/{push(site, repository, data)}"
    many = "bytes=" + ",".join("0-" for _ in range(10_000))
    spread = "bytes=" + "0-1," * 5000 + "5-"
    digits = "bytes=" + "1" * 30_000 + "-"

    for asked in (many, spread, digits, "bytes=" + "-" * 30_000, "bytes=" + " " * 30_000):
        began = time.monotonic()
        answer = site.ask("GET", path, {"Range": asked})
        assert answer.status in (200, 416)
        assert len(answer.body) <= len(data)
        assert time.monotonic() - began < 1


def test_b15_a_compressed_body_is_refused_and_never_inflated(
    site: Site, repository: str, memory: Memory
) -> None:
    bomb = gzip.compress(bytes(100 * MIB), 9)
    digest = sha256(bomb)
    location = opened(site, repository)
    start = f"/v2/{repository}/blobs/uploads/"

    for encoding in ("gzip", "deflate", "br", "zstd", "x-unknown", "gzip, identity"):
        for method, path in (
            ("POST", f"{start}?digest={digest}"),
            ("PATCH", location),
            ("PUT", f"{location}?digest={digest}"),
            ("PUT", f"/v2/{repository}/manifests/v1"),
        ):
            site.ask(method, path, {"Content-Encoding": encoding}, bomb).refused(415, "UNSUPPORTED")
    for coding in ("gzip, chunked", "deflate, chunked"):
        with site.line() as line:
            line.send_head("PATCH", location, {"Transfer-Encoding": coding})
            line.send(b"5\r\nabcde\r\n0\r\n\r\n")
            assert line.answer().status in (400, 415, 501)

    assert site.ask("GET", location).headers["range"] == "0-0"
    assert status(site, repository, digest) == 404
    assert memory.growth < 48


def test_b16_the_address_of_a_layer_is_short_lived_and_for_that_layer_alone(
    homeport: Homeport, site: Site, oci: OciClient, repository: str
) -> None:
    image = random_image(layer_bytes=200_000)
    oci.push(repository, image, "v1")
    layer = image.layers[0]
    answer = homeport.client().get_download_url_for_layer(repositoryName=repository, layerDigest=layer.digest)
    path = urlsplit(answer["downloadUrl"]).path
    bare = Site(site.url, "")

    with bare.line() as line:
        head = line.ask("HEAD", path)
        assert (head.status, head.headers["content-length"]) == (200, str(layer.size))
        got = line.ask("GET", path)
        assert got.body == layer.data
        assert got.headers["referrer-policy"] == "no-referrer"
        assert "private" in got.headers["cache-control"]
        assert line.ask("PUT", path).status == 405
    token = path.removeprefix("/layers/")
    for at in range(0, len(token), 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert bare.ask("GET", f"/layers/{changed}").status in (400, 403, 404)
    for text in ("", "x", token + "A", token[:-5], token + "/..", "%00", token * 50):
        assert bare.ask("GET", f"/layers/{text}").status in (400, 403, 404)
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=limits.DOWNLOAD_SECONDS + 1)
    old = DownloadTokens(sealer(homeport.data)).issue(1, layer.digest, then, limits.DOWNLOAD_SECONDS)
    bare.ask("GET", f"/layers/{old}").refused(403, "DENIED")
    homeport.client().delete_repository(repositoryName=repository, force=True)
    assert bare.ask("GET", path).status == 404
    assert not any(token in line for line in homeport.output), "the address must not be readable in the log"


def test_b17_answers_to_one_caller_are_not_for_a_shared_cache(
    site: Site, oci: OciClient, repository: str
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")

    for path in (
        "manifests/v1",
        f"manifests/{image.digest}",
        f"blobs/{image.layers[0].digest}",
        "tags/list",
        f"referrers/{image.digest}",
        "manifests/absent",
    ):
        for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
            answer = site.ask("GET", f"/v2/{repository}/{path}", headers)
            assert "private" in answer.headers["cache-control"], (path, headers)
            assert "public" not in answer.headers["cache-control"]
    # A condition or range of one caller says nothing to a caller without permission.
    blob = f"/v2/{repository}/blobs/{image.layers[0].digest}"
    known = {"If-None-Match": f'"{image.layers[0].digest}"', "Range": "bytes=0-1", "Authorization": ""}
    assert site.ask("GET", blob, known).status == 401


def test_b18_a_layer_part_must_continue_the_upload(homeport: Homeport, repository: str) -> None:
    client = homeport.client()
    upload = client.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = os.urandom(1000)

    def send(first: int, last: int, blob: bytes, upload_id: str = upload) -> None:
        client.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=last,
            layerPartBlob=blob,
        )

    send(0, 999, part)
    for first, last, blob in (
        (0, 999, part),
        (500, 1499, part),
        (1001, 2000, part),
        (1000, 1998, part),
        (1000, 2000, part),
        (1000, 999, b""),
        (2000, 1000, part),
        (2**63 - 1000, 2**63 - 1, part),
    ):
        with pytest.raises(ClientError) as refusal:
            send(first, last, blob)
        response: dict[str, Any] = dict(refusal.value.response)
        assert response["Error"]["Code"] == "InvalidLayerPartException", (first, last)
        assert response["lastValidByteReceived"] == 999
        assert response["uploadId"] == upload
    for wrong in ("00000000-0000-4000-8000-000000000000", "../../x"):
        with pytest.raises(ClientError) as refusal:
            send(1000, 1999, part, wrong)
        expected = {"UploadNotFoundException", "InvalidParameterException"}
        assert refusal.value.response["Error"]["Code"] in expected
    with pytest.raises(ClientError) as refusal:
        send(1000, 1000 + limits.LAYER_PART_MAX_BYTES, bytes(limits.LAYER_PART_MAX_BYTES + 1))
    assert refusal.value.response["Error"]["Code"] in (
        "InvalidLayerPartException",
        "InvalidParameterException",
    )

    send(1000, 1999, part)


@pytest.mark.slow
def test_b19_a_layer_beyond_the_limit_is_refused_and_its_bytes_are_freed(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()
    server.client().create_repository(repositoryName="too/large")
    site = Site.of(server.url, server.password())
    location = opened(site, "too/large")
    with site.line() as line:  # announced: refused before the first byte
        line.send_head("PATCH", location, {"Content-Length": str(limits.LAYER_BYTES + 1)})
        line.answer().refused(413, "SIZE_INVALID")
    assert staged_files(server) == set() or all(path.stat().st_size == 0 for path in staged_files(server))

    uploads_by_front = {}
    almost = limits.LAYER_BYTES - 5
    for front in ("length", "chunked", "api"):
        location = opened(site, "too/large")
        assert site.ask("PATCH", location, body=b"x").status == 202
        upload = location.rpartition("/")[2]
        with contextlib.closing(sqlite3.connect(server.data / "homeport.db")) as db, db:
            # A sparse file stands for the 52 000 MiB that came before.
            row = db.execute("SELECT storage_key FROM upload WHERE id = ?", (upload,)).fetchone()
            db.execute('UPDATE upload SET "offset" = ? WHERE id = ?', (almost, upload))
        file = server.data / "blobs" / "staging" / Path(str(row[0])).relative_to("data")
        os.truncate(file, almost)
        uploads_by_front[front] = location, file
    server.restart(same_port=True)  # rows that the server remembers between its own commits are forgotten

    location, file = uploads_by_front["length"]
    site.ask("PATCH", location, body=b"0123456789").refused(413, "SIZE_INVALID")
    assert not file.exists()
    location, file = uploads_by_front["chunked"]
    with site.line() as line:
        line.ask_chunked("PATCH", location, [b"01234", b"56789"]).refused(413, "SIZE_INVALID")
    assert not file.exists()
    location, file = uploads_by_front["api"]
    with pytest.raises(ClientError) as refusal:
        server.client().upload_layer_part(
            repositoryName="too/large",
            uploadId=location.rpartition("/")[2],
            partFirstByte=almost,
            partLastByte=almost + 9,
            layerPartBlob=b"0123456789",
        )
    assert refusal.value.response["Error"]["Code"] == "LimitExceededException"
    assert not file.exists()


def test_b20_a_part_sent_again_with_other_bytes_is_refused(site: Site, repository: str) -> None:
    first, second = b"a" * 1000, b"b" * 1000
    location = opened(site, repository)
    assert site.ask("PATCH", location, {"Content-Range": "0-999"}, first).status == 202

    site.ask("PATCH", location, {"Content-Range": "0-999"}, second).refused(416, "BLOB_UPLOAD_INVALID")

    digest = sha256(first)
    assert site.ask("PUT", f"{location}?digest={digest}").status == 201
    assert site.ask("GET", f"/v2/{repository}/blobs/{digest}").body == first


def test_b21_what_was_planted_in_the_store_is_not_served(
    fresh_homeport: Callable[..., Homeport], subtests: pytest.Subtests
) -> None:
    server, repository = fresh_homeport(), "planted/here"  # its own: it logs errors, as it must
    site = Site.of(server.url, server.password())
    server.client().create_repository(repositoryName=repository)
    digests = []
    for planted in ("symbolic link", "hard link", "pipe", "folder", "shorter", "longer"):
        digests.append(digest := push(site, repository, os.urandom(1000)))
        plant(file_of(server, digest), planted)

        with subtests.test(planted):
            for headers in ({}, {"Range": "bytes=0-9"}):
                answer = site.ask("GET", f"/v2/{repository}/blobs/{digest}", headers)
                answer.refused(503, "UNAVAILABLE")
                assert b"sss" not in answer.body
                assert str(server.data).encode() not in answer.body

    server.terminate()
    told = [record for record in server.log if record.get("event") == "blob_damaged"]
    assert [record["digest"] for record in told] == [digest for digest in digests for _ in range(2)]
    assert len(server.defects) == len(told)


def plant(file: Path, what: str) -> None:
    """Put something else in the place of stored bytes."""
    secret = file.with_name("planted-secret")
    secret.write_bytes(b"s" * 1000)
    file.unlink()
    if what == "symbolic link":
        file.symlink_to(secret)
    elif what == "hard link":
        file.hardlink_to(secret)
    elif what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"s" * (999 if what == "shorter" else 1001))


def test_b21_a_staged_file_that_was_replaced_is_not_written_through(
    homeport: Homeport, site: Site, repository: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"v" * 10)
    before = staged_files(homeport)
    location = opened(site, repository)
    assert site.ask("PATCH", location, body=b"0123456789").status == 202
    (staged,) = staged_files(homeport) - before
    staged.unlink()
    staged.symlink_to(victim)

    answer = site.ask("PATCH", location, body=b"more")

    assert answer.status in (404, 503), answer
    assert victim.read_bytes() == b"v" * 10
    staged.unlink()
