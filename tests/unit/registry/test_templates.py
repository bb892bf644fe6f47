"""The repository that nobody asked for by name: made once, from a template or with the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from homeport.kernel.errors import AccessDenied, LimitExceeded, RepositoryNotFound
from homeport.kernel.limits import Quotas
from homeport.kernel.names import RepositoryName
from homeport.registry import templates
from homeport.registry.templates_model import AppliedFor, Wish
from homeport.repositories.model import Repository, TagMutability
from tests.unit.repositories.registry import ACCOUNT, START, Registry

NAME = RepositoryName("team/app")
SELECTION = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5}
LIFECYCLE = json.dumps({"rules": [{"rulePriority": 1, "selection": SELECTION, "action": {"type": "expire"}}]})


async def anybody(_: Mapping[str, str]) -> None:
    """Permit everything."""


async def nobody(_: Mapping[str, str]) -> None:
    """Permit nothing."""
    raise AccessDenied("no")


def make(
    registry: Registry, kind: AppliedFor, permit: templates.Permit = anybody, most: int = 9
) -> Repository:
    return registry.run(
        templates.create_missing(registry.db, START, ACCOUNT, NAME, kind, permit, Quotas(repositories=most))
    )


def add(registry: Registry, wish: Wish, prefix: str = "team") -> None:
    registry.run(templates.create(registry.db, START, ACCOUNT, prefix, wish))


@pytest.mark.parametrize("kind", [AppliedFor.REPLICATION, AppliedFor.PULL_THROUGH_CACHE])
def test_replication_and_pull_through_fall_back_to_the_defaults(registry: Registry, kind: AppliedFor) -> None:
    made = make(registry, kind)

    assert made.settings.tag_mutability is TagMutability.MUTABLE
    assert made.policy is None


def test_a_push_falls_back_to_nothing(registry: Registry) -> None:
    with pytest.raises(RepositoryNotFound):
        make(registry, AppliedFor.CREATE_ON_PUSH)


def test_a_template_counts_for_its_own_kinds_only(registry: Registry) -> None:
    add(registry, Wish((AppliedFor.REPLICATION,), tag_mutability=TagMutability.IMMUTABLE))

    made = make(registry, AppliedFor.PULL_THROUGH_CACHE)

    assert made.settings.tag_mutability is TagMutability.MUTABLE


def test_a_shorter_prefix_counts_where_the_longer_is_for_something_else(registry: Registry) -> None:
    add(registry, Wish((AppliedFor.REPLICATION,)))
    add(registry, Wish((AppliedFor.CREATE_ON_PUSH,), tag_mutability=TagMutability.IMMUTABLE), prefix="ROOT")

    assert make(registry, AppliedFor.CREATE_ON_PUSH).settings.tag_mutability is TagMutability.IMMUTABLE


def test_who_comes_second_gets_the_same_repository(registry: Registry) -> None:
    add(registry, Wish((AppliedFor.CREATE_ON_PUSH,), repository_policy="{}", lifecycle_policy=LIFECYCLE))

    first, second = make(registry, AppliedFor.CREATE_ON_PUSH), make(registry, AppliedFor.CREATE_ON_PUSH)

    assert first == second
    assert first.policy == "{}"


def test_who_may_not_create_is_told_that_it_does_not_exist(registry: Registry) -> None:
    add(registry, Wish((AppliedFor.CREATE_ON_PUSH,)))

    with pytest.raises(RepositoryNotFound) as caught:
        make(registry, AppliedFor.CREATE_ON_PUSH, nobody)

    assert "template" not in caught.value.message


def test_a_full_registry_takes_no_more(registry: Registry) -> None:
    add(registry, Wish((AppliedFor.CREATE_ON_PUSH,)))

    with pytest.raises(LimitExceeded):
        make(registry, AppliedFor.CREATE_ON_PUSH, most=0)
