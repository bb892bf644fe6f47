"""Accounts, users, access keys and the policies attached to them: all SQL and all rules about who exists.

A `Principal` is read afresh for every request, so a changed policy or a removed key takes effect on tokens that are
out already. Secrets of access keys are stored sealed; nothing here returns one except at its creation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from homeport.access import policies
from homeport.access.evaluate import Caller
from homeport.access.policies import Policy
from homeport.access.sealing import Sealer, Secret
from homeport.access.tokens import new_access_key_id, new_secret_access_key, new_user_id
from homeport.database.engine import Database, Reader, Row, Statement, Transaction
from homeport.database.tables import access_key, account, iam_inline_policy, iam_user
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import HomeportError, InvalidParameter
from homeport.kernel.names import AccountId

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
_USER_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_SECRET = "access key secret"  # noqa: S105 (the purpose of a seal, not a secret)

_account = Statement(select(account.c.id, account.c.name).where(account.c.id == bindparam("id")))
_accounts = Statement(select(account.c.id, account.c.name).order_by(account.c.id))
_add_account = Statement(
    insert(account).values(id=bindparam("id"), name=bindparam("name"), created_at=bindparam("now"))
)
_users = Statement(
    select(iam_user.c.name).where(iam_user.c.account_id == bindparam("account")).order_by(iam_user.c.name)
)
_user = Statement(
    select(iam_user.c.user_id).where(
        iam_user.c.account_id == bindparam("account"), iam_user.c.name == bindparam("user")
    )
)
_add_user = Statement(
    insert(iam_user).values(
        account_id=bindparam("account"),
        name=bindparam("user"),
        path="/",
        user_id=bindparam("user_id"),
        created_at=bindparam("now"),
    )
)
_delete_user = Statement(
    delete(iam_user).where(
        iam_user.c.account_id == bindparam("account"), iam_user.c.name == bindparam("user")
    )
)
_policies = Statement(
    select(iam_inline_policy.c.name, iam_inline_policy.c.document)
    .where(
        iam_inline_policy.c.account_id == bindparam("account"),
        iam_inline_policy.c.kind == "user",
        iam_inline_policy.c.owner == bindparam("user"),
    )
    .order_by(iam_inline_policy.c.name)
)
_one_policy = (
    iam_inline_policy.c.account_id == bindparam("account"),
    iam_inline_policy.c.kind == "user",
    iam_inline_policy.c.owner == bindparam("user"),
    iam_inline_policy.c.name == bindparam("name"),
)
_delete_policy = Statement(delete(iam_inline_policy).where(*_one_policy))
_delete_policies = Statement(delete(iam_inline_policy).where(*_one_policy[:3]))
_add_policy = Statement(
    insert(iam_inline_policy).values(
        account_id=bindparam("account"),
        kind="user",
        owner=bindparam("user"),
        name=bindparam("name"),
        document=bindparam("document"),
    )
)
_key = Statement(
    select(
        access_key.c.account_id, access_key.c.user_name, access_key.c.secret_sealed, access_key.c.active
    ).where(access_key.c.id == bindparam("id"))
)
_holder = Statement(
    select(access_key.c.account_id, access_key.c.user_name, iam_user.c.user_id, iam_inline_policy.c.document)
    .join(
        iam_user,
        and_(iam_user.c.account_id == access_key.c.account_id, iam_user.c.name == access_key.c.user_name),
    )
    .outerjoin(
        iam_inline_policy,
        and_(
            iam_inline_policy.c.account_id == iam_user.c.account_id,
            iam_inline_policy.c.kind == "user",
            iam_inline_policy.c.owner == iam_user.c.name,
        ),
    )
    .where(access_key.c.id == bindparam("id"), access_key.c.active == 1)
    .order_by(iam_inline_policy.c.name)
)
_keys = Statement(
    select(access_key.c.id, access_key.c.active)
    .where(access_key.c.account_id == bindparam("account"), access_key.c.user_name == bindparam("user"))
    .order_by(access_key.c.created_at)
)
_count_keys = Statement(
    select(func.count()).where(
        access_key.c.account_id == bindparam("account"), access_key.c.user_name == bindparam("user")
    )
)
_add_key = Statement(
    insert(access_key).values(
        id=bindparam("id"),
        account_id=bindparam("account"),
        user_name=bindparam("user"),
        secret_sealed=bindparam("sealed"),
        active=1,
        created_at=bindparam("now"),
    )
)
_set_active = Statement(
    update(access_key)
    .where(access_key.c.id == bindparam("key"), access_key.c.account_id == bindparam("account"))
    .values(active=bindparam("value"))
)
_delete_key = Statement(
    delete(access_key).where(
        access_key.c.id == bindparam("key"), access_key.c.account_id == bindparam("account")
    )
)
_delete_keys = Statement(
    delete(access_key).where(
        access_key.c.account_id == bindparam("account"), access_key.c.user_name == bindparam("user")
    )
)


class NoSuchIdentity(HomeportError):
    """A command named an account, user, policy or key that does not exist."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are, with everything a decision needs to know about them."""

    caller: Caller
    access_key_id: str
    policies: tuple[Policy, ...]
    session_policy: Policy | None = None

    @property
    def arn(self) -> str:
        """The principal's resource name."""
        return self.caller.arn


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored access key with its secret opened, for verifying a signature."""

    id: str
    account: str
    user: str
    secret: Secret
    active: bool


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its creation: the only moment at which the secret is shown."""

    account: str
    user: str
    user_arn: str
    access_key_id: str
    secret_access_key: str


def user_arn(account_id: str, user: str) -> str:
    """Return the resource name of a user."""
    return f"arn:aws:iam::{account_id}:user/{user}"


class Identities:
    """The identities of one region's database."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    async def accounts(self) -> list[tuple[str, str]]:
        """Return (id, name) of every account."""
        return [(row[0], row[1]) for row in await self._db.all(_accounts)]

    async def users(self, account_id: str) -> list[str]:
        """Return the names of the account's users."""
        return [row[0] for row in await self._db.all(_users, account=account_id)]

    async def keys(self, account_id: str, user: str) -> list[tuple[str, bool]]:
        """Return (access key id, active) of the user's keys."""
        rows = await self._db.all(_keys, account=account_id, user=user)
        return [(row[0], bool(row[1])) for row in rows]

    async def user_policies(self, account_id: str, user: str) -> dict[str, str]:
        """Return the user's policy documents by name."""
        return {row[0]: row[1] for row in await self._db.all(_policies, account=account_id, user=user)}

    async def create_account(self, account_id: AccountId, name: str, now: datetime) -> NewKey:
        """Create an account with its administrator and the administrator's first key.

        Errors: InvalidParameter when the account exists.
        """

        async def work(tx: Transaction) -> NewKey:
            if await tx.first(_account, id=account_id):
                raise InvalidParameter("account", f"The account {account_id} exists already")
            await tx.run(_add_account, id=account_id, name=name, now=to_micros(now))
            await self._add_user(tx, account_id, ADMINISTRATOR, now)
            await _put_policy(tx, account_id, ADMINISTRATOR, "AdministratorAccess", ADMINISTRATOR_POLICY)
            return await self._add_key(tx, account_id, ADMINISTRATOR, now)

        return await self._db.write(work)

    async def create_user(self, account_id: str, user: str, document: str | None, now: datetime) -> NewKey:
        """Create a user with a first key and, when given, a policy named `default`.

        Errors: InvalidParameter for a bad name, an existing user or a bad policy; NoSuchIdentity.
        """
        if document is not None:
            policies.parse_identity_policy(document)
        if not _USER_NAME.fullmatch(user):
            raise InvalidParameter(
                "userName", "Member must satisfy regular expression pattern: [\\w+=,.@-]{1,64}"
            )

        async def work(tx: Transaction) -> NewKey:
            if not await tx.first(_account, id=account_id):
                raise NoSuchIdentity(f"There is no account {account_id}. `homeport account list` shows all.")
            if await tx.first(_user, account=account_id, user=user):
                raise InvalidParameter("userName", f"The user {user} exists already")
            await self._add_user(tx, account_id, user, now)
            if document is not None:
                await _put_policy(tx, account_id, user, "default", document)
            return await self._add_key(tx, account_id, user, now)

        return await self._db.write(work)

    async def delete_user(self, account_id: str, user: str) -> None:
        """Remove a user with keys and policies; their tokens stop working at once. Errors: NoSuchIdentity."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(_delete_user, account=account_id, user=user):
                raise NoSuchIdentity(f"There is no user {user} in account {account_id}.")
            await tx.run(_delete_policies, account=account_id, user=user)
            await tx.run(_delete_keys, account=account_id, user=user)

        await self._db.write(work)

    async def put_policy(self, account_id: str, user: str, name: str, document: str) -> None:
        """Attach or replace a policy of a user. Errors: InvalidParameter for a bad document, NoSuchIdentity."""
        policies.parse_identity_policy(document)

        async def work(tx: Transaction) -> None:
            await _must_exist(tx, account_id, user)
            await _put_policy(tx, account_id, user, name, document)

        await self._db.write(work)

    async def delete_policy(self, account_id: str, user: str, name: str) -> None:
        """Remove a policy from a user. Errors: NoSuchIdentity."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(_delete_policy, account=account_id, user=user, name=name):
                raise NoSuchIdentity(f"The user {user} has no policy named {name}.")

        await self._db.write(work)

    async def create_key(self, account_id: str, user: str, now: datetime) -> NewKey:
        """Give a user a further key, two at most. Errors: NoSuchIdentity, InvalidParameter."""

        async def work(tx: Transaction) -> NewKey:
            await _must_exist(tx, account_id, user)
            counted = await tx.first(_count_keys, account=account_id, user=user)
            if counted and counted[0] >= 2:
                raise InvalidParameter("userName", "A user has at most two access keys; delete one first")
            return await self._add_key(tx, account_id, user, now)

        return await self._db.write(work)

    async def set_key_active(self, account_id: str, key_id: str, active: bool) -> None:
        """Switch a key on or off. Errors: NoSuchIdentity."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(_set_active, key=key_id, account=account_id, value=int(active)):
                raise NoSuchIdentity(f"There is no access key {key_id} in account {account_id}.")

        await self._db.write(work)

    async def delete_key(self, account_id: str, key_id: str) -> None:
        """Remove a key. Errors: NoSuchIdentity."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(_delete_key, key=key_id, account=account_id):
                raise NoSuchIdentity(f"There is no access key {key_id} in account {account_id}.")

        await self._db.write(work)

    async def key(self, key_id: str) -> AccessKey | None:
        """Return a key with its secret opened, or None."""
        row = await self._db.first(_key, id=key_id)
        if row is None:
            return None
        secret = self._sealer.open(_SECRET, row[2], key_id.encode()).decode()
        return AccessKey(key_id, row[0], row[1], Secret(secret), bool(row[3]))

    async def principal(self, key_id: str) -> Principal | None:
        """Return who holds the key as they are now; None when key or user is gone or the key is off."""
        rows = await self._db.all(_holder, id=key_id)
        return _principal(key_id, tuple(rows)) if rows else None

    async def _add_user(self, tx: Transaction, account_id: str, user: str, now: datetime) -> None:
        await tx.run(_add_user, account=account_id, user=user, user_id=new_user_id(), now=to_micros(now))

    async def _add_key(self, tx: Transaction, account_id: str, user: str, now: datetime) -> NewKey:
        key_id, secret = new_access_key_id(), new_secret_access_key()
        sealed = self._sealer.seal(_SECRET, secret.encode(), key_id.encode())
        await tx.run(_add_key, id=key_id, account=account_id, user=user, sealed=sealed, now=to_micros(now))
        return NewKey(account_id, user, user_arn(account_id, user), key_id, secret)


@lru_cache(maxsize=1024)
def _principal(key_id: str, rows: tuple[Row, ...]) -> Principal:
    """Put a principal together from (account, user, user id, policy document or None) rows."""
    account_id, user, user_id, _ = rows[0]
    attached = tuple(policies.compiled_identity_policy(row[3]) for row in rows if row[3] is not None)
    return Principal(Caller(account_id, user_arn(account_id, user), user_id, "user"), key_id, attached)


async def _must_exist(db: Reader, account_id: str, user: str) -> None:
    if not await db.first(_user, account=account_id, user=user):
        raise NoSuchIdentity(f"There is no user {user} in account {account_id}.")


async def _put_policy(tx: Transaction, account_id: str, user: str, name: str, document: str) -> None:
    await tx.run(_delete_policy, account=account_id, user=user, name=name)
    await tx.run(_add_policy, account=account_id, user=user, name=name, document=document)
