"""On PostgreSQL too the migrations build what `tables.py` states."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.schema import CreateIndex, CreateTable

from homeport.database.migrate_postgres import Bytewise, migrate_postgres
from homeport.database.tables import metadata
from tests.harness.postgres import Postgres

_OURS = "n.nspname = current_schema() AND c.relname NOT IN ('alembic_version', 'turn')"
_COLUMNS = f"""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, l.collname,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default'
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND {_OURS}
"""
_CONSTRAINTS = f"""
    SELECT c.relname, o.conname, pg_get_constraintdef(o.oid)
    FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS}
"""
_INDEXES = f"""
    SELECT c.relname, i.relname, pg_get_indexdef(x.indexrelid)
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
"""


async def described(connection: asyncpg.Connection[Any]) -> dict[str, set[tuple[Any, ...]]]:
    """Everything that PostgreSQL can tell about our tables."""
    told = {}
    for what, sql in (("columns", _COLUMNS), ("constraints", _CONSTRAINTS), ("indexes", _INDEXES)):
        told[what] = {tuple(row) for row in await connection.fetch(sql)}
    return told


def stated_sql() -> list[str]:
    """The statements that make the tables as the program states them."""
    copied, sql = MetaData(), []
    dialect = Bytewise()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        made = table.to_metadata(copied)
        sql.append(str(CreateTable(made).compile(dialect=dialect)))
        for index in sorted(made.indexes, key=lambda index: str(index.name)):
            options = index.dialect_options
            options["postgresql"]["where"] = options["sqlite"]["where"]  # stated once, for both
            sql.append(str(CreateIndex(index).compile(dialect=dialect)))
    return sql


def test_the_migrations_build_exactly_the_tables_that_the_program_states(postgres: Postgres) -> None:
    urls = postgres.new_database(), postgres.new_database()

    async def scenario() -> None:
        await migrate_postgres(urls[0])
        migrated, stated = await asyncpg.connect(urls[0]), await asyncpg.connect(urls[1])
        try:
            for sql in stated_sql():
                await stated.execute(sql)
            found, wanted = await described(migrated), await described(stated)
        finally:
            await migrated.close()
            await stated.close()

        assert {row[0] for row in found["columns"]} == set(metadata.tables)
        for what, rows in wanted.items():
            assert found[what] == rows, what
        assert {row[5] for row in found["columns"] if row[2] == "text"} == {"C"}

    asyncio.run(scenario())
