"""The shape of the code: who may import whom, and what no file may do. ARCHITECTURE.md, section on import order."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
TREES = {path.relative_to(SOURCE / "homeport").as_posix(): ast.parse(path.read_text()) for path in FILES}


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the full name of everything that a file imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str) -> set[str]:
    """Return the files that import `package` or anything below it."""
    return {
        file
        for file, tree in TREES.items()
        if any(name == package or name.startswith(package + ".") for name in imported(tree))
    }


def test_the_files_are_those_of_the_package() -> None:
    assert {"kernel/names.py", "wire/connection.py", "aws/server.py", "__main__.py"} <= set(TREES)


def test_every_room_imports_only_what_the_contracts_allow() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}

    result = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_only_the_database_room_knows_the_driver() -> None:
    assert importers("apsw") <= {file for file in TREES if file.startswith("database/")}
    assert importers("sqlite3") == set()


def test_only_the_room_of_bytes_knows_the_object_store_and_nobody_loads_it_unasked() -> None:
    assert importers("obstore") == {"blobs/s3_bucket.py"}
    assert importers("homeport.blobs.s3_bucket") == {
        f"blobs/s3{part}.py" for part in ("", "_progress", "_reader", "_writer")
    }
    command = "import sys, homeport.app, homeport.serving, homeport.cli.main; print('obstore' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert loaded.stdout.strip() == "False"


def test_only_the_wire_and_those_who_answer_know_the_web_server() -> None:
    allowed = {
        file
        for file in TREES
        if file.startswith(("wire/", "outbound/", "aws/", "oci/", "console/"))
        or file in ("dispatch.py", "serving.py")
    }

    assert importers("aiohttp") <= allowed


def test_only_the_verifier_of_web_identities_knows_the_tokens_of_others() -> None:
    assert importers("joserfc") == {"access/keysets.py", "access/webidentity.py"}


def test_one_file_runs_the_regular_expressions_of_others() -> None:
    assert importers("re2") == {"lifecycle/patterns.py"}


@pytest.mark.parametrize("module", ["pickle", "marshal", "shelve", "dill", "jsonpickle"])
def test_no_file_loads_objects_that_could_run_code(module: str) -> None:
    assert importers(module) == set()


def test_no_file_imports_from_the_tests() -> None:
    assert importers("tests") == importers("pytest") == importers("hypothesis") == set()


@pytest.mark.parametrize("file", sorted(TREES))
def test_no_file_is_longer_than_a_reader_can_hold(file: str) -> None:
    assert len((SOURCE / "homeport" / file).read_text().splitlines()) <= 600


def test_only_the_clock_asks_for_the_time() -> None:
    asking = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node)
        in (
            "datetime.now",
            "datetime.utcnow",
            "datetime.today",
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "date.today",
            "time.time",
            "time.time_ns",
        )
    }

    assert asking == {"kernel/clock.py"}


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Return the public functions and classes of a module that have no docstring."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name[0] == "_":
            continue
        if ast.get_docstring(node) is None:
            yield node.name


@pytest.mark.parametrize("file", sorted(TREES))
def test_every_module_and_everything_public_in_it_says_what_it_is_for(file: str) -> None:
    tree = TREES[file]
    if not tree.body or file.startswith("database/migrations/"):
        return

    assert ast.get_docstring(tree) is not None
    assert list(undocumented(tree)) == []
