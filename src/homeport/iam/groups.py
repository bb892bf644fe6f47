"""Use cases of groups: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import entities, groups_store, holdings
from homeport.iam.entities import Kind
from homeport.iam.model import Group
from homeport.kernel.errors import DeleteConflict, LimitExceeded

GROUPS = 10
"""IAM: groups that one user can be in."""


async def get(db: Reader, account: str, name: str) -> Group:
    """Return the group of that name. Errors: NoSuchEntity."""
    found = await groups_store.find(db, account, name)
    if found is None:
        raise entities.missing(Kind.GROUP, name)
    return found


async def create(db: Database, account: str, name: str, path: str, now: datetime) -> Group:
    """Create a group without members and policies. Errors: EntityAlreadyExists, LimitExceeded."""

    async def work(tx: Transaction) -> Group:
        await entities.must_be_free(tx, Kind.GROUP, account, name)
        await entities.must_have_room(tx, Kind.GROUP, account)
        created = Group(account, name, path, entities.new_id("AGPA"), now)
        await groups_store.add(tx, created)
        return created

    return await db.write(work)


async def update(db: Database, account: str, name: str, to_name: str | None, to_path: str | None) -> None:
    """Give a group another name or path; policies and members follow.

    Errors: NoSuchEntity, EntityAlreadyExists.
    """

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, Kind.GROUP, account, name)
        await entities.change(tx, found, to_name or name, to_path or found.path)
        if to_name is not None and to_name != name:
            await holdings.rename(tx, account, Kind.GROUP.value, name, to_name)
            await groups_store.rename_group(tx, account, name, to_name)

    await db.write(work)


async def delete(db: Database, account: str, name: str) -> None:
    """Delete a group that is empty. Errors: NoSuchEntity, DeleteConflict."""

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, Kind.GROUP, account, name)
        if await groups_store.has_members(tx, account, name):
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        await holdings.must_have_no_policies(tx, account, Kind.GROUP.value, name)
        await entities.remove(tx, found)

    await db.write(work)


async def add_user(db: Database, account: str, group: str, user: str) -> None:
    """Put a user into a group; nothing happens when they are in it. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        await entities.get(tx, Kind.GROUP, account, group)
        await entities.get(tx, Kind.USER, account, user)
        if await groups_store.is_member(tx, account, group, user):
            return
        if await groups_store.count_of(tx, account, user) >= GROUPS:
            raise LimitExceeded(f"Cannot exceed quota for GroupsPerUser: {GROUPS}")
        await groups_store.join(tx, account, group, user)

    await db.write(work)


async def remove_user(db: Database, account: str, group: str, user: str) -> None:
    """Take a user out of a group; nothing happens when they are not in it. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        await entities.get(tx, Kind.GROUP, account, group)
        await entities.get(tx, Kind.USER, account, user)
        await groups_store.leave(tx, account, group, user)

    await db.write(work)
