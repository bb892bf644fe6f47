"""All SQL of the public registry: aliases, catalog data, display names. Rows in, values out."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import image, image_tag, public_alias, registry_document, repository_catalog
from homeport.kernel.clock import from_micros, to_micros
from homeport.public.model import Alias, AliasStatus, Catalog, TaggedImage

_DISPLAY_NAME = "public-display-name"  # kind of registry document

_alias_columns = select(
    public_alias.c.name,
    public_alias.c.account_id,
    public_alias.c.status,
    public_alias.c.is_primary,
    public_alias.c.is_default,
)
_alias = Statement(_alias_columns.where(public_alias.c.name == bindparam("name")))
_aliases = Statement(
    _alias_columns.where(public_alias.c.account_id == bindparam("account")).order_by(
        public_alias.c.is_default.desc(), public_alias.c.name
    )
)
_insert_alias = Statement(
    insert(public_alias).values(
        name=bindparam("name"),
        account_id=bindparam("account"),
        status=bindparam("status"),
        is_primary=bindparam("is_primary"),
        is_default=bindparam("is_default"),
        created_at=bindparam("now"),
    )
)
_unset_primary = Statement(
    update(public_alias).where(public_alias.c.account_id == bindparam("account")).values(is_primary=0)
)
_set_primary = Statement(
    update(public_alias).where(public_alias.c.name == bindparam("alias")).values(is_primary=1)
)
_catalog = Statement(
    select(
        repository_catalog.c.description,
        repository_catalog.c.about,
        repository_catalog.c.usage,
        repository_catalog.c.architectures,
        repository_catalog.c.operating_systems,
        repository_catalog.c.logo,
    ).where(repository_catalog.c.repository_id == bindparam("repository"))
)
_delete_catalog = Statement(
    delete(repository_catalog).where(repository_catalog.c.repository_id == bindparam("repository"))
)
_insert_catalog = Statement(
    insert(repository_catalog).values(
        repository_id=bindparam("repository"),
        description=bindparam("description"),
        about=bindparam("about"),
        usage=bindparam("usage"),
        architectures=bindparam("architectures"),
        operating_systems=bindparam("operating_systems"),
        logo=bindparam("logo"),
    )
)
_document = (
    registry_document.c.account_id == bindparam("account"),
    registry_document.c.kind == _DISPLAY_NAME,
)
_display_name = Statement(select(registry_document.c.text).where(*_document))
_delete_display_name = Statement(delete(registry_document).where(*_document))
_insert_display_name = Statement(
    insert(registry_document).values(
        account_id=bindparam("account"),
        kind=_DISPLAY_NAME,
        text=bindparam("name"),
        updated_at=bindparam("now"),
    )
)
_tags = Statement(
    select(
        image_tag.c.name,
        image_tag.c.tagged_at,
        image.c.digest,
        image.c.size,
        image.c.pushed_at,
        image.c.media_type,
        image.c.artifact_type,
    )
    .join(image, image.c.id == image_tag.c.image_id)
    .where(image_tag.c.repository_id == bindparam("repository"), image_tag.c.name > bindparam("after"))
    .order_by(image_tag.c.name)
    .limit(bindparam("count"))
)


def _value(row: Row) -> Alias:
    return Alias(row[0], row[1], AliasStatus(row[2]), bool(row[3]), bool(row[4]))


async def alias(db: Reader, name: str) -> Alias | None:
    """Return the alias of that name, or None."""
    row = await db.first(_alias, name=name)
    return _value(row) if row else None


async def aliases(db: Reader, account: str) -> list[Alias]:
    """Return the aliases of a registry, the default one first, the others in order of name."""
    return [_value(row) for row in await db.all(_aliases, account=account)]


async def add_alias(tx: Transaction, alias: Alias, now: datetime) -> None:
    """Insert an alias."""
    await tx.run(
        _insert_alias,
        name=alias.name,
        account=alias.account,
        status=alias.status.value,
        is_primary=int(alias.is_primary),
        is_default=int(alias.is_default),
        now=to_micros(now),
    )


async def set_primary(tx: Transaction, account: str, name: str) -> None:
    """Make `name` the only primary alias of its registry."""
    await tx.run(_unset_primary, account=account)
    await tx.run(_set_primary, alias=name)


async def catalog(db: Reader, repository: int) -> Catalog | None:
    """Return the catalog data of a repository, or None."""
    row = await db.first(_catalog, repository=repository)
    if row is None:
        return None
    return Catalog(row[0], row[1], row[2], tuple(json.loads(row[3])), tuple(json.loads(row[4])), row[5])


async def put_catalog(tx: Transaction, repository: int, catalog: Catalog) -> None:
    """Replace the catalog data of a repository."""
    await tx.run(_delete_catalog, repository=repository)
    await tx.run(
        _insert_catalog,
        repository=repository,
        description=catalog.description,
        about=catalog.about,
        usage=catalog.usage,
        architectures=json.dumps(catalog.architectures),
        operating_systems=json.dumps(catalog.operating_systems),
        logo=catalog.logo,
    )


async def display_name(db: Reader, account: str) -> str | None:
    """Return the display name of a registry, or None."""
    row = await db.first(_display_name, account=account)
    return row[0] if row else None


async def put_display_name(tx: Transaction, account: str, name: str | None, now: datetime) -> None:
    """Replace the display name of a registry, or remove it with None."""
    await tx.run(_delete_display_name, account=account)
    if name is not None:
        await tx.run(_insert_display_name, account=account, name=name, now=to_micros(now))


async def tags(db: Reader, repository: int, after: str, count: int) -> list[TaggedImage]:
    """Return up to `count` tags after the tag `after`, in order, with their images."""
    rows = await db.all(_tags, repository=repository, after=after, count=count)
    return [
        TaggedImage(row[0], from_micros(row[1]), row[2], row[3], from_micros(row[4]), row[5], row[6])
        for row in rows
    ]
