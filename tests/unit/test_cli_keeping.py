"""`fsck`, `backup` and `restore` as an operator sees them: exit statuses, words, JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homeport.blobs.files import FileBlobStore
from homeport.blobs.port import new_storage_key
from homeport.cli.main import main

MONTH = 30 * 86_400


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a new registry."""
    made = CliRunner().invoke(main, ["init", "--data", str(tmp_path / "data")])
    assert made.exit_code == 0, made.output
    return tmp_path / "data"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def plant_old_file(data: Path) -> Path:
    """Finished bytes that nobody knows, a month old."""
    store, key = FileBlobStore(data / "blobs"), new_storage_key()
    writer = store.writer(key, 0)
    writer.write([b"nobody's"])
    writer.finish(8)
    store.close()
    path = data / "blobs" / key
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - MONTH))
    return path


def test_a_new_registry_is_clean(data: Path) -> None:
    done = run("fsck", "--data", data)

    assert done.exit_code == 0
    assert done.output.endswith("Nothing wrong was found.\n")
    assert json.loads(run("fsck", "--json", "--data", data).stdout)["clean"] is True


def test_orphans_are_found_set_aside_and_purged_only_on_command(data: Path) -> None:
    path = plant_old_file(data)

    found = run("fsck", "--data", data)
    assert found.exit_code == 3
    assert f"orphan: data/{path.parent.name}/{path.name}: no row knows of these 8 bytes\n" in found.output
    assert run("fsck", "--orphan-days", "31", "--data", data).exit_code == 0
    assert run("fsck", "--repair", "--data", data).exit_code == 3
    assert run("fsck", "--data", data).exit_code == 0
    assert json.loads(run("fsck", "--purge-quarantine", "1", "--json", "--data", data).stdout)["purged"] == 0
    assert path.exists()
    purged = json.loads(run("fsck", "--purge-quarantine", "0", "--json", "--data", data).stdout)
    assert purged == {"purged": 1, "purgedBytes": 8}
    assert not path.exists()


def test_a_broken_database_is_found(data: Path) -> None:
    import apsw

    connection = apsw.Connection(str(data / "homeport.db"))
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(
        "INSERT INTO repository_blob (repository_id, digest, linked_at) VALUES (7, 'sha256:00', 1)"
    )
    connection.close()

    found = run("fsck", "--json", "--data", data)

    assert found.exit_code == 3
    problems = [each["problem"] for each in json.loads(found.stdout)["findings"]]
    assert "a row of repository_blob refers to a row of blob that is not there" in problems


def test_a_backup_is_told_with_a_warning_and_restored(data: Path, tmp_path: Path) -> None:
    done = run("backup", tmp_path / "backup", "--data", data)
    assert done.exit_code == 0
    assert "master.key" in done.output
    assert json.loads(run("backup", tmp_path / "backup", "--json", "--data", data).stdout)["blobs"] == 0

    assert run("restore", tmp_path / "backup", "--check", "--json").exit_code == 0
    done = run("restore", tmp_path / "backup", "--json", "--data", tmp_path / "new")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["inspection"]["clean"] is True
    assert (tmp_path / "new" / "homeport.toml").read_text() == (data / "homeport.toml").read_text()
    again = run("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert again.exit_code == 1
    assert "is not empty" in again.output


def test_a_restore_inspects_what_it_restored_whatever_the_environment_names(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("backup", tmp_path / "backup", "--data", data).exit_code == 0
    monkeypatch.setenv("HOMEPORT_DATABASE", "postgresql://nobody@127.0.0.1:1/none")

    done = run("restore", tmp_path / "backup", "--database", "folder", "--json", "--data", tmp_path / "new")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["inspection"]["clean"] is True


def test_what_cannot_be_done_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    assert "holds no registry" in run("backup", tmp_path / "b", "--data", tmp_path / "none").output
    assert "holds no registry" in run("fsck", "--data", tmp_path / "none").output
    assert "no complete backup" in run("restore", tmp_path / "none", "--data", tmp_path / "new").output
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        done = run("backup", target, "--data", data)
        assert done.exit_code in (1, 2), done.output
        assert "Traceback" not in done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
