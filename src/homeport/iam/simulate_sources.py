"""The policies of a user, group or role, each by its name, for a simulation."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from homeport.access.evaluate import Caller
from homeport.database.engine import Reader
from homeport.iam import (
    attachments,
    attachments_store,
    entities,
    groups_store,
    inline_store,
    policies,
    roles_store,
    tags,
    users_store,
)
from homeport.iam.entities import Entity, Kind
from homeport.iam.policies_rules import OWNER_AWS, split_arn
from homeport.iam.simulate import Source, read
from homeport.kernel.errors import InvalidEntityInput

_ARN: Final = re.compile(
    r"arn:aws:iam::([0-9]{12}):(user|group|role)((?:/[!-~]{1,510})?/)([A-Za-z0-9_+=,.@-]{1,128})", re.ASCII
)
_CALLER_KEYS: Final = frozenset(
    "aws:" + name
    for name in (
        "principalarn", "principalaccount", "principaltype", "principalisawsservice", "userid", "resourceaccount",
        "viaawsservice",
    )
)  # fmt: skip

Excluded = Set[tuple[str, ...]]
"""What stays out: ("type", kind of policy), ("attached", ARN), ("inline", kind of owner, owner, name)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose policies are simulated; `known` are the context keys that follow from who it is."""

    entity: Entity
    caller: Caller
    known: frozenset[str]


def split_source(arn: str) -> tuple[Kind, str, str, str]:
    """Return (kind, account, path, name) of a user's, group's or role's ARN. Errors: InvalidEntityInput."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise InvalidEntityInput(
            f"Invalid Entity Arn: {arn[:200]} does not clearly define entity type and name."
        )
    return Kind(match[2]), match[1], match[3], match[4]


async def subject(db: Reader, account: str, arn: str) -> Subject:
    """Return the user, group or role of that ARN in the account. Errors: NoSuchEntity, InvalidEntityInput."""
    kind, owner, path, name = split_source(arn)
    if owner != account:
        raise entities.missing(kind, name)
    found = await entities.get(db, kind, account, name)
    if found.path != path:
        raise entities.missing(kind, name)
    held = await tags.of(db, account, kind.value, name)
    facts = {f"aws:principaltag/{key.lower()}": (value,) for key, value in held.items()}
    if kind is Kind.USER:
        user = await users_store.find(db, account, name)
        caller = Caller(account, found.arn, user.id if user else "", "user", facts=facts)
        return Subject(found, caller, _CALLER_KEYS | {"aws:username", *facts})
    if kind is Kind.ROLE:
        role = await roles_store.find(db, account, name)
        session = f"arn:aws:sts::{account}:assumed-role/{name}/simulation"
        role_id = role.role_id if role else ""
        caller = Caller(
            account, session, f"{role_id}:simulation", "assumed-role", role=found.arn, facts=facts
        )
        return Subject(found, caller, _CALLER_KEYS | frozenset(facts))
    return Subject(found, Caller(account, "", "", "federated"), frozenset())


async def identity(db: Reader, subject: Subject, without: Excluded) -> tuple[Source, ...]:
    """Return the policies that the subject has: its own, attached ones, and those of a user's groups."""
    found = await _of(db, subject.entity, without)
    if subject.entity.kind is Kind.USER:
        account, name = subject.entity.account, subject.entity.name
        for group in await groups_store.groups_of(db, account, name, "", 1_000):
            found += await _of(db, Entity(Kind.GROUP, account, group.name, group.path), without)
    return tuple(found)


async def boundary(db: Reader, subject: Subject, without: Excluded) -> tuple[Source, ...] | None:
    """Return the permissions boundary of the subject, None when it has none or it stays out."""
    entity = subject.entity
    arn = await attachments.boundary(db, entity.kind, entity.account, entity.name)
    if arn is None or ("type", "permission-boundary") in without:
        return None
    document = await policies.default_document(db, entity.account, arn)
    return (read(document, *_named(arn)),) if document is not None else ()


async def _of(db: Reader, entity: Entity, without: Excluded) -> list[Source]:
    kind, account = entity.kind, entity.account
    own = await inline_store.of(db, account, kind.value, entity.name)
    found = [
        read(document, name, kind.value)
        for name, document in own.items()
        if not {("type", "inline"), ("inline", kind.value, entity.name, name)} & without
    ]
    for arn in await attachments_store.arns(db, account, kind, entity.name):
        document = await policies.default_document(db, account, arn)
        name, owner_kind = _named(arn)
        if document is not None and not {("type", owner_kind), ("attached", arn)} & without:
            found.append(read(document, name, owner_kind))
    return found


def _named(arn: str) -> tuple[str, str]:
    """The name of a managed policy and whose kind it is."""
    owner, _, name = split_arn(arn)
    return name, "aws-managed" if owner == OWNER_AWS else "user-managed"
