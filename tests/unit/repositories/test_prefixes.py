"""Which prefixes cover a repository."""

from __future__ import annotations

import pytest

from homeport.repositories.prefixes import candidates, spellings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ["ROOT"]),
        ("a/b", ["a", "ROOT"]),
        ("a/b/c", ["a/b", "a", "ROOT"]),
    ],
)
def test_a_repository_is_below_whole_components_of_its_name(name: str, expected: list[str]) -> None:
    assert candidates(name) == expected


@pytest.mark.parametrize("prefix", ["prod/team", "prod/team/"])
def test_a_slash_at_the_end_is_implied(prefix: str) -> None:
    assert spellings(prefix) == ("prod/team", "prod/team/")
