"""What is asked at every request finds its rows by an index, on both databases: more rows make it no slower."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator

import apsw
import asyncpg
import pytest

from homeport.collection import store as collection
from homeport.database.migrate import migrate_sqlite
from homeport.database.migrate_postgres import migrate_postgres
from homeport.images import store as images
from homeport.repositories import store as repositories
from homeport.uploads import store as uploads
from tests.harness.postgres import Postgres

PAGES = {
    "repositories of a registry": repositories._page,
    **{f"images {tags.value}, any status {any_}": each for (tags, any_), each in images._images.items()},
    **{
        f"tags and digests {tags.value}, any status {any_}": each
        for (tags, any_), each in images._pairs.items()
    },
    "tags of a repository": images._tags_page,
    **{f"referrers, any status {any_}": each for any_, each in images._referrers.items()},
}
LOOKUPS = {
    "image by digest": images._by_digest,
    "image by tag": images._by_tag,
    "manifest by digest": images._manifest_by_digest,
    "manifest by tag": images._manifest_by_tag,
    "layers that a manifest names": images._blobs_here,
    "images that an index names": images._by_digests,
    "indexes that name an image": images._parents,
    "tags of an image": images._tags_of,
    "repository by name": repositories._by_name,
    "layer of a repository": uploads._blob,
    "upload": uploads._find,
    "uploads of a principal": uploads._open,
    "links that are due": collection._due,
    "tombstones that are due": uploads._due,
}
ASKED = PAGES | LOOKUPS
# A list that the statement itself brings along is read whole, and so is the table of holds, which has a row or none.
FEW = {"indexes that name an image"}  # so few that they may be sorted
READ_WHOLE = {"json_each", "deletion_hold"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """A SQLite registry without rows."""
    path = tmp_path_factory.mktemp("plans") / "homeport.db"
    migrate_sqlite(path)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        yield connection


@pytest.mark.parametrize("what", ASKED)
def test_sqlite_finds_it_by_an_index_and_reads_no_table_whole(what: str, empty: apsw.Connection) -> None:
    sql, places, _ = ASKED[what].compiled("sqlite")

    steps = [str(row[3]) for row in empty.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * len(places))]

    read_whole = {step.split()[1] for step in steps if step.startswith("SCAN ")}
    assert read_whole <= READ_WHOLE, steps
    assert any(step.startswith("SEARCH ") for step in steps), steps
    # The tags of one image may be sorted; a page whose images are sorted first has read all of them.
    assert what in FEW or not [step for step in steps if "TEMP B-TREE" in step and "LAST TERM" not in step], (
        steps
    )


def test_postgresql_can_find_all_of_it_by_an_index(postgres: Postgres) -> None:
    url = postgres.new_database()
    asyncio.run(migrate_postgres(url))

    plans = asyncio.run(plans_of_postgres(url))

    for what, plan in plans.items():
        read_whole = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert read_whole <= READ_WHOLE, (what, plan)
        assert "Index" in plan, (what, plan)
        assert what in FEW or not re.search(r"(?<!Incremental )Sort  ", plan), (what, plan)


async def plans_of_postgres(url: str) -> dict[str, str]:
    """How PostgreSQL answers each statement, whatever its values, when it avoids what takes longer with more rows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan; SET jit = off")
        for costly in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
            await connection.execute(f"SET enable_{costly} = off")
        plans = {}
        for number, (what, statement) in enumerate(ASKED.items()):
            sql, places, _ = statement.compiled("postgresql")
            await connection.execute(f"PREPARE asked_{number} AS {sql}")
            values = ", ".join(["NULL"] * len(places))
            rows = await connection.fetch(f"EXPLAIN EXECUTE asked_{number}({values})")
            plans[what] = "\n".join(row[0] for row in rows)
        return plans
    finally:
        await connection.close()
