"""Which creation template is for which repository."""

from __future__ import annotations

import pytest

from homeport.kernel.errors import InvalidParameter
from homeport.registry.templates_model import AppliedFor, Wish
from homeport.registry.templates_rules import candidates, check_role, lacks_role, spellings


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


@pytest.mark.parametrize("arn", [None, "arn:aws:iam::111122223333:role/path/to/name"])
def test_a_role_of_the_account_is_taken(arn: str | None) -> None:
    check_role(arn, "111122223333")


@pytest.mark.parametrize(
    "arn", ["", "x", "arn:aws:iam::999999999999:role/x", "arn:aws:iam::111122223333:user/x"]
)
def test_anything_else_is_no_role_to_create_with(arn: str) -> None:
    with pytest.raises(InvalidParameter):
        check_role(arn, "111122223333")


def test_tags_need_a_role() -> None:
    kinds = (AppliedFor.CREATE_ON_PUSH,)

    assert lacks_role(Wish(kinds, resource_tags={"a": "b"}))
    assert not lacks_role(Wish(kinds, resource_tags={"a": "b"}, custom_role_arn="arn:aws:iam::1:role/x"))
    assert not lacks_role(Wish(kinds))
