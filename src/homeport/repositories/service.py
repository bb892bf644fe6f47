"""Use cases of repositories: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.collection import drain
from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.errors import (
    LimitExceeded,
    RepositoryAlreadyExists,
    RepositoryNotEmpty,
    RepositoryNotFound,
    RepositoryPolicyNotFound,
)
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.kernel.names import AccountId, RepositoryName
from homeport.repositories import rules, store
from homeport.repositories.model import Repository, Settings, TagMutability

_SHOWN = 20  # pinned tags in a message


async def find(db: Reader, account: str, name: str, *, public: bool = False) -> Repository | None:
    """Return the repository, or None: for callers that must authorise before they may say which."""
    return await store.find(db, account, name, public=public)


async def get(db: Reader, account: str, name: str, *, public: bool = False) -> Repository:
    """Return the repository. Errors: RepositoryNotFound."""
    found = await store.find(db, account, name, public=public)
    if found is None:
        raise RepositoryNotFound(name, account)
    return found


async def page(db: Reader, account: str, after: str, count: int, *, public: bool = False) -> list[Repository]:
    """Return up to `count` repositories of the registry after the name `after`, in order of name."""
    return await store.page(db, account, after, count, public=public)


async def create(
    db: Database,
    now: datetime,
    account: AccountId,
    name: RepositoryName,
    settings: Settings,
    tags: Mapping[str, str],
    quotas: Quotas = ECR_QUOTAS,
) -> Repository:
    """Create a repository with its resource tags.

    Errors: RepositoryAlreadyExists, InvalidTagParameter, TooManyTags, LimitExceeded.
    """
    checked = rules.check_tags({}, tags)

    async def work(tx: Transaction) -> Repository:
        return await add(tx, now, account, name, settings, checked, quotas.repositories)

    return await db.write(work)


async def add(
    tx: Transaction,
    now: datetime,
    account: AccountId,
    name: RepositoryName,
    settings: Settings,
    tags: Mapping[str, str],
    most: int,
    *,
    public: bool = False,
) -> Repository:
    """`create` within a unit of work, with tags that were checked, in a registry of at most `most` repositories.

    Errors: RepositoryAlreadyExists, LimitExceeded.
    """
    if await store.find(tx, account, name, public=public):
        raise RepositoryAlreadyExists(name, account)
    await _require_room(tx, account, most, public=public)
    await store.add(tx, account, name, settings, now, public=public)
    created = await get(tx, account, name, public=public)
    for key, value in tags.items():
        await store.put_tag(tx, created.id, key, value)
    return created


async def _require_room(tx: Reader, account: str, most: int, *, public: bool = False) -> None:
    if await store.count(tx, account, most, public=public) >= most:
        raise LimitExceeded(
            f"The registry with id '{account}' holds {most} repositories already, which is the quota of repositories"
        )


async def delete(
    db: Database, now: datetime, account: str, name: str, *, force: bool, public: bool = False
) -> Repository:
    """Delete a repository, when `force` with its images and those that were deleted and could be restored.

    It is gone at once. The rows of a small one go with it, the others in small steps (`collection.drain`).

    Errors: RepositoryNotFound, RepositoryNotEmpty also when `force` while tags are pinned.
    """

    async def work(tx: Transaction) -> Repository:
        found = await get(tx, account, name, public=public)
        if not force and await store.holds_images(tx, found.id):
            raise RepositoryNotEmpty(name, account)
        pinned = await store.pinned_tags(tx, found.id, _SHOWN)
        if pinned:
            raise RepositoryNotEmpty(name, account, ", ".join(pinned))
        await store.give_up_uploads(tx, found.id)
        await drain.detach(tx, found.id)
        await drain.step(tx, found.id, now)
        return found

    return await db.write(work)


async def set_tag_mutability(
    db: Database, account: str, name: str, mode: TagMutability, filters: Sequence[str] | None
) -> tuple[str, ...]:
    """Change whether tags may move, for later pushes; return the filters in force.

    Errors: InvalidParameter when the filters do not fit the mode, RepositoryNotFound.
    """
    checked = rules.check_mutability(mode, filters)

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, name)
        await store.set_mutability(tx, found.id, mode, checked)

    await db.write(work)
    return checked


async def set_scan_on_push(db: Database, account: str, name: str, *, on_push: bool) -> None:
    """Change whether the basic scanner looks at every push. Errors: RepositoryNotFound."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, name)
        await store.set_scan_on_push(tx, found.id, on_push)

    await db.write(work)


async def set_policy(db: Database, account: str, name: str, text: str, *, public: bool = False) -> None:
    """Replace the repository policy with `text`, which the caller has parsed. Errors: RepositoryNotFound."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, name, public=public)
        await store.set_policy(tx, found.id, text)

    await db.write(work)


async def get_policy(db: Reader, account: str, name: str, *, public: bool = False) -> str:
    """Return the policy text. Errors: RepositoryNotFound, RepositoryPolicyNotFound."""
    found = await get(db, account, name, public=public)
    if found.policy is None:
        raise RepositoryPolicyNotFound(name, account)
    return found.policy


async def delete_policy(db: Database, account: str, name: str, *, public: bool = False) -> str:
    """Remove the policy and return its text. Errors: RepositoryNotFound, RepositoryPolicyNotFound."""

    async def work(tx: Transaction) -> str:
        text = await get_policy(tx, account, name, public=public)
        found = await get(tx, account, name, public=public)
        await store.set_policy(tx, found.id, None)
        return text

    return await db.write(work)


async def tags(db: Reader, account: str, name: str, *, public: bool = False) -> dict[str, str]:
    """Return the resource tags. Errors: RepositoryNotFound."""
    found = await get(db, account, name, public=public)
    return await store.tags(db, found.id)


async def tag(
    db: Database, account: str, name: str, added: Mapping[str, str], *, public: bool = False
) -> None:
    """Add or change resource tags. Errors: RepositoryNotFound, InvalidTagParameter, TooManyTags."""

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, name, public=public)
        rules.check_tags(await store.tags(tx, found.id), added)
        for key, value in added.items():
            await store.put_tag(tx, found.id, key, value)

    await db.write(work)


async def untag(db: Database, account: str, name: str, keys: Sequence[str], *, public: bool = False) -> None:
    """Remove resource tags; keys that are not there are ignored. Errors: RepositoryNotFound, InvalidTagParameter."""
    rules.check_tag_keys(keys)

    async def work(tx: Transaction) -> None:
        found = await get(tx, account, name, public=public)
        for key in keys:
            await store.remove_tag(tx, found.id, key)

    await db.write(work)
