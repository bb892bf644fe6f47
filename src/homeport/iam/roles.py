"""Use cases of roles: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from homeport.access.trust import parse_trust_policy
from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import documents, entities, holdings, policies, roles_store, tags
from homeport.iam.entities import Kind
from homeport.iam.roles_store import Role
from homeport.kernel.errors import LimitExceeded

TRUST_CHARS: Final = 2_048  # IAM: a role's trust policy, white space not counted
SESSION_SECONDS: Final = 3_600  # IAM: the longest session unless the role says otherwise


async def find(db: Reader, account: str, name: str) -> Role | None:
    """Return the role of that name, or None: for callers that must authorise before they may say which."""
    return await roles_store.find(db, account, name)


async def get(db: Reader, account: str, name: str) -> Role:
    """Return the role of that name. Errors: NoSuchEntity."""
    found = await roles_store.find(db, account, name)
    if found is None:
        raise entities.missing(Kind.ROLE, name)
    return found


async def tags_of(db: Reader, account: str, name: str) -> dict[str, str]:
    """Return the tags of a role."""
    return await tags.of(db, account, Kind.ROLE.value, name)


async def page(db: Reader, account: str, prefix: str, after: str, count: int) -> list[Role]:
    """Return up to `count` roles below the path `prefix` after the name `after`, in order of name."""
    return await roles_store.page(db, account, prefix, after, count)


def check_trust(document: str) -> None:
    """Return when `document` can be a trust policy. Errors: MalformedPolicyDocument, LimitExceeded."""
    if documents.size(document) > TRUST_CHARS:
        raise LimitExceeded(f"Cannot exceed quota for ACLSizePerRole: {TRUST_CHARS}")
    parse_trust_policy(document)


async def create(
    db: Database,
    now: datetime,
    account: str,
    name: str,
    *,
    path: str,
    trust_policy: str,
    description: str | None,
    max_session_seconds: int,
    boundary: str | None,
    asked: Mapping[str, str],
) -> Role:
    """Create a role.

    Errors: EntityAlreadyExists, MalformedPolicyDocument, LimitExceeded; NoSuchEntity and InvalidEntityInput for the
    boundary.
    """
    check_trust(trust_policy)
    made = Role(
        account,
        name,
        path,
        entities.new_id("AROA"),
        trust_policy,
        description,
        max_session_seconds,
        boundary,
        now,
    )

    async def work(tx: Transaction) -> Role:
        await entities.must_be_free(tx, Kind.ROLE, account, name)
        await entities.must_have_room(tx, Kind.ROLE, account)
        if boundary is not None:
            await policies.must_be_attachable(tx, account, boundary, boundary=True)
        await roles_store.add(tx, made)
        await tags.put(tx, account, Kind.ROLE.value, name, asked)
        return made

    return await db.write(work)


async def describe(
    db: Database, account: str, name: str, description: str | None, max_session_seconds: int | None
) -> Role:
    """Change description and longest session, each only when given. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> Role:
        role = await get(tx, account, name)
        text = role.description if description is None else description
        await roles_store.describe(tx, role, text, max_session_seconds or role.max_session_seconds)
        return await get(tx, account, name)

    return await db.write(work)


async def set_trust(db: Database, account: str, name: str, document: str) -> None:
    """Change who may become the role. Errors: NoSuchEntity, MalformedPolicyDocument, LimitExceeded."""
    check_trust(document)

    async def work(tx: Transaction) -> None:
        await roles_store.trust(tx, await get(tx, account, name), document)

    await db.write(work)


async def delete(db: Database, account: str, name: str) -> None:
    """Delete a role; its sessions end at once. Errors: NoSuchEntity, DeleteConflict while it has policies."""

    async def work(tx: Transaction) -> None:
        role = await get(tx, account, name)
        await holdings.must_have_no_policies(tx, account, Kind.ROLE.value, name)
        await holdings.clear(tx, account, Kind.ROLE.value, name)
        await roles_store.remove(tx, role)

    await db.write(work)


async def tag(db: Database, account: str, name: str, added: Mapping[str, str]) -> None:
    """Add or change tags. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        await get(tx, account, name)
        await tags.put(tx, account, Kind.ROLE.value, name, added)

    await db.write(work)


async def untag(db: Database, account: str, name: str, keys: Sequence[str]) -> None:
    """Remove tags; keys that are not there are ignored. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        await get(tx, account, name)
        await tags.remove(tx, account, Kind.ROLE.value, name, keys)

    await db.write(work)
