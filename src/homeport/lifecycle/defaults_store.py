"""All SQL about inherited lifecycle policies: rows in, values out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, insert, select

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import lifecycle_default
from homeport.kernel.clock import from_micros, to_micros
from homeport.lifecycle.model import DefaultPolicy

_t = lifecycle_default.c
_columns = select(_t.prefix, _t.policy, _t.updated_at)
_named = and_(_t.account_id == bindparam("account"), _t.prefix == bindparam("prefix"))
_one = Statement(_columns.where(_named))
_page = Statement(
    _columns.where(_t.account_id == bindparam("account"), _t.prefix > bindparam("after"))
    .order_by(_t.prefix)
    .limit(bindparam("count"))
)
_count = Statement(select(func.count()).where(_t.account_id == bindparam("account")))
_delete = Statement(delete(lifecycle_default).where(_named))
_insert = Statement(
    insert(lifecycle_default).values(
        account_id=bindparam("account"),
        prefix=bindparam("prefix"),
        policy=bindparam("policy"),
        updated_at=bindparam("now"),
    )
)


def _value(row: Row) -> DefaultPolicy:
    return DefaultPolicy(row[0], row[1], from_micros(row[2]))


async def find(db: Reader, account: str, prefix: str) -> DefaultPolicy | None:
    """Return the policy of exactly that prefix, or None."""
    row = await db.first(_one, account=account, prefix=prefix)
    return _value(row) if row else None


async def page(db: Reader, account: str, after: str, count: int) -> list[DefaultPolicy]:
    """Return up to `count` policies whose prefixes come after `after`, in order of prefix."""
    return [_value(row) for row in await db.all(_page, account=account, after=after, count=count)]


async def count(db: Reader, account: str) -> int:
    """Return how many prefixes of the registry have a policy."""
    row = await db.first(_count, account=account)
    return int(row[0]) if row else 0


async def put(tx: Transaction, account: str, prefix: str, text: str, now: datetime) -> None:
    """Set or replace the policy of a prefix."""
    await remove(tx, account, prefix)
    await tx.run(_insert, account=account, prefix=prefix, policy=text, now=to_micros(now))


async def remove(tx: Transaction, account: str, prefix: str) -> None:
    """Delete the policy of a prefix, if there is one."""
    await tx.run(_delete, account=account, prefix=prefix)
