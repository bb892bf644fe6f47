"""The wire on a real loopback socket with a handler that does next to nothing, and a client that writes raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

from aiohttp import web

from homeport.kernel.errors import HomeportError, TooLarge
from homeport.oci.faults import fault_of
from homeport.wire.body import Disconnected, receive
from homeport.wire.connection import Connection, Server
from homeport.wire.download import send
from homeport.wire.modes import DownloadMode
from homeport.wire.threads import ByteThreads

UPLOAD = "/v2/a/blobs/uploads/id"


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


class FileSource:
    """Finished bytes in a file. `descriptor=False`: the kernel cannot get at them."""

    def __init__(self, path: Path, descriptor: bool) -> None:
        self._file: BinaryIO = path.open("rb")
        self._descriptor = descriptor

    def fileno(self) -> int | None:
        """Return the descriptor, or None."""
        return self._file.fileno() if self._descriptor else None

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Loopback:
    """A server. Uploads are answered with their SHA-256; what is asked for in the query goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.threads = ByteThreads()
        self.disconnects: asyncio.Queue[str] = asyncio.Queue()
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.sink_calls = 0
        self.file = folder / "blob"
        self._port = 0
        self._clients: list[Client] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Loopback]:
        """Serve until the block ends."""
        server = Server(self._answer, lambda protocol, response: None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        self._port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for client in self._clients:
                client.abort()
            await server.shutdown(0.5)
            await asyncio.sleep(0)
            self.threads.close()

    async def client(self, receive_buffer: int | None = None) -> Client:
        """Open a connection."""
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self._port))
        limit = receive_buffer or 2**20
        self._clients.append(client := Client(*await asyncio.open_connection(sock=plain, limit=limit)))
        return client

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        query = dict(parse_qsl(request.query_string))
        self.begun.put_nowait(request.path)
        try:
            if request.path == "/file":
                return await self._download(request, query)
            if request.path.startswith("/v2/") and "ignore" not in query:
                return await self._upload(request, query)
            return web.Response(status=404 if "ignore" in query else 200, body=b"pong")
        except Disconnected as error:
            self.disconnects.put_nowait(str(error))
            raise
        except HomeportError as error:
            return web.Response(status=fault_of(error)[0], body=error.message.encode())
        finally:
            connection.release()

    async def _upload(self, request: web.BaseRequest, query: dict[str, str]) -> web.Response:
        digest, size, limit = hashlib.sha256(), 0, int(query.get("limit", 2**62))

        def sink(parts: Sequence[memoryview]) -> None:
            nonlocal size
            self.sink_calls += 1
            for part in parts:
                digest.update(part)
                size += len(part)
            if size > limit:
                raise TooLarge("That is too much")
            time.sleep(float(query.get("delay", "0")))

        await receive(request, sink, self.threads)
        return web.Response(body=f"{size} {digest.hexdigest()}".encode())

    async def _download(self, request: web.BaseRequest, query: dict[str, str]) -> web.StreamResponse:
        offset, count = int(query.get("offset", "0")), int(query["count"])
        response = web.StreamResponse(headers={"Content-Length": str(count)})
        response.content_length = count
        source = FileSource(self.file, "mode" in query)
        mode = DownloadMode(query.get("mode", "copy"))
        try:
            await send(request, response, source, offset, count, mode, self.threads)
        finally:
            source.close()
        return response


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes, pause: bool = False) -> None:
        """Write each piece as a segment of its own; `pause`: let the server see each before the next."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if pause:
                for _ in range(5):
                    await asyncio.sleep(0)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), headers

    async def answer(self) -> Answer:
        """Read one answer."""
        status, headers = await self.head()
        while status == 100:
            status, headers = await self.head()
        return Answer(status, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def get(self, target: str = "/ping") -> Answer:
        """Ask for something small."""
        await self.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return await self.answer()

    async def rest(self) -> bytes:
        """Read until the server ends the connection, in whatever way."""
        got = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := await self.reader.read(2**16):
                got += piece
        return bytes(got)

    async def closed(self) -> bool:
        """Whether the server ends this connection without another byte."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up."""
        self.writer.close()

    def abort(self) -> None:
        """Hang up without ceremony (a reset)."""
        self.writer.transport.abort()


def upload_head(*fields: str, query: str = "", method: str = "PATCH") -> bytes:
    """Return the head of an upload request."""
    lines = [f"{method} {UPLOAD}{query} HTTP/1.1", "Host: localhost", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked(pieces: Sequence[bytes]) -> bytes:
    """Return the pieces as one chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def told(data: bytes) -> bytes:
    """Return what the server says about an upload of `data`."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
