"""All rows of a database, table by table, whatever keeps them: read as of one moment, written anew, compared.

A backup and a move to another place read a `Tables` and fill a `NewTables`. Rows come in batches in the order of the
primary key, so neither side ever holds a whole table. Those of PostgreSQL are in `copying_postgres.py`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Protocol

import apsw
from sqlalchemy import Column, Table, bindparam, delete, func, insert, select

from homeport.database.engine import Row, Statement
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import connect, turn
from homeport.database.tables import metadata
from homeport.kernel.durable import flush_file, flush_folder
from homeport.kernel.errors import InvalidInput, StorageFull, Unavailable

BATCH_ROWS = 2000
_CHECKSUM_BYTES = 16

TABLES: tuple[Table, ...] = tuple(metadata.sorted_tables)
"""All of them; what a row refers to comes before it."""


class Tables(Protocol):
    """Every row as of one moment."""

    async def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        ...

    def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """Yield all rows of a table with all its columns, some thousands at a time, in the order of the primary key."""
        ...

    async def last_key(self, table: Table) -> int:
        """Return the greatest key that a table which numbers its rows has ever given out; 0 for none."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class NewTables(Tables, Protocol):
    """A database that is being filled: all of it is there once `commit` returns, or nothing of it ever was."""

    async def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Add rows with all columns. Errors: InvalidInput for what this database cannot keep, StorageFull."""
        ...

    async def continue_keys(self, table: Table, last: int) -> None:
        """Let the table number its next row higher than `last`."""
        ...

    async def commit(self) -> None:
        """Make all of it durable and visible. Errors: Unavailable, StorageFull."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """How many rows a table has, and a number that follows from all their values, in whatever order they come."""

    rows: int = 0
    checksum: int = 0

    def with_rows(self, rows: Sequence[Row]) -> Measure:
        """Return the measure with more rows."""
        total = self.checksum
        for row in rows:
            digest = hashlib.blake2b(repr(row).encode(), digest_size=_CHECKSUM_BYTES).digest()
            total += int.from_bytes(digest, "big")
        return Measure(self.rows + len(rows), total % (1 << 8 * _CHECKSUM_BYTES))

    def __str__(self) -> str:
        return f"{self.rows}:{self.checksum:x}"


async def measured(tables: Tables, table: Table) -> Measure:
    """Read a whole table and return its measure."""
    found = Measure()
    async for rows in tables.rows(table):
        found = found.with_rows(rows)
    return found


def key_column(table: Table) -> Column[int] | None:
    """Return the column by which a table numbers its rows itself, if it does."""
    return next((column for column in table.primary_key if column.autoincrement is True), None)


@cache
def select_all(table: Table) -> Statement:
    """Return the statement that reads a table in the order of its primary key."""
    return Statement(select(*table.columns).order_by(*table.primary_key))


@cache
def count_all(table: Table) -> Statement:
    """Return the statement that counts the rows of a table."""
    return Statement(select(func.count()).select_from(table))


@cache
def _insert(table: Table) -> Statement:
    return Statement(insert(table).values({column.name: bindparam(column.name) for column in table.columns}))


class _SqliteRows:
    """What both sides of a copy read from a SQLite database."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def count(self, table: Table) -> int:
        sql, _ = count_all(table).bind("sqlite", {})
        return int(str(self._connection.execute(sql).fetchall()[0][0]))

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        sql, _ = select_all(table).bind("sqlite", {})
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            while batch := list(islice(cursor, BATCH_ROWS)):
                yield batch
                await asyncio.sleep(
                    0
                )  # others have their turn: a hold on deletions has to be renewed meanwhile
        except apsw.Error as error:
            raise Unavailable(f"The metadata database cannot be read: {error}") from error
        finally:
            cursor.close(True)

    async def last_key(self, table: Table) -> int:
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
        return next((int(str(row[0])) for row in found), 0)


class SqliteTables(_SqliteRows):
    """The rows of the SQLite database at `path`, as of the moment when this is made. Others may go on using it."""

    def __init__(self, path: Path) -> None:
        """Open it. Errors: Unavailable."""
        self._path = path
        super().__init__(connect(path, readonly=True))
        self._connection.execute("BEGIN")
        self._connection.execute(
            "SELECT 1 FROM sqlite_master LIMIT 1"
        ).fetchall()  # from here on: this moment

    async def close(self) -> None:
        """Let go of the database."""
        with turn(self._path), suppress(apsw.Error):
            self._connection.close()


class NewSqlite(_SqliteRows):
    """A new SQLite database that takes its place at `path`, instead of a file that is there, with `commit`."""

    def __init__(self, path: Path) -> None:
        """Begin it, beside its place; what another attempt left there goes. Errors: Unavailable, StorageFull."""
        self._path = path
        self._folder = path.with_name(f"{path.name}.new")
        with _refusing():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
            self._draft = self._folder / path.name
            migrate_sqlite(self._draft)
            connection = apsw.Connection(str(self._draft))
            # Nobody else has it and a broken draft is thrown away, so that no journal is needed.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=ON", "cache_size=-64000"):
                connection.pragma(*pragma.split("=", 1))
            connection.execute("BEGIN")
        super().__init__(connection)
        for table in TABLES:  # a migration may have left notes for what it found
            connection.execute(Statement(delete(table)).bind("sqlite", {})[0])

    async def add(self, table: Table, rows: Sequence[Row]) -> None:
        sql, _ = _insert(table).bind("sqlite", dict.fromkeys(table.columns.keys()))
        try:
            self._connection.executemany(sql, rows)
        except apsw.ConstraintError as error:
            raise InvalidInput(f"Rows of {table.name} contradict others: {error}") from error
        except apsw.Error as error:
            raise _translated(error) from error

    async def continue_keys(self, table: Table, last: int) -> None:
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
        self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, last))

    async def commit(self) -> None:
        with _refusing():
            self._connection.execute("COMMIT")
            self._connection.close()
            self._draft.chmod(0o600)
            flush_file(self._draft)
            for ending in ("-wal", "-shm"):  # of a file that was there
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._draft.rename(self._path)
            flush_folder(self._path.parent)
        await self.close()

    async def close(self) -> None:
        """Throw away what was not committed."""
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise _translated(error) from error


def _translated(error: apsw.Error | OSError) -> Exception:
    if isinstance(error, apsw.FullError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("No space left for the new metadata database")
    return Unavailable(f"The new metadata database cannot be written: {error}")
