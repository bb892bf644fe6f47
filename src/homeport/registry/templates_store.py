"""All SQL about creation templates, and what they add to a repository at its creation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import creation_template, repository
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.names import AccountId
from homeport.registry.templates_model import AppliedFor, Template, Wish
from homeport.repositories.model import TagMutability
from homeport.repositories.prefixes import spellings

_t = creation_template.c
_columns = select(
    _t.account_id,
    _t.prefix,
    _t.description,
    _t.encryption_type,
    _t.resource_tags,
    _t.tag_mutability,
    _t.mutability_filters,
    _t.repository_policy,
    _t.lifecycle_policy,
    _t.applied_for,
    _t.custom_role_arn,
    _t.created_at,
    _t.updated_at,
)
_named = and_(
    _t.account_id == bindparam("account"),
    or_(_t.prefix == bindparam("bare"), _t.prefix == bindparam("slashed")),
)
_by_prefix = Statement(_columns.where(_named))
_page = Statement(
    _columns.where(_t.account_id == bindparam("account"), _t.prefix > bindparam("after"))
    .order_by(_t.prefix)
    .limit(bindparam("count"))
)
_count = Statement(select(func.count()).where(_t.account_id == bindparam("account")))
_content = (
    "description",
    "encryption_type",
    "resource_tags",
    "tag_mutability",
    "mutability_filters",
    "repository_policy",
    "lifecycle_policy",
    "applied_for",
    "custom_role_arn",
    "updated_at",
)
_insert = Statement(
    insert(creation_template).values(
        account_id=bindparam("account"),
        prefix=bindparam("prefix"),
        created_at=bindparam("created_at"),
        **{name: bindparam(name) for name in _content},
    )
)
_update = Statement(
    update(creation_template)
    .where(_t.account_id == bindparam("account"), _t.prefix == bindparam("prefix_"))
    .values({name: bindparam(name) for name in _content})
)
_delete = Statement(delete(creation_template).where(_named))
_dress = Statement(
    update(repository)
    .where(repository.c.id == bindparam("id_"))
    .values(policy=bindparam("policy"), lifecycle_policy=bindparam("lifecycle_policy"))
)


def _value(row: Row) -> Template:
    return Template(
        account=AccountId(row[0]),
        prefix=row[1],
        wish=Wish(
            description=row[2],
            encryption_type=row[3] or "AES256",
            resource_tags=json.loads(row[4]),
            tag_mutability=TagMutability(row[5] or TagMutability.MUTABLE),
            mutability_filters=tuple(json.loads(row[6])),
            repository_policy=row[7],
            lifecycle_policy=row[8],
            applied_for=tuple(AppliedFor(each) for each in json.loads(row[9])),
            custom_role_arn=row[10],
        ),
        created_at=from_micros(row[11]),
        updated_at=from_micros(row[12]),
    )


def _content_of(wish: Wish, now: datetime) -> dict[str, str | int | None]:
    return {
        "description": wish.description,
        "encryption_type": wish.encryption_type,
        "resource_tags": json.dumps(dict(wish.resource_tags)),
        "tag_mutability": wish.tag_mutability.value,
        "mutability_filters": json.dumps(wish.mutability_filters),
        "repository_policy": wish.repository_policy,
        "lifecycle_policy": wish.lifecycle_policy,
        "applied_for": json.dumps(wish.applied_for),
        "custom_role_arn": wish.custom_role_arn,
        "updated_at": to_micros(now),
    }


async def find(db: Reader, account: str, prefix: str) -> Template | None:
    """Return the template of that prefix, with or without the final `/`, or None."""
    bare, slashed = spellings(prefix)
    row = await db.first(_by_prefix, account=account, bare=bare, slashed=slashed)
    return _value(row) if row else None


async def closest(
    db: Reader, account: str, prefixes: Sequence[str], applied_for: AppliedFor
) -> Template | None:
    """Return the first template for that kind of creation in the order of `prefixes`, or None."""
    for prefix in prefixes:
        found = await find(db, account, prefix)
        if found is not None and applied_for in found.wish.applied_for:
            return found
    return None


async def page(db: Reader, account: str, after: str, count: int) -> list[Template]:
    """Return up to `count` templates whose prefixes come after `after`, in order of prefix."""
    return [_value(row) for row in await db.all(_page, account=account, after=after, count=count)]


async def count(db: Reader, account: str) -> int:
    """Return how many templates the registry has."""
    row = await db.first(_count, account=account)
    return int(row[0]) if row else 0


async def add(tx: Transaction, account: AccountId, prefix: str, wish: Wish, now: datetime) -> None:
    """Insert a template."""
    content = _content_of(wish, now)
    await tx.run(_insert, account=account, prefix=prefix, created_at=to_micros(now), **content)


async def replace(tx: Transaction, account: AccountId, prefix: str, wish: Wish, now: datetime) -> None:
    """Change what the template of exactly that prefix gives."""
    await tx.run(_update, account=account, prefix_=prefix, **_content_of(wish, now))


async def remove(tx: Transaction, account: str, prefix: str) -> None:
    """Delete a template."""
    bare, slashed = spellings(prefix)
    await tx.run(_delete, account=account, bare=bare, slashed=slashed)


async def dress(tx: Transaction, repository_id: int, policy: str | None, lifecycle: str | None) -> None:
    """Give a new repository its policy and lifecycle policy."""
    await tx.run(_dress, id_=repository_id, policy=policy, lifecycle_policy=lifecycle)
