"""What every metadata database promises; written in terms of `homeport.database.engine` alone.

Each test runs on every entry of `DATABASES`. Run as a program, this file is the other process of the tests
that need one: `python test_database.py ROLE KIND FOLDER`.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import pytest
from sqlalchemy import bindparam, func, insert, select

from homeport.database.engine import Database, Statement, Transaction
from homeport.database.migrate import migrate_sqlite
from homeport.database.migrate_postgres import migrate_postgres
from homeport.database.postgres import PostgresDatabase
from homeport.database.sqlite import SqliteDatabase
from homeport.database.tables import account, iam_user
from homeport.kernel.errors import Unavailable

T = TypeVar("T")
Opener = Callable[[Path], Database]

_URL = "database-url"  # file in the folder
_ROOT = Path(__file__).resolve().parents[2]
_INSERT = Statement(insert(account).values(id=bindparam("id"), name=bindparam("name"), created_at=0))
_ORPHAN = Statement(
    insert(iam_user).values(
        account_id=bindparam("account"), name="nobody", path="/", user_id="AIDA1", created_at=0
    )
)
_COUNT = Statement(select(func.count()).select_from(account))
_FIND = Statement(select(account.c.name).where(account.c.id == bindparam("id")))
_ALL = Statement(select(account.c.id).order_by(account.c.id))


def _open_sqlite(folder: Path) -> Database:
    migrate_sqlite(folder / "homeport.db")
    return SqliteDatabase(folder / "homeport.db")


def _open_postgres(folder: Path) -> Database:
    return PostgresDatabase((folder / _URL).read_text())


DATABASES: dict[str, Opener] = {"sqlite": _open_sqlite, "postgresql": _open_postgres}
"""Opens the one database that belongs to a folder; may be called several times and in several processes."""


class Refused(Exception):
    """Raised by a unit of work that changes its mind."""


@pytest.fixture(params=list(DATABASES))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        asyncio.run(migrate_postgres(url))
        (tmp_path / _URL).write_text(url)
    return str(request.param)


def adding(*names: str, then: Exception | None = None) -> Callable[[Transaction], Awaitable[int]]:
    """A unit that inserts `names`, counts, and raises `then` if there is one."""

    async def work(tx: Transaction) -> int:
        for name in names:
            await tx.run(_INSERT, id=name, name=f"name of {name}")
        if then is not None:
            raise then
        found = await tx.first(_COUNT)
        assert found is not None
        return int(found[0])

    return work


async def ids(db: Database) -> list[str]:
    return [row[0] for row in await db.all(_ALL)]


def using(kind: str, folder: Path, scenario: Callable[[Database], Awaitable[T]]) -> T:
    async def body() -> T:
        db = DATABASES[kind](folder)
        try:
            return await scenario(db)
        finally:
            await db.close()

    return asyncio.run(body())


@contextmanager
def other_process(role: str, kind: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}", "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, __file__, role, kind, str(folder)]
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert _line(process.stdout) == "ready"
            yield process
        finally:
            process.kill()


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


def test_what_was_written_is_read_by_the_same_and_by_another_handle(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        other = DATABASES[kind](tmp_path)
        try:
            for number in range(50):
                name = f"{number:03}"
                assert await db.first(_FIND, id=name) is None
                assert await other.first(_FIND, id=name) is None

                await db.write(adding(name))

                assert await db.first(_FIND, id=name) == (f"name of {name}",)
                assert await other.first(_FIND, id=name) == (f"name of {name}",)
                assert await other.first(_COUNT) == (number + 1,)
        finally:
            await other.close()

    using(kind, tmp_path, scenario)


def test_a_unit_sees_its_own_changes_and_returns_its_result(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        assert await db.write(adding("a", "b")) == 2

    using(kind, tmp_path, scenario)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_change_is_run_for_each_of_several_rows(count: int, kind: str, tmp_path: Path) -> None:
    rows = [{"id": f"{number:03}", "name": str(number)} for number in range(count)]

    async def several(tx: Transaction) -> None:
        await tx.run_each(_INSERT, rows)

    async def twice(tx: Transaction) -> None:
        await tx.run_each(_INSERT, [{"id": "new", "name": "1"}, {"id": "new", "name": "2"}])

    async def scenario(db: Database) -> None:
        await db.write(several)
        with pytest.raises(Exception, match=r"(?i)unique"):
            await db.write(twice)

        assert await ids(db) == [row["id"] for row in rows]

    using(kind, tmp_path, scenario)


def test_a_unit_that_raises_leaves_nothing_and_its_error_reaches_the_caller(
    kind: str, tmp_path: Path
) -> None:
    async def scenario(db: Database) -> None:
        await db.write(adding("before"))

        with pytest.raises(Refused, match="changed my mind"):
            await db.write(adding("a", "b", then=Refused("changed my mind")))

        assert await ids(db) == ["before"]
        await db.write(adding("after"))
        assert await ids(db) == ["after", "before"]

    using(kind, tmp_path, scenario)


def test_a_row_that_breaks_a_constraint_takes_its_whole_unit_along(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        async def orphan(tx: Transaction) -> None:
            await tx.run(_INSERT, id="a", name="a")
            await tx.run(_ORPHAN, account="nobody's")

        with pytest.raises(Exception, match=r"(?i)foreign key"):
            await db.write(orphan)
        with pytest.raises(Exception, match=r"(?i)unique"):
            await db.write(adding("b", "b"))

        assert await ids(db) == []

    using(kind, tmp_path, scenario)


def test_a_failing_unit_does_not_undo_those_that_run_beside_it(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        def unit(number: int) -> Awaitable[int]:
            fails = number % 3 == 0
            return db.write(adding(f"{number:03}", then=Refused(str(number)) if fails else None))

        outcomes = await asyncio.gather(*map(unit, range(300)), return_exceptions=True)

        refused = [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused == [str(number) for number in range(0, 300, 3)]
        assert await ids(db) == [f"{number:03}" for number in range(300) if number % 3]

    using(kind, tmp_path, scenario)


def test_a_write_whose_caller_was_cancelled_still_happens_whole(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        async def caller(number: int) -> None:
            await db.write(adding(f"{number}a", f"{number}b"))

        tasks = [asyncio.create_task(caller(number)) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await db.write(adding("last"))

    using(kind, tmp_path, scenario)

    assert len(using(kind, tmp_path, ids)) == 41


def test_closing_finishes_the_writes_that_were_asked_for(kind: str, tmp_path: Path) -> None:
    async def queue_and_close(db: Database) -> None:
        tasks = [asyncio.create_task(db.write(adding(str(number)))) for number in range(200)]
        await asyncio.sleep(0)
        await db.close()
        await asyncio.gather(*tasks)

    using(kind, tmp_path, queue_and_close)

    assert len(using(kind, tmp_path, ids)) == 200


def test_a_closed_database_refuses_writes_as_unavailable(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        await db.close()

        with pytest.raises(Unavailable):
            await db.write(adding("a"))

    using(kind, tmp_path, scenario)


def test_what_another_process_committed_is_read_at_once(kind: str, tmp_path: Path) -> None:
    async def scenario(db: Database) -> None:
        with other_process("obey", kind, tmp_path) as other:
            assert other.stdin is not None
            for number in range(100):
                name = f"{number:03}"
                assert await db.first(_FIND, id=name) is None

                other.stdin.write(f"{name}\n")
                other.stdin.flush()
                assert _line(other.stdout) == name

                assert await db.first(_FIND, id=name) == (f"name of {name}",)

    using(kind, tmp_path, scenario)


@pytest.mark.slow
def test_two_processes_that_write_at_once_are_both_served_within_a_second(kind: str, tmp_path: Path) -> None:
    using(kind, tmp_path, ids)  # makes the schema before both come
    with (
        other_process("hammer", kind, tmp_path) as first,
        other_process("hammer", kind, tmp_path) as second,
    ):
        for process in (first, second):
            assert _line(process.stdout) == "connected"
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("2\n")
            process.stdin.flush()

        outcomes = [_line(process.stdout).split() for process in (first, second)]

    written = [int(outcome[0]) for outcome in outcomes]
    longest = [float(outcome[1]) for outcome in outcomes]
    assert max(longest) < 1, outcomes
    assert min(written) * 5 > max(written), outcomes
    assert len(using(kind, tmp_path, ids)) == sum(written)


@pytest.mark.slow
@pytest.mark.faults
def test_acknowledged_writes_survive_the_sudden_end_of_their_process(kind: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    acknowledged: set[str] = set()

    async def scenario(db: Database) -> None:
        for _ in range(4):
            with other_process("confess", kind, tmp_path) as other:
                for _ in range(chance.randrange(20, 400)):
                    acknowledged.add(_line(other.stdout))
                other.kill()
                assert other.stdout is not None
                rest = other.stdout.read()
                acknowledged.update(rest[: rest.rfind("\n") + 1].split())

            # This handle stays open all the time: what it remembers must not outlive the other's commits.
            assert acknowledged <= set(await ids(db))
            await db.write(adding(f"parent-{len(acknowledged)}"))

    using(kind, tmp_path, scenario)

    assert acknowledged <= set(using(kind, tmp_path, ids))


# --- The other process ---


async def _obey(db: Database) -> None:
    """Write what standard input names, one by one, and say so."""
    for line in sys.stdin:
        await db.write(adding(line.strip()))
        print(line.strip())


async def _hammer(db: Database) -> None:
    """Write as fast as it goes, 4 at a time, for the seconds on standard input; say how many and the longest wait."""
    await asyncio.gather(*(db.write(adding(f"{os.getpid()}-connected-{number}")) for number in range(4)))
    print("connected")
    end = time.monotonic() + float(sys.stdin.readline())
    longest = [0.0]
    written = 4

    async def client(number: int) -> None:
        nonlocal written
        turn = 0
        while (began := time.monotonic()) < end:
            await db.write(adding(f"{os.getpid()}-{number}-{turn}"))
            longest.append(time.monotonic() - began)
            turn += 1
            written += 1

    await asyncio.gather(*map(client, range(4)))
    print(written, max(longest))


async def _confess(db: Database) -> None:
    """Write for ever, 8 at a time, and say after each what is safe now."""

    async def client(number: int) -> None:
        turn = 0
        while True:
            name = f"{os.getpid()}-{number}-{turn}"
            await db.write(adding(name))
            print(name)
            turn += 1

    await asyncio.gather(*map(client, range(8)))


_ROLES = {"obey": _obey, "hammer": _hammer, "confess": _confess}


async def _main(role: str, kind: str, folder: Path) -> None:
    db = DATABASES[kind](folder)
    print("ready")
    await _ROLES[role](db)
    await db.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
