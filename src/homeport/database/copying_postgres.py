"""All rows of a PostgreSQL database: read in one snapshot, or written in one transaction by COPY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Table

from homeport.database.connections import connect, is_lost, translated
from homeport.database.copying import BATCH_ROWS, TABLES, count_all, key_column, select_all
from homeport.database.engine import Row
from homeport.kernel.errors import InvalidInput, Unavailable

_PATIENCE: Final = 86_400.0  # seconds for one statement: counting or writing may take long
_LEAVING_SECONDS: Final = 5.0  # for connections that were just let go of
_NODES: Final = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'homeport'"
)
_NAME: Final = "SET application_name = 'homeport copy'; SET idle_in_transaction_session_timeout = 0"


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        if is_lost(error):
            raise Unavailable(
                "The connection to the metadata database was lost. Run the command again."
            ) from error
        raise translated(error) from error


class _PostgresRows:
    """What both sides of a copy read from a PostgreSQL database."""

    def __init__(self, connection: Any, genuine: bool) -> None:
        self._connection = connection
        self.genuine = genuine
        """Whether the server is PostgreSQL itself: others do not tell who uses a database, and lock no tables."""

    @classmethod
    async def _open(cls, url: str, *begin: str) -> Self:
        connection, genuine = await connect(url)
        opened = cls(connection, genuine)
        try:
            with _refusing():
                for sql in (_NAME, *begin):
                    await connection.execute(sql)
        except BaseException:
            await opened.close()
            raise
        return opened

    async def count(self, table: Table) -> int:
        with _refusing():
            sql, _ = count_all(table).bind("postgresql", {})
            return int(await self._connection.fetchval(sql, timeout=_PATIENCE))

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        sql, _ = select_all(table).bind("postgresql", {})
        with _refusing():
            cursor = await self._connection.cursor(sql, timeout=_PATIENCE)
        while True:
            with _refusing():
                batch = [tuple(row) for row in await cursor.fetch(BATCH_ROWS, timeout=_PATIENCE)]
            if not batch:
                return
            yield batch

    async def last_key(self, table: Table) -> int:
        with _refusing():
            row = await self._connection.fetchrow(f"SELECT last_value, is_called FROM {_sequence(table)}")  # noqa: S608
        return int(row[0]) if row[1] else 0

    async def in_use(self) -> bool:
        """Whether a node is connected to the database; false where the server does not tell."""
        if not self.genuine:
            return False
        until = monotonic() + _LEAVING_SECONDS
        with _refusing():
            while True:
                await self._connection.execute("SELECT pg_stat_clear_snapshot()")
                if not await self._connection.fetchval(_NODES):
                    return False
                if monotonic() > until:
                    return True
                await asyncio.sleep(0.1)  # the server does not say when one leaves

    async def close(self) -> None:
        """Let go of the database; what was not committed never was."""
        self._connection.terminate()


def _sequence(table: Table) -> str:
    column = key_column(table)
    assert column is not None, table.name
    return f"{table.name}_{column.name}_seq"


class PostgresTables(_PostgresRows):
    """The rows of a PostgreSQL database as of the moment when it is opened. Others may go on using it."""

    @classmethod
    async def open(cls, url: str, *, alone: bool = False) -> Self:
        """Open the database at `url`; with `alone` nobody changes it until this ends. Errors: Unavailable."""
        opened = await cls._open(url, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            if alone and opened.genuine:
                with _refusing():
                    await opened._connection.execute("LOCK TABLE turn IN EXCLUSIVE MODE", timeout=_PATIENCE)
            await opened.count(TABLES[0])  # from here on: this moment
        except BaseException:
            await opened.close()
            raise
        return opened


class NewPostgres(_PostgresRows):
    """A PostgreSQL database with the tables of this program that is being filled, in one transaction."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database at `url`; no node can begin to use it until this ends. Errors: Unavailable."""
        opened = await cls._open(url, "BEGIN")
        if opened.genuine:
            try:
                with _refusing():
                    await opened._connection.execute(
                        "LOCK TABLE turn IN ACCESS EXCLUSIVE MODE", timeout=_PATIENCE
                    )
            except BaseException:
                await opened.close()
                raise
        return opened

    async def clear(self) -> None:
        """Remove every row."""
        with _refusing():
            for table in reversed(TABLES):
                await self._connection.execute(f"DELETE FROM {table.name}", timeout=_PATIENCE)  # noqa: S608

    async def add(self, table: Table, rows: Sequence[Row]) -> None:
        try:
            with _refusing():
                await self._connection.copy_records_to_table(
                    table.name, records=rows, columns=table.columns.keys(), timeout=_PATIENCE
                )
        except (InvalidInput, ValueError, OverflowError, asyncpg.DataError) as error:
            raise InvalidInput(
                _complaint(table, rows) or f"A row of {table.name} does not fit: {error}"
            ) from error
        except asyncpg.IntegrityConstraintViolationError as error:
            raise InvalidInput(
                f"Rows of {table.name} contradict others: {error}. `homeport fsck` says what is wrong."
            ) from error

    async def continue_keys(self, table: Table, last: int) -> None:
        with _refusing():
            await self._connection.execute(
                "SELECT setval($1, $2, $3)", _sequence(table), max(last, 1), last > 0
            )

    async def commit(self) -> None:
        with _refusing():
            if self.genuine:  # else the first questions would be planned for empty tables
                for table in TABLES:
                    await self._connection.execute(f"ANALYZE {table.name}", timeout=_PATIENCE)
            await self._connection.execute("COMMIT", timeout=_PATIENCE)
        await self.close()


def _complaint(table: Table, rows: Sequence[Row]) -> str | None:
    """Say which text PostgreSQL cannot keep, and where it is."""
    names = table.columns.keys()
    keys = [names.index(column.name) for column in table.primary_key]
    for row in rows:
        for name, value in zip(names, row, strict=True):
            if isinstance(value, str) and "\0" in value:
                which = ", ".join(f"{names[place]}={row[place]!r}" for place in keys)
                return (
                    f"The column {name} of {table.name} ({which}) contains the character U+0000, which PostgreSQL "
                    "cannot keep. Change that text first."
                )
    return None
