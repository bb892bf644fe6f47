"""Sends stored bytes: by the kernel (`sendfile`), or copied (`copy`), or through aiohttp when TLS is in between.

`sendfile` costs least CPU and is fastest for whoever only receives. A client on the same host that hashes what it
reads is faster after a `copy`, which leaves the bytes in the cache that both share (docs/performance.md): `auto` copies
layers of ordinary size to clients on this host. Both work in threads, so a cold disk never stalls the event loop.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from functools import partial
from typing import Protocol

from aiohttp import web

from homeport.wire.connection import Connection
from homeport.wire.modes import DownloadMode
from homeport.wire.threads import BURST_BYTES, PATIENCE_MS, ByteThreads, buffer, settle

_CALL_BYTES = 256 * 1024  # measured: larger sendfile calls evict the cache that the receiver is about to read
_AUTO_COPY_BYTES = 64 * 1024 * 1024  # above it the CPU saved by sendfile outweighs what the client gains
_STALL_SECONDS = 300  # a client that reads nothing for so long is gone


class Source(Protocol):
    """Finished bytes of one blob."""

    def fileno(self) -> int | None:
        """Return a file descriptor for the kernel, or None."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        ...


async def send(
    request: web.BaseRequest,
    response: web.StreamResponse,
    source: Source,
    offset: int,
    count: int,
    mode: DownloadMode,
    threads: ByteThreads,
) -> None:
    """Send `response`'s head and then `count` bytes of `source` from `offset`; Content-Length must be set."""
    writer = await response.prepare(request)
    connection = request.protocol
    assert isinstance(connection, Connection)
    plain, file = connection.plain_socket(), source.fileno()
    if plain is None or file is None or writer is None:
        try:
            await _send_parsed(response, source, offset, count, threads)
        except BaseException:
            connection.force_close()  # the client counts on more bytes than it will get
            raise
        return
    writer.send_headers()
    transport = connection.transport
    if transport is not None and transport.get_write_buffer_size():
        transport.set_write_buffer_limits(0)  # wait until the head is out before writing past the transport
        await writer.drain()
    copy = mode is DownloadMode.COPY or (
        mode in (DownloadMode.AUTO, DownloadMode.REDIRECT)
        and count <= _AUTO_COPY_BYTES
        and _same_host(connection)
    )
    raw = _RawSend(plain, file, offset, count, copy=copy)
    try:
        while not await threads.run(raw.burst):
            await raw.writable()
    except BaseException:
        connection.force_close()  # the client counts on more bytes than it will get
        raise
    finally:
        raw.close()
    await response.write_eof()


async def _send_parsed(
    response: web.StreamResponse, source: Source, offset: int, count: int, threads: ByteThreads
) -> None:
    end = offset + count
    coming = asyncio.ensure_future(_read(source, offset, end, threads))
    try:
        while offset < end:
            piece = await coming
            if not piece:
                raise ConnectionError("The stored bytes ended early.")
            offset += len(piece)
            # The store may be another machine: the next piece is on its way while this one is sent. Never more.
            coming = asyncio.ensure_future(_read(source, offset, end, threads))
            await response.write(piece)
    finally:
        if not coming.done():
            await asyncio.wait([coming])  # it uses the source that the caller is about to close
        if not coming.cancelled():
            coming.exception()  # seen: what ended the loop is what counts
    await response.write_eof()


async def _read(source: Source, offset: int, end: int, threads: ByteThreads) -> bytes:
    length = min(_CALL_BYTES * 4, end - offset)
    return await threads.run(partial(source.read, offset, length)) if length else b""


def _same_host(connection: Connection) -> bool:
    """Whether client and server use the same address, as on loopback."""
    peer, mine = connection.peername, connection.sockname
    return isinstance(peer, tuple) and isinstance(mine, tuple) and peer[0] == mine[0]


class _RawSend:
    def __init__(self, plain: socket.socket, file: int, offset: int, count: int, *, copy: bool) -> None:
        self._socket = socket.socket(fileno=os.dup(plain.fileno()))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)
        self._file = file
        self._at = offset
        self._end = offset + count
        self._copy = copy

    def close(self) -> None:
        self._socket.close()

    async def writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(self._socket, settle, ready)
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                await ready
        except TimeoutError:
            raise ConnectionError("The client stopped reading.") from None
        finally:
            loop.remove_writer(self._socket)

    def burst(self) -> bool:
        """Send for one turn; return whether everything is sent. Blocking; runs in a thread."""
        stop = min(self._end, self._at + BURST_BYTES)
        while self._at < stop:
            length = min(_CALL_BYTES, self._end - self._at)
            try:
                sent = self._send(length)
            except BlockingIOError:
                if not self._poll.poll(PATIENCE_MS):
                    return False
                continue
            if not sent:
                raise ConnectionError("The stored bytes ended early.")
            self._at += sent
        return self._at == self._end

    def _send(self, length: int) -> int:
        if not self._copy:
            return os.sendfile(self._socket.fileno(), self._file, self._at, length)
        view = buffer()[:length]
        got = os.preadv(self._file, [view], self._at)
        return self._socket.send(view[:got]) if got else 0
