"""Use cases of the public registry: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.errors import Conflict, RegistryNotFound, RepositoryCatalogDataNotFound
from homeport.kernel.names import AccountId, RepositoryName
from homeport.public import rules, store
from homeport.public.model import Alias, AliasStatus, Catalog
from homeport.repositories import rules as repository_rules
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings

_FIRST, _OTHER = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789"
_DEFAULT_CHARS = 8


async def account_of(db: Reader, alias: str) -> AccountId:
    """Return the account whose registry `alias` names. Errors: RegistryNotFound."""
    found = await store.alias(db, alias)
    if found is None or found.status is not AliasStatus.ACTIVE:
        raise RegistryNotFound(f"The registry with alias '{alias[:64]}' does not exist")
    return AccountId(found.account)


async def aliases(db: Database, account: str, now: datetime) -> list[Alias]:
    """Return the aliases of a registry, which is made with its default alias at the first look."""
    found = await store.aliases(db, account)
    if found:
        return found

    async def work(tx: Transaction) -> list[Alias]:
        await _ensure(tx, account, now)
        return await store.aliases(tx, account)

    return await db.write(work)


async def primary(db: Reader, account: str) -> str:
    """Return the alias that addresses show. Errors: RegistryNotFound when nothing was ever made in this registry."""
    for alias in await store.aliases(db, account):
        if alias.is_primary:
            return alias.name
    raise RegistryNotFound(f"The public registry with id '{account}' does not exist")


async def _ensure(tx: Transaction, account: str, now: datetime) -> None:
    if await store.aliases(tx, account):
        return
    while True:
        name = secrets.choice(_FIRST) + "".join(secrets.choice(_OTHER) for _ in range(_DEFAULT_CHARS - 1))
        if await store.alias(tx, name) is None:
            break
    await store.add_alias(tx, Alias(name, account, AliasStatus.ACTIVE, True, True), now)


async def add_alias(db: Database, account: str, name: str, now: datetime) -> None:
    """Give a registry a further alias, in force at once. Errors: InvalidParameter, Conflict."""
    rules.check_alias(name)

    async def work(tx: Transaction) -> None:
        if await store.alias(tx, name) is not None:
            raise Conflict(f"The alias {name} is taken already.")
        await _ensure(tx, account, now)
        await store.add_alias(tx, Alias(name, account, AliasStatus.ACTIVE, False, False), now)

    await db.write(work)


async def set_primary(db: Database, account: str, name: str) -> None:
    """Let addresses show `name`. Errors: RegistryNotFound when it is not an alias of this registry."""

    async def work(tx: Transaction) -> None:
        found = await store.alias(tx, name)
        if found is None or found.account != account:
            raise RegistryNotFound(f"The registry with id '{account}' has no alias '{name[:64]}'")
        await store.set_primary(tx, account, name)

    await db.write(work)


async def create(
    db: Database,
    now: datetime,
    account: AccountId,
    name: RepositoryName,
    catalog: Catalog,
    tags: Mapping[str, str],
    most: int,
) -> Repository:
    """Create a public repository, and the registry with its default alias when this is its first.

    `most` is the quota of repositories. Errors: RepositoryAlreadyExists, InvalidTagParameter, TooManyTags,
    LimitExceeded, InvalidParameter for a logo that is none.
    """
    checked = repository_rules.check_tags({}, tags)
    if catalog.logo is not None:
        rules.check_logo(catalog.logo)

    async def work(tx: Transaction) -> Repository:
        created = await repositories.add(tx, now, account, name, Settings(), checked, most, public=True)
        await _ensure(tx, account, now)
        await store.put_catalog(tx, created.id, catalog)
        return created

    return await db.write(work)


async def catalog_of(db: Reader, repository: Repository) -> Catalog:
    """Return what the repository says about itself. Errors: RepositoryCatalogDataNotFound."""
    found = await store.catalog(db, repository.id)
    if found is None:
        raise RepositoryCatalogDataNotFound(
            f"The catalog data of the repository with name '{repository.name}' in the registry with id "
            f"'{repository.account}' does not exist"
        )
    return found


async def put_catalog(db: Database, repository: Repository, catalog: Catalog) -> None:
    """Replace what the repository says about itself. Errors: InvalidParameter, RepositoryNotFound."""
    if catalog.logo is not None:
        rules.check_logo(catalog.logo)

    async def work(tx: Transaction) -> None:
        present = await repositories.get(tx, repository.account, repository.name, public=True)
        await store.put_catalog(tx, present.id, catalog)

    await db.write(work)


async def put_display_name(db: Database, account: str, name: str | None, now: datetime) -> None:
    """Replace the name under which the registry shows itself, or remove it with None."""

    async def work(tx: Transaction) -> None:
        await store.put_display_name(tx, account, name, now)

    await db.write(work)
