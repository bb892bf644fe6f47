"""What only the shared database promises: nothing stale over nodes, units that meet, a server that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, delete, func, insert, select, update

from homeport.database import postgres as room
from homeport.database.connections import connect, translated
from homeport.database.engine import Statement, Transaction
from homeport.database.migrate import HEAD
from homeport.database.migrate_postgres import migrate_postgres, require_current, revision
from homeport.database.postgres import PostgresDatabase
from homeport.database.tables import account
from homeport.kernel.errors import StorageFull, Unavailable
from tests.harness.postgres import Postgres

_INSERT = Statement(insert(account).values(id=bindparam("id"), name=bindparam("name"), created_at=0))
_DELETE = Statement(delete(account).where(account.c.id == bindparam("id")))
_COUNT = Statement(select(func.count()).select_from(account))
_FIND = Statement(select(account.c.name).where(account.c.id == bindparam("id")))
_MOVE = Statement(update(account).where(account.c.id == bindparam("id_")).values(created_at=bindparam("to")))
_AT = Statement(select(account.c.created_at).where(account.c.id == bindparam("id")))
_ORDER = Statement(select(account.c.id).order_by(account.c.id))


def adding(name: str) -> Callable[[Transaction], Awaitable[int]]:
    async def work(tx: Transaction) -> int:
        return await tx.run(_INSERT, id=name, name=f"name of {name}")

    return work


@pytest.fixture
def url(postgres: Postgres) -> str:
    found = postgres.new_database()
    asyncio.run(migrate_postgres(found))
    return found


def using(url: str, scenario: Callable[[PostgresDatabase, PostgresDatabase], Awaitable[None]]) -> None:
    """Run a scenario on two nodes of one database."""

    async def body() -> None:
        here, there = PostgresDatabase(url), PostgresDatabase(url)
        try:
            await scenario(here, there)
        finally:
            await here.close()
            await there.close()

    asyncio.run(body())


async def executed(url: str, sql: str) -> Any:
    connection, _ = await connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_a_request_is_answered_from_memory_and_never_with_what_another_node_deleted(url: str) -> None:
    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        await there.write(adding("a"))
        await here.catch_up()  # the first one opens the connection that watches
        for _ in range(50):
            await here.catch_up()
            here.derived()["seen"] = True
            assert await here.first(_FIND, id="a") == ("name of a",)
            await here.catch_up()
            assert here.derived() == {"seen": True}

            await there.write(lambda tx: tx.run(_DELETE, id="a"))

            await here.catch_up()
            assert here.derived() == {}
            assert await here.first(_FIND, id="a") is None
            await there.write(adding("a"))

    using(url, scenario)


def test_who_does_not_say_that_a_request_begins_asks_the_rows(url: str) -> None:
    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        for number in range(20):
            assert await here.first(_COUNT) == (number,)
            here.derived()["kept"] = number
            assert here.derived() == {}
            await there.write(adding(str(number)))

    using(url, scenario)


def test_a_request_reads_what_it_wrote(url: str) -> None:
    async def scenario(here: PostgresDatabase, _: PostgresDatabase) -> None:
        await here.catch_up()
        for number in range(20):
            await here.catch_up()
            assert await here.first(_COUNT) == (number,)
            await here.write(adding(str(number)))
            assert await here.first(_COUNT) == (number + 1,)

    using(url, scenario)


def test_nothing_is_remembered_on_a_server_whose_snapshots_have_no_names(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(address: str) -> tuple[Any, bool]:
        return (await connect(address))[0], False

    monkeypatch.setattr(room, "connect", other)

    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        for number in range(5):
            await here.catch_up()
            here.derived()["kept"] = number
            assert here.derived() == {}
            assert await here.first(_COUNT) == (number,)
            await there.write(adding(str(number)))

    using(url, scenario)


def test_units_that_read_and_change_the_same_row_on_two_nodes_lose_no_change(url: str) -> None:
    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        await here.write(adding("a"))

        async def count_up(tx: Transaction) -> None:
            row = await tx.first(_AT, id="a")
            assert row is not None
            await tx.run(_MOVE, id_="a", to=row[0] + 1)

        await asyncio.gather(*(node.write(count_up) for node in (here, there) for _ in range(40)))

        assert await here.first(_AT, id="a") == (80,)

    using(url, scenario)


def test_two_units_that_each_rely_on_what_the_other_changes_do_not_both_succeed_on_what_was(url: str) -> None:
    # Snapshot isolation alone would let both see an empty table: write skew.
    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        def first_of_all(name: str) -> Callable[[Transaction], Awaitable[bool]]:
            async def work(tx: Transaction) -> bool:
                if await tx.first(_COUNT) != (0,):
                    return False
                await tx.run(_INSERT, id=name, name=name)
                return True

            return work

        won = await asyncio.gather(
            *(node.write(first_of_all(f"{number}")) for number, node in enumerate([here, there] * 10))
        )

        assert won.count(True) == 1
        assert await here.first(_COUNT) == (1,)

    using(url, scenario)


def test_text_is_ordered_byte_by_byte_whatever_the_language_of_the_database(url: str) -> None:
    names = ["B", "a", "_", "b", "A", "é", "z", "-", "a.b", "a-b", "ab"]

    async def scenario(here: PostgresDatabase, _: PostgresDatabase) -> None:
        for name in names:
            await here.write(adding(name))

        assert [row[0] for row in await here.all(_ORDER)] == sorted(names, key=str.encode)

    using(url, scenario)
    in_its_language = asyncio.run(
        executed(url, "SELECT string_agg(id, ',' ORDER BY id COLLATE \"default\") FROM account")
    )
    assert in_its_language.split(",") != sorted(names, key=str.encode), (
        "the database has no language: test says nothing"
    )


def test_a_character_that_no_row_can_have_is_found_nowhere(url: str) -> None:
    async def scenario(here: PostgresDatabase, _: PostgresDatabase) -> None:
        await here.write(adding("a"))

        assert await here.first(_FIND, id="a\0") is None

    using(url, scenario)


class CutAtCommit:
    """A connection whose server commits, or does not, and is gone before it says so."""

    def __init__(self, connection: Any, *, commits: bool) -> None:
        self._connection = connection
        self._commits = commits
        self.cut = False

    async def execute(self, sql: str, *places: Any) -> Any:
        if sql != "COMMIT":
            return await self._connection.execute(sql, *places)
        self.cut = True
        if self._commits:
            await self._connection.execute("COMMIT")
        self._connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_answer_is_lost_happens_exactly_once(url: str, commits: bool) -> None:
    async def scenario(here: PostgresDatabase, there: PostgresDatabase) -> None:
        take = here._connections.take
        cut: list[CutAtCommit] = []

        async def take_and_cut() -> Any:
            connection = await take()
            if not cut:
                cut.append(CutAtCommit(connection, commits=commits))
                return cut[0]
            return connection

        here._connections.take = take_and_cut  # type: ignore[method-assign]

        assert await here.write(adding("a")) == 1

        assert cut[0].cut
        assert await there.first(_COUNT) == (1,)

    using(url, scenario)


def test_a_server_that_was_restarted_is_used_again_without_an_error(url: str) -> None:
    async def scenario(here: PostgresDatabase, _: PostgresDatabase) -> None:
        await here.write(adding("a"))
        for moment in range(
            12
        ):  # from before its goodbye is read until after the connection is known to be closed
            await here.catch_up()
            await executed(
                url,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            for _turn in range(moment):
                await asyncio.sleep(0)

            assert await here.first(_COUNT) == (moment + 1,)
            await here.write(adding(f"b{moment}"))
            await here.catch_up()
            await here.catch_up()
            assert await here.first(_COUNT) == (moment + 2,)

    using(url, scenario)


def test_a_server_that_is_not_there_is_unavailable_and_its_address_stays_private() -> None:
    async def body() -> None:
        db = PostgresDatabase("postgresql://somebody:secret@127.0.0.1:1/nowhere")
        await db.catch_up()
        for attempt in (db.first(_COUNT), db.write(adding("a"))):
            with pytest.raises(Unavailable) as refused:
                await attempt
            assert "127.0.0.1" not in refused.value.message
            assert "secret" not in refused.value.message
        await db.close()

    asyncio.run(body())


def test_a_full_disk_is_told_as_such() -> None:
    assert isinstance(translated(asyncpg.DiskFullError("could not extend file")), StorageFull)


def test_programs_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.new_database()

    async def all_at_once() -> list[str | None]:
        return await asyncio.gather(*(migrate_postgres(url) for _ in range(8)))

    found = asyncio.run(all_at_once())

    assert sorted(map(str, found)) == sorted([HEAD] * 7 + ["None"])


def test_a_node_does_not_begin_on_another_schema_and_says_what_to_do(postgres: Postgres) -> None:
    url = postgres.new_database()
    with pytest.raises(Unavailable, match=f"schema none and this Homeport needs {HEAD}.*homeport migrate"):
        asyncio.run(require_current(url))

    asyncio.run(migrate_postgres(url))
    asyncio.run(require_current(url))
    asyncio.run(executed(url, "UPDATE alembic_version SET version_num = '9999' RETURNING 1"))

    for attempt in (require_current, migrate_postgres):
        with pytest.raises(Unavailable, match=r"newer Homeport \(schema 9999\)"):
            asyncio.run(attempt(url))
    assert asyncio.run(revision(url)) == "9999"
