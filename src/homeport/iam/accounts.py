"""Accounts, each a registry of its own. They are made on the command line; no API makes one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select

from homeport.access.sealing import Sealer
from homeport.database.engine import Database, Reader, Statement, Transaction
from homeport.database.tables import account
from homeport.iam import entities, inline, keys, users
from homeport.iam.entities import Entity, Kind
from homeport.iam.model import NewKey, User
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import EntityAlreadyExists, NoSuchEntity
from homeport.kernel.names import AccountId

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

_find = Statement(select(account.c.id).where(account.c.id == bindparam("id")))
_all = Statement(select(account.c.id, account.c.name).order_by(account.c.id))
_oldest = Statement(select(account.c.id).order_by(account.c.created_at, account.c.id).limit(1))
_add = Statement(
    insert(account).values(id=bindparam("id"), name=bindparam("name"), created_at=bindparam("now"))
)


async def listing(db: Reader) -> list[tuple[str, str]]:
    """Return (id, name) of every account."""
    return [(row[0], row[1]) for row in await db.all(_all)]


async def must_exist(db: Reader, account_id: str) -> None:
    """Return when there is such an account. Errors: NoSuchEntity."""
    if not await db.first(_find, id=account_id):
        raise NoSuchEntity(f"There is no account {account_id}. `homeport account list` shows all.")


async def create(
    db: Database,
    sealer: Sealer,
    account_id: AccountId,
    name: str,
    now: datetime,
    chosen: tuple[str, str] | None = None,
) -> NewKey:
    """Create an account with its administrator and the administrator's first key, see `keys.add`.

    Errors: EntityAlreadyExists.
    """

    async def work(tx: Transaction) -> NewKey:
        if await tx.first(_find, id=account_id):
            raise EntityAlreadyExists(f"The account {account_id} exists already")
        return await _create(tx, sealer, account_id, name, now, chosen)

    return await db.write(work)


async def create_first(
    db: Database, sealer: Sealer, account_id: AccountId, now: datetime, chosen: tuple[str, str] | None
) -> NewKey | None:
    """Create the account of a new registry, unless there is one: of several nodes that begin at once, one does it.

    `chosen`: id and secret of the administrator's key, where the operator chose them. Returns the key, None when the
    database has an account already.
    """

    async def work(tx: Transaction) -> NewKey | None:
        if await tx.first(_oldest):
            return None
        return await _create(tx, sealer, account_id, "default", now, chosen)

    return await db.write(work)


async def oldest(db: Reader) -> AccountId | None:
    """Return the account with which the registry began."""
    row = await db.first(_oldest)
    return AccountId(row[0]) if row else None


async def _create(
    tx: Transaction,
    sealer: Sealer,
    account_id: AccountId,
    name: str,
    now: datetime,
    chosen: tuple[str, str] | None,
) -> NewKey:
    administrator = Entity(Kind.USER, account_id, ADMINISTRATOR, "/")
    await tx.run(_add, id=account_id, name=name, now=to_micros(now))
    policy = ("AdministratorAccess", ADMINISTRATOR_POLICY)
    return await _add_user(tx, sealer, administrator, policy, now, chosen)


async def create_user(
    db: Database, sealer: Sealer, account_id: str, name: str, document: str | None, now: datetime
) -> NewKey:
    """Create a user with a first key and, when given, an inline policy named `default`.

    The caller has checked the name. Errors: NoSuchEntity, EntityAlreadyExists, LimitExceeded,
    MalformedPolicyDocument.
    """
    user = Entity(Kind.USER, account_id, name, "/")
    if document is not None:
        inline.check(user, document)

    async def work(tx: Transaction) -> NewKey:
        await must_exist(tx, account_id)
        return await _add_user(tx, sealer, user, None if document is None else ("default", document), now)

    return await db.write(work)


async def _add_user(
    tx: Transaction,
    sealer: Sealer,
    user: Entity,
    policy: tuple[str, str] | None,
    now: datetime,
    chosen: tuple[str, str] | None = None,
) -> NewKey:
    await users.add(tx, User(user.account, user.name, user.path, entities.new_id("AIDA"), None, now), {})
    if policy is not None:
        await inline.add(tx, user, *policy)
    return await keys.add(tx, sealer, user, now, chosen)
