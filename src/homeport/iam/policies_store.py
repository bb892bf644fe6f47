"""All SQL about the managed policies of an account and their versions: rows in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import iam_policy, iam_policy_version
from homeport.iam.entities import arn
from homeport.kernel.clock import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Policy:
    """A managed policy; `account` is `aws` for a built-in one."""

    account: str
    name: str
    path: str
    policy_id: str
    description: str | None
    default_version: str
    created_at: datetime
    updated_at: datetime

    @property
    def arn(self) -> str:
        """Its resource name."""
        return arn("policy", self.account, self.name, self.path)


@dataclass(frozen=True, slots=True)
class Version:
    """One text of a managed policy."""

    version: str
    document: str
    is_default: bool
    created_at: datetime


_columns = select(
    iam_policy.c.account_id,
    iam_policy.c.name,
    iam_policy.c.path,
    iam_policy.c.policy_id,
    iam_policy.c.description,
    iam_policy.c.default_version,
    iam_policy.c.created_at,
    iam_policy.c.updated_at,
)
_one = (iam_policy.c.account_id == bindparam("account"), iam_policy.c.name == bindparam("policy"))
_by_name = Statement(_columns.where(*_one))
_all = Statement(_columns.where(iam_policy.c.account_id == bindparam("account")).order_by(iam_policy.c.name))
_count = Statement(select(func.count()).where(iam_policy.c.account_id == bindparam("account")))
_insert = Statement(
    insert(iam_policy).values(
        account_id=bindparam("account"),
        name=bindparam("name"),
        path=bindparam("path"),
        policy_id=bindparam("policy_id"),
        description=bindparam("description"),
        default_version=1,
        next_version=2,
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
)
_next = Statement(select(iam_policy.c.next_version).where(*_one))
_advance = Statement(
    update(iam_policy).where(*_one).values(next_version=bindparam("following"), updated_at=bindparam("now"))
)
_set_default = Statement(
    update(iam_policy).where(*_one).values(default_version=bindparam("number"), updated_at=bindparam("now"))
)
_delete = Statement(delete(iam_policy).where(*_one))

_of_policy = (
    iam_policy_version.c.account_id == bindparam("account"),
    iam_policy_version.c.policy_name == bindparam("policy"),
)
_versions = Statement(
    select(iam_policy_version.c.version, iam_policy_version.c.document, iam_policy_version.c.created_at)
    .where(*_of_policy)
    .order_by(iam_policy_version.c.version.desc())
)
_add_version = Statement(
    insert(iam_policy_version).values(
        account_id=bindparam("account"),
        policy_name=bindparam("name"),
        version=bindparam("number"),
        document=bindparam("document"),
        created_at=bindparam("now"),
    )
)
_delete_version = Statement(
    delete(iam_policy_version).where(*_of_policy, iam_policy_version.c.version == bindparam("number"))
)
_delete_versions = Statement(delete(iam_policy_version).where(*_of_policy))


def _value(row: Row) -> Policy:
    return Policy(
        account=row[0],
        name=row[1],
        path=row[2],
        policy_id=row[3],
        description=row[4],
        default_version=f"v{row[5]}",
        created_at=from_micros(row[6]),
        updated_at=from_micros(row[7]),
    )


def _number(version: str) -> int:
    return int(version.removeprefix("v"))


async def find(db: Reader, account: str, name: str) -> Policy | None:
    """Return the account's own policy of that name, or None."""
    row = await db.first(_by_name, account=account, policy=name)
    return _value(row) if row else None


async def all_of(db: Reader, account: str) -> list[Policy]:
    """Return the account's own policies, in order of name."""
    return [_value(row) for row in await db.all(_all, account=account)]


async def count(db: Reader, account: str) -> int:
    """Return how many policies the account has made."""
    row = await db.first(_count, account=account)
    return int(row[0]) if row else 0


async def add(tx: Transaction, policy: Policy, document: str) -> None:
    """Insert a policy with its first version."""
    await tx.run(
        _insert,
        account=policy.account,
        name=policy.name,
        path=policy.path,
        policy_id=policy.policy_id,
        description=policy.description,
        now=to_micros(policy.created_at),
    )
    await _put(tx, policy, 1, document, policy.created_at)


async def versions(db: Reader, policy: Policy) -> list[Version]:
    """Return the versions of an account's own policy, the newest first."""
    rows = await db.all(_versions, account=policy.account, policy=policy.name)
    return [
        Version(f"v{row[0]}", row[1], f"v{row[0]}" == policy.default_version, from_micros(row[2]))
        for row in rows
    ]


async def add_version(tx: Transaction, policy: Policy, document: str, now: datetime) -> str:
    """Insert a further version and return its id; numbers are never used again."""
    row = await tx.first(_next, account=policy.account, policy=policy.name)
    assert row is not None, "the policy was found in this transaction"
    number = int(row[0])
    await _put(tx, policy, number, document, now)
    await tx.run(
        _advance, account=policy.account, policy=policy.name, following=number + 1, now=to_micros(now)
    )
    return f"v{number}"


async def set_default(tx: Transaction, policy: Policy, version: str, now: datetime) -> None:
    """Make `version` the one that counts."""
    await tx.run(
        _set_default,
        account=policy.account,
        policy=policy.name,
        number=_number(version),
        now=to_micros(now),
    )


async def remove_version(tx: Transaction, policy: Policy, version: str) -> None:
    """Delete one version."""
    await tx.run(_delete_version, account=policy.account, policy=policy.name, number=_number(version))


async def remove(tx: Transaction, policy: Policy) -> None:
    """Delete a policy with its versions."""
    await tx.run(_delete_versions, account=policy.account, policy=policy.name)
    await tx.run(_delete, account=policy.account, policy=policy.name)


async def _put(tx: Transaction, policy: Policy, number: int, document: str, now: datetime) -> None:
    await tx.run(
        _add_version,
        account=policy.account,
        name=policy.name,
        number=number,
        document=document,
        now=to_micros(now),
    )
