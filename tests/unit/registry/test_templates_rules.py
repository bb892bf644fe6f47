"""What may stand in a creation template."""

from __future__ import annotations

import pytest

from homeport.kernel.errors import InvalidParameter
from homeport.registry.templates_model import AppliedFor, Wish
from homeport.registry.templates_rules import check_role, lacks_role


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
