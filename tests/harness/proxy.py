"""A TCP proxy on loopback that does to a connection what a bad network, or a bad server behind it, does.

It passes bytes on unchanged until it is told otherwise, and may be told at any moment, from any thread. It knows
neither PostgreSQL nor HTTP, except for the answer that a test gives it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_PIECE = 65_536


class Proxy:
    """Listens on `port` of 127.0.0.1 and leads to the target port there; use as a context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.rate: float | None = None
        """Bytes a second that one connection carries in each direction; None: as fast as they come."""
        self.refusing = False
        """Whether new connections are closed at once."""
        self.answer: bytes | None = None
        """Said to every request instead of passing it on; the connection is closed then."""
        self.answers_given = 0
        self.cut_when: Callable[[bytes], bool] | None = None
        """Asked about all that a client sends: when it says so, that is passed on, and the reply is swallowed and the
        connection closed. Only once; set it again for another time."""
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Close every connection there is."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as held:
            held.enter_context(client)
            try:
                server = held.enter_context(socket.create_connection(("127.0.0.1", self.target)))
            except OSError:
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            with contextlib.suppress(OSError):
                self._exchange(client, server)
            with self._lock:
                self._open -= {client, server}

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        """Carry bytes in both directions until one side ends."""
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for source in ready:
                rate = self.rate
                data = source.recv(_PIECE if rate is None else max(1, int(rate / 20)))
                if not data:
                    return
                if rate is not None:
                    time.sleep(len(data) / rate)
                if source is client and self._interferes(data, client, server):
                    return
                (server if source is client else client).sendall(data)

    def _interferes(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Whether the connection ends with what the client has just sent."""
        answer, cut_when = self.answer, self.cut_when
        if answer is not None:
            while select.select([client], [], [], 0.02)[0] and client.recv(_PIECE):
                pass  # the rest of the request: closing before it was read would look like a broken connection
            client.sendall(answer)
            self.answers_given += 1
            return True
        if cut_when is None or not cut_when(data):
            return False
        with self._lock:
            if self.cut_when is not cut_when:
                return False
            self.cut_when = None
        server.sendall(data)
        server.recv(_PIECE)  # so it was done
        self.cuts += 1
        return True
