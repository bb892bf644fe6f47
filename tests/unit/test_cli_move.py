"""`homeport move` between SQLite and PostgreSQL as an operator sees it: what it does, refuses and says."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from homeport.cli.main import main
from homeport.cli.progress import ProgressLine
from homeport.cli.settings_file import changed
from homeport.database import copying_postgres
from homeport.database.copying import TABLES, SqliteTables, Tables
from homeport.database.copying_postgres import PostgresTables
from homeport.database.postgres import PostgresDatabase
from homeport.iam import accounts
from homeport.keeping.tables_copy import Measures, measure
from homeport.keeping.use import using
from homeport.kernel.errors import InvalidInput
from tests.harness.postgres import Postgres
from tests.harness.server import ROOT, clean_environment

move_room = sys.modules["homeport.cli.move"]  # its name is that of the command too


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: str | Path) -> Any:
    """Run a command that must succeed, and return what it printed as JSON."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*words: str | Path) -> str:
    """Run a command that must end with one line, and return that."""
    result = run(*words)
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit)
    return result.output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a new registry in SQLite, with a setting of its operator's."""
    done("init", "--data", tmp_path / "data")
    with (tmp_path / "data" / "homeport.toml").open("a") as file:
        file.write("workers = 2 # of this node\n[quotas]\nimages_per_repository = 7\n")
    return tmp_path / "data"


@pytest.fixture
def url(postgres: Postgres) -> str:
    """An empty PostgreSQL database."""
    return postgres.new_database()


def rows_of(place: Path | str) -> Measures:
    """What all rows amount to, in a data folder or at the address of a PostgreSQL database."""

    async def look() -> Measures:
        tables: Tables = (
            SqliteTables(place / "homeport.db")
            if isinstance(place, Path)
            else await PostgresTables.open(place)
        )
        try:
            return await measure(tables, lambda *_: None)
        finally:
            await tables.close()

    return asyncio.run(look())


def stated(data: Path) -> dict[str, Any]:
    return tomllib.loads((data / "homeport.toml").read_text())


def test_a_registry_moves_to_postgresql_and_back_with_all_its_rows(data: Path, url: str) -> None:
    before, settings = rows_of(data), stated(data)

    moved = done("move", "--database", url, "--data", data)

    assert moved["switched"] is True
    assert moved["rows"] == sum(each.rows for each in before.values()) > 3
    assert moved["tables"]["iam_user"] == 1
    assert rows_of(url) == before == rows_of(data), "the old place was changed"
    assert stated(data) == {**settings, "database": url}
    assert tomllib.loads((data / "homeport.toml.before-move").read_text()) == settings
    assert stat.S_IMODE((data / "homeport.toml").stat().st_mode) == 0o600
    assert not (data / "move.json").exists()

    done("user", "create", "since", "--data", data)
    assert "homeport.db is there already" in refused("move", "--database", "folder", "--data", data)
    (data / "homeport.db").unlink()
    moved = done("move", "--database", "folder", "--data", data)

    assert moved["tables"]["iam_user"] == 2
    assert stated(data) == settings
    assert rows_of(data) == rows_of(url)
    assert done("fsck", "--data", data)["clean"] is True


def test_what_is_next_is_said_and_no_password_with_it(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEPORT_STORAGE", "s3://elsewhere")
    with_password = url.replace("homeport@", "homeport:of-nobody@")

    result = run("move", "--database", with_password, "--data", data)

    assert result.exit_code == 0, result.output
    assert "rows of" in result.output
    assert f"homeport serve --data {data}" in result.output
    assert str(data / "homeport.db") in result.output
    assert "of-nobody" not in result.output
    assert "HOMEPORT_STORAGE" not in result.output  # it did not move


class OnATerminal(ProgressLine):
    """What a person sees."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = True


def test_how_far_it_is_is_told_on_a_terminal_and_only_there(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\r" not in run("move", "--storage", "folder", "--data", data).output
    monkeypatch.setattr(move_room, "ProgressLine", OnATerminal)

    result = run("move", "--database", url, "--data", data)

    lines = [line.strip() for line in result.stderr.split("\r")]
    assert "rows of access_key: 1 of 1" in lines
    assert f"tables compared: {len(TABLES)} of {len(TABLES)}" in lines
    assert "\r" not in result.stdout


def test_a_database_with_something_else_is_refused_and_left_alone(
    data: Path, url: str, tmp_path: Path
) -> None:
    done("init", "--database", url, "--data", tmp_path / "other")
    before = rows_of(url)

    assert "not empty" in refused("move", "--database", url, "--data", data)

    assert rows_of(url) == before
    assert "database" not in stated(data)
    assert "homeport.toml.before-move" not in {path.name for path in data.iterdir()}


def test_nothing_moves_while_a_server_or_a_node_uses_the_registry(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying_postgres, "_LEAVING_SECONDS", 1.0)
    with using(data):
        assert "Stop it first" in refused("move", "--database", url, "--data", data)
        done("account", "create", "--data", data)
    with using(data, alone=True):
        assert "is being moved" in refused("account", "create", "--data", data)
    done("move", "--database", url, "--data", data)
    (data / "homeport.db").unlink()

    async def with_a_node() -> str:
        db = PostgresDatabase(url)
        try:
            assert await accounts.listing(db)
            return await asyncio.to_thread(refused, "move", "--database", "folder", "--data", data)
        finally:
            await db.close()

    assert "Stop all of them" in asyncio.run(with_a_node())
    done("move", "--database", "folder", "--data", data)


def test_a_backup_is_the_same_file_wherever_the_rows_were_and_restores_to_either_kind_of_place(
    postgres: Postgres, url: str, tmp_path: Path
) -> None:
    done("init", "--database", url, "--data", tmp_path / "data")
    rows = rows_of(url)

    done("backup", tmp_path / "first", "--data", tmp_path / "data")
    done("restore", tmp_path / "first", "--database", "folder", "--data", tmp_path / "here")
    assert rows_of(tmp_path / "here") == rows
    assert "database" not in stated(tmp_path / "here")

    done("backup", tmp_path / "second", "--data", tmp_path / "here")
    assert "not empty" in refused(
        "restore", tmp_path / "second", "--database", url, "--data", tmp_path / "no"
    )
    assert not (tmp_path / "no" / "homeport.toml").exists()
    other = postgres.new_database()
    done("restore", tmp_path / "second", "--database", other, "--data", tmp_path / "there")
    assert rows_of(other) == rows
    assert stated(tmp_path / "there")["database"] == other
    assert not (tmp_path / "there" / "homeport.db").exists()
    done("user", "create", "since", "--data", tmp_path / "there")


def test_what_cannot_be_done_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    assert "Say where to" in refused("move", "--data", data)
    assert "holds no registry" in refused("move", "--database", "folder", "--data", tmp_path / "none")
    assert "there already" in refused("move", "--database", "folder", "--data", data)
    assert "there already" in refused("move", "--storage", "folder", "--data", data)
    assert "Settings are not valid" in refused("move", "--database", "mysql://db", "--data", data)
    assert "Settings are not valid" in refused("move", "--storage", "bucket", "--data", data)
    assert "goes with" in refused(
        "move", "--storage", "folder", "--archive-storage", "s3://old", "--data", data
    )
    address = "postgresql://homeport@127.0.0.1:1/nobody"
    assert "stay where they are" in refused("move", "--database", address, "--prepare", "--data", data)
    assert "cannot be reached" in refused("move", "--database", address, "--data", data)


KILLED = {
    "among rows": "NewPostgres.add = dying(NewPostgres.add, 3)",
    "after the commit": "command._switch = dying(command._switch, 1)",
}
_DYING = """
import os, signal, sys
from homeport.cli.main import main
from homeport.database.copying_postgres import NewPostgres
from homeport.keeping.move_tables import MoveRecord
command = sys.modules["homeport.cli.move"]

def dying(function, call):
    calls = 0
    def replaced(*words, **more):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **more)
    return replaced

"""


@pytest.mark.slow
@pytest.mark.parametrize("where", list(KILLED))
def test_a_move_that_is_killed_is_complete_when_it_is_run_again(data: Path, url: str, where: str) -> None:
    words = ["move", "--database", url, "--data", str(data), "--json"]
    script = f"{_DYING}{KILLED[where]}\nmain({words!r})"
    killed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "database" not in stated(data)

    done("user", "create", "since", "--data", data)  # it went on where it was
    assert done(*words[:-1])["switched"] is True

    assert rows_of(url) == rows_of(data)
    assert done("fsck", "--data", data)["clean"] is True


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('a = "1"\n', 'a = "1"\ndatabase = "new"\n'),
        ('a = "1"', 'a = "1"\ndatabase = "new"\n'),
        ('database = "old" # why\na = "1"\n', 'a = "1"\ndatabase = "new"\n'),
        ("a = 1\n\n[quotas]\ndatabase = 3\n", 'a = 1\n\ndatabase = "new"\n[quotas]\ndatabase = 3\n'),
        ('  database="old"\n[[x]]\ny = 1', 'database = "new"\n[[x]]\ny = 1'),
        ('storage = "s3://b"\n', 'database = "new"\n'),
    ],
)
def test_one_setting_changes_and_the_rest_of_the_file_stays(text: str, made: str) -> None:
    assert changed(text, {"database": "new", "storage": None}) == made


def test_a_settings_file_that_is_not_understood_is_not_changed() -> None:
    with pytest.raises(InvalidInput):
        changed('database = """\nold\n"""\n', {"database": "new"})
