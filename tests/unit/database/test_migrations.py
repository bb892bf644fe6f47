"""The migrations build what `tables.py` states, and a database is never run by a program too old for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

import homeport.database
from homeport.database import migrate
from homeport.database.migrate import HEAD, migrate_sqlite
from homeport.database.tables import metadata
from homeport.kernel.errors import Unavailable


def reflected(path: Path) -> dict[str, Any]:
    """Everything that SQLAlchemy can tell about the tables of a database, in a comparable form."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    look = inspect(engine)
    found: dict[str, dict[str, Any]] = {
        name: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in look.get_columns(name)
            },
            "primary key": look.get_pk_constraint(name)["constrained_columns"],
            "foreign keys": sorted(
                (
                    key["constrained_columns"],
                    key["referred_table"],
                    key["referred_columns"],
                    sorted(key["options"].items()),
                )
                for key in look.get_foreign_keys(name)
            ),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"]))
                for index in look.get_indexes(name)
            ),
            "unique": sorted(
                (constraint["name"] or "", constraint["column_names"])
                for constraint in look.get_unique_constraints(name)
            ),
        }
        for name in look.get_table_names()
        if name != "alembic_version"
    }
    with engine.connect() as connection:
        created = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        for name, sql in created:
            if name in found:
                found[name]["never reuses keys"] = "AUTOINCREMENT" in sql.upper()
    return found


def test_the_migrations_build_exactly_the_tables_that_the_program_states(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'stated.db'}", poolclass=NullPool)
    metadata.create_all(engine)

    migrated, stated = reflected(tmp_path / "migrated.db"), reflected(tmp_path / "stated.db")

    assert set(migrated) == set(metadata.tables)
    assert migrated == stated


def test_the_program_needs_the_newest_revision_and_there_is_one_line_of_them() -> None:
    script = ScriptDirectory(str(Path(homeport.database.__file__).parent / "migrations"))

    assert script.get_heads() == [HEAD]
    assert len(script.get_bases()) == 1


def test_a_new_database_is_made_once_and_found_up_to_date_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"

    assert migrate_sqlite(path) is None
    assert migrate_sqlite(path) == HEAD


def test_a_database_of_the_first_version_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "homeport.db"
    monkeypatch.setattr(migrate, "HEAD", "0001")
    migrate_sqlite(path)
    monkeypatch.undo()
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO account (id, name, created_at) VALUES ('123456789012', 'main', 1)")
    connection.close()

    assert migrate_sqlite(path) == "0001"

    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT id, name FROM account").fetchall() == [("123456789012", "main")]
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    connection.close()


def test_programs_that_start_together_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"

    with ThreadPoolExecutor(8) as programs:
        found = list(programs.map(migrate_sqlite, [path] * 8))

    assert sorted(map(str, found)) == sorted([HEAD] * 7 + ["None"])


def test_a_database_of_a_newer_program_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"
    migrate_sqlite(path)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(Unavailable, match=r"newer Homeport \(schema 9999\).*run that version"):
        migrate_sqlite(path)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "homeport.db"
    monkeypatch.setattr(migrate, "upgrade_sql", lambda *_: "CREATE TABLE half (id TEXT); SELECT no_such;")

    with pytest.raises(apsw.SQLError):
        migrate_sqlite(path)
    monkeypatch.undo()

    assert migrate_sqlite(path) is None
    assert "half" not in reflected(path)
