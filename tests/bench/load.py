"""How much a registry serves and takes at once, with several workers on one database: part of the scale benchmark.

Pulls of manifests by wrk, of one tag and of many in turn, also while somebody pushes; pushes by processes of their own;
layers that lie in an object store, answered by a redirect (nothing contacts the store for it, so none is started).
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import filling
from tests.bench.accounting import exact_cpu_seconds, process_tree
from tests.bench.filling import PROBE, Filling
from tests.bench.questions import TimedConnection, manifest_of, new_image
from tests.bench.rawclient import BenchmarkError, Endpoint, expect
from tests.bench.servers import Server

CONNECTIONS = 8
_SECONDS = 5
_IMAGES = 40  # that each pusher pushes
_REDIRECTS = 900
_FAILED = re.compile(r"Non-2xx|Socket errors")
_MANY = """
local tags = {%s}
local at = 0
request = function()
  at = at %% #tags + 1
  return wrk.format("GET", "/v2/%s/manifests/" .. tags[at])
end
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table: what, how much, and milliseconds of processor time for each, server and database."""

    title: str
    value: str
    cost: float


@dataclass(slots=True)
class Load:
    """A server under test, and the processes of its database."""

    server: Server
    database: list[int]
    scratch: Path

    def _costs(self) -> float:
        return exact_cpu_seconds([*process_tree(self.server.pid), *self.database])

    def figures(self) -> Iterator[Figure]:
        """Measure everything but redirects, one row after the other."""
        yield self._pulls("one tag", 1)
        yield self._pulls("900 tags in turn", 900)
        with _pusher(self.server.endpoint):
            yield self._pulls("900 tags in turn, while one client pushes", 900)
        for count in (1, CONNECTIONS):
            yield from self._pushes(count)

    def _pulls(self, what: str, tags: int) -> Figure:
        wrk = shutil.which("wrk")
        if wrk is None:
            raise BenchmarkError("wrk is missing (Debian: apt-get install wrk)")
        numbers = (number for number in range(filling.PROBE_IMAGES) if not filling.is_signature(number))
        named = [f'"{filling.tag(number)}"' for _, number in zip(range(tags), numbers, strict=False)]
        script = self.scratch / "many.lua"
        script.write_text(_MANY % (", ".join(named), PROBE))
        endpoint = self.server.endpoint
        words = [
            wrk,
            "-t1",
            f"-c{CONNECTIONS}",
            "-s",
            str(script),
            "-H",
            f"Authorization: {endpoint.authorization}",
        ]
        url = f"http://{endpoint.address}"
        subprocess.run([*words, "-d1s", url], capture_output=True, check=False)
        before = self._costs()
        done = subprocess.run(
            [*words, f"-d{_SECONDS}s", url], capture_output=True, text=True, check=False
        ).stdout
        spent = self._costs() - before
        rate = re.search(r"Requests/sec: +([\d.]+)", done)
        total = re.search(r"(\d+) requests in", done)
        if rate is None or total is None or _FAILED.search(done):
            raise BenchmarkError(f"wrk did not get only good answers:\n{done}")
        cost = spent / int(total[1]) * 1000
        return Figure(f"GET manifest by tag, {what}", f"{float(rate[1]):,.0f}/s", cost)

    def _pushes(self, count: int) -> Iterator[Figure]:
        context = multiprocessing.get_context("spawn")
        answers: Any = context.SimpleQueue()
        begin = context.Barrier(count + 1)
        pushers = [
            context.Process(target=_push, args=(self.server.endpoint, number, _IMAGES, begin, answers))
            for number in range(count)
        ]
        for pusher in pushers:
            pusher.start()
        begin.wait(60)
        before, began = self._costs(), time.perf_counter()
        lasted = [answers.get() for _ in pushers]
        rate = count * _IMAGES / (time.perf_counter() - began)
        cost = (self._costs() - before) / (count * _IMAGES) * 1000
        for pusher in pushers:
            pusher.join()
        if any(times is None for times in lasted):
            raise BenchmarkError("a push failed")
        manifests = sorted(seconds for times in lasted for seconds in times)
        middle, late = statistics.median(manifests) * 1000, manifests[len(manifests) * 95 // 100] * 1000
        who = "1 client" if count == 1 else f"{count} clients"
        yield Figure(f"push of a small image, {who}", f"{rate:.0f}/s", cost)
        yield Figure(f"of it, the manifest: median and 95 %, {who}", f"{middle:.1f} ms, {late:.1f} ms", 0.0)

    def redirects(self) -> Figure:
        """Measure pulls of layers that are answered with an address in an object store, each layer once."""
        with TimedConnection(self.server.endpoint) as connection:
            layers = [filling.digest_of(f"l {PROBE} {number}") for number in range(_REDIRECTS)]
            for digest in layers[:50]:
                _redirected(connection, digest)
            before = self._costs()
            connection.seconds = 0.0
            for digest in layers[50:]:
                _redirected(connection, digest)
            cost = (self._costs() - before) / (_REDIRECTS - 50) * 1000
        each = connection.seconds / (_REDIRECTS - 50) * 1000
        return Figure("pull of a layer, redirected to S3, 1 connection", f"{each:.2f} ms", cost)


def _redirected(connection: TimedConnection, digest: str) -> None:
    expect(connection.request("GET", f"/v2/{PROBE}/blobs/{digest}"), 307, "GET of a layer")


def _push(endpoint: Endpoint, number: int, images: int, begin: Any, answers: Any) -> None:
    """In a process of its own: push images and tell how long each manifest took, None when that failed."""
    try:
        with TimedConnection(endpoint) as connection:
            times = []
            for turn in range(-2, images):
                if turn == 0:
                    begin.wait(60)
                pushed = new_image(connection, PROBE)
                connection.seconds = 0.0
                connection.push_manifest(PROBE, f"p{os.getpid()}-{number}-{turn}", manifest_of(pushed))
                times.append(connection.seconds)
        answers.put(times[2:])
    except BaseException:
        answers.put(None)
        raise


def _push_on(endpoint: Endpoint) -> None:
    with TimedConnection(endpoint) as connection:
        turn = 0
        while True:
            turn += 1
            connection.push_manifest(
                PROBE, f"b{os.getpid()}-{turn}", manifest_of(new_image(connection, PROBE))
            )


@contextmanager
def _pusher(endpoint: Endpoint) -> Iterator[None]:
    """Somebody who pushes one image after the other meanwhile."""
    process = multiprocessing.get_context("spawn").Process(target=_push_on, args=(endpoint,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


FILLING = Filling(30_000)


def table(figures: list[Figure]) -> str:
    """Return what was measured in Markdown."""
    lines = ["| | | CPU, ms each |", "|---|---:|---:|"]
    for each in figures:
        cost = f"{each.cost:.2f}" if each.cost else ""
        lines.append(f"| {each.title} | {each.value} | {cost} |")
    return "\n".join(lines)
