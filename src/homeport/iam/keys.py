"""Use cases of access keys. A secret is shown once, at its creation, and kept sealed."""

from __future__ import annotations

from datetime import datetime

from homeport.access.key_ids import new_access_key_id, new_secret_access_key
from homeport.access.principals import KEY_SECRET
from homeport.access.sealing import Sealer
from homeport.database.engine import Database, Transaction
from homeport.iam import entities, keys_store
from homeport.iam.entities import Entity, Kind
from homeport.iam.model import NewKey
from homeport.kernel.errors import LimitExceeded, NoSuchEntity

KEYS = 2
"""IAM: access keys of one user."""


async def create(
    db: Database,
    sealer: Sealer,
    account: str,
    user: str,
    now: datetime,
    chosen: tuple[str, str] | None = None,
) -> NewKey:
    """Give a user a further key; see `add`. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> NewKey:
        return await add(tx, sealer, await entities.get(tx, Kind.USER, account, user), now, chosen)

    return await db.write(work)


async def add(
    tx: Transaction, sealer: Sealer, user: Entity, now: datetime, chosen: tuple[str, str] | None = None
) -> NewKey:
    """`create` as a part of somebody else's unit of work; `chosen`: an id and a secret of the operator's own."""
    if len(await keys_store.of(tx, user.account, user.name)) >= KEYS:
        raise LimitExceeded(f"Cannot exceed quota for AccessKeysPerUser: {KEYS}")
    key_id, secret = chosen or (new_access_key_id(), new_secret_access_key())
    sealed = sealer.seal(KEY_SECRET, secret.encode(), key_id.encode())
    await keys_store.add(tx, user.account, user.name, key_id, sealed, now)
    return NewKey(user.account, user.name, user.arn, key_id, secret, now)


async def set_active(db: Database, account: str, user: str, key_id: str, active: bool) -> None:
    """Switch a key of the user on or off; what came from it stops working at once. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        if not await keys_store.set_active(tx, account, user, key_id, active):
            raise missing(key_id)

    await db.write(work)


async def delete(db: Database, account: str, user: str, key_id: str) -> None:
    """Remove a key of the user. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        if not await keys_store.remove(tx, account, user, key_id):
            raise missing(key_id)

    await db.write(work)


def missing(key_id: str) -> NoSuchEntity:
    """Return the error for a key that the user does not have, as IAM words it."""
    return NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
