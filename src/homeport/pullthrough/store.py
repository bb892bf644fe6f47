"""All SQL about pull-through cache rules."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import pull_through_rule
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.names import AccountId
from homeport.pullthrough.model import CacheRule, Upstream
from homeport.pullthrough.rules import bare

_c = pull_through_rule.c
_columns = select(
    _c.account_id,
    _c.prefix,
    _c.upstream_url,
    _c.upstream_registry,
    _c.upstream_prefix,
    _c.credential_arn,
    _c.custom_role_arn,
    _c.created_at,
    _c.updated_at,
)
_named = and_(
    _c.account_id == bindparam("account"),
    or_(_c.prefix == bindparam("bare"), _c.prefix == bindparam("slashed")),
)
_by_prefix = Statement(_columns.where(_named))
_all = Statement(_columns.where(_c.account_id == bindparam("account")).order_by(_c.prefix))
_count = Statement(select(func.count()).where(_c.account_id == bindparam("account")))
_insert = Statement(
    insert(pull_through_rule).values(
        account_id=bindparam("account"),
        prefix=bindparam("prefix"),
        upstream_url=bindparam("upstream_url"),
        upstream_registry=bindparam("upstream_registry"),
        upstream_prefix=bindparam("upstream_prefix"),
        credential_arn=bindparam("credential_arn"),
        custom_role_arn=bindparam("custom_role_arn"),
        created_at=bindparam("created_at"),
        updated_at=bindparam("updated_at"),
    )
)
_update = Statement(
    update(pull_through_rule)
    .where(_c.account_id == bindparam("account"), _c.prefix == bindparam("prefix_"))
    .values(
        credential_arn=bindparam("credential"),
        custom_role_arn=bindparam("role"),
        updated_at=bindparam("now"),
    )
)
_delete = Statement(
    delete(pull_through_rule).where(_c.account_id == bindparam("account"), _c.prefix == bindparam("prefix"))
)


def _value(row: Row) -> CacheRule:
    return CacheRule(
        account=AccountId(row[0]),
        prefix=row[1],
        upstream_url=row[2],
        upstream=Upstream(row[3]),
        upstream_prefix=row[4],
        credential_arn=row[5],
        custom_role_arn=row[6],
        created_at=from_micros(row[7]),
        updated_at=from_micros(row[8]),
    )


async def find(db: Reader, account: str, prefix: str) -> CacheRule | None:
    """Return the rule of that prefix, with or without the final `/`, or None."""
    row = await db.first(_by_prefix, account=account, bare=bare(prefix), slashed=f"{bare(prefix)}/")
    return _value(row) if row else None


async def every(db: Reader, account: str) -> list[CacheRule]:
    """Return the rules of the registry in order of prefix; a quota keeps them few."""
    return [_value(row) for row in await db.all(_all, account=account)]


async def count(db: Reader, account: str) -> int:
    """Return how many rules the registry has."""
    row = await db.first(_count, account=account)
    return int(row[0]) if row else 0


async def add(tx: Transaction, rule: CacheRule) -> None:
    """Insert a rule."""
    await tx.run(
        _insert,
        account=rule.account,
        prefix=rule.prefix,
        upstream_url=rule.upstream_url,
        upstream_registry=rule.upstream.value,
        upstream_prefix=rule.upstream_prefix,
        credential_arn=rule.credential_arn,
        custom_role_arn=rule.custom_role_arn,
        created_at=to_micros(rule.created_at),
        updated_at=to_micros(rule.updated_at),
    )


async def set_source(
    tx: Transaction, rule: CacheRule, credential_arn: str | None, custom_role_arn: str | None, now: datetime
) -> None:
    """Change what the rule pulls with."""
    await tx.run(
        _update,
        account=rule.account,
        prefix_=rule.prefix,
        credential=credential_arn,
        role=custom_role_arn,
        now=to_micros(now),
    )


async def remove(tx: Transaction, rule: CacheRule) -> None:
    """Delete a rule."""
    await tx.run(_delete, account=rule.account, prefix=rule.prefix)
