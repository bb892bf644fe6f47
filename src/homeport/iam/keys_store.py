"""All SQL that changes access keys; who holds a key is read in `access`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import access_key
from homeport.iam.model import Key
from homeport.kernel.clock import from_micros, to_micros

_of_user = (access_key.c.account_id == bindparam("account"), access_key.c.user_name == bindparam("user_"))
_one = (*_of_user, access_key.c.id == bindparam("key_"))
_all = Statement(
    select(access_key.c.id, access_key.c.user_name, access_key.c.active, access_key.c.created_at)
    .where(*_of_user)
    .order_by(access_key.c.created_at, access_key.c.id)
)
_holder = Statement(
    select(access_key.c.user_name).where(
        access_key.c.account_id == bindparam("account"), access_key.c.id == bindparam("key_")
    )
)
_add = Statement(
    insert(access_key).values(
        id=bindparam("key_"),
        account_id=bindparam("account"),
        user_name=bindparam("user_"),
        secret_sealed=bindparam("sealed"),
        active=1,
        created_at=bindparam("now"),
    )
)
_set_active = Statement(update(access_key).where(*_one).values(active=bindparam("value_")))
_remove = Statement(delete(access_key).where(*_one))
_remove_all = Statement(delete(access_key).where(*_of_user))
_rename_user = Statement(update(access_key).where(*_of_user).values(user_name=bindparam("to")))


async def of(db: Reader, account: str, user: str) -> list[Key]:
    """Return the user's keys, the oldest first."""
    rows = await db.all(_all, account=account, user_=user)
    return [Key(row[0], row[1], bool(row[2]), from_micros(row[3])) for row in rows]


async def holder(db: Reader, account: str, key_id: str) -> str | None:
    """Return the name of the account's user who holds the key, or None."""
    row = await db.first(_holder, account=account, key_=key_id)
    return row[0] if row else None


async def add(
    tx: Transaction, account: str, user: str, key_id: str, sealed_secret: bytes, now: datetime
) -> None:
    """Insert an active key."""
    await tx.run(_add, key_=key_id, account=account, user_=user, sealed=sealed_secret, now=to_micros(now))


async def set_active(tx: Transaction, account: str, user: str, key_id: str, active: bool) -> bool:
    """Switch a key of the user on or off; whether they have it."""
    return await tx.run(_set_active, account=account, user_=user, key_=key_id, value_=int(active)) > 0


async def remove(tx: Transaction, account: str, user: str, key_id: str) -> bool:
    """Delete a key of the user; whether they had it."""
    return await tx.run(_remove, account=account, user_=user, key_=key_id) > 0


async def remove_all(tx: Transaction, account: str, user: str) -> None:
    """Delete every key of the user."""
    await tx.run(_remove_all, account=account, user_=user)


async def rename_user(tx: Transaction, account: str, user: str, to: str) -> None:
    """Keep the keys of a user who gets another name."""
    await tx.run(_rename_user, account=account, user_=user, to=to)
