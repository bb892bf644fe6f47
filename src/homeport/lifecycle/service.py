"""Use cases of lifecycle policies. Policies are stored and checked; nothing evaluates them in this version.

Callers have authorised already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.errors import (
    LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress,
    LifecyclePolicyPreviewNotFound,
    RepositoryNotFound,
)
from homeport.lifecycle import store
from homeport.lifecycle.model import Preview, PreviewStatus, StoredPolicy
from homeport.lifecycle.rules import read_policy
from homeport.repositories import store as repositories
from homeport.repositories.model import Repository

_PREVIEW_LIFE = timedelta(hours=24)


async def _present(db: Reader, repository: Repository) -> None:
    """Errors: RepositoryNotFound when the repository went away since the caller was allowed to use it."""
    found = await repositories.find(db, repository.account, repository.name, public=repository.public)
    if found is None or found.id != repository.id:
        raise RepositoryNotFound(repository.name, repository.account)


async def put(db: Database, repository: Repository, text: str) -> None:
    """Store `text` as the policy. Errors: InvalidParameter when it is not a lifecycle policy, RepositoryNotFound."""
    read_policy(text)

    async def work(tx: Transaction) -> None:
        await _present(tx, repository)
        await store.set_policy(tx, repository.id, text)

    await db.write(work)


async def get(db: Reader, repository: Repository) -> StoredPolicy:
    """Return the policy. Errors: LifecyclePolicyNotFound."""
    found = await store.policy(db, repository.id)
    if found is None:
        raise LifecyclePolicyNotFound(repository.name, repository.account)
    return found


async def delete(db: Database, repository: Repository) -> StoredPolicy:
    """Remove the policy and return what it was. Errors: LifecyclePolicyNotFound."""

    async def work(tx: Transaction) -> StoredPolicy:
        found = await get(tx, repository)
        await store.set_policy(tx, repository.id, None)
        return found

    return await db.write(work)


async def start_preview(db: Database, now: datetime, repository: Repository, text: str | None) -> Preview:
    """Start a preview of `text`, or of the stored policy with None.

    This version cannot evaluate policies, so the preview has failed as soon as it is stored.
    Errors: InvalidParameter, LifecyclePolicyNotFound, LifecyclePolicyPreviewInProgress, RepositoryNotFound.
    """
    if text is not None:
        read_policy(text)

    async def work(tx: Transaction) -> Preview:
        await _present(tx, repository)
        running = await store.preview(tx, repository.id)
        if running is not None and running.status is PreviewStatus.IN_PROGRESS:
            raise LifecyclePolicyPreviewInProgress(
                "A lifecycle policy preview is in progress for the repository with name "
                f"'{repository.name}' in the registry with id '{repository.account}'"
            )
        policy = text if text is not None else (await get(tx, repository)).text
        started = Preview(policy, PreviewStatus.FAILED, now)
        await store.put_preview(tx, repository.id, started)
        return started

    return await db.write(work)


async def preview(db: Reader, now: datetime, repository: Repository) -> Preview:
    """Return the newest preview; one of yesterday has expired. Errors: LifecyclePolicyPreviewNotFound."""
    found = await store.preview(db, repository.id)
    if found is None:
        raise LifecyclePolicyPreviewNotFound(repository.name, repository.account)
    if now - found.started_at >= _PREVIEW_LIFE:
        return replace(found, status=PreviewStatus.EXPIRED)
    return found
