"""Use cases of the lifecycle policies of single repositories. Callers have authorised already."""

from __future__ import annotations

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import LifecyclePolicyNotFound, RepositoryNotFound
from homeport.lifecycle import store
from homeport.lifecycle.model import StoredPolicy
from homeport.lifecycle.policies import accepted_text
from homeport.repositories import store as repositories
from homeport.repositories.model import Repository


async def present(db: Reader, repository: Repository) -> None:
    """Errors: RepositoryNotFound when the repository went away since the caller was allowed to use it."""
    found = await repositories.find(db, repository.account, repository.name, public=repository.public)
    if found is None or found.id != repository.id:
        raise RepositoryNotFound(repository.name, repository.account)


async def put(
    db: Database,
    repository: Repository,
    text: str,
    *,
    extended: bool = False,
    most_rules: int = limits.LIFECYCLE_RULES,
) -> str:
    """Store `text` as the policy, with its rules in order of priority; return what is stored.

    Args:
        extended: whether the policy may say what those of ECR cannot.
        most_rules: how many rules it may have.

    Errors: InvalidParameter when it is not a lifecycle policy, RepositoryNotFound.
    """
    stored = accepted_text(text, extended=extended, most_rules=most_rules)

    async def work(tx: Transaction) -> None:
        await present(tx, repository)
        await store.set_policy(tx, repository.id, stored)

    await db.write(work)
    return stored


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
