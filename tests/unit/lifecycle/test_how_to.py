"""The policies on the how-to page are policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homeport.kernel.errors import InvalidParameter
from homeport.lifecycle.policies import read_policy

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "lifecycle.md").read_text()
PLAIN, EXTENDED = (
    re.findall(r"```json\n(.*?)```", part, re.DOTALL)
    for part in PAGE.split("## What policies can say beyond ECR")
)


def test_the_page_has_policies_of_both_kinds() -> None:
    assert PLAIN
    assert len(EXTENDED) == 5


@pytest.mark.parametrize("text", PLAIN)
def test_what_ecr_knows_is_taken_as_it_is(text: str) -> None:
    assert read_policy(text)


@pytest.mark.parametrize("text", EXTENDED)
def test_what_ecr_does_not_know_is_taken_where_it_is_switched_on(text: str) -> None:
    assert read_policy(text, extended=True)
    with pytest.raises(InvalidParameter):
        read_policy(text)
