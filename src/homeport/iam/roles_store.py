"""All SQL about roles: rows in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import iam_role
from homeport.iam.entities import Kind, arn
from homeport.kernel.clock import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Role:
    """Somebody whom others may become."""

    account: str
    name: str
    path: str
    role_id: str
    trust_policy: str
    description: str | None
    max_session_seconds: int
    boundary: str | None
    created_at: datetime

    @property
    def arn(self) -> str:
        """Its resource name."""
        return arn(Kind.ROLE, self.account, self.name, self.path)


_columns = select(
    iam_role.c.account_id,
    iam_role.c.name,
    iam_role.c.path,
    iam_role.c.role_id,
    iam_role.c.trust_policy,
    iam_role.c.description,
    iam_role.c.max_session_seconds,
    iam_role.c.boundary,
    iam_role.c.created_at,
)
_one = (iam_role.c.account_id == bindparam("account"), iam_role.c.name == bindparam("role"))
_by_name = Statement(_columns.where(*_one))
_page = Statement(
    _columns.where(
        iam_role.c.account_id == bindparam("account"),
        iam_role.c.name > bindparam("after"),
        func.substr(iam_role.c.path, 1, func.length(bindparam("prefix"))) == bindparam("prefix"),
    )
    .order_by(iam_role.c.name)
    .limit(bindparam("count"))
)
_insert = Statement(
    insert(iam_role).values(
        account_id=bindparam("account"),
        name=bindparam("name"),
        path=bindparam("path"),
        role_id=bindparam("role_id"),
        trust_policy=bindparam("trust_policy"),
        description=bindparam("description"),
        max_session_seconds=bindparam("max_session_seconds"),
        boundary=bindparam("boundary"),
        created_at=bindparam("created_at"),
    )
)
_describe = Statement(
    update(iam_role)
    .where(*_one)
    .values(description=bindparam("text"), max_session_seconds=bindparam("seconds"))
)
_trust = Statement(update(iam_role).where(*_one).values(trust_policy=bindparam("text")))
_bound = Statement(update(iam_role).where(*_one).values(boundary=bindparam("arn")))
_delete = Statement(delete(iam_role).where(*_one))


def _value(row: Row) -> Role:
    return Role(
        account=row[0],
        name=row[1],
        path=row[2],
        role_id=row[3],
        trust_policy=row[4],
        description=row[5],
        max_session_seconds=row[6],
        boundary=row[7],
        created_at=from_micros(row[8]),
    )


async def find(db: Reader, account: str, name: str) -> Role | None:
    """Return the role of that name, or None."""
    row = await db.first(_by_name, account=account, role=name)
    return _value(row) if row else None


async def page(db: Reader, account: str, prefix: str, after: str, count: int) -> list[Role]:
    """Return up to `count` roles below the path `prefix` whose names come after `after`, in order of name."""
    rows = await db.all(_page, account=account, prefix=prefix, after=after, count=count)
    return [_value(row) for row in rows]


async def add(tx: Transaction, role: Role) -> None:
    """Insert a role."""
    await tx.run(
        _insert,
        account=role.account,
        name=role.name,
        path=role.path,
        role_id=role.role_id,
        trust_policy=role.trust_policy,
        description=role.description,
        max_session_seconds=role.max_session_seconds,
        boundary=role.boundary,
        created_at=to_micros(role.created_at),
    )


async def describe(tx: Transaction, role: Role, description: str | None, max_session_seconds: int) -> None:
    """Set the description and the longest session of a role."""
    await tx.run(
        _describe, account=role.account, role=role.name, text=description, seconds=max_session_seconds
    )


async def trust(tx: Transaction, role: Role, document: str) -> None:
    """Set who may become a role."""
    await tx.run(_trust, account=role.account, role=role.name, text=document)


async def bound(tx: Transaction, role: Role, boundary: str | None) -> None:
    """Set or remove the permissions boundary of a role."""
    await tx.run(_bound, account=role.account, role=role.name, arn=boundary)


async def remove(tx: Transaction, role: Role) -> None:
    """Delete a role."""
    await tx.run(_delete, account=role.account, role=role.name)
