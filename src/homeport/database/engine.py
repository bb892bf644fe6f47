"""The executor: compiled SQLAlchemy Core statements on a raw driver, and nothing else of SQLAlchemy at run time.

`Database` is what the slices see. A unit of work is an async function that takes a `Transaction`; on SQLite it
runs to its end on the writer thread without ever suspending; on PostgreSQL it is awaited, and run again from its
beginning when it met another one, so it must change nothing but rows. The same stores and services serve both. Must
not know any table. Written after architecture.md, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import ClauseElement
from sqlalchemy.engine import Dialect

Row = tuple[Any, ...]
Result = TypeVar("Result")


@cache
def _dialect(name: str) -> Dialect:
    """The compiler of one kind of database; imported when the first statement needs it."""
    if name == "sqlite":
        from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect

        class WithHints(SQLiteCompiler):
            """Writes what a statement says about the index to use, which SQLAlchemy leaves out for SQLite."""

            def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
                return text

        class Hinted(SQLiteDialect):
            statement_compiler = WithHints
            supports_statement_cache = False

        return Hinted(paramstyle="qmark")
    from sqlalchemy.dialects.postgresql import asyncpg

    return asyncpg.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """One SQLAlchemy Core construct, compiled once per dialect on first use."""

    __slots__ = ("_compiled", "_construct", "changes")

    def __init__(self, construct: ClauseElement) -> None:
        self._construct = construct
        self.changes = bool(getattr(construct, "is_dml", False))
        """Whether it inserts, updates or deletes, also where it answers rows."""
        self._compiled: dict[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {}

    def compiled(self, dialect: str) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """Return (SQL text, parameter names in the order of their places, values fixed in the construct)."""
        known = self._compiled.get(dialect)
        if known is None:
            conflict = getattr(self._construct, "_post_values_clause", None)
            if conflict is not None and not hasattr(conflict, "constraint_target"):
                # Stores write ON CONFLICT with SQLite's construct, which lacks what PostgreSQL's compiler asks for:
                # the name of a constraint, which no statement of ours gives.
                conflict.constraint_target = None
            compiled = self._construct.compile(
                dialect=_dialect(dialect), compile_kwargs={"render_postcompile": True}
            )
            places = compiled.positiontup  # type: ignore[attr-defined]
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            known = self._compiled[dialect] = (str(compiled), tuple(places or ()), fixed)
        return known

    def bind(self, dialect: str, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """Return the SQL text and the positional values for one run."""
        sql, places, fixed = self.compiled(dialect)
        if fixed:
            return sql, [values[name] if name in values else fixed.get(name) for name in places]
        return sql, [values[name] for name in places]


class Reader(Protocol):
    """Runs queries."""

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Return every row."""
        ...

    async def first(self, statement: Statement, /, **values: Any) -> Row | None:
        """Return the first row, or None."""
        ...


class Transaction(Reader, Protocol):
    """A unit of work: all of it is durable when `Database.write` returns, or none of it ever was."""

    async def run(self, statement: Statement, /, **values: Any) -> int:
        """Run a change and return how many rows it touched."""
        ...

    async def run_each(self, statement: Statement, several: Sequence[Mapping[str, Any]], /) -> None:
        """Run a change once for each of `several`, with one round trip for all of them where there is one."""
        ...


Work = Callable[[Transaction], Awaitable[Result]]


class Database(Reader, Protocol):
    """Metadata of one region."""

    async def write(self, work: Work[Result]) -> Result:
        """Run `work` in one transaction; return when it is durable. An exception undoes all of it."""
        ...

    def derived(self) -> dict[Any, Any]:
        """Return a place for values that follow from rows alone.

        Whoever finds a value there may use it: it is emptied by every commit, of any process. Ask for it before the
        rows are read, and keep the value in the very dictionary that was returned.
        """
        ...

    async def catch_up(self) -> None:
        """A request begins: for a moment its questions may be answered from what is still true now.

        Whoever never says so, such as a command or a job, asks the rows each time where that matters. Never raises.
        """
        ...

    async def close(self) -> None:
        """Finish queued writes and let go of everything."""
        ...
