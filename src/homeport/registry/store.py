"""All SQL about registry documents and pull-time exclusions: rows in, values out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import pull_exclusion, registry_document
from homeport.kernel.clock import from_micros, to_micros
from homeport.registry.model import Exclusion

_one_document = (
    registry_document.c.account_id == bindparam("account"),
    registry_document.c.kind == bindparam("kind"),
)
_document = Statement(select(registry_document.c.text).where(*_one_document))
_delete_document = Statement(delete(registry_document).where(*_one_document))
_add_document = Statement(
    insert(registry_document).values(
        account_id=bindparam("account"),
        kind=bindparam("kind"),
        text=bindparam("text"),
        updated_at=bindparam("now"),
    )
)
_exclusions = Statement(
    select(pull_exclusion.c.principal_arn, pull_exclusion.c.created_at)
    .where(
        pull_exclusion.c.account_id == bindparam("account"),
        pull_exclusion.c.principal_arn > bindparam("after"),
    )
    .order_by(pull_exclusion.c.principal_arn)
    .limit(bindparam("count"))
)
_count_exclusions = Statement(select(func.count()).where(pull_exclusion.c.account_id == bindparam("account")))
_one_exclusion = (
    pull_exclusion.c.account_id == bindparam("account"),
    pull_exclusion.c.principal_arn == bindparam("principal"),
)
_exclusion = Statement(select(pull_exclusion.c.created_at).where(*_one_exclusion))
_delete_exclusion = Statement(delete(pull_exclusion).where(*_one_exclusion))
_add_exclusion = Statement(
    insert(pull_exclusion).values(
        account_id=bindparam("account"), principal_arn=bindparam("principal"), created_at=bindparam("now")
    )
)


async def document(db: Reader, account: str, kind: str) -> str | None:
    """Return the text of the registry's document of that kind, or None."""
    row = await db.first(_document, account=account, kind=kind)
    return row[0] if row else None


async def put_document(tx: Transaction, account: str, kind: str, text: str, now: datetime) -> None:
    """Set or replace the document of that kind."""
    await tx.run(_delete_document, account=account, kind=kind)
    await tx.run(_add_document, account=account, kind=kind, text=text, now=to_micros(now))


async def remove_document(tx: Transaction, account: str, kind: str) -> None:
    """Remove the document of that kind, if it is there."""
    await tx.run(_delete_document, account=account, kind=kind)


async def exclusions(db: Reader, account: str, after: str, count: int) -> list[Exclusion]:
    """Return up to `count` exclusions whose ARN comes after `after`, in order of ARN."""
    rows = await db.all(_exclusions, account=account, after=after, count=count)
    return [Exclusion(row[0], from_micros(row[1])) for row in rows]


async def count_exclusions(db: Reader, account: str) -> int:
    """Return how many principals are excluded."""
    row = await db.first(_count_exclusions, account=account)
    return int(row[0]) if row else 0


async def is_excluded(db: Reader, account: str, principal: str) -> bool:
    """Whether that very ARN is excluded."""
    return await db.first(_exclusion, account=account, principal=principal) is not None


async def add_exclusion(tx: Transaction, account: str, principal: str, now: datetime) -> None:
    """Insert an exclusion."""
    await tx.run(_add_exclusion, account=account, principal=principal, now=to_micros(now))


async def remove_exclusion(tx: Transaction, account: str, principal: str) -> int:
    """Delete an exclusion; return how many there were."""
    return await tx.run(_delete_exclusion, account=account, principal=principal)
