"""PostgreSQL through asyncpg: every node of a registry, and every process of a node, on one database.

Units of work are SERIALIZABLE transactions: what a unit read is what it acted on, as if it had run alone, which is how
units are written. Of two that meet the server lets one run again from its beginning; it then takes turns with others
that did, and in the end runs alone, so that each comes to its end.

The statements are those of SQLite, compiled for another dialect; CockroachDB and YugabyteDB speak the same subset.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, cast

import asyncpg

from homeport.database.connections import AGAIN, Connections, connect, is_lost, translated
from homeport.database.engine import Result, Row, Statement, Work
from homeport.database.memory import Memory
from homeport.kernel.errors import Unavailable
from homeport.telemetry import DATABASE_RETRIES, log

_DIALECT: Final = "postgresql"
_ATTEMPTS: Final = 12  # at a unit that meets others
_ATTEMPTS_AT_A_CONFLICT: Final = (
    3  # with a row that another one made or removed after we looked; then: a defect
)
_ATTEMPTS_TO_REACH: Final = 4
_PAUSE: Final = 0.005  # seconds
_PAUSE_TO_REACH: Final = 0.25
_BEGIN: Final = "BEGIN ISOLATION LEVEL SERIALIZABLE"
# How a transaction begins after it has met so many others: beside all; beside those that met none, one at a time; while
# no other one runs. A lock comes before the snapshot, with the same round trip, so who waited sees what the others did.
# A node that vanished with a lock holds the others up until the server notices; they ask again meanwhile.
_BEGINNINGS: Final = tuple(
    f"{_BEGIN}; SET LOCAL lock_timeout = '5s'; LOCK TABLE turn IN {mode} MODE; SET LOCAL lock_timeout = 0"
    for mode in ("ROW SHARE", *["SHARE ROW EXCLUSIVE"] * 3, "EXCLUSIVE")
)
_RECENT_SECONDS: Final = 1.0
_OUTCOME_SECONDS: Final = 5.0  # for asking what became of a commit whose answer was lost
_CONFLICTS: Final = frozenset({"23505", "23503"})  # unique, foreign key
_SNAPSHOT_SECONDS: Final = 5.0
_SNAPSHOT: Final = "SELECT pg_current_snapshot()::text"


class _Lost(Exception):
    """The connection went away before the commit was asked for: nothing happened."""


class _PostgresTransaction:
    """Statements inside one transaction."""

    __slots__ = ("_connection", "changed", "error")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.changed = False
        self.error: Exception | None = None

    async def _run(self, run: Callable[..., Awaitable[Any]], statement: Statement, values: Any) -> Any:
        sql, places = statement.bind(_DIALECT, values)
        return await self._driven(run, sql, *places)

    async def _driven(self, run: Callable[..., Awaitable[Any]], sql: str, *given: Any) -> Any:
        try:
            return await run(sql, *given)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            self.error = self.error or error
            raise translated(error) from error

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        self.changed = self.changed or statement.changes
        return [tuple(row) for row in await self._run(self._connection.fetch, statement, values)]

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        self.changed = self.changed or statement.changes
        row = await self._run(self._connection.fetchrow, statement, values)
        return None if row is None else tuple(row)

    async def run(self, statement: Statement, /, **values: Any) -> int:
        self.changed = True
        status = await self._run(self._connection.execute, statement, values)
        return int(status.rpartition(" ")[2])

    async def run_each(self, statement: Statement, several: Sequence[Mapping[str, Any]], /) -> None:
        if len(several) == 1:
            await self.run(statement, **several[0])
        elif several:
            self.changed = True
            sql = statement.compiled(_DIALECT)[0]
            places = [statement.bind(_DIALECT, values)[1] for values in several]
            await self._driven(self._connection.executemany, sql, places)


class PostgresDatabase:
    """The metadata store of several nodes. Belongs to the event loop that first uses it."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        """Nothing is opened yet. `url` is a libpq address; `connections` at most are used at a time."""
        self._url = url
        self._connections = Connections(url, connections)
        self._memory = Memory(self._snapshot)
        self._watch: Any = None  # a connection of its own, so that no request waits for others to catch up
        self._remembers = True  # until the server turns out to be one whose snapshots have no names
        self._writes: set[asyncio.Task[Any]] = set()
        self._met: dict[Any, float] = {}  # when units of a kind, by their code, last met another one
        self._closed = False

    # --- Reading ---

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        present = self._memory.present()
        if present is None:
            return [tuple(row) for row in await self._ask("fetch", statement, values)]
        key = (statement, True, *values.items())
        known = present.recall(key)
        if known is None:
            known = [tuple(row) for row in await self._ask("fetch", statement, values)]
            present.keep(key, known, known)
        return list(known)

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        present = self._memory.present()
        if present is None:
            row = await self._ask("fetchrow", statement, values)
            return None if row is None else tuple(row)
        key = (statement, False, *values.items())
        known = present.recall(key)
        if known is None:
            row = await self._ask("fetchrow", statement, values)
            known = () if row is None else tuple(row)
            present.keep(key, known, (known,))
        return cast("Row", known) or None

    def derived(self) -> dict[Any, Any]:
        """Return a place for what follows from rows alone: see `memory.py`."""
        return self._memory.derived()

    async def catch_up(self) -> None:
        """A request begins: for a moment it may be answered from what is known to be true now."""
        if self._remembers and not self._closed:
            await self._memory.catch_up()

    async def _ask(self, how: str, statement: Statement, values: Any) -> Any:
        sql, places = statement.bind(_DIALECT, values)
        if any(type(place) is str and "\0" in place for place in places):
            # PostgreSQL has no such character, so no row has it; the next one in order finds the same rows.
            places = [place.replace("\0", "\1") if isinstance(place, str) else place for place in places]
        for again in (True, False):
            connection = await self._connections.take()
            usable = False
            try:
                answer = await getattr(connection, how)(sql, *places)
                usable = True
                return answer
            except Exception as error:
                usable = not is_lost(error)
                if not usable:
                    self._connections.cut_idle()
                # After a restart of the server what it closed is found out only by using it.
                if usable or not again or isinstance(error, TimeoutError):
                    raise translated(error) from error
            finally:
                self._connections.give_back(connection, usable=usable)
        raise AssertionError("the second attempt returns or raises")

    async def _snapshot(self) -> str | None:
        try:
            if self._watch is None or self._watch.is_closed():
                # Nothing is remembered across two connections: after a failover the same text can mean other rows.
                self._watch, self._remembers = await connect(self._url)
                return None
            if not self._remembers:
                return None
            return cast("str", await self._watch.fetchval(_SNAPSHOT, timeout=_SNAPSHOT_SECONDS))
        except Exception:  # whoever asks the rows is told what is wrong
            if self._watch is not None:
                self._watch.terminate()
            return None

    # --- Writing ---

    async def write(self, work: Work[Result]) -> Result:
        """Run `work` in one transaction, again when it meets another one; return when it is durable.

        Errors: StorageFull, Unavailable, which leaves open whether it happened when the database was lost with the
        answer to the commit; whatever `work` raises.
        """
        if self._closed:
            raise Unavailable("The registry is shutting down. Try again.")
        task: asyncio.Task[Result] = asyncio.create_task(self._write(work))
        self._writes.add(task)
        task.add_done_callback(self._written)
        try:
            # Once begun the work happens, whatever becomes of the caller: a client that hangs up must not leave the
            # caller's follow-up undone while the rows are there.
            return await asyncio.shield(task)
        finally:
            self._memory.leave()

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller, unless that is gone

    async def _write(self, work: Work[Result]) -> Result:
        conflicts = lost = 0
        # Units of a kind meet one another where they add rows at the same place, such as images: while there are
        # several at a time they take turns from the start.
        kind = getattr(work, "__code__", None)
        met = 1 if monotonic() - self._met.get(kind, -_RECENT_SECONDS) < _RECENT_SECONDS else 0
        while True:
            try:
                return await self._once(work, met)
            except _Lost as error:
                lost += 1
                if lost == _ATTEMPTS_TO_REACH:
                    raise Unavailable(
                        "The metadata database cannot be used at the moment. Try again."
                    ) from error
                pause = _PAUSE_TO_REACH * lost
            except asyncpg.PostgresError as error:
                conflicts += error.sqlstate in _CONFLICTS
                met += 1
                if conflicts == _ATTEMPTS_AT_A_CONFLICT or error.sqlstate not in AGAIN | _CONFLICTS:
                    raise translated(error) from error
                if met == _ATTEMPTS:
                    raise Unavailable("Too many changes at the same time. Try again.") from error
                DATABASE_RETRIES.inc()
                self._met[kind] = monotonic()
                pause = _PAUSE
            await asyncio.sleep(pause * random.random())  # noqa: S311 (no secret: it keeps nodes apart)

    async def _once(self, work: Work[Result], met: int) -> Result:
        """Run `work` in one transaction, as is right for one that has met so many others.

        Errors: PostgresError, _Lost, Unavailable, whatever `work` raises.
        """
        connection = await self._connections.take()
        usable = False
        try:
            transaction = _PostgresTransaction(connection)
            number: str | None = None
            try:
                if not self._connections.genuine:
                    await connection.execute(_BEGIN)
                else:
                    await connection.execute(_BEGINNINGS[min(met, len(_BEGINNINGS) - 1)])
                result = await work(transaction)
                if transaction.error is not None:
                    raise transaction.error
                if transaction.changed and self._connections.genuine:
                    number = await connection.fetchval("SELECT pg_current_xact_id_if_assigned()::text")
            except Exception as raised:
                error = transaction.error or raised
                if is_lost(error):
                    self._connections.cut_idle()
                    raise (translated(error) if isinstance(error, TimeoutError) else _Lost()) from error
                usable = await _rolled_back(connection)
                if isinstance(error, asyncpg.PostgresError):
                    raise error from None
                raise
            try:
                await connection.execute("COMMIT")
                usable = True
            except Exception as error:
                usable = not is_lost(error)
                if usable:
                    raise
                self._connections.cut_idle()
                await self._find_out(connection, number, error)
            return result
        finally:
            self._connections.give_back(connection, usable=usable)

    async def _find_out(self, connection: Any, number: str | None, error: Exception) -> None:
        """Return when the transaction `number` was committed. Errors: _Lost when it was not, Unavailable."""
        connection.terminate()
        if number is None:
            raise translated(error) from error
        log.warning("commit_answer_lost", transaction=number, reason=str(error) or type(error).__name__)
        try:
            async with asyncio.timeout(_OUTCOME_SECONDS):
                while True:
                    try:
                        outcome = await self._outcome(number)
                    except Unavailable:
                        outcome = None
                    if outcome == "committed":
                        return
                    if outcome == "aborted":
                        raise _Lost from error
                    await asyncio.sleep(0.1)  # in progress, or the server is not there yet
        except TimeoutError:
            raise Unavailable("The metadata database did not say what became of the change.") from error

    async def _outcome(self, number: str) -> str | None:
        """Return committed, aborted or in progress, None when the server has forgotten. Errors: Unavailable."""
        connection, _ = await connect(self._url)
        try:
            return cast(
                "str | None", await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", number)
            )
        except Exception as error:
            raise Unavailable("The metadata database cannot be used at the moment. Try again.") from error
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Finish the writes that were asked for and close the connections."""
        if self._closed:
            return
        self._closed = True
        while self._writes:
            await asyncio.gather(*self._writes, return_exceptions=True)
        await self._memory.close()
        if self._watch is not None:
            self._watch.terminate()
        await self._connections.close()


async def _rolled_back(connection: Any) -> bool:
    try:
        await connection.execute("ROLLBACK")
    except Exception:
        return False
    return True
