"""An answer that is whole in memory, sent with one write.

aiohttp's own `Response` does the same in six steps, for payloads, cookies and codings that a registry never sends; on
small requests they cost as much as finding the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11

_STALL_SECONDS = 300  # a client that reads nothing for so long is gone
_BODILESS = (204, 304)


class Answer(web.StreamResponse):
    """Status, headers and body. A HEAD answer sends no body; its length may be stated in `headers`."""

    def __init__(
        self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        super().__init__(status=status, headers=headers)
        self._whole = body

    @property
    def whole(self) -> bytes:
        """The body, before it is sent."""
        return self._whole

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send everything. Errors: ConnectionError when the client has left or stopped reading."""
        if self._eof_sent:
            return None
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        await request._prepare_hook(self)
        protocol = request.protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has left.")
        transport.write(self._encoded(request))
        self._eof_sent = True
        if protocol._paused:  # it does not read: what it has not taken must not pile up
            try:
                async with asyncio.timeout(_STALL_SECONDS):
                    await protocol._drain_helper()
            except TimeoutError:
                raise ConnectionResetError("The client stopped reading.") from None
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""

    def _encoded(self, request: web.BaseRequest) -> bytes:
        headers, body, status = self._headers, self._whole, self._status
        head_only = request.method == "HEAD"
        if status in _BODILESS:
            headers.pop("Content-Length", None)
        elif body or not head_only:
            headers["Content-Length"] = str(len(body))
        version = request.version
        lines = [f"HTTP/{version.major}.{version.minor} {status} {self._reason}"]
        lines += map(": ".join, headers.items())
        lines.append("Date: " + rfc822_formatted_time())
        if version != HttpVersion11:
            if self._keep_alive:
                lines.append("Connection: keep-alive")
        elif not self._keep_alive:
            lines.append("Connection: close")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("A header would have broken out of its line.")
        encoded = (head + "\r\n\r\n").encode()
        return encoded if head_only or status in _BODILESS else encoded + body
