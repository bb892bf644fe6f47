"""SQLite through APSW: readers inline on the event loop, one writer thread that groups commits.

Writes queue up while the previous group is being made durable; the writer runs each as a savepoint of one
transaction and acknowledges all of them after its single fsync. A lock file keeps the writers of several processes
fair (two bare writers starve one another). WAL with synchronous=FULL: an acknowledged commit survives power loss.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import apsw

from homeport.database.engine import Result, Row, Statement, Work
from homeport.database.generation import Generation
from homeport.kernel.errors import StorageFull, Unavailable

_DIALECT = "sqlite"
_REMEMBERED_BYTES = 8 * 1024 * 1024  # of answers, per process
_DERIVED = 10_000  # derived values at a time, per process
_GROUP = 128  # writes that share one fsync at most: bounds how long the first waits for the last


def lock_file(path: Path) -> int:
    """Open the file whose flock the programs that use the database at `path` take turns by."""
    return os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Hold the lock of the database at `path` meanwhile, on a file of its own."""
    lock = lock_file(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """Open the database file with the settings that durability rests on.

    Opening and closing change the journal, and SQLite does not wait for another program that does so at the same
    moment, whatever its busy timeout: both happen in a turn.

    Errors: Unavailable when the file cannot be opened.
    """
    try:
        with turn(path):
            return _connect(path, readonly)
    except (apsw.Error, OSError) as error:
        raise Unavailable(f"The metadata database cannot be opened: {error}") from error


def _connect(path: Path, readonly: bool) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | (0 if readonly else apsw.SQLITE_OPEN_CREATE)
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=256)
    connection.set_busy_timeout(10_000)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-16000",
        "journal_size_limit=67108864",
    ):
        connection.pragma(*pragma.split("=", 1))
    if readonly:
        connection.pragma("query_only", "ON")
    return connection


def _translated(error: apsw.Error) -> Exception:
    """Turn a driver error that the operator can mend into a domain error; leave defects as they are."""
    if isinstance(error, apsw.FullError):
        return StorageFull(
            "No space left to store metadata. Free disk space in the data folder and try again."
        )
    if isinstance(error, apsw.IOError | apsw.ReadOnlyError | apsw.CantOpenError | apsw.BusyError):
        return Unavailable("The metadata database cannot be written at the moment. Try again.")
    return error


class Queries:
    """Statements on one connection; the awaits never suspend."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        sql, places = statement.bind(_DIALECT, values)
        try:
            return self._connection.execute(sql, places).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, places = statement.bind(_DIALECT, values)
        try:
            cursor = self._connection.execute(sql, places)
            row = cast("Row | None", cursor.fetchone())
            cursor.close(True)
        except apsw.Error as error:
            raise _translated(error) from error
        return row


class _RememberingQueries(Queries):
    """Answers a repeated query from memory for as long as nothing whatsoever was committed.

    Coherent, not merely fresh: see `generation.py`. A registry is read in bursts of equal questions (who is this,
    which repository, which manifest has this tag), and a question costs six times its answer from memory.
    """

    def __init__(self, connection: apsw.Connection, generation: Generation) -> None:
        super().__init__(connection)
        self._generation = generation
        self._known_at = -1
        self._known: dict[Any, Any] = {}
        self._derived: dict[Any, Any] = {}
        self._bytes = 0

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        key = (statement, True, *values.items())
        known = self._recall(key)
        if known is None:
            known = await super().all(statement, **values)
            self._remember(key, known, known)
        return list(known)

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        key = (statement, False, *values.items())
        known = self._recall(key)
        if known is None:
            row = await super().first(statement, **values)
            known = () if row is None else row
            self._remember(key, known, (known,))
        return known or None

    def derived(self) -> dict[Any, Any]:
        """Return a place for what follows from rows alone: empty again after every commit."""
        self._forget_what_changed()
        return self._derived if self._known_at >= 0 and len(self._derived) < _DERIVED else {}

    async def catch_up(self) -> None:
        """Nothing to do: the shared counter is asked at each question."""

    def _recall(self, key: Any) -> Any:
        self._forget_what_changed()
        return self._known.get(key)

    def _forget_what_changed(self) -> None:
        now = self._generation.read()
        if now != self._known_at:
            self._known.clear()
            self._derived = {}  # another one: who computes since before the commit still holds the old one
            self._bytes = 0
            self._known_at = now if now % 2 == 0 else -1

    def _remember(self, key: Any, known: Any, rows: Iterable[Row]) -> None:
        # Remembered under the generation that was read before the query: a commit since then discards it.
        if self._known_at < 0:
            return
        size = 256 + sum(len(value) for row in rows for value in row if isinstance(value, bytes | str))
        if size <= _REMEMBERED_BYTES // 16 and self._bytes + size <= _REMEMBERED_BYTES:
            self._known[key] = known
            self._bytes += size


class _SqliteTransaction(Queries):
    async def run(self, statement: Statement, /, **values: Any) -> int:
        sql, places = statement.bind(_DIALECT, values)
        try:
            self._connection.execute(sql, places).close(True)
        except apsw.Error as error:
            raise _translated(error) from error
        return self._connection.changes()

    async def run_each(self, statement: Statement, several: Sequence[Mapping[str, Any]], /) -> None:
        for values in several:
            await self.run(statement, **values)


class _Job:
    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work[Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Hand the outcome to the waiting task; called on its loop."""
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteDatabase(_RememberingQueries):
    """The embedded metadata store. Reads belong to the event loop's thread."""

    def __init__(self, path: Path) -> None:
        """Open `path` for reading and start the writer. Errors: Unavailable."""
        self._path = path
        self._writer_connection = connect(path)
        super().__init__(connect(path, readonly=True), Generation(path.with_suffix(".generation")))
        self._lock_file = lock_file(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="sqlite-writer", daemon=True)
        self._thread.start()
        self._closed = False

    async def write(self, work: Work[Result]) -> Result:
        """Run `work` on the writer thread and return once its commit is on disk."""
        if self._closed:
            raise Unavailable("The registry is shutting down. Try again.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        # Once queued the work happens, whatever becomes of the caller: a client that hangs up must not leave
        # the caller's follow-up undone while the rows are there.
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Finish the queued writes, stop the writer, close the files."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        with turn(self._path):
            self._connection.close()
            self._writer_connection.close()
        self._generation.close()
        os.close(self._lock_file)

    def _write_groups(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, ending = [job], False
            while len(group) < _GROUP:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                    break
                group.append(more)
            self._write_group(group)
            if ending:
                return

    def _write_group(self, group: list[_Job]) -> None:
        connection = self._writer_connection
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        self._generation.begin()
        try:
            connection.execute("BEGIN IMMEDIATE")
            transaction = _SqliteTransaction(connection)
            for job in group:
                self._run(connection, transaction, job)
            connection.execute("COMMIT")
        except BaseException as error:  # the group as a whole failed: nothing of it is durable
            if connection.in_transaction:
                with contextlib.suppress(apsw.Error):  # then the next BEGIN fails, and its callers are told
                    connection.execute("ROLLBACK")
            told = _translated(error) if isinstance(error, apsw.Error) else error
            for job in group:
                job.error = job.error or told
        finally:
            self._generation.end()
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        for job in group:
            with contextlib.suppress(RuntimeError):  # a loop that is closed has nobody waiting
                job.loop.call_soon_threadsafe(job.settle)

    @staticmethod
    def _run(connection: apsw.Connection, transaction: _SqliteTransaction, job: _Job) -> None:
        connection.execute("SAVEPOINT work")
        try:
            job.result = _finish_now(cast("Coroutine[Any, Any, Any]", job.work(transaction)))
        except Exception as error:
            if not connection.in_transaction:  # SQLite rolled everything back by itself (disk full)
                raise
            connection.execute("ROLLBACK TO work")
            job.error = error
        connection.execute("RELEASE work")


def _finish_now(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends to its end."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise RuntimeError("A transaction awaited something other than its own statements.")
