"""Settings of a registry in the database: what is remembered changes with the commit that changes it."""

from __future__ import annotations

import pytest

from homeport.access.authorize import RegistryPolicy
from homeport.kernel.errors import InvalidParameter
from homeport.registry import service
from homeport.registry.model import Setting
from tests.unit.repositories.registry import ACCOUNT, ALICE, BOB, Registry

WIDE = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}}'
NARROW = WIDE.replace("ecr:*", "ecr:ReplicateImage")


def in_force(registry: Registry) -> RegistryPolicy | None:
    return registry.run(service.policy_in_force(registry.db, ACCOUNT))


def put(registry: Registry, text: str) -> None:
    registry.run(service.put_policy(registry.db, registry.clock.now(), ACCOUNT, text))


def scope(registry: Registry, value: str) -> None:
    registry.run(
        service.put_setting(registry.db, registry.clock.now(), ACCOUNT, Setting.REGISTRY_POLICY_SCOPE, value)
    )


def test_the_policy_in_force_is_the_one_that_was_committed_last(registry: Registry) -> None:
    before = in_force(registry), in_force(registry)
    put(registry, WIDE)
    wide = in_force(registry), in_force(registry)
    scope(registry, "V1")
    narrow = in_force(registry)
    registry.run(service.delete_policy(registry.db, ACCOUNT))

    assert before == (None, None)
    assert wide == (RegistryPolicy(WIDE, narrow=False),) * 2
    assert narrow == RegistryPolicy(WIDE, narrow=True)
    assert in_force(registry) is None


def test_the_scope_decides_which_actions_the_policy_covers(registry: Registry) -> None:
    put(registry, NARROW)
    wide = in_force(registry)
    scope(registry, "V1")
    narrow = in_force(registry)

    assert wide is not None
    assert narrow is not None
    actions = ("ecr:CreateRepository", "ecr:PutImage", "ecr-public:PutImage", "iam:GetUser")
    assert [wide.covers(action) for action in actions] == [True, True, False, False]
    assert [narrow.covers(action) for action in actions] == [True, False, False, False]


def test_a_policy_beyond_the_scope_is_not_stored(registry: Registry) -> None:
    scope(registry, "V1")

    with pytest.raises(InvalidParameter):
        put(registry, WIDE)

    assert in_force(registry) is None


def test_pulls_count_until_their_principal_is_excluded(registry: Registry) -> None:
    def counts(principal: str) -> bool:
        return registry.run(service.counts_pulls(registry.db, ACCOUNT, principal))

    before = counts(ALICE), counts(BOB)
    registry.run(service.exclude(registry.db, registry.clock.now(), ACCOUNT, ALICE))
    excluded = counts(ALICE), counts(BOB)
    registry.run(service.include(registry.db, ACCOUNT, ALICE))

    assert before == (True, True)
    assert excluded == (False, True)
    assert counts(ALICE) is True
