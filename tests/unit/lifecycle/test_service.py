"""Lifecycle policies of a repository, as they are stored."""

from __future__ import annotations

import pytest

from homeport.kernel.errors import RepositoryNotFound
from homeport.lifecycle import previews
from homeport.lifecycle import service as lifecycle
from homeport.lifecycle.model import StoredPolicy
from homeport.repositories import service as repositories
from tests.unit.repositories.registry import ACCOUNT, Registry

POLICY = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", '
    '"countNumber": 5}, "action": {"type": "expire"}}]}'
)


def test_a_new_policy_was_never_evaluated(registry: Registry) -> None:
    repository = registry.repository()

    registry.run(lifecycle.put(registry.db, repository, POLICY))

    assert registry.run(lifecycle.get(registry.db, repository)) == StoredPolicy(POLICY, None)


def test_a_repository_that_went_away_meanwhile_takes_no_policy(registry: Registry) -> None:
    repository = registry.repository()
    registry.run(
        repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False)
    )
    registry.repository()  # another one of that name

    with pytest.raises(RepositoryNotFound):
        registry.run(lifecycle.put(registry.db, repository, POLICY))
    with pytest.raises(RepositoryNotFound):
        registry.run(previews.start_preview(registry.db, registry.clock.now(), repository, POLICY))
