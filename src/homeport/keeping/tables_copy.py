"""Copies all rows of one database to another and proves that they came: for a backup, a restore and a move."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from homeport.database.copying import TABLES, Measure, NewTables, Tables, key_column, measured
from homeport.kernel.errors import Unavailable

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""

Measures = Mapping[str, Measure]
"""What the rows of each table amount to, by its name."""


async def copy_tables(
    source: Tables, target: NewTables, progress: Progress, *, without: Collection[str] = ()
) -> Measures:
    """Copy every row but those of the tables `without` to a target without rows, and compare what is there then.

    Keys go on where those of the source are, so that none is ever given out twice. Nothing is committed.
    Errors: InvalidInput for rows that the target cannot keep, Unavailable, StorageFull.
    """
    chosen = [table for table in TABLES if table.name not in without]
    measures = {}
    for table in chosen:
        of, done = await source.count(table), Measure()
        async for rows in source.rows(table):
            await target.add(table, rows)
            done = done.with_rows(rows)
            progress(f"rows of {table.name}", done.rows, of)
        measures[table.name] = done
    for table in TABLES:
        if key_column(table) is not None:
            await target.continue_keys(table, await source.last_key(table))
    found = await measure(target, progress, without=without)
    for name, wanted in measures.items():
        if found[name] != wanted:
            raise Unavailable(
                f"The copy of {name} has {found[name].rows} rows where {wanted.rows} were read, or others. Nothing was "
                "changed. Run the command again."
            )
    return measures


async def measure(tables: Tables, progress: Progress, *, without: Collection[str] = ()) -> Measures:
    """Read all rows but those of the tables `without`, and return what they amount to."""
    found = {}
    for number, table in enumerate(TABLES):
        if table.name not in without:
            found[table.name] = await measured(tables, table)
        progress("tables compared", number + 1, len(TABLES))
    return found


async def is_empty(tables: Tables) -> bool:
    """Whether no table has a row."""
    for table in TABLES:
        if await tables.count(table):
            return False
    return True


def rows_in(measures: Measures) -> int:
    """Return how many rows that are, together."""
    return sum(each.rows for each in measures.values())
