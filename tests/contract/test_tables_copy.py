"""What a copy of all tables promises, from each kind of database to the other: backup, restore and move rest on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, LargeBinary, SmallInteger, Table, Text, UniqueConstraint, bindparam, insert

from homeport.database import copying, copying_postgres
from homeport.database import migrate as migrate_room
from homeport.database import migrate_postgres as migrate_postgres_room
from homeport.database.copying import TABLES, Measure, NewSqlite, NewTables, SqliteTables, Tables, key_column
from homeport.database.copying_postgres import NewPostgres, PostgresTables
from homeport.database.engine import Database, Row, Statement, Transaction
from homeport.database.migrate import migrate_sqlite
from homeport.database.migrate_postgres import migrate_postgres
from homeport.database.postgres import PostgresDatabase
from homeport.database.sqlite import SqliteDatabase
from homeport.database.tables import account, iam_user, metadata, repository
from homeport.keeping.tables_copy import copy_tables, is_empty, measure, rows_in
from homeport.kernel.errors import InvalidInput, Unavailable

ROWS = 5
BATCH = 2
TEXTS = ("", "päivää 漢字 \U0001f680", "'; DROP TABLE image; --\n\t\\N", "\x01\x7f\u0085\uffff", "x" * 9_000)
NUMBERS = (0, 2**63 - 1, -(2**63), 1, -1)
SMALL_NUMBERS = (0, 1, -32_768, 32_767, 2)
BYTES = (b"", b"\0\xff\\x", bytes(range(256)), b"'\n", b"m" * 9_000)
KEYS = (1, 3, 2**31, 2**53 + 1, 2**62)
LATER = 10**6  # keys that were given out since, to rows that are gone


def silent(what: str, done: int, of: int) -> None:
    """No progress is wanted."""


@pytest.fixture(autouse=True)
def quick_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the SQL of the migrations takes most of the time of a new database: it is done once."""
    for module in (migrate_room, migrate_postgres_room):
        monkeypatch.setattr(module, "upgrade_sql", _upgrade_sql)


_upgrade_sql = cache(migrate_room.upgrade_sql)


class Place:
    """A database of one kind: made, opened for a copy from it or to it, and used as the program does."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self._path = folder / "homeport.db"
        self._url = ""
        folder.mkdir()
        if kind == "postgresql":
            self._url = request.getfixturevalue("postgres").new_database()
            asyncio.run(migrate_postgres(self._url))

    @asynccontextmanager
    async def tables(self) -> AsyncIterator[Tables]:
        """Every row there is."""
        if not self._url and not self._path.exists():
            migrate_sqlite(self._path)
        opened = await PostgresTables.open(self._url) if self._url else SqliteTables(self._path)
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def new(self) -> AsyncIterator[NewTables]:
        """Being filled."""
        opened = await NewPostgres.open(self._url) if self._url else NewSqlite(self._path)
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Database]:
        """As a server uses it."""
        db: Database = PostgresDatabase(self._url) if self._url else SqliteDatabase(self._path)
        try:
            yield db
        finally:
            await db.close()


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite"])
def places(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Place, Place]:
    """Where from, and where to; a few rows are more than one batch."""
    for module in (copying, copying_postgres):
        monkeypatch.setattr(module, "BATCH_ROWS", BATCH)
    source, _, target = request.param.partition(" to ")
    return Place(source, tmp_path / "source", request), Place(target, tmp_path / "target", request)


def made_row(table: Table, number: int) -> Row:
    """Row `number` of a table: the worst values of each column that its constraints take."""
    one_of_a_kind = {column.name for column in table.primary_key} | {
        name for each in table.constraints if isinstance(each, UniqueConstraint) for name in each.columns
    }
    values: list[Any] = []
    for column in table.columns:
        if column.foreign_keys:
            (foreign,) = column.foreign_keys
            parent = foreign.column.table
            values.append(made_row(parent, number)[parent.columns.keys().index(foreign.column.name)])
        elif column is key_column(table):
            values.append(KEYS[number])
        elif column.nullable and number == 1:
            values.append(None)
        elif isinstance(column.type, Text):
            values.append(
                (f"{number}" if column.name in one_of_a_kind else "")
                + TEXTS[number][: 1000 if column.name in one_of_a_kind else None]
            )
        elif isinstance(column.type, SmallInteger):
            values.append(SMALL_NUMBERS[number])
        elif isinstance(column.type, BigInteger):
            values.append(NUMBERS[number])
        else:
            assert isinstance(column.type, LargeBinary), column
            values.append(BYTES[number])
    return tuple(values)


async def fill(place: Place) -> None:
    """Put rows into every table, and let each that numbers its rows have given out more."""
    async with place.new() as new:
        for table in TABLES:
            await new.add(table, [made_row(table, number) for number in range(ROWS)])
            if key_column(table) is not None:
                await new.continue_keys(table, KEYS[-1] + LATER)
        await new.commit()


async def everything(place: Place) -> dict[str, list[Row]]:
    async with place.tables() as tables:
        return {table.name: [row async for rows in tables.rows(table) for row in rows] for table in TABLES}


async def copy(source: Place, target: Place, *, without: Sequence[str] = ()) -> int:
    async with source.tables() as tables, target.new() as new:
        copied = await copy_tables(tables, new, silent, without=without)
        await new.commit()
    return rows_in(copied)


def test_every_row_of_every_table_comes_with_every_value(places: tuple[Place, Place]) -> None:
    async def scenario() -> None:
        source, target = places
        await fill(source)

        assert await copy(source, target) == ROWS * len(TABLES)

        before, after = await everything(source), await everything(target)
        assert set(after) == set(metadata.tables)
        for table in TABLES:
            assert after[table.name] == before[table.name], table.name
            assert sorted(map(repr, after[table.name])) == sorted(
                repr(made_row(table, number)) for number in range(ROWS)
            ), table.name
        await no_key_is_given_out_twice(target)

    asyncio.run(scenario())


async def no_key_is_given_out_twice(place: Place) -> None:
    """A repository that is made now gets a key that none ever had."""
    values = dict(zip(repository.columns.keys(), made_row(repository, 0), strict=True))
    values |= {"name": "made since", "account_id": made_row(account, 0)[0]}
    del values["id"]
    names = [name for name, value in values.items() if value is not None]
    statement = Statement(insert(repository).values({name: bindparam(name) for name in names}))

    async def work(tx: Transaction) -> None:
        await tx.run(statement, **{name: values[name] for name in names})

    async with place.used() as db:
        await db.write(work)
    keys = [row[0] for row in (await everything(place))["repository"]]
    assert max(keys) == KEYS[-1] + LATER + 1


def test_an_empty_registry_is_copied_and_numbers_its_rows_from_one(places: tuple[Place, Place]) -> None:
    async def scenario() -> None:
        source, target = places

        assert await copy(source, target) == 0

        async with target.tables() as tables:
            assert await is_empty(tables)
            numbered = [table for table in TABLES if key_column(table) is not None]
            assert [await tables.last_key(table) for table in numbered] == [0] * len(numbered)

    asyncio.run(scenario())


def test_what_is_not_committed_never_was_and_what_is_left_out_is_left_out(
    places: tuple[Place, Place],
) -> None:
    async def scenario() -> None:
        source, target = places
        await fill(source)

        async with source.tables() as tables, target.new() as new:
            await copy_tables(tables, new, silent)
        async with target.tables() as after:
            assert await is_empty(after)

        assert await copy(source, target, without=["upload", "quarantine"]) == ROWS * (len(TABLES) - 2)
        found = await everything(target)
        assert {name for name, rows in found.items() if not rows} == {"upload", "quarantine"}

    asyncio.run(scenario())


def test_a_row_that_refers_to_nothing_is_refused_with_its_table(places: tuple[Place, Place]) -> None:
    async def scenario() -> None:
        _, target = places

        async with target.new() as new:
            with pytest.raises(InvalidInput, match="iam_user contradict"):
                await new.add(iam_user, [made_row(iam_user, 0)])

    asyncio.run(scenario())


class _Losing:
    """A target that loses the last row of each table, or spoils it."""

    def __init__(self, new: NewTables) -> None:
        self._new = new

    def __getattr__(self, name: str) -> Any:
        return getattr(self._new, name)

    async def add(self, table: Table, rows: Sequence[Row]) -> None:
        await self._new.add(table, rows[:-1] if table is account else rows)


def test_a_copy_that_is_not_the_same_is_noticed(places: tuple[Place, Place]) -> None:
    async def scenario() -> None:
        source, target = places
        async with source.new() as filled:
            await filled.add(account, [("111122223333", "a", 1), ("222233334444", "b", 2)])
            await filled.commit()

        async with source.tables() as tables, target.new() as new:
            with pytest.raises(Unavailable, match="copy of account has 1 rows where 2 were read"):
                await copy_tables(tables, _Losing(new), silent)

    asyncio.run(scenario())


def test_a_text_that_postgresql_cannot_keep_is_named_with_its_place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async def scenario() -> None:
        source, target = Place("sqlite", tmp_path / "source", request), to
        async with source.new() as filled:
            await filled.add(account, [("111122223333", "a\0b", 1)])
            await filled.commit()

        with pytest.raises(InvalidInput, match=r"name of account \(id='111122223333'\) contains .* U\+0000"):
            await copy(source, target)

        async with target.tables() as after:
            assert await is_empty(after)

    to = Place("postgresql", tmp_path / "target", request)
    asyncio.run(scenario())


def test_the_measure_of_rows_follows_from_all_their_values_and_not_from_their_order() -> None:
    rows: list[Row] = [("a", 1, None), ("b", 2, b"x")]

    assert Measure().with_rows(rows) == Measure().with_rows(rows[1:]).with_rows(rows[:1])
    for other in ([("a", 1, None)], [("a", 1, None), ("b", 2, b"y")], [("a", 1, "None"), ("b", 2, b"x")]):
        assert Measure().with_rows(rows) != Measure().with_rows(other)


def test_a_snapshot_is_of_one_moment_while_others_write(places: tuple[Place, Place]) -> None:
    async def scenario() -> None:
        source, _ = places
        await fill(source)

        async with source.tables() as tables:
            before = await measure(tables, silent)
            await no_key_is_given_out_twice(source)
            assert await measure(tables, silent) == before
        async with source.tables() as later:
            assert (await measure(later, silent))["repository"].rows == ROWS + 1

    asyncio.run(scenario())
