"""Users, groups and roles as one: what everything that hangs on them (policies, tags) needs to know."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Table, bindparam, delete, func, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import iam_group, iam_role, iam_user
from homeport.kernel.errors import EntityAlreadyExists, InvalidParameter, LimitExceeded, NoSuchEntity

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
QUOTAS = {"user": 5_000, "group": 300, "role": 1_000}  # IAM: how many of a kind an account has


class Kind(StrEnum):
    """What has policies of its own; the values are those of the columns `kind`."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"


_TABLES: dict[Kind, Table] = {Kind.USER: iam_user, Kind.GROUP: iam_group, Kind.ROLE: iam_role}
_named = {
    kind: (table.c.account_id == bindparam("account"), table.c.name == bindparam("name_"))
    for kind, table in _TABLES.items()
}
_path = {kind: Statement(select(table.c.path).where(*_named[kind])) for kind, table in _TABLES.items()}
_alike = {
    kind: Statement(
        select(table.c.name).where(
            table.c.account_id == bindparam("account"), func.lower(table.c.name) == bindparam("lowered")
        )
    )
    for kind, table in _TABLES.items()
}
_count = {
    kind: Statement(select(func.count()).where(table.c.account_id == bindparam("account")))
    for kind, table in _TABLES.items()
}
_change = {
    kind: Statement(
        update(table).where(*_named[kind]).values(name=bindparam("to_name"), path=bindparam("to_path"))
    )
    for kind, table in _TABLES.items()
}
_remove = {kind: Statement(delete(table).where(*_named[kind])) for kind, table in _TABLES.items()}


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that exists: a user, group or role."""

    kind: Kind
    account: str
    name: str
    path: str

    @property
    def arn(self) -> str:
        """Its resource name."""
        return arn(self.kind, self.account, self.name, self.path)


def arn(kind: str, account: str, name: str, path: str = "/") -> str:
    """Return the resource name of a user, group, role or policy. IAM User Guide, "IAM identifiers"."""
    return f"arn:aws:iam::{account}:{kind}{path}{name}"


def check_name(parameter: str, name: str, most: int) -> None:
    """Return when a user, group, role or policy may have the name. Errors: InvalidParameter.

    The API's names were checked against the model already; those of the command line come here.
    """
    if len(name) > most or not _NAME.fullmatch(name):
        raise InvalidParameter(
            parameter, f"Member must satisfy regular expression pattern: [\\w+=,.@-]{{1,{most}}}"
        )


def new_id(prefix: str) -> str:
    """Return a new unique id: the four letters of its kind and 17 characters of base32. "IAM identifiers"."""
    return prefix + "".join(secrets.choice(_BASE32) for _ in range(17))


async def find(db: Reader, kind: Kind, account: str, name: str) -> Entity | None:
    """Return the user, group or role of that name, or None."""
    row = await db.first(_path[kind], account=account, name_=name)
    return Entity(kind, account, name, row[0]) if row else None


async def get(db: Reader, kind: Kind, account: str, name: str) -> Entity:
    """Return the user, group or role of that name. Errors: NoSuchEntity."""
    found = await find(db, kind, account, name)
    if found is None:
        raise missing(kind, name)
    return found


def missing(kind: Kind, name: str) -> NoSuchEntity:
    """Return the error for a name that nothing has, as IAM words it."""
    return NoSuchEntity(f"The {kind.value} with name {name} cannot be found.")


async def must_be_free(db: Reader, kind: Kind, account: str, name: str) -> None:
    """Return when the name can be given to a new one: names differ in more than case. Errors: EntityAlreadyExists."""
    if await db.first(_alike[kind], account=account, lowered=name.lower()):
        raise EntityAlreadyExists(f"{kind.value.title()} with name {name} already exists.")


async def must_have_room(db: Reader, kind: Kind, account: str) -> None:
    """Return when the account may have one more. Errors: LimitExceeded."""
    row = await db.first(_count[kind], account=account)
    if row and row[0] >= QUOTAS[kind.value]:
        raise LimitExceeded(f"Cannot exceed quota for {kind.value.title()}sPerAccount: {QUOTAS[kind.value]}")


async def change(tx: Transaction, entity: Entity, to_name: str, to_path: str) -> None:
    """Give one another name and path; what hangs on the name is for others to take along.

    Errors: EntityAlreadyExists.
    """
    if to_name.lower() != entity.name.lower():
        await must_be_free(tx, entity.kind, entity.account, to_name)
    await tx.run(
        _change[entity.kind], account=entity.account, name_=entity.name, to_name=to_name, to_path=to_path
    )


async def remove(tx: Transaction, entity: Entity) -> None:
    """Delete the row of one; what hangs on its name is for others to remove."""
    await tx.run(_remove[entity.kind], account=entity.account, name_=entity.name)
