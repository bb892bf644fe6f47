"""Use cases of managed policies: the account's own with their versions, and the built-in ones that nobody changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from homeport.access.managed import MANAGED, ManagedPolicy
from homeport.database.engine import Database, Reader, Transaction
from homeport.iam import attachments_store, entities, holdings, policies_store, tags
from homeport.iam.policies_rules import OWNER_AWS, POLICIES, VERSIONS, check_document, split_arn
from homeport.iam.policies_store import Policy, Version
from homeport.kernel.errors import (
    AccessDenied,
    DeleteConflict,
    EntityAlreadyExists,
    LimitExceeded,
    NoSuchEntity,
)

_KIND = "policy"  # of the tags


@dataclass(frozen=True, slots=True)
class Listed:
    """A policy with how often it is used in the account."""

    policy: Policy
    attached: int
    bounding: int


def _built_in(known: ManagedPolicy) -> Policy:
    return Policy(
        OWNER_AWS,
        known.name,
        "/",
        known.policy_id,
        known.description,
        known.version,
        known.created_at,
        known.updated_at,
    )


async def find(db: Reader, account: str, arn: str) -> Policy | None:
    """Return the policy of that ARN as `account` may use it, or None. Errors: InvalidEntityInput for no such ARN."""
    owner, path, name = split_arn(arn)
    if owner == OWNER_AWS:
        known = MANAGED.get(arn)
        return _built_in(known) if known is not None else None
    found = await policies_store.find(db, owner, name) if owner == account else None
    return found if found is not None and found.path == path else None


async def get(db: Reader, account: str, arn: str) -> Policy:
    """Return the policy of that ARN. Errors: NoSuchEntity, InvalidEntityInput."""
    found = await find(db, account, arn)
    if found is None:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return found


async def must_be_attachable(db: Reader, account: str, arn: str, *, boundary: bool = False) -> None:
    """Return when a user, group or role of the account may have the policy.

    Errors: NoSuchEntity, InvalidEntityInput.
    """
    if await find(db, account, arn) is None:
        what = "Scope ARN:" if boundary else "Policy"
        raise NoSuchEntity(f"{what} {arn} does not exist or is not attachable.")


async def tags_of(db: Reader, policy: Policy) -> dict[str, str]:
    """Return the tags of a policy; built-in ones have none."""
    return await tags.of(db, policy.account, _KIND, policy.name)


async def create(
    db: Database,
    now: datetime,
    account: str,
    name: str,
    path: str,
    document: str,
    description: str | None,
    asked: Mapping[str, str],
) -> Policy:
    """Create a policy whose first version is `document`.

    Errors: EntityAlreadyExists, MalformedPolicyDocument, LimitExceeded.
    """
    check_document(document)
    made = Policy(account, name, path, entities.new_id("ANPA"), description, "v1", now, now)

    async def work(tx: Transaction) -> Policy:
        if await policies_store.find(tx, account, name):
            raise EntityAlreadyExists(
                f"A policy called {name} already exists. Duplicate names are not allowed."
            )
        if await policies_store.count(tx, account) >= POLICIES:
            raise LimitExceeded(f"Cannot exceed quota for PoliciesPerAccount: {POLICIES}")
        await policies_store.add(tx, made, document)
        await tags.put(tx, account, _KIND, name, asked)
        return made

    return await db.write(work)


async def usage(db: Reader, account: str, policy: Policy) -> Listed:
    """Return a policy with how often the account uses it."""
    attached = await attachments_store.counts(db, account)
    bounding = await attachments_store.boundary_counts(db, account)
    return Listed(policy, attached.get(policy.arn, 0), bounding.get(policy.arn, 0))


async def listing(db: Reader, account: str, scope: str) -> list[Listed]:
    """Return every policy of the `scope` All, AWS or Local with how often the account uses it."""
    found: list[Policy] = []
    if scope != "Local":
        found += [_built_in(known) for known in MANAGED.values()]
    if scope != "AWS":
        found += await policies_store.all_of(db, account)
    attached = await attachments_store.counts(db, account)
    bounding = await attachments_store.boundary_counts(db, account)
    return [Listed(each, attached.get(each.arn, 0), bounding.get(each.arn, 0)) for each in found]


async def versions(db: Reader, policy: Policy) -> list[Version]:
    """Return the versions of a policy, the newest first."""
    if policy.account == OWNER_AWS:
        known = MANAGED[policy.arn]
        return [Version(known.version, known.document, True, known.updated_at)]
    return await policies_store.versions(db, policy)


async def version(db: Reader, policy: Policy, wanted: str) -> Version:
    """Return one version of a policy. Errors: NoSuchEntity."""
    for each in await versions(db, policy):
        if each.version == wanted:
            return each
    raise NoSuchEntity(f"Policy {policy.arn} version {wanted} does not exist or is not attachable.")


async def default_document(db: Reader, account: str, arn: str) -> str | None:
    """Return the text that counts of the policy of that ARN, None when it is gone."""
    policy = await find(db, account, arn)
    if policy is None:
        return None
    return (await version(db, policy, policy.default_version)).document


async def create_version(
    db: Database, now: datetime, account: str, arn: str, document: str, *, set_default: bool
) -> Version:
    """Give a policy a further version, five at most. Errors: NoSuchEntity, MalformedPolicyDocument, LimitExceeded."""
    check_document(document)

    async def work(tx: Transaction) -> Version:
        policy = await _own(tx, account, arn)
        if len(await policies_store.versions(tx, policy)) >= VERSIONS:
            raise LimitExceeded(
                "A managed policy can have up to 5 versions. Before you create a new version, you must "
                "delete an existing version."
            )
        made = await policies_store.add_version(tx, policy, document, now)
        if set_default:
            await policies_store.set_default(tx, policy, made, now)
        return Version(made, document, set_default, now)

    return await db.write(work)


async def delete_version(db: Database, account: str, arn: str, wanted: str) -> None:
    """Delete a version that is not the default. Errors: NoSuchEntity, DeleteConflict."""

    async def work(tx: Transaction) -> None:
        policy = await _own(tx, account, arn)
        found = await version(tx, policy, wanted)
        if found.is_default:
            raise DeleteConflict("Cannot delete the default version of a policy.")
        await policies_store.remove_version(tx, policy, wanted)

    await db.write(work)


async def set_default(db: Database, now: datetime, account: str, arn: str, wanted: str) -> None:
    """Make another version the one that counts, for whoever has the policy, at once. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        policy = await _own(tx, account, arn)
        await version(tx, policy, wanted)
        await policies_store.set_default(tx, policy, wanted, now)

    await db.write(work)


async def delete(db: Database, account: str, arn: str) -> None:
    """Delete a policy that nobody has and that has one version left. Errors: NoSuchEntity, DeleteConflict."""

    async def work(tx: Transaction) -> None:
        policy = await _own(tx, account, arn)
        used = await usage(tx, account, policy)
        if used.attached or used.bounding:
            raise DeleteConflict("Cannot delete a policy attached to entities.")
        if len(await policies_store.versions(tx, policy)) > 1:
            raise DeleteConflict(
                "This policy has more than one version. Before you delete a policy, you must delete the "
                "policy's versions. The default version is deleted with the policy."
            )
        await holdings.clear(tx, account, _KIND, policy.name)
        await policies_store.remove(tx, policy)

    await db.write(work)


async def tag(db: Database, account: str, arn: str, added: Mapping[str, str]) -> None:
    """Add or change tags of a policy. Errors: NoSuchEntity, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        policy = await _own(tx, account, arn)
        await tags.put(tx, account, _KIND, policy.name, added)

    await db.write(work)


async def untag(db: Database, account: str, arn: str, keys: Sequence[str]) -> None:
    """Remove tags of a policy. Errors: NoSuchEntity."""

    async def work(tx: Transaction) -> None:
        policy = await _own(tx, account, arn)
        await tags.remove(tx, account, _KIND, policy.name, keys)

    await db.write(work)


async def _own(tx: Transaction, account: str, arn: str) -> Policy:
    """Return a policy that the account may change."""
    policy = await get(tx, account, arn)
    if policy.account == OWNER_AWS:  # not even an administrator of the account owns it
        raise AccessDenied(f"The policy {arn} is built in and cannot be changed")
    return policy
