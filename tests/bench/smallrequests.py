"""The load of small requests: wrk where it can be used, and a small event loop of our own where it cannot.

wrk never finishes a HEAD response that states a length (it waits for the body), so HEAD always takes the
loop. Run as a program, this file is the loop: it prints one JSON object {"requests": ..., "seconds": ...}.
Contract: RFC 9112; `wrk` 4.x prints "<n> requests in <t>s" and a line on failures.
"""

from __future__ import annotations

import json
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rawclient import BenchmarkError, Endpoint

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
WRK_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b")
WRK_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
ROOT = Path(__file__).resolve().parents[2]
FAILURES = ("Non-2xx", "Socket errors")


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests were answered, and in how many seconds."""

    requests: int
    seconds: float


def small_requests(
    endpoint: Endpoint, method: str, target: str, accept: str, *, connections: int, seconds: int
) -> Load:
    """Send one request again and again over kept-alive connections, each waiting for its answer.

    Raises BenchmarkError when any answer is not 200, or when none comes.
    """
    headers = {"Accept": accept}
    if endpoint.authorization:
        headers["Authorization"] = endpoint.authorization
    wrk = shutil.which("wrk")
    if wrk and method == "GET":
        return _wrk(wrk, f"http://{endpoint.address}{target}", headers, connections, seconds)
    fields = {"Host": endpoint.address, **headers}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fields.items()
    )
    order = {
        "host": endpoint.host,
        "port": endpoint.port,
        "head": head + "\r\n",
        "connections": connections,
        "seconds": seconds,
    }
    answer = json.loads(_output([sys.executable, "-m", "tests.bench.smallrequests"], json.dumps(order)))
    return Load(answer["requests"], answer["seconds"])


def client_name(method: str) -> str:
    """Return which client `small_requests` uses for a method."""
    return "wrk" if method == "GET" and shutil.which("wrk") else "Python epoll loop"


def _wrk(wrk: str, url: str, headers: dict[str, str], connections: int, seconds: int) -> Load:
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    output = _output([*command, url], "")
    total = WRK_TOTAL.search(output)
    if total is None or int(total[1]) == 0 or any(failure in output for failure in FAILURES):
        raise BenchmarkError(f"wrk did not get only good answers:\n{output}")
    return Load(int(total[1]), float(total[2]) * WRK_UNITS[total[3]])


def _output(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise BenchmarkError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _loop(host: str, port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Keep `connections` requests in flight, one on each connection, for `seconds`."""
    bodiless = request.startswith(b"HEAD ")
    waiting = {}
    poll = select.epoll()
    for _ in range(connections):
        peer = socket.create_connection((host, port), timeout=60)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting[peer.fileno()] = peer
        poll.register(peer.fileno(), select.EPOLLIN)
    partial: dict[int, bytes] = {}
    done = 0
    started = now = time.perf_counter()
    for peer in waiting.values():
        peer.send(request)
    while now - started < seconds:
        ready = poll.poll(seconds)
        if not ready:
            raise BenchmarkError("the server stopped answering")
        for number, _ in ready:
            peer = waiting[number]
            data = peer.recv(65536)
            if not data:
                raise BenchmarkError("the server closed a connection")
            data = partial.pop(number, b"") + data
            if not _complete(data, bodiless):
                partial[number] = data
                continue
            if not data.startswith(b"HTTP/1.1 200 "):
                raise BenchmarkError(f"unexpected answer: {data[:300]!r}")
            done += 1
            peer.send(request)
        now = time.perf_counter()
    for peer in waiting.values():
        peer.close()
    return Load(done, now - started)


def _complete(data: bytes, bodiless: bool) -> bool:
    """Say whether a whole response has come."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or bodiless:
        return end >= 0
    length = LENGTH.search(data, 0, end + 2)
    return length is not None and len(data) >= end + 4 + int(length[1])


if __name__ == "__main__":
    order = json.load(sys.stdin)
    load = _loop(order["host"], order["port"], order["head"].encode(), order["connections"], order["seconds"])
    print(json.dumps({"requests": load.requests, "seconds": load.seconds}))
