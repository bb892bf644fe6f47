"""Statements are compiled once and run many times with their values in the right places."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.sql.expression import ClauseElement

from homeport.database.engine import Statement
from homeport.database.tables import account, upload


def test_a_statement_is_compiled_once_however_often_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_ = ClauseElement.compile

    def counting(self: ClauseElement, *args: object, **options: object) -> object:
        compiled.append(self)
        return compile_(self, *args, **options)  # type: ignore[arg-type]

    statement = Statement(select(account.c.id).where(account.c.name == bindparam("name")))
    monkeypatch.setattr(ClauseElement, "compile", counting)

    texts = {statement.bind("sqlite", {"name": str(number)})[0] for number in range(100)}

    assert len(texts) == 1
    assert len(compiled) == 1


def test_values_go_to_their_places_whatever_the_order_of_arguments() -> None:
    statement = Statement(
        insert(account).values(created_at=bindparam("now"), id=bindparam("id"), name=bindparam("name"))
    )

    sql, places = statement.bind("sqlite", {"name": "n", "now": 3, "id": "i"})

    assert sql.startswith("INSERT INTO account (id, name, created_at)")
    assert list(places) == ["i", "n", 3]


def test_values_that_the_statement_fixes_need_not_be_given() -> None:
    statement = Statement(
        update(upload).where(upload.c.id == bindparam("which")).values(small_parts=2, offset=bindparam("to"))
    )

    sql, places = statement.bind("sqlite", {"which": "u", "to": 7})

    assert sorted(map(str, places)) == ["2", "7", "u"]
    assert sql.count("?") == len(places)


def test_a_forgotten_value_is_an_error_and_not_a_null() -> None:
    statement = Statement(select(account.c.id).where(account.c.name == bindparam("name")))

    with pytest.raises(KeyError):
        statement.bind("sqlite", {})
