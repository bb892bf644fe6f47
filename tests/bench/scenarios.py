"""The rows of the benchmark: what each of them makes ready, and what of it is timed.

A scenario prepares a running server (never timed) and returns the work to be timed; it does not know which
registry it talks to. Sizes are bytes. Each server that is prepared must first give back, byte for byte, what
it was sent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from tests.bench.material import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    MEBIBYTE,
    Image,
    Source,
    descriptor,
    manifest,
)
from tests.bench.rawclient import BenchmarkError, Connection, Endpoint
from tests.bench.servers import Server
from tests.bench.smallrequests import small_requests

BLOBS = "bench/blobs"
IMAGE = "bench/image"
REPOSITORIES = (BLOBS, IMAGE)
PARALLEL = 8
WARM_UP_SIZE = 4 * MEBIBYTE
WARM_UP_SECONDS = 1


class Kind(Enum):
    """What the value of a row counts."""

    TRANSFER = "MiB/s"
    REQUESTS = "req/s"
    COPY = "s"


@dataclass(frozen=True, slots=True)
class Work:
    """What was done in how many seconds: bytes, or requests for rows of small requests."""

    amount: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bench:
    """The material and the sizes that all rows share."""

    source: Source
    image: Image
    scratch: Path
    blob_size: int
    part_size: int
    request_seconds: int


Timed = Callable[[], Work]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row. With `fresh`, each measurement gets a new server on an empty store; else one serves all."""

    key: str
    title: str
    kind: Kind
    fresh: bool
    prepare: Callable[[Bench, Server], Timed]


def scenarios(bench_sizes: tuple[int, int, int]) -> list[Scenario]:
    """Return all rows in order; the sizes in bytes (blob, one of eight parts, image) go into the titles."""
    blob, part, image = (_readable(size) for size in bench_sizes)
    eight = f"{PARALLEL} connections"
    return [
        Scenario("pull-1", f"pull {blob}, 1 client", Kind.TRANSFER, False, partial(_pull, clients=1)),
        Scenario("pull-8", f"pull {blob}, 8 clients", Kind.TRANSFER, False, partial(_pull, clients=PARALLEL)),
        Scenario("push-put", f"push {blob}, one PUT", Kind.TRANSFER, True, _push_put),
        Scenario("push-patch", f"push {blob}, PATCH stream", Kind.TRANSFER, True, _push_patch),
        Scenario("push-8", f"push 8 x {part}, PATCH streams", Kind.TRANSFER, True, _push_parallel),
        Scenario(
            "get-tag", f"manifest GET by tag, {eight}", Kind.REQUESTS, False, partial(_tag, method="GET")
        ),
        Scenario(
            "head-tag", f"manifest HEAD by tag, {eight}", Kind.REQUESTS, False, partial(_tag, method="HEAD")
        ),
        Scenario("head-blob", f"blob HEAD, {eight}", Kind.REQUESTS, False, _head_blob),
        Scenario("skopeo-push", f"skopeo push, {image} in 8 layers", Kind.COPY, True, _skopeo_push),
        Scenario("skopeo-pull", f"skopeo pull, {image} in 8 layers", Kind.COPY, False, _skopeo_pull),
    ]


def _pull(bench: Bench, server: Server, clients: int) -> Timed:
    """Each client pulls the same blob whole."""
    payload = bench.source.payload(bench.blob_size)
    with Connection(server.endpoint) as connection:
        connection.push_put(BLOBS, bench.source, payload)
        connection.checked_pull(BLOBS, payload.digest, payload.size)

    def timed() -> Work:
        pulls = [
            partial(Connection.pull, repository=BLOBS, digest=payload.digest, size=payload.size)
        ] * clients
        return Work(clients * payload.size, _together(server.endpoint, pulls))

    return timed


def _push_put(bench: Bench, server: Server) -> Timed:
    """One blob in one PUT with a Content-Length."""
    _warmed_up(bench, server)
    payload = bench.source.payload(bench.blob_size)
    push = partial(Connection.push_put, repository=BLOBS, source=bench.source, payload=payload)
    return lambda: Work(payload.size, _together(server.endpoint, [push]))


def _push_patch(bench: Bench, server: Server) -> Timed:
    """One blob in one PATCH in chunked transfer coding."""
    return _push_streams(bench, server, [bench.blob_size])


def _push_parallel(bench: Bench, server: Server) -> Timed:
    """Eight blobs at once, as `_push_patch` sends one."""
    return _push_streams(bench, server, [bench.part_size] * PARALLEL)


def _push_streams(bench: Bench, server: Server, sizes: Sequence[int]) -> Timed:
    _warmed_up(bench, server)
    pushes = [
        partial(
            Connection.push_stream, repository=BLOBS, source=bench.source, payload=bench.source.payload(size)
        )
        for size in sizes
    ]
    return lambda: Work(sum(sizes), _together(server.endpoint, pushes))


def _tag(bench: Bench, server: Server, method: str) -> Timed:
    """The same manifest by its tag, again and again."""
    return _requests(bench, server, method, f"/v2/{BLOBS}/manifests/latest")


def _head_blob(bench: Bench, server: Server) -> Timed:
    """The same blob's HEAD, again and again."""
    with Connection(server.endpoint) as connection:
        digest = connection.push_bytes(BLOBS, b"a blob to ask for")
    return _requests(bench, server, "HEAD", f"/v2/{BLOBS}/blobs/{digest}")


def _requests(bench: Bench, server: Server, method: str, target: str) -> Timed:
    """Load one target, after checking that it answers and after a second of warming up."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"one small layer"
    body = manifest(descriptor(config, CONFIG_TYPE), [descriptor(layer, LAYER_TYPE)])
    with Connection(server.endpoint) as connection:
        for blob in (config, layer):
            connection.push_bytes(BLOBS, blob)
        connection.push_manifest(BLOBS, "latest", body)
        got = connection.request("GET", f"/v2/{BLOBS}/manifests/latest", headers={"Accept": MANIFEST_TYPE})
        if got.body != body:
            raise BenchmarkError(f"{server.name} sent another manifest than the one it was given")

    def load(seconds: int) -> Work:
        done = small_requests(
            server.endpoint, method, target, MANIFEST_TYPE, connections=PARALLEL, seconds=seconds
        )
        return Work(done.requests, done.seconds)

    load(WARM_UP_SECONDS)
    return lambda: load(bench.request_seconds)


def _skopeo_push(bench: Bench, server: Server) -> Timed:
    """Copy the image from a folder to the server."""
    _warmed_up(bench, server)
    return lambda: _pushed_image(bench, server)


def _skopeo_pull(bench: Bench, server: Server) -> Timed:
    """Copy the image from the server to a folder in memory, which is emptied beforehand."""
    _pushed_image(bench, server)
    target = bench.scratch / "pulled"

    def timed() -> Work:
        shutil.rmtree(target, ignore_errors=True)
        seconds = _skopeo(bench, server, "--src-tls-verify=false", _reference(server), f"dir:{target}")
        body = (target / "manifest.json").read_bytes()
        shutil.rmtree(target)
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != bench.image.manifest_digest:
            raise BenchmarkError(f"skopeo pulled another manifest from {server.name}")
        return Work(bench.image.size, seconds)

    return timed


def _pushed_image(bench: Bench, server: Server) -> Work:
    origin = f"dir:{bench.image.folder}"
    return Work(
        bench.image.size, _skopeo(bench, server, "--dest-tls-verify=false", origin, _reference(server))
    )


def _reference(server: Server) -> str:
    return f"docker://{server.endpoint.address}/{IMAGE}:latest"


def _skopeo(bench: Bench, server: Server, *arguments: str) -> float:
    """Run one `skopeo copy`, logged in if the server needs it, and return its seconds."""
    credentials = bench.scratch / "login.json"
    secret = server.endpoint.authorization.removeprefix("Basic ")
    logins = {server.endpoint.address: {"auth": secret}} if secret else {}
    credentials.write_text(json.dumps({"auths": logins}))
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--authfile", str(credentials), *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BenchmarkError(f"skopeo copy with {server.name} failed:\n{done.stderr}")
    return seconds


def _warmed_up(bench: Bench, server: Server) -> None:
    """Push a small blob in both ways and compare what comes back, before anything is timed."""
    for push in (Connection.push_put, Connection.push_stream):
        payload = bench.source.payload(WARM_UP_SIZE)
        with Connection(server.endpoint) as connection:
            push(connection, BLOBS, bench.source, payload)
            connection.checked_pull(BLOBS, payload.digest, payload.size)


def _together(endpoint: Endpoint, tasks: Sequence[Callable[[Connection], None]]) -> float:
    """Run each task on a connection of its own, all at once, and return the seconds until the last is done.

    Threads are enough: sendfile and recv let go of the interpreter. The clock starts when all are connected.
    """
    started = 0.0
    failures: list[BaseException] = []

    def start_clock() -> None:
        nonlocal started
        started = time.perf_counter()

    barrier = threading.Barrier(len(tasks), action=start_clock)

    def run(task: Callable[[Connection], None], connection: Connection) -> None:
        with connection:
            barrier.wait()
            try:
                task(connection)
            except (OSError, BenchmarkError, ValueError) as error:
                failures.append(error)

    # Daemons: an interrupt ends the benchmark at once, and a stopped server then ends these threads.
    threads = [threading.Thread(target=run, args=(task, Connection(endpoint)), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise BenchmarkError(f"a transfer failed: {failures[0]!r}") from failures[0]
    return seconds


def _readable(size: int) -> str:
    mebibytes = size // MEBIBYTE
    return f"{mebibytes // 1024} GiB" if mebibytes % 1024 == 0 else f"{mebibytes} MiB"
