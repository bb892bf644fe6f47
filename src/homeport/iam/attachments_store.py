"""All SQL about which managed policies are attached to, or bound, which users, groups and roles."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, literal, select, update
from sqlalchemy import union_all as union

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import iam_attachment, iam_group, iam_role, iam_user
from homeport.iam.entities import Kind


@dataclass(frozen=True, slots=True)
class Holder:
    """A user, group or role that has a managed policy, as permissions or as its boundary."""

    kind: Kind
    name: str
    path: str
    unique_id: str
    boundary: bool


_of_owner = (
    iam_attachment.c.account_id == bindparam("account"),
    iam_attachment.c.kind == bindparam("kind_"),
    iam_attachment.c.owner == bindparam("owner_"),
)
_arns = Statement(select(iam_attachment.c.policy_arn).where(*_of_owner).order_by(iam_attachment.c.policy_arn))
_add = Statement(
    insert(iam_attachment).values(
        account_id=bindparam("account"),
        kind=bindparam("kind_"),
        owner=bindparam("owner_"),
        policy_arn=bindparam("arn"),
    )
)
_remove = Statement(delete(iam_attachment).where(*_of_owner, iam_attachment.c.policy_arn == bindparam("arn")))
_counts = Statement(
    select(iam_attachment.c.policy_arn, func.count())
    .where(iam_attachment.c.account_id == bindparam("account"))
    .group_by(iam_attachment.c.policy_arn)
)
_boundary_counts = Statement(
    union(
        *(
            select(table.c.boundary, func.count())
            .where(table.c.account_id == bindparam("account"), table.c.boundary.is_not(None))
            .group_by(table.c.boundary)
            for table in (iam_user, iam_role)
        )
    )
)
_IDS = {
    Kind.USER: (iam_user, iam_user.c.user_id),
    Kind.GROUP: (iam_group, iam_group.c.group_id),
    Kind.ROLE: (iam_role, iam_role.c.role_id),
}
_holders = Statement(
    union(
        *(
            select(literal(kind.value), table.c.name, table.c.path, unique_id, literal(0))
            .join_from(
                iam_attachment,
                table,
                (table.c.account_id == iam_attachment.c.account_id)
                & (table.c.name == iam_attachment.c.owner),
            )
            .where(
                iam_attachment.c.account_id == bindparam("account"),
                iam_attachment.c.kind == kind.value,
                iam_attachment.c.policy_arn == bindparam("arn"),
            )
            for kind, (table, unique_id) in _IDS.items()
        ),
        *(
            select(literal(kind.value), table.c.name, table.c.path, unique_id, literal(1)).where(
                table.c.account_id == bindparam("account"), table.c.boundary == bindparam("arn")
            )
            for kind, (table, unique_id) in _IDS.items()
            if kind is not Kind.GROUP
        ),
    )
)
_user_boundary = Statement(
    select(iam_user.c.boundary).where(
        iam_user.c.account_id == bindparam("account"), iam_user.c.name == bindparam("owner_")
    )
)
_bind_user = Statement(
    update(iam_user)
    .where(iam_user.c.account_id == bindparam("account"), iam_user.c.name == bindparam("owner_"))
    .values(boundary=bindparam("arn"))
)


async def arns(db: Reader, account: str, kind: Kind, owner: str) -> list[str]:
    """Return the ARNs of what is attached, in their order."""
    return [row[0] for row in await db.all(_arns, account=account, kind_=kind.value, owner_=owner)]


async def add(tx: Transaction, account: str, kind: Kind, owner: str, arn: str) -> None:
    """Attach a policy that is not attached yet."""
    await tx.run(_add, account=account, kind_=kind.value, owner_=owner, arn=arn)


async def remove(tx: Transaction, account: str, kind: Kind, owner: str, arn: str) -> bool:
    """Detach a policy; return whether it was attached."""
    return await tx.run(_remove, account=account, kind_=kind.value, owner_=owner, arn=arn) > 0


async def counts(db: Reader, account: str) -> dict[str, int]:
    """Return how many users, groups and roles of the account have each attached policy."""
    return {row[0]: int(row[1]) for row in await db.all(_counts, account=account)}


async def boundary_counts(db: Reader, account: str) -> dict[str, int]:
    """Return how many users and roles of the account each policy bounds."""
    found: dict[str, int] = {}
    for arn, number in await db.all(_boundary_counts, account=account):
        found[arn] = found.get(arn, 0) + int(number)
    return found


async def holders(db: Reader, account: str, arn: str) -> list[Holder]:
    """Return every user, group and role of the account that has the policy."""
    rows = await db.all(_holders, account=account, arn=arn)
    return [Holder(Kind(row[0]), row[1], row[2], row[3], bool(row[4])) for row in rows]


async def user_boundary(db: Reader, account: str, user: str) -> str | None:
    """Return the ARN of a user's permissions boundary, or None."""
    row = await db.first(_user_boundary, account=account, owner_=user)
    return row[0] if row else None


async def bind_user(tx: Transaction, account: str, user: str, arn: str | None) -> None:
    """Set or remove the permissions boundary of a user."""
    await tx.run(_bind_user, account=account, owner_=user, arn=arn)
