"""Use cases of users: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import entities, groups_store, holdings, keys_store, policies, tags, users_store
from homeport.iam.entities import Kind
from homeport.iam.model import User
from homeport.kernel.errors import DeleteConflict


async def get(db: Reader, account: str, name: str) -> User:
    """Return the user of that name. Errors: NoSuchEntity."""
    found = await users_store.find(db, account, name)
    if found is None:
        raise entities.missing(Kind.USER, name)
    return found


async def create(
    db: Database,
    account: str,
    name: str,
    path: str,
    boundary: str | None,
    asked: Mapping[str, str],
    now: datetime,
) -> User:
    """Create a user without any right. Errors: EntityAlreadyExists, LimitExceeded, NoSuchEntity for the boundary."""

    async def work(tx: Transaction) -> User:
        return await add(tx, User(account, name, path, entities.new_id("AIDA"), boundary, now), asked)

    return await db.write(work)


async def add(tx: Transaction, user: User, asked: Mapping[str, str]) -> User:
    """`create` as a part of somebody else's unit of work."""
    await entities.must_be_free(tx, Kind.USER, user.account, user.name)
    await entities.must_have_room(tx, Kind.USER, user.account)
    if user.boundary is not None:
        await policies.must_be_attachable(tx, user.account, user.boundary, boundary=True)
    await users_store.add(tx, user)
    await tags.put(tx, user.account, Kind.USER.value, user.name, asked)
    return user


async def update(db: Database, account: str, name: str, to_name: str | None, to_path: str | None) -> None:
    """Give a user another name or path; keys, policies, memberships and tags follow.

    Errors: NoSuchEntity, EntityAlreadyExists.
    """

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, Kind.USER, account, name)
        await entities.change(tx, found, to_name or name, to_path or found.path)
        if to_name is not None and to_name != name:
            await holdings.rename(tx, account, Kind.USER.value, name, to_name)
            await groups_store.rename_user(tx, account, name, to_name)
            await keys_store.rename_user(tx, account, name, to_name)

    await db.write(work)


async def delete(db: Database, account: str, name: str) -> None:
    """Delete a user who has nothing any more. Errors: NoSuchEntity, DeleteConflict."""

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, Kind.USER, account, name)
        if await keys_store.of(tx, account, name):
            raise DeleteConflict("Cannot delete entity, must delete access keys first.")
        await holdings.must_have_no_policies(tx, account, Kind.USER.value, name)
        if await groups_store.count_of(tx, account, name):
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        await holdings.clear(tx, account, Kind.USER.value, name)
        await entities.remove(tx, found)

    await db.write(work)


async def delete_with_everything(db: Database, account: str, name: str) -> None:
    """Delete a user with keys, policies, memberships and tags. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        found = await entities.get(tx, Kind.USER, account, name)
        await keys_store.remove_all(tx, account, name)
        await groups_store.leave_all(tx, account, name)
        await holdings.clear(tx, account, Kind.USER.value, name)
        await entities.remove(tx, found)

    await db.write(work)


async def tag(db: Database, account: str, name: str, added: Mapping[str, str]) -> None:
    """Add or change tags. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        await entities.get(tx, Kind.USER, account, name)
        await tags.put(tx, account, Kind.USER.value, name, added)

    await db.write(work)


async def untag(db: Database, account: str, name: str, keys: Sequence[str]) -> None:
    """Remove tags; keys that are not there are ignored. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        await entities.get(tx, Kind.USER, account, name)
        await tags.remove(tx, account, Kind.USER.value, name, keys)

    await db.write(work)
