"""One client connection: aiohttp parses heads and small bodies, large bodies are read straight from the socket.

aiohttp's parser would hand us an upload in small copied pieces. So when the head of a request that may carry a
large body has come whole, only the head goes to the parser and the rest is held; the handler then either takes the
body with `body.receive`, or `release` gives the held bytes to the parser and the request is an ordinary one. Either way
the parser sees exactly the bytes that came, in order. Leans on private parts of aiohttp (`_parser`, `_messages`),
which the lock file pins and `tests/unit/wire` watches.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from homeport.kernel.limits import HEADER_LINE_BYTES
from homeport.telemetry import log
from homeport.wire.answer import Answer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
BeforeHead = Callable[[web.BaseRequest, web.StreamResponse], None]

_LARGE_METHODS = (b"PATCH /v2/", b"PUT /v2/", b"POST /v2/")
_LINE_BYTES = 4096  # a request line beyond this is nobody's upload; it goes the ordinary way
_PARSER_LIMITS: dict[str, Any] = {
    "max_line_size": HEADER_LINE_BYTES,
    "max_field_size": HEADER_LINE_BYTES,
}


def _may_carry_much(data: bytes) -> bool:
    """Whether `data` begins with the line of a request that uploads a blob."""
    if not data.startswith(_LARGE_METHODS):
        return False
    line = data[:_LINE_BYTES].partition(b"\r\n")[0]
    return line.endswith(b" HTTP/1.1") and b"/blobs/uploads/" in line.partition(b"?")[0]


class _OneTask:
    """The event loop as aiohttp's connection sees it: a request runs in the connection's own task.

    From Python 3.12 aiohttp starts the task of a request eagerly; before, making, queueing and awaiting one costs a
    small request a tenth of its time. Only `RequestHandler.start` asks for tasks here, one at a time, and awaits each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.create_future = loop.create_future
        self.time = loop.time
        self.call_at = loop.call_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Return what the caller awaits at once anyway."""
        return coroutine


class Connection(RequestHandler):
    """A connection that can hand the body of the current request to a thread."""

    __slots__ = ("_discarding", "_held", "_partial")

    def __init__(self, manager: Server, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=75,
            auto_decompress=False,
            lingering_time=2,
            **_PARSER_LIMITS,
        )
        self._held: bytes | None = None
        self._discarding = False
        self._partial = False  # the parser holds the beginning of a head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the connection's task."""
        super().connection_made(transport)
        if sys.version_info < (3, 12):
            self._loop = cast("asyncio.AbstractEventLoop", _OneTask(self._loop))

    def data_received(self, data: bytes) -> None:
        """Split a large request after its head; everything else goes on as usual."""
        if self._discarding:
            return
        if self._held is not None:  # the transport is paused, but a last read may have been under way
            self._held += data
            return
        idle = self._waiter is not None and not self._waiter.done() and not self._messages
        if idle and not self._partial and _may_carry_much(data):
            end = data.find(b"\r\n\r\n") + 4
            if end > 3:
                super().data_received(data[:end])
                self._hold(data[end:])
                return
        super().data_received(data)
        if idle:
            self._partial = not self._messages

    def _hold(self, rest: bytes) -> None:
        expects_body = len(self._messages) == 1 and isinstance(self._messages[0][1], StreamReader)
        if expects_body and not self._messages[0][1].is_eof() and self.plain_socket() is not None:
            self._held = rest
            self._pause_transport_reading()
        elif rest:
            super().data_received(rest)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what our handler never saw or could not finish: a malformed request, a client that left.

        Only the kind of the failure is logged: the parser's own words repeat the request, credentials and all.
        """
        if isinstance(exc, LineTooLong):
            status = 431
        log.info("connection_error", kind=type(exc).__name__, status=status, remote=request.remote)
        body = b'{"errors":[{"code":"UNSUPPORTED","message":"The request is not valid HTTP/1.1"}]}\n'
        response = Answer(status=status, body=body, headers={"Content-Type": "application/json"})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A defect of the connection itself: again only its kind, see `handle_error`."""
        error = kw.get("exc_info")
        log.error("connection_defect", kind=type(error).__name__)

    def plain_socket(self) -> socket.socket | None:
        """Return the socket when bytes may be read from and written to it directly (no TLS in between)."""
        if self.transport is None or self.transport.get_extra_info("sslcontext") is not None:
            return None
        found: socket.socket | None = self.transport.get_extra_info("socket")
        return found

    def take(self) -> bytes | None:
        """Begin to read the current body from the socket: return the part that came with the head.

        None when the body must be read through aiohttp. After a take, `finish_body` or closing must follow.
        """
        held, self._held = self._held, None
        return held

    def release(self) -> None:
        """Give a held body that nobody took to the parser."""
        held, self._held = self._held, None
        if held is not None:
            if held:
                super().data_received(held)
            self._resume_transport_reading()

    def discard(self) -> None:
        """Give up a taken body: answer, drop what still comes for a moment, and close.

        The parser no longer knows where the next request begins, and closing with unread bytes would reset the
        connection before the client has read why.
        """
        self._discarding = True
        self.close()
        self._resume_transport_reading()

    def finish_body(self, payload: StreamReader, beyond: bytes) -> None:
        """The taken body ended: start afresh with the bytes `beyond` it (the next request, if any)."""
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
            **_PARSER_LIMITS,
        )
        payload.feed_eof()
        if beyond:
            super().data_received(beyond)
        self._resume_transport_reading()


class Request(web.BaseRequest):
    """A request whose answers pass by the server's hook before their head is sent."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        manager = self._protocol._manager
        if isinstance(manager, Server):
            manager.before_head(self, response)


class Server(web.Server):
    """aiohttp's low-level server with our connections."""

    def __init__(self, handler: Handler, before_head: BeforeHead) -> None:
        """Every request goes to `handler`; `before_head` may add headers to every answer."""
        super().__init__(handler, request_factory=self._request)
        self.before_head = before_head

    def __call__(self) -> Connection:
        """Make the protocol of one accepted connection."""
        return Connection(self, loop=self._loop)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> Request:
        return Request(message, payload, protocol, writer, task, self._loop)
