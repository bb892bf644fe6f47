"""All SQL about groups and their members: rows in, values out."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import iam_group, iam_membership, iam_user
from homeport.iam import users_store
from homeport.iam.model import Group, User
from homeport.kernel.clock import from_micros, to_micros

columns = select(
    iam_group.c.account_id,
    iam_group.c.name,
    iam_group.c.path,
    iam_group.c.group_id,
    iam_group.c.created_at,
)
"""What a group is made of."""

_in_account = iam_group.c.account_id == bindparam("account")
_find = Statement(columns.where(_in_account, iam_group.c.name == bindparam("name_")))
_page = Statement(
    columns.where(
        _in_account,
        iam_group.c.name > bindparam("after"),
        func.substr(iam_group.c.path, 1, func.length(bindparam("prefix"))) == bindparam("prefix"),
    )
    .order_by(iam_group.c.name)
    .limit(bindparam("count"))
)
_add = Statement(
    insert(iam_group).values(
        account_id=bindparam("account"),
        name=bindparam("name_"),
        path=bindparam("path_"),
        group_id=bindparam("id"),
        created_at=bindparam("now"),
    )
)
_of_user = (
    iam_membership.c.account_id == bindparam("account"),
    iam_membership.c.user_name == bindparam("user_"),
)
_of_group = (
    iam_membership.c.account_id == bindparam("account"),
    iam_membership.c.group_name == bindparam("group_"),
)
_member = Statement(select(iam_membership.c.user_name).where(*_of_user, *_of_group[1:]))
_count_of_user = Statement(select(func.count()).where(*_of_user))
_any_member = Statement(select(iam_membership.c.user_name).where(*_of_group).limit(1))
_members = Statement(
    users_store.columns.join(
        iam_membership,
        and_(
            iam_membership.c.account_id == iam_user.c.account_id,
            iam_membership.c.user_name == iam_user.c.name,
        ),
    )
    .where(*_of_group, iam_membership.c.user_name > bindparam("after"))
    .order_by(iam_membership.c.user_name)
    .limit(bindparam("count"))
)
_groups_of_user = Statement(
    columns.join(
        iam_membership,
        and_(
            iam_membership.c.account_id == iam_group.c.account_id,
            iam_membership.c.group_name == iam_group.c.name,
        ),
    )
    .where(*_of_user, iam_membership.c.group_name > bindparam("after"))
    .order_by(iam_membership.c.group_name)
    .limit(bindparam("count"))
)
_join = Statement(
    insert(iam_membership).values(
        account_id=bindparam("account"), user_name=bindparam("user_"), group_name=bindparam("group_")
    )
)
_leave = Statement(delete(iam_membership).where(*_of_user, *_of_group[1:]))
_leave_all = Statement(delete(iam_membership).where(*_of_user))
_rename_user = Statement(update(iam_membership).where(*_of_user).values(user_name=bindparam("to")))
_rename_group = Statement(update(iam_membership).where(*_of_group).values(group_name=bindparam("to")))


def value(row: Row) -> Group:
    """Return the group of a row of `columns`."""
    return Group(row[0], row[1], row[2], row[3], from_micros(row[4]))


async def find(db: Reader, account: str, name: str) -> Group | None:
    """Return the group of that name, or None."""
    row = await db.first(_find, account=account, name_=name)
    return value(row) if row else None


async def page(db: Reader, account: str, prefix: str, after: str, most: int) -> list[Group]:
    """Return up to `most` groups after the name `after` whose paths begin with `prefix`, in order of name."""
    rows = await db.all(_page, account=account, prefix=prefix, after=after, count=most)
    return [value(row) for row in rows]


async def add(tx: Transaction, group: Group) -> None:
    """Insert a group."""
    await tx.run(
        _add,
        account=group.account,
        name_=group.name,
        path_=group.path,
        id=group.id,
        now=to_micros(group.created_at),
    )


async def is_member(db: Reader, account: str, group: str, user: str) -> bool:
    """Whether the user is in the group."""
    return await db.first(_member, account=account, group_=group, user_=user) is not None


async def has_members(db: Reader, account: str, group: str) -> bool:
    """Whether anybody is in the group."""
    return await db.first(_any_member, account=account, group_=group) is not None


async def count_of(db: Reader, account: str, user: str) -> int:
    """Return in how many groups the user is."""
    row = await db.first(_count_of_user, account=account, user_=user)
    return row[0] if row else 0


async def members(db: Reader, account: str, group: str, after: str, most: int) -> list[User]:
    """Return up to `most` users of the group after the name `after`, in order of name."""
    rows = await db.all(_members, account=account, group_=group, after=after, count=most)
    return [users_store.value(row) for row in rows]


async def groups_of(db: Reader, account: str, user: str, after: str, most: int) -> list[Group]:
    """Return up to `most` groups of the user after the name `after`, in order of name."""
    rows = await db.all(_groups_of_user, account=account, user_=user, after=after, count=most)
    return [value(row) for row in rows]


async def join(tx: Transaction, account: str, group: str, user: str) -> None:
    """Put a user, who is not in it, into a group."""
    await tx.run(_join, account=account, group_=group, user_=user)


async def leave(tx: Transaction, account: str, group: str, user: str) -> None:
    """Take a user out of a group; nothing happens when they are not in it."""
    await tx.run(_leave, account=account, group_=group, user_=user)


async def leave_all(tx: Transaction, account: str, user: str) -> None:
    """Take a user out of every group."""
    await tx.run(_leave_all, account=account, user_=user)


async def rename_user(tx: Transaction, account: str, user: str, to: str) -> None:
    """Keep the memberships of a user who gets another name."""
    await tx.run(_rename_user, account=account, user_=user, to=to)


async def rename_group(tx: Transaction, account: str, group: str, to: str) -> None:
    """Keep the members of a group that gets another name."""
    await tx.run(_rename_group, account=account, group_=group, to=to)
