"""HTTP by hand: what a test needs to send broken, split, pipelined or endless requests and to read every answer.

A `Line` is one connection. It never retries, reconnects or follows anything, and it fails rather than waits when the
server says nothing for `SECONDS`. RFC 9112 is the contract.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. Header names are in lower case; a repeated header is joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The codes of an error body in the shape of the OCI specification, asserted to have that shape."""
        assert self.headers["content-type"] == "application/json", self
        errors = self.json()["errors"]
        assert errors, self
        assert all(isinstance(each["code"], str) and isinstance(each["message"], str) for each in errors), (
            self
        )
        return [each["code"] for each in errors]

    def refused(self, status: int, *codes: str) -> Answer:
        """This answer, asserted to be an error with that status and (one of) those codes."""
        assert self.status == status, self
        assert not codes or self.codes[0] in codes, self
        return self


@dataclass(frozen=True, slots=True)
class Site:
    """Where a registry is, and as whom to speak to it."""

    url: str
    authorization: str
    trust: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str, password: str, trust: ssl.SSLContext | None = None) -> Site:
        """The registry at `url`, as the holder of a registry password."""
        return cls(url, "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode(), trust)

    def line(self) -> Line:
        """A new connection."""
        return Line(self)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        with self.line() as line:
            return line.ask(method, path, headers, body)


class Line:
    """One connection, used as a context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        parts = urlsplit(site.url)
        self.host = parts.netloc
        plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=SECONDS)
        self.socket: socket.socket = plain
        if site.trust is not None:
            self.socket = site.trust.wrap_socket(plain, server_hostname=parts.hostname)
        self.socket.settimeout(SECONDS)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, whatever is under way."""
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(data)

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The head of a request with Host and credentials; a header given as "" is left out."""
        sent = {"Host": self.host, "Authorization": self._site.authorization, **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def send_head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> None:
        self.send(self.head(method, path, headers))

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request with a body of known length and read its answer."""
        framing = {} if body is None else {"Content-Length": str(len(body))}
        self.send(self.head(method, path, {**framing, **(headers or {})}) + (body or b""))
        return self.answer(method)

    def ask_chunked(
        self,
        method: str,
        path: str,
        chunks: Iterable[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request with chunked transfer encoding and read its answer."""
        self.send_head(method, path, {"Transfer-Encoding": "chunked", **(headers or {})})
        for chunk in chunks:
            self.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.send(b"0\r\n\r\n")
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """Read the next answer, which may be an interim one (1xx)."""
        start = self._file.readline(65536)
        assert start.startswith(b"HTTP/1.1 "), f"instead of an answer came {start!r}"
        status = int(start.split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline(65536)) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            key = name.lower()
            headers[key] = f"{headers[key]},{value.strip()}" if key in headers else value.strip()
        if status < 200 or status in (204, 304) or method == "HEAD":
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, self._chunks())
        assert "content-length" in headers, f"an answer without a length: {status} {headers}"
        length = int(headers["content-length"])
        body = self._file.read(length)
        assert len(body) == length, f"{len(body)} of {length} bytes came"
        return Answer(status, headers, body)

    def _chunks(self) -> bytes:
        gathered = b""
        while size := int(self._file.readline(100), 16):
            gathered += self._file.read(size)
            assert self._file.readline(3) == b"\r\n"
        assert self._file.readline(3) == b"\r\n"
        return gathered

    def ended(self) -> bool:
        """Whether the server has closed the connection, waiting for that up to `SECONDS`."""
        try:
            return self._file.read(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes from the server for so long."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        return not readable
