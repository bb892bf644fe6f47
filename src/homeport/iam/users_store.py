"""All SQL about users: rows in, values out."""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import iam_user
from homeport.iam.model import User
from homeport.kernel.clock import from_micros, to_micros

columns = select(
    iam_user.c.account_id,
    iam_user.c.name,
    iam_user.c.path,
    iam_user.c.user_id,
    iam_user.c.boundary,
    iam_user.c.created_at,
)
"""What a user is made of."""

_in_account = iam_user.c.account_id == bindparam("account")
_find = Statement(columns.where(_in_account, iam_user.c.name == bindparam("name_")))
_page = Statement(
    columns.where(
        _in_account,
        iam_user.c.name > bindparam("after"),
        func.substr(iam_user.c.path, 1, func.length(bindparam("prefix"))) == bindparam("prefix"),
    )
    .order_by(iam_user.c.name)
    .limit(bindparam("count"))
)
_add = Statement(
    insert(iam_user).values(
        account_id=bindparam("account"),
        name=bindparam("name_"),
        path=bindparam("path_"),
        user_id=bindparam("id"),
        boundary=bindparam("boundary_"),
        created_at=bindparam("now"),
    )
)


def value(row: Row) -> User:
    """Return the user of a row of `columns`."""
    return User(row[0], row[1], row[2], row[3], row[4], from_micros(row[5]))


async def find(db: Reader, account: str, name: str) -> User | None:
    """Return the user of that name, or None."""
    row = await db.first(_find, account=account, name_=name)
    return value(row) if row else None


async def page(db: Reader, account: str, prefix: str, after: str, most: int) -> list[User]:
    """Return up to `most` users after the name `after` whose paths begin with `prefix`, in order of name."""
    rows = await db.all(_page, account=account, prefix=prefix, after=after, count=most)
    return [value(row) for row in rows]


async def add(tx: Transaction, user: User) -> None:
    """Insert a user."""
    await tx.run(
        _add,
        account=user.account,
        name_=user.name,
        path_=user.path,
        id=user.id,
        boundary_=user.boundary,
        now=to_micros(user.created_at),
    )
