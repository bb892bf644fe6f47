"""Inline policies of users, groups and roles. IAM User Guide, "IAM and AWS STS quotas"; IAM API Reference."""

from __future__ import annotations

from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import documents, entities, inline_store
from homeport.iam.entities import Entity, Kind
from homeport.kernel.errors import LimitExceeded, NoSuchEntity

SIZES = {Kind.USER: 2_048, Kind.ROLE: 10_240, Kind.GROUP: 5_120}
"""IAM: characters of all inline policies of one, white space not counted."""


async def put(db: Database, entity: Entity, name: str, document: str) -> None:
    """Add or replace a policy. Errors: MalformedPolicyDocument, LimitExceeded, NoSuchEntity."""
    check(entity, document)

    async def work(tx: Transaction) -> None:
        await entities.get(tx, entity.kind, entity.account, entity.name)
        await add(tx, entity, name, document)

    await db.write(work)


def check(entity: Entity, document: str) -> None:
    """Return when the entity could have the policy. Errors: MalformedPolicyDocument, LimitExceeded."""
    _check_size(entity, documents.size(document))
    documents.check(document)


async def add(tx: Transaction, entity: Entity, name: str, document: str) -> None:
    """Add or replace a policy that was checked, as a part of somebody else's unit of work. Errors: LimitExceeded."""
    present = await inline_store.of(tx, entity.account, entity.kind.value, entity.name)
    others = sum(documents.size(text) for other, text in present.items() if other != name)
    _check_size(entity, documents.size(document) + others)
    await inline_store.put(tx, entity.account, entity.kind.value, entity.name, name, document)


async def get(db: Reader, entity: Entity, name: str) -> str:
    """Return the document of a policy. Errors: NoSuchEntity."""
    found = await inline_store.find(db, entity.account, entity.kind.value, entity.name, name)
    if found is None:
        raise _missing(entity, name)
    return found


async def delete(db: Database, entity: Entity, name: str) -> None:
    """Remove a policy. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        if not await inline_store.remove(tx, entity.account, entity.kind.value, entity.name, name):
            raise _missing(entity, name)

    await db.write(work)


def _check_size(entity: Entity, counted: int) -> None:
    most = SIZES[entity.kind]
    if counted > most:
        raise LimitExceeded(
            f"Maximum policy size of {most} bytes exceeded for {entity.kind.value} {entity.name}"
        )


def _missing(entity: Entity, name: str) -> NoSuchEntity:
    return NoSuchEntity(f"The {entity.kind.value} policy with name {name} cannot be found.")
