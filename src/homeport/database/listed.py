"""A condition on a list of any length, in one statement that is compiled once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self

from sqlalchemy import Boolean, Column, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement


class OneOf(ColumnElement[bool]):
    """Whether a column of text is one of the texts of the parameter called `name`, which `listed` made."""

    inherit_cache = False

    def __init__(self, column: Column[Any], name: str) -> None:
        self.column = column
        self.texts = bindparam(name, type_=Text)
        self.type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        """Stand as it is: SQLite gets `= 1` after what is true or false otherwise, and then uses no index for it."""
        return self


def listed(texts: Iterable[str]) -> str:
    """Return what the parameter of a `OneOf` must be for these texts."""
    return json.dumps(list(texts))


@compiles(OneOf, "sqlite")
def _sqlite(element: OneOf, compiler: Any, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in (element.column, element.texts))
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 (our own names)


@compiles(OneOf, "postgresql")
def _postgresql(element: OneOf, compiler: Any, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in (element.column, element.texts))
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({texts} AS json))))"
