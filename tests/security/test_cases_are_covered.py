"""Every numbered security case has a test named after it, or a written reason why it has none yet."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
_NAME = re.compile(r"test_([a-z])([0-9]+)_\w+")


def covered() -> dict[str, list[str]]:
    """The test functions in this folder that are named after a case, by its id."""
    found: dict[str, list[str]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            match = _NAME.fullmatch(node.name) if isinstance(node, ast.FunctionDef) else None
            if match is not None and isinstance(node, ast.FunctionDef):
                found.setdefault(f"{match[1].upper()}{match[2]}", []).append(node.name)
    return found


def test_every_case_has_a_test_or_a_reason() -> None:
    cases = tomllib.loads((HERE / "cases.toml").read_text())
    ids = {f"{letter}{number}" for letter, last in cases["sections"].items() for number in range(1, last + 1)}
    later: dict[str, str] = cases["later"]

    assert ids - set(covered()) - set(later) == set(), "neither a test nor a reason"
    assert set(later) - ids == set(), "a reason for a case that does not exist"
    assert set(later) & set(covered()) == set(), "a case that is tested needs no reason"
    assert all(len(reason) > 30 for reason in later.values())


def test_no_test_is_named_after_a_case_that_does_not_exist() -> None:
    sections: dict[str, int] = tomllib.loads((HERE / "cases.toml").read_text())["sections"]

    beyond = [
        names
        for case, names in covered().items()
        if case[0] in sections and not 1 <= int(case[1:]) <= sections[case[0]]
    ]

    assert beyond == []
