"""Whatever is done with users and groups, what hangs on a name goes where its owner goes, and ends with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.access.principals import Principals
from homeport.access.sealing import Sealer
from homeport.database.tables import (
    access_key,
    iam_attachment,
    iam_group,
    iam_inline_policy,
    iam_membership,
    iam_tag,
    iam_user,
)
from homeport.iam import accounts, attachments, groups, inline, keys, users
from homeport.iam.entities import QUOTAS, Entity, Kind
from homeport.kernel.errors import EntityAlreadyExists, HomeportError, LimitExceeded
from tests.unit.repositories.registry import ACCOUNT, Registry

SEALER = Sealer(hashlib.sha256(b"a key for tests").digest())
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


def _user(registry: Registry, name: str) -> Any:
    return users.create(registry.db, ACCOUNT, name, "/", None, {"team": name}, registry.clock.now())


def _group(registry: Registry, name: str) -> Any:
    return groups.create(registry.db, ACCOUNT, name, "/", registry.clock.now())


def _policy(kind: Kind) -> Callable[[Registry, str, str], Any]:
    return lambda registry, name, _: inline.put(registry.db, Entity(kind, ACCOUNT, name, "/"), "p", ALLOW)


DEEDS: dict[str, Callable[[Registry, str, str], Any]] = {
    "create user": lambda registry, name, _: _user(registry, name),
    "rename user": lambda registry, name, other: users.update(registry.db, ACCOUNT, name, other, None),
    "delete user": lambda registry, name, _: users.delete(registry.db, ACCOUNT, name),
    "wipe user": lambda registry, name, _: users.delete_with_everything(registry.db, ACCOUNT, name),
    "tag": lambda registry, name, other: users.tag(registry.db, ACCOUNT, name, {other: "x"}),
    "key": lambda registry, name, _: keys.create(registry.db, SEALER, ACCOUNT, name, registry.clock.now()),
    "user policy": _policy(Kind.USER),
    "attach": lambda registry, name, _: attachments.attach(registry.db, Kind.USER, ACCOUNT, name, READ_ONLY),
    "create group": lambda registry, name, _: _group(registry, name),
    "rename group": lambda registry, name, other: groups.update(registry.db, ACCOUNT, name, other, None),
    "delete group": lambda registry, name, _: groups.delete(registry.db, ACCOUNT, name),
    "group policy": _policy(Kind.GROUP),
    "join": lambda registry, name, other: groups.add_user(registry.db, ACCOUNT, other, name),
    "leave": lambda registry, name, other: groups.remove_user(registry.db, ACCOUNT, other, name),
}
NAMES = st.sampled_from(["a", "A", "b", "c"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), NAMES, NAMES), max_size=25))
def test_nothing_hangs_on_a_name_that_nobody_has(
    registry: Registry, deeds: list[tuple[str, str, str]]
) -> None:
    for deed, name, other in deeds:
        try:
            registry.run(DEEDS[deed](registry, name, other))
        except HomeportError:
            continue

    owners = {("user", row["name"]) for row in _rows(registry, iam_user)}
    owners |= {("group", row["name"]) for row in _rows(registry, iam_group)}
    lowered = [(kind, name.lower()) for kind, name in owners]
    held = {("user", row["user_name"]) for row in _rows(registry, access_key)}
    held |= {(row["kind"], row["owner"]) for table in _OWNED for row in _rows(registry, table)}
    for row in _rows(registry, iam_membership):
        held |= {("user", row["user_name"]), ("group", row["group_name"])}
    assert held <= owners
    assert len(lowered) == len(set(lowered))


_OWNED = (iam_inline_policy, iam_attachment, iam_tag)


def _rows(registry: Registry, table: Any) -> list[dict[str, Any]]:
    names = [column.name for column in table.c]
    return [dict(zip(names, row, strict=True)) for row in registry.rows(table)]


def test_the_account_has_so_many_users_and_no_more(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUOTAS, "user", 2)
    registry.run(_user(registry, "a"))
    registry.run(_user(registry, "b"))

    with pytest.raises(LimitExceeded, match="Cannot exceed quota for UsersPerAccount: 2"):
        registry.run(_user(registry, "c"))


def test_a_new_account_has_an_administrator_whose_key_opens_it(registry: Registry) -> None:
    other = type(ACCOUNT)("999988887777")

    made = registry.run(accounts.create(registry.db, SEALER, other, "Other", registry.clock.now()))

    principals = Principals(registry.db, SEALER)
    key = registry.run(principals.key(made.access_key_id))
    principal = registry.run(principals.principal(made.access_key_id))
    assert key is not None
    assert key.secret.reveal() == made.secret_access_key
    assert principal is not None
    assert principal.arn == made.user_arn == f"arn:aws:iam::{other}:user/administrator"
    assert len(principal.policies) == 1
    assert (other, "Other") in registry.run(accounts.listing(registry.db))
    with pytest.raises(EntityAlreadyExists):
        registry.run(accounts.create(registry.db, SEALER, other, "Other", registry.clock.now()))
