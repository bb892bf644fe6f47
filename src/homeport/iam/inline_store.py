"""All SQL that changes inline policies; those of a caller are read in `access`."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import iam_inline_policy

_of_owner = (
    iam_inline_policy.c.account_id == bindparam("account"),
    iam_inline_policy.c.kind == bindparam("kind_"),
    iam_inline_policy.c.owner == bindparam("owner_"),
)
_one = (*_of_owner, iam_inline_policy.c.name == bindparam("name_"))
_all = Statement(
    select(iam_inline_policy.c.name, iam_inline_policy.c.document)
    .where(*_of_owner)
    .order_by(iam_inline_policy.c.name)
)
_names = Statement(
    select(iam_inline_policy.c.name)
    .where(*_of_owner, iam_inline_policy.c.name > bindparam("after"))
    .order_by(iam_inline_policy.c.name)
    .limit(bindparam("count"))
)
_find = Statement(select(iam_inline_policy.c.document).where(*_one))
_add = Statement(
    insert(iam_inline_policy).values(
        account_id=bindparam("account"),
        kind=bindparam("kind_"),
        owner=bindparam("owner_"),
        name=bindparam("name_"),
        document=bindparam("document_"),
    )
)
_remove = Statement(delete(iam_inline_policy).where(*_one))


async def of(db: Reader, account: str, kind: str, owner: str) -> dict[str, str]:
    """Return every inline policy of a user, group or role: documents by name, in order of name."""
    rows = await db.all(_all, account=account, kind_=kind, owner_=owner)
    return {row[0]: row[1] for row in rows}


async def names(db: Reader, account: str, kind: str, owner: str, after: str, most: int) -> list[str]:
    """Return up to `most` names of inline policies after the name `after`."""
    rows = await db.all(_names, account=account, kind_=kind, owner_=owner, after=after, count=most)
    return [row[0] for row in rows]


async def find(db: Reader, account: str, kind: str, owner: str, name: str) -> str | None:
    """Return the document, or None."""
    row = await db.first(_find, account=account, kind_=kind, owner_=owner, name_=name)
    return row[0] if row else None


async def put(tx: Transaction, account: str, kind: str, owner: str, name: str, document: str) -> None:
    """Add or replace a policy."""
    await remove(tx, account, kind, owner, name)
    await tx.run(_add, account=account, kind_=kind, owner_=owner, name_=name, document_=document)


async def remove(tx: Transaction, account: str, kind: str, owner: str, name: str) -> bool:
    """Delete a policy; whether it was there."""
    return await tx.run(_remove, account=account, kind_=kind, owner_=owner, name_=name) > 0
