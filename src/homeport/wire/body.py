"""Receives the body of an upload into a blocking sink: from the socket in a thread where that is possible.

`sink` gets lists of memory slices in order, in a worker thread, and must use them before it returns: the memory is
reused. It never sees framing. Slow clients are cut off by the window rule of kernel/limits.py.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from homeport.kernel.errors import InvalidInput, RequestTimeout
from homeport.wire.chunked import ChunkDecoder, ChunkError
from homeport.wire.connection import Connection
from homeport.wire.pace import Pace
from homeport.wire.threads import BURST_BYTES, PATIENCE_MS, ByteThreads, buffer, settle

Sink = Callable[[Sequence[memoryview]], None]

_COPY_BYTES = 1024 * 1024  # the ordinary path gathers this much before it crosses to a thread


class Disconnected(ConnectionError):
    """The client went away in the middle of a body."""


async def receive(request: web.BaseRequest, sink: Sink, threads: ByteThreads) -> None:
    """Move the whole body of `request` into `sink`.

    Errors: Disconnected when the client goes away, RequestTimeout when it stalls, InvalidInput on broken framing, and
    whatever the sink raises; after any of them the connection closes.
    """
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    connection = request.protocol
    assert isinstance(connection, Connection)
    plain = connection.plain_socket()
    held = connection.take() if plain is not None else None
    if held is None or plain is None:
        connection.release()
        await _receive_parsed(request, sink, threads)
        return
    length = None if "Transfer-Encoding" in request.headers else int(request.headers["Content-Length"])
    raw = _RawBody(plain, held, length, sink)
    pace = Pace()
    try:
        while not await threads.run(raw.burst):
            pace.came(raw.take_count())
            await pace.wait(raw.readable)
    except BaseException:
        connection.discard()
        raise
    finally:
        raw.close()
    connection.finish_body(request.content, raw.beyond)


async def _receive_parsed(request: web.BaseRequest, sink: Sink, threads: ByteThreads) -> None:
    gathered: list[memoryview] = []
    size = 0
    pace = Pace()

    async def pass_on() -> None:
        nonlocal gathered, size
        batch, gathered, size = gathered, [], 0
        if batch:
            await threads.run(lambda: sink(batch))

    while True:
        try:
            piece = await pace.wait(request.content.readany)
        except (ConnectionError, web.RequestPayloadError) as error:
            await pass_on()  # what came is good, and the client may continue behind it
            raise Disconnected(str(error)) from error
        except RequestTimeout:
            await pass_on()
            raise
        pace.came(len(piece))
        gathered.append(memoryview(piece))
        size += len(piece)
        if not piece or size >= _COPY_BYTES:
            await pass_on()
        if not piece:
            return


class _RawBody:
    """The rest of one body on a socket that nobody else reads meanwhile."""

    def __init__(self, plain: socket.socket, held: bytes, length: int | None, sink: Sink) -> None:
        self._socket = socket.socket(fileno=os.dup(plain.fileno()))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._carry = held
        self._left = length
        self._chunks = ChunkDecoder() if length is None else None
        self._sink = sink
        self._count = 0
        self.beyond = b""

    def close(self) -> None:
        self._socket.close()

    async def readable(self) -> None:
        """Wait on the event loop until the socket has bytes."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._socket, settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._socket)

    def take_count(self) -> int:
        """Return how many bytes came since the last call."""
        count, self._count = self._count, 0
        return count

    def burst(self) -> bool:
        """Read for one turn; return whether the body is complete. Blocking; runs in a thread."""
        view, moved = buffer(), 0
        while moved < BURST_BYTES:
            held = len(self._carry)
            view[:held] = self._carry
            self._carry = b""
            filled, would_block = self._fill(view, held)
            moved += max(filled, 1)
            if self._consume(view[:filled]):
                return True
            if would_block and not self._poll.poll(PATIENCE_MS):
                return False
        return False

    def _fill(self, view: memoryview, filled: int) -> tuple[int, bool]:
        """Read until the buffer is full, the body's length is there, or the socket is empty."""
        want = len(view) if self._left is None else min(len(view), max(self._left, filled))
        while filled < want:
            try:
                got = self._socket.recv_into(view[filled:want])
            except BlockingIOError:
                return filled, True
            except ConnectionError as error:
                raise Disconnected(str(error)) from error
            if not got:
                raise Disconnected("The client closed the connection before the end of the body.")
            filled += got
            self._count += got
            if self._chunks is not None and filled >= len(view) // 2:
                break
        return filled, False

    def _consume(self, view: memoryview) -> bool:
        if self._chunks is None:
            assert self._left is not None
            body = view[: self._left]
            if body:
                self._sink([body])
            self._left -= len(body)
            self.beyond = bytes(view[len(body) :])
            return not self._left
        try:
            slices, used = self._chunks.feed(view)
        except ChunkError as error:
            raise InvalidInput(str(error)) from error
        if slices:
            self._sink(slices)
        if self._chunks.done:
            self.beyond = bytes(view[used:])
            return True
        self._carry = bytes(view[used:])
        return False
