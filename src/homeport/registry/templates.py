"""Use cases of creation templates, and the creation of repositories that nobody asked for by name.

ECR User Guide, repository-creation-templates. Callers have authorised already, except where they pass `permit`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import (
    AccessDenied,
    LimitExceeded,
    RepositoryNotFound,
    TemplateAlreadyExists,
    TemplateNotFound,
)
from homeport.kernel.names import AccountId, RepositoryName
from homeport.lifecycle.policies import sorted_text
from homeport.registry import templates_store as store
from homeport.registry.templates_model import AppliedFor, Template, Wish
from homeport.registry.templates_rules import lacks_role
from homeport.repositories import rules as repository_rules
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings
from homeport.repositories.prefixes import candidates

_ECR = limits.Quotas()

Permit = Callable[[Mapping[str, str]], Awaitable[None]]
"""Returns when a repository with those resource tags may be created; raises AccessDenied."""


async def get(db: Reader, account: str, prefix: str) -> Template:
    """Return the template of that prefix. Errors: TemplateNotFound."""
    found = await store.find(db, account, prefix)
    if found is None:
        raise TemplateNotFound(
            f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
            f"'{account}'"
        )
    return found


async def page(db: Reader, account: str, after: str, count: int) -> list[Template]:
    """Return up to `count` templates of the registry after the prefix `after`, in order of prefix."""
    return await store.page(db, account, after, count)


async def named(db: Reader, account: str, prefixes: Sequence[str], after: str) -> list[Template]:
    """Return those templates of `prefixes` that exist and come after the prefix `after`, in order of prefix."""
    found = [await store.find(db, account, prefix) for prefix in set(prefixes)]
    by_prefix = {each.prefix: each for each in found if each is not None}
    return [by_prefix[prefix] for prefix in sorted(by_prefix) if prefix > after]


async def create(db: Database, now: datetime, account: AccountId, prefix: str, wish: Wish) -> Template:
    """Create a template. Errors: TemplateAlreadyExists, LimitExceeded, InvalidTagParameter, TooManyTags."""
    repository_rules.check_tags({}, wish.resource_tags)

    async def work(tx: Transaction) -> Template:
        if await store.find(tx, account, prefix):
            raise TemplateAlreadyExists(
                f"The repository creation template with prefix '{prefix}' already exists in the registry with "
                f"id '{account}'"
            )
        if await store.count(tx, account) >= limits.CREATION_TEMPLATES:
            raise LimitExceeded(
                f"A registry can have at most {limits.CREATION_TEMPLATES} repository creation templates"
            )
        await store.add(tx, account, prefix, wish, now)
        return await get(tx, account, prefix)

    return await db.write(work)


async def change(
    db: Database, now: datetime, account: AccountId, prefix: str, merge: Callable[[Wish], Wish]
) -> Template:
    """Replace what a template gives by what `merge` makes of it; existing repositories stay as they are.

    Errors: TemplateNotFound, InvalidTagParameter, TooManyTags, and whatever `merge` raises.
    """

    async def work(tx: Transaction) -> Template:
        found = await get(tx, account, prefix)
        wish = merge(found.wish)
        repository_rules.check_tags({}, wish.resource_tags)
        await store.replace(tx, account, found.prefix, wish, now)
        return await get(tx, account, prefix)

    return await db.write(work)


async def delete(db: Database, account: AccountId, prefix: str) -> Template:
    """Delete a template and return it; repositories made from it stay. Errors: TemplateNotFound."""

    async def work(tx: Transaction) -> Template:
        found = await get(tx, account, prefix)
        await store.remove(tx, account, prefix)
        return found

    return await db.write(work)


async def closest(db: Reader, account: str, name: str, applied_for: AppliedFor) -> Template | None:
    """Return the template with the longest prefix of `name` for that kind of creation, or None."""
    return await store.closest(db, account, candidates(name), applied_for)


async def create_missing(
    db: Database,
    now: datetime,
    account: AccountId,
    name: RepositoryName,
    applied_for: AppliedFor,
    permit: Permit,
    quotas: limits.Quotas = _ECR,
) -> Repository:
    """Make the repository `name` as its template says, once; return it, also when another request was faster.

    Without a template nothing is made on a push; replication and pull through cache make it with the defaults.
    Errors: RepositoryNotFound when there is no template, it is not usable, or `permit` refuses: who may not create a
    repository does not learn about templates. LimitExceeded when the registry is full.
    """
    template = await closest(db, account, name, applied_for)
    if template is None and applied_for is AppliedFor.CREATE_ON_PUSH:
        raise RepositoryNotFound(name, account)
    wish = template.wish if template is not None else None
    tags = dict(wish.resource_tags) if wish is not None else {}
    try:
        await permit(tags)
    except AccessDenied:
        raise RepositoryNotFound(name, account) from None
    if template is not None and lacks_role(template.wish):
        missing = RepositoryNotFound(name, account)
        missing.message += (
            f". It is not created because the creation template '{template.prefix}' sets resource tags "
            "without a customRoleArn"
        )
        raise missing
    settings = wish.settings() if wish is not None else Settings()

    async def work(tx: Transaction) -> Repository:
        made = await repositories.find(tx, account, name)
        if made is not None:
            return made
        created = await repositories.add(tx, now, account, name, settings, tags, quotas.repositories)
        if wish is not None and (wish.repository_policy or wish.lifecycle_policy):
            lifecycle = sorted_text(wish.lifecycle_policy) if wish.lifecycle_policy else None
            await store.dress(tx, created.id, wish.repository_policy, lifecycle)
        return await repositories.get(tx, account, name)

    return await db.write(work)
