"""Lifecycle policies and previews of a repository, as they are stored."""

from __future__ import annotations

from datetime import timedelta

import pytest

from homeport.database.engine import Transaction
from homeport.kernel.errors import LifecyclePolicyPreviewInProgress, RepositoryNotFound
from homeport.lifecycle import service as lifecycle
from homeport.lifecycle import store
from homeport.lifecycle.model import Preview, PreviewStatus, StoredPolicy
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from tests.unit.repositories.registry import ACCOUNT, Registry

POLICY = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", '
    '"countNumber": 5}, "action": {"type": "expire"}}]}'
)


def preview(registry: Registry, repository: Repository) -> Preview:
    return registry.run(lifecycle.preview(registry.db, registry.clock.now(), repository))


def test_a_new_policy_was_never_evaluated(registry: Registry) -> None:
    repository = registry.repository()

    registry.run(lifecycle.put(registry.db, repository, POLICY))

    assert registry.run(lifecycle.get(registry.db, repository)) == StoredPolicy(POLICY, None)


def test_a_preview_expires_after_a_day(registry: Registry) -> None:
    repository = registry.repository()
    started = registry.clock.now()
    registry.run(lifecycle.start_preview(registry.db, started, repository, POLICY))

    registry.clock.advance(timedelta(hours=24).total_seconds() - 1)
    assert preview(registry, repository) == Preview(POLICY, PreviewStatus.FAILED, started)
    registry.clock.advance(1)
    assert preview(registry, repository) == Preview(POLICY, PreviewStatus.EXPIRED, started)


def test_a_preview_does_not_begin_while_another_one_runs(registry: Registry) -> None:
    repository, now = registry.repository(), registry.clock.now()

    async def running(tx: Transaction) -> None:
        await store.put_preview(tx, repository.id, Preview(POLICY, PreviewStatus.IN_PROGRESS, now))

    registry.run(registry.db.write(running))

    with pytest.raises(LifecyclePolicyPreviewInProgress):
        registry.run(lifecycle.start_preview(registry.db, now, repository, POLICY))


def test_a_repository_that_went_away_meanwhile_takes_no_policy(registry: Registry) -> None:
    repository = registry.repository()
    registry.run(
        repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False)
    )
    registry.repository()  # another one of that name

    with pytest.raises(RepositoryNotFound):
        registry.run(lifecycle.put(registry.db, repository, POLICY))
    with pytest.raises(RepositoryNotFound):
        registry.run(lifecycle.start_preview(registry.db, registry.clock.now(), repository, POLICY))
