"""What only the embedded database promises: its settings, a full disk, and memory that is never stale."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
from sqlalchemy import bindparam, func, insert, select

from homeport.database.engine import Statement, Transaction
from homeport.database.generation import Generation
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase, connect
from homeport.database.tables import account
from homeport.kernel.errors import StorageFull, Unavailable

_INSERT = Statement(insert(account).values(id=bindparam("id"), name=bindparam("name"), created_at=0))
_COUNT = Statement(select(func.count()).select_from(account))


def using(folder: Path, scenario: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    path = folder / "homeport.db"
    migrate_sqlite(path)

    async def body() -> None:
        db = SqliteDatabase(path)
        try:
            await scenario(db)
        finally:
            await db.close()

    asyncio.run(body())


def adding(name: str, size: int = 1) -> Callable[[Transaction], Awaitable[int]]:
    async def work(tx: Transaction) -> int:
        return await tx.run(_INSERT, id=name, name="x" * size)

    return work


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("query_only", 0)]
)
def test_a_connection_that_writes_has_the_settings_that_durability_needs(
    tmp_path: Path, pragma: str, value: object
) -> None:
    connection = connect(tmp_path / "homeport.db")

    assert connection.pragma(pragma) == value
    connection.close()


def test_a_remembered_answer_belongs_to_its_values_by_name_whatever_their_order(tmp_path: Path) -> None:
    find = Statement(
        select(account.c.id).where(account.c.id == bindparam("id"), account.c.name == bindparam("name"))
    )

    async def scenario(db: SqliteDatabase) -> None:
        await db.write(adding("x", size=1))
        await db.write(adding("y", size=1))

        assert await db.first(find, id="y", name="x") == ("y",)
        assert await db.first(find, name="y", id="x") is None

    using(tmp_path, scenario)


def test_the_library_has_the_fix_for_the_wal_reset_bug() -> None:
    assert apsw.SQLITE_VERSION_NUMBER >= 3051003
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)


def test_readers_cannot_write(tmp_path: Path) -> None:
    connect(tmp_path / "homeport.db").close()
    connection = connect(tmp_path / "homeport.db", readonly=True)

    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("CREATE TABLE x (y)")
    connection.close()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be opened"):
        connect(tmp_path / "nowhere" / "homeport.db")


def test_a_full_database_refuses_clearly_keeps_what_it_has_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    async def scenario(db: SqliteDatabase) -> None:
        await db.write(adding("before"))
        pages = db._writer_connection.pragma("page_count")
        db._writer_connection.pragma("max_page_count", pages)

        outcomes = await asyncio.gather(
            *(db.write(adding(f"large-{number}", 50_000)) for number in range(5)), return_exceptions=True
        )

        assert [type(outcome) for outcome in outcomes] == [StorageFull] * 5
        assert await db.first(_COUNT) == (1,)
        db._writer_connection.pragma("max_page_count", pages + 1000)
        await db.write(adding("large", 50_000))
        assert await db.first(_COUNT) == (2,)

    using(tmp_path, scenario)


def test_a_unit_that_waits_for_something_else_is_refused_and_undone(tmp_path: Path) -> None:
    async def scenario(db: SqliteDatabase) -> None:
        async def work(tx: Transaction) -> None:
            await tx.run(_INSERT, id="a", name="a")
            await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="awaited something other"):
            await db.write(work)

        assert await db.first(_COUNT) == (0,)
        await db.write(adding("b"))

    using(tmp_path, scenario)


def test_what_was_derived_before_a_commit_is_never_found_after_it(tmp_path: Path) -> None:
    async def scenario(db: SqliteDatabase) -> None:
        before = db.derived()
        before["count"] = 0
        assert db.derived()["count"] == 0

        await db.write(adding("a"))
        before["count"] = 0  # who began before the commit and finishes after it

        assert "count" not in db.derived()

    using(tmp_path, scenario)


def test_nothing_is_remembered_across_a_commit_whose_process_died(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"

    async def scenario(db: SqliteDatabase) -> None:
        assert await db.first(_COUNT) == (0,)
        dying = Generation(path.with_suffix(".generation"))
        dying.begin()  # and never `end`: the process was killed, perhaps after its commit
        bare = connect(path)
        for number in range(3):
            bare.execute("INSERT INTO account VALUES (?, 'n', 0)", (f"unreported-{number}",))
            assert await db.first(_COUNT) == (number + 1,)
        bare.close()
        dying.close()

        await db.write(adding("reported"))

        assert await db.first(_COUNT) == (4,)

    using(tmp_path, scenario)


def test_the_writer_outlives_a_caller_whose_event_loop_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"
    migrate_sqlite(path)
    made: list[SqliteDatabase] = []

    async def abandon() -> None:
        made.append(SqliteDatabase(path))
        task = asyncio.create_task(made[0].write(adding("abandoned")))
        await asyncio.sleep(0)
        task.cancel()

    async def go_on() -> None:
        await made[0].write(adding("second"))
        assert await made[0].first(_COUNT) == (2,)
        await made[0].close()

    asyncio.run(abandon())
    asyncio.run(go_on())
