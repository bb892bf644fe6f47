"""Connections to one PostgreSQL database: a few, opened when they are needed, the last used first.

asyncpg's own pool asks the server to reset every connection that is given back, a round trip that nothing here needs:
no statement of ours leaves anything behind in a connection.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import asyncpg

from homeport.kernel.errors import HomeportError, InvalidInput, StorageFull, Unavailable
from homeport.telemetry import log

_CONNECT_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 10.0  # for a connection that others use
# CockroachDB says its own name, and YugabyteDB adds its to that of the PostgreSQL that it contains.
_POSTGRESQL: Final = re.compile(r"PostgreSQL (\d+)(\.\d+)*((beta|rc)\d+|devel)? ")
_OLDEST: Final = 13
_SETTINGS: Final = {
    "application_name": "homeport",
    # A node that vanishes in the middle of a transaction must not keep its locks for ever.
    "idle_in_transaction_session_timeout": "30000",
}

AGAIN: Final = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs of a transaction that met another one: run again from its beginning it can succeed."""
# Shut down, starting, or a standby after a failover; too many connections; no such database, not let in.
_LOST: Final = frozenset(
    {"57P01", "57P02", "57P03", "57P05", "25P03", "25006", "53300", "3D000", "28P01", "28000"}
)


async def connect(url: str) -> tuple[Any, bool]:
    """Open one connection whose commits are durable when they are acknowledged.

    Returns it, and whether its server is PostgreSQL itself, 13 or newer, whose transactions have names.
    Errors: Unavailable.
    """
    connection = None
    try:
        connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            statement_cache_size=1000,
            max_cached_statement_lifetime=0,
            server_settings=_SETTINGS,
        )
        version, durable = await connection.fetchrow(
            "SELECT version(), current_setting('synchronous_commit', true)"
        )
        if durable == "off":
            await connection.execute("SET synchronous_commit = on")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        if connection is not None:
            connection.terminate()
        # The reason names hosts and roles, which are nobody's business who asks over the network.
        log.warning("database_unreachable", reason=str(error) or type(error).__name__)
        raise Unavailable("The metadata database cannot be reached. Try again.") from error
    genuine = _POSTGRESQL.match(version)
    return connection, genuine is not None and int(genuine[1]) >= _OLDEST


def is_lost(error: BaseException) -> bool:
    """Whether `error` says that a connection is gone, or its server cannot serve, rather than that SQL failed."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in _LOST or (error.sqlstate or "")[:2] in ("08", "58")
    if isinstance(error, ValueError):  # a value that does not fit its place: a defect of ours
        return False
    # A connection that hears goodbye just as it is used says that its states do not fit: an internal error.
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError)


def translated(error: Exception) -> Exception:
    """Turn a driver error that the operator or the client can mend into a domain error; leave defects as they are."""
    state = getattr(error, "sqlstate", None) or ""
    told: HomeportError | None = None
    if state in ("53100", "53200"):
        told = StorageFull(
            "No space left to store metadata. Free space in the database server and try again."
        )
    elif state in AGAIN or is_lost(error):
        told = Unavailable("The metadata database cannot be used at the moment. Try again.")
    elif state in ("22021", "22P05"):
        told = InvalidInput("A text contains a character that cannot be stored.")
    if told is None:
        return error
    told.__cause__ = error
    return told


class Connections:
    """At most `size` connections to the database at `url`."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._places = asyncio.Semaphore(size)
        self._idle: list[Any] = []
        self._closed = False
        self.genuine = False
        """Whether the server is PostgreSQL itself; known once a connection was taken."""

    async def take(self) -> Any:
        """Return a connection that is the caller's until it is given back. Errors: Unavailable."""
        if self._closed:
            raise Unavailable("The registry is shutting down. Try again.")
        if self._places.locked():
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self._places.acquire()
            except TimeoutError:
                raise Unavailable("The metadata database is busy. Try again.") from None
        else:
            await self._places.acquire()
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
            connection, self.genuine = await connect(self._url)
        except BaseException:
            self._places.release()
            raise
        return connection

    def give_back(self, connection: Any, *, usable: bool) -> None:
        """Take a connection back; one that is not `usable` is cut."""
        if not usable or self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append(connection)
        self._places.release()

    def cut_idle(self) -> None:
        """Cut what nobody uses: the server that they lead to may be gone."""
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Say goodbye on what nobody uses; what is in use is cut when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(each.close(timeout=2) for each in idle), return_exceptions=True)
