"""Inherited lifecycle policies: which one acts on a repository."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from homeport.kernel import limits
from homeport.kernel.errors import DefaultLifecyclePolicyNotFound, InvalidParameter, LimitExceeded
from homeport.lifecycle import defaults
from homeport.lifecycle import service as lifecycle
from homeport.lifecycle.model import DefaultPolicy, EffectivePolicy
from homeport.repositories.model import Repository
from tests.unit.repositories.registry import ACCOUNT, START, Registry


def policy(count: int) -> str:
    """A policy that differs from others in its count."""
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count}
    return json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})


def inherit(registry: Registry, prefix: str, text: str) -> DefaultPolicy:
    return registry.run(defaults.put_default(registry.db, START, ACCOUNT, prefix, text))


def acting(registry: Registry, repository: Repository) -> EffectivePolicy | None:
    return registry.run(defaults.effective(registry.db, repository))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("team/app/web", "team/app"),
        ("team/app", "team"),
        ("team/application", "team"),
        ("team", "ROOT"),
        ("teams/app", "ROOT"),
    ],
)
def test_the_longest_prefix_of_whole_components_is_inherited(
    registry: Registry, name: str, prefix: str
) -> None:
    texts = {each: policy(count) for count, each in enumerate(("ROOT", "team", "team/app"), 1)}
    for each, text in texts.items():
        inherit(registry, each, text)

    found = acting(registry, registry.repository(name))

    assert found == EffectivePolicy(texts[prefix], prefix)


def test_the_repositorys_own_policy_takes_the_place_of_the_inherited_one(registry: Registry) -> None:
    repository = registry.repository("team/app")
    inherit(registry, "team", policy(1))

    registry.run(lifecycle.put(registry.db, repository, policy(2)))
    assert acting(registry, repository) == EffectivePolicy(policy(2), None)

    registry.run(lifecycle.delete(registry.db, repository))
    assert acting(registry, repository) == EffectivePolicy(policy(1), "team")


def test_a_public_repository_inherits_nothing(registry: Registry) -> None:
    inherit(registry, "ROOT", policy(1))

    assert acting(registry, replace(registry.repository(), public=True)) is None


def test_a_slash_at_the_end_is_implied(registry: Registry) -> None:
    assert inherit(registry, "team/", policy(1)).prefix == "team"
    inherit(registry, "team", policy(2))

    found = registry.run(defaults.defaults(registry.db, ACCOUNT, "", 9))

    assert [(each.prefix, each.text) for each in found] == [("team", policy(2))]
    assert registry.run(defaults.delete_default(registry.db, ACCOUNT, "team/")).text == policy(2)
    with pytest.raises(DefaultLifecyclePolicyNotFound):
        registry.run(defaults.delete_default(registry.db, ACCOUNT, "team"))


def test_what_is_no_policy_is_not_inherited(registry: Registry) -> None:
    with pytest.raises(InvalidParameter):
        inherit(registry, "ROOT", "{}")
    with pytest.raises(InvalidParameter):
        registry.run(defaults.put_default(registry.db, START, ACCOUNT, "ROOT", policy(1), most_rules=0))


def test_a_full_registry_takes_no_further_prefix_but_a_new_policy_for_an_old_one(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEFAULT_LIFECYCLE_POLICIES", 1)
    inherit(registry, "team", policy(1))

    with pytest.raises(LimitExceeded):
        inherit(registry, "ROOT", policy(1))

    assert inherit(registry, "team", policy(2)).text == policy(2)


def test_the_rules_of_an_inherited_policy_are_kept_in_order_of_priority(registry: Registry) -> None:
    rules = [
        {
            "rulePriority": priority,
            "selection": {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
        for priority, status in ((9, "any"), (2, "untagged"))
    ]

    stored = inherit(registry, "ROOT", json.dumps({"rules": rules}))

    assert [rule["rulePriority"] for rule in json.loads(stored.text)["rules"]] == [2, 9]
