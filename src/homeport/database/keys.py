"""How far the automatic keys of a table are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement


class HighestKey(ColumnElement[int]):
    """A number that no key of `column` exceeds which was given out so far, also to rows that are not committed yet.

    SQLite has one writer, so that is the highest key there is. PostgreSQL tells how far the sequence is: to ask for the
    highest key would make all transactions that add a row depend on one another.
    """

    inherit_cache = False

    def __init__(self, column: Column[Any]) -> None:
        self.column = column
        self.type = BigInteger()


@compiles(HighestKey, "sqlite")
def _sqlite(element: HighestKey, _compiler: Any, **_: Any) -> str:
    return f"(SELECT max({element.column.name}) FROM {element.column.table.name})"  # noqa: S608 (our own names)


@compiles(HighestKey, "postgresql")
def _postgresql(element: HighestKey, _compiler: Any, **_: Any) -> str:
    return f"(SELECT last_value FROM {element.column.table.name}_{element.column.name}_seq)"  # noqa: S608
