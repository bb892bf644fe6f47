"""A lean registry client on bare sockets, so that a benchmark measures the server and hardly the client.

Pushes leave by sendfile; pulls are counted and dropped inside the kernel (MSG_TRUNC). Contract: OCI
Distribution Specification 1.1 (pushing and pulling blobs and manifests) and RFC 9112. It follows no redirects
and retries nothing: an unexpected answer is a BenchmarkError. Bytes are compared by `checked_pull`, outside
of the timing.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.bench.material import CHUNK, FRAME, FRAME_HEAD, LAST_CHUNK, MANIFEST_TYPE, Payload, Source

TIMEOUT_SECONDS = 300
RECEIVE_SIZE = 1024 * 1024


class BenchmarkError(Exception):
    """A server answered wrongly, or the benchmark cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a registry listens, and the value of the Authorization header (empty: none is sent)."""

    host: str
    port: int
    authorization: str = ""

    @property
    def address(self) -> str:
        """Return host:port, as image references write it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a response, and its body unless the caller takes that from the socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def length(self) -> int:
        """Return the Content-Length, 0 when there is none."""
        return int(self.headers.get("content-length", "0"))


class Connection:
    """One kept-alive connection to a registry; a context manager that closes it."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connect. Raises OSError when nobody listens."""
        self._endpoint = endpoint
        self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout=TIMEOUT_SECONDS)
        # Python's timeout makes the socket non-blocking, which sendfile cannot use: let the kernel wait.
        self._socket.settimeout(None)
        limit = struct.pack("ll", TIMEOUT_SECONDS, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request with a body in memory and return the whole answer."""
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        self._socket.sendall(self._head(method, target, fields) + body)
        return self._answer(has_body=method != "HEAD")

    def push_put(self, repository: str, source: Source, payload: Payload) -> None:
        """Upload a blob by POST and one PUT that carries it whole."""
        target = self._opened_upload(repository, payload)
        fields = {"Content-Type": "application/octet-stream", "Content-Length": str(payload.size)}
        self._socket.sendall(self._head("PUT", target, fields))
        self._send_file(source.plain, payload.size - CHUNK)
        self._socket.sendall(payload.last)
        expect(self._answer(), 201, "PUT of a whole blob")

    def push_stream(self, repository: str, source: Source, payload: Payload) -> None:
        """Upload a blob as Go clients do: POST, one PATCH in chunked transfer coding, and an empty PUT."""
        target = self._opened_upload(repository, payload, closing=False)
        fields = {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"}
        self._socket.sendall(self._head("PATCH", target, fields))
        self._send_file(source.framed, (payload.size // CHUNK - 1) * FRAME)
        self._socket.sendall(FRAME_HEAD + payload.last + b"\r\n" + LAST_CHUNK)
        answer = expect(self._answer(), 202, "PATCH of a blob")
        closing = _with_digest(_location(answer), payload.digest)
        expect(self.request("PUT", closing), 201, "PUT that ends an upload")

    def push_bytes(self, repository: str, body: bytes) -> str:
        """Upload a small blob and return its digest."""
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        target = _with_digest(_location(self._post(repository)), digest)
        fields = {"Content-Type": "application/octet-stream"}
        expect(self.request("PUT", target, body, fields), 201, "PUT of a small blob")
        return digest

    def push_manifest(self, repository: str, tag: str, body: bytes) -> None:
        """Store a manifest under a tag."""
        answer = self.request(
            "PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": MANIFEST_TYPE}
        )
        expect(answer, 201, "PUT of a manifest")

    def pull(self, repository: str, digest: str, size: int) -> None:
        """Download a blob into nothing and check that `size` bytes came."""
        left = self._pulled_head(repository, digest, size)
        buffer = bytearray(RECEIVE_SIZE)
        while left:
            count = self._socket.recv_into(buffer, min(RECEIVE_SIZE, left), socket.MSG_TRUNC)
            if not count:
                raise BenchmarkError(f"a pull ended {left} bytes early")
            left -= count

    def checked_pull(self, repository: str, digest: str, size: int) -> None:
        """Download a blob and check its SHA-256, so that no wrong bytes are ever timed."""
        left = self._pulled_head(repository, digest, size)
        state = hashlib.sha256(self._rest)
        buffer = memoryview(bytearray(RECEIVE_SIZE))
        while left:
            count = self._socket.recv_into(buffer, min(RECEIVE_SIZE, left))
            if not count:
                raise BenchmarkError(f"a pull ended {left} bytes early")
            state.update(buffer[:count])
            left -= count
        if f"sha256:{state.hexdigest()}" != digest:
            raise BenchmarkError(f"the server sent other bytes than those of {digest}")

    def _pulled_head(self, repository: str, digest: str, size: int) -> int:
        """Ask for a blob and return how many bytes of it are still to come; `_rest` holds those that came."""
        self._socket.sendall(self._head("GET", f"/v2/{repository}/blobs/{digest}", {}))
        answer = self._answer(has_body=False)
        if answer.status != 200 or answer.length != size:
            raise BenchmarkError(f"GET of a blob: {answer.status}, {answer.length} bytes instead of {size}")
        return size - len(self._rest)

    def _post(self, repository: str) -> Answer:
        return expect(self.request("POST", f"/v2/{repository}/blobs/uploads/"), 202, "POST of an upload")

    def _opened_upload(self, repository: str, payload: Payload, *, closing: bool = True) -> str:
        """Start an upload; return its target, with the digest when the next request is to end it."""
        target = _location(self._post(repository))
        return _with_digest(target, payload.digest) if closing else target

    def _head(self, method: str, target: str, fields: Mapping[str, str]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._endpoint.address}", "User-Agent: bench"]
        if self._endpoint.authorization:
            lines.append(f"Authorization: {self._endpoint.authorization}")
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _send_file(self, path: Path, size: int) -> None:
        """Send the first `size` bytes of a file without copying them through this process."""
        with path.open("rb") as file:
            sent = 0
            while sent < size:
                sent += os.sendfile(self._socket.fileno(), file.fileno(), sent, size - sent)

    def _answer(self, *, has_body: bool = True) -> Answer:
        """Read a response; what follows it (or its body, if `has_body` is false) stays in `_rest`."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._received()
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        answer = Answer(int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs})
        if has_body:
            while len(rest) < answer.length:
                rest += self._received()
            answer, rest = Answer(answer.status, answer.headers, rest), b""
        self._rest = rest
        return answer

    def _received(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise BenchmarkError("the server closed the connection")
        return data


def expect(answer: Answer, status: int, what: str) -> Answer:
    """Return `answer` if it has that status. Raises BenchmarkError with the server's words otherwise."""
    if answer.status != status:
        raise BenchmarkError(f"{what}: {answer.status} instead of {status}: {answer.body[:300]!r}")
    return answer


def _location(answer: Answer) -> str:
    """Return the path and query of the Location header, which may be absolute or not."""
    parts = urlsplit(answer.headers.get("location", ""))
    if not parts.path.startswith("/"):
        raise BenchmarkError("a response to an upload carries no usable Location")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _with_digest(target: str, digest: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}digest={digest.replace(':', '%3A')}"
