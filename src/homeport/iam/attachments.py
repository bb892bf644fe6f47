"""Use cases of attaching managed policies to users, groups and roles, and of permissions boundaries."""

from __future__ import annotations

from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import attachments_store, entities, policies, roles_store
from homeport.iam.attachments_store import Holder
from homeport.iam.entities import Kind
from homeport.iam.policies_rules import ATTACHED, split_arn
from homeport.kernel.errors import LimitExceeded, NoSuchEntity


async def attached(db: Reader, kind: Kind, account: str, owner: str) -> list[tuple[str, str]]:
    """Return (name, ARN) of the policies attached to a user, group or role. Errors: NoSuchEntity."""
    await entities.get(db, kind, account, owner)
    found = await attachments_store.arns(db, account, kind, owner)
    return sorted((split_arn(arn)[2], arn) for arn in found)


async def attach(db: Database, kind: Kind, account: str, owner: str, arn: str) -> None:
    """Attach a policy, ten at most; attaching it again changes nothing.

    Errors: NoSuchEntity, LimitExceeded, InvalidEntityInput.
    """

    async def work(tx: Transaction) -> None:
        await entities.get(tx, kind, account, owner)
        await policies.must_be_attachable(tx, account, arn)
        present = await attachments_store.arns(tx, account, kind, owner)
        if arn in present:
            return
        if len(present) >= ATTACHED:
            raise LimitExceeded(f"Cannot exceed quota for PoliciesPer{kind.value.title()}: {ATTACHED}")
        await attachments_store.add(tx, account, kind, owner, arn)

    await db.write(work)


async def detach(db: Database, kind: Kind, account: str, owner: str, arn: str) -> None:
    """Detach a policy. Errors: NoSuchEntity, InvalidEntityInput."""
    split_arn(arn)

    async def work(tx: Transaction) -> None:
        await entities.get(tx, kind, account, owner)
        if not await attachments_store.remove(tx, account, kind, owner, arn):
            raise NoSuchEntity(f"Policy {arn} was not found.")

    await db.write(work)


async def holders(db: Reader, account: str, arn: str) -> list[Holder]:
    """Return every user, group and role that has the policy. Errors: NoSuchEntity, InvalidEntityInput."""
    await policies.get(db, account, arn)
    return await attachments_store.holders(db, account, arn)


async def boundary(db: Reader, kind: Kind, account: str, owner: str) -> str | None:
    """Return the ARN of the permissions boundary of a user or role; None when there is none, or no such entity."""
    if kind is Kind.USER:
        return await attachments_store.user_boundary(db, account, owner)
    role = await roles_store.find(db, account, owner) if kind is Kind.ROLE else None
    return role.boundary if role is not None else None


async def set_boundary(db: Database, kind: Kind, account: str, owner: str, arn: str) -> None:
    """Bound a user or role by a policy, at once for sessions that are out. Errors: NoSuchEntity, InvalidEntityInput."""

    async def work(tx: Transaction) -> None:
        await entities.get(tx, kind, account, owner)
        await policies.must_be_attachable(tx, account, arn, boundary=True)
        await _bind(tx, kind, account, owner, arn)

    await db.write(work)


async def clear_boundary(db: Database, kind: Kind, account: str, owner: str) -> None:
    """Remove the permissions boundary of a user or role. Errors: NoSuchEntity, also when it has none."""

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, kind, account, owner)
        if await boundary(tx, kind, account, owner) is None:
            raise NoSuchEntity(f"Permissions boundary for the {kind.value} {found.name} does not exist.")
        await _bind(tx, kind, account, owner, None)

    await db.write(work)


async def _bind(tx: Transaction, kind: Kind, account: str, owner: str, arn: str | None) -> None:
    if kind is Kind.USER:
        await attachments_store.bind_user(tx, account, owner, arn)
        return
    role = await roles_store.find(tx, account, owner)
    if role is not None:
        await roles_store.bound(tx, role, arn)
