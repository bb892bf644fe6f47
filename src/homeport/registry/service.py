"""Use cases of a registry's settings: one function each, one transaction each. Callers have authorised already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from homeport.access.authorize import RegistryPolicy
from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import (
    ExclusionAlreadyExists,
    ExclusionNotFound,
    LimitExceeded,
    RegistryPolicyNotFound,
    SigningConfigurationNotFound,
)
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.registry import documents, rules, store
from homeport.registry.model import Document, Exclusion, ScanningConfiguration, Setting, SigningRule

_UNREAD = object()

# --- Account settings ---


async def setting(db: Reader, account: str, name: Setting) -> str:
    """Return the value of an account setting, its default when nobody has set it."""
    return await store.document(db, account, _kind(name)) or rules.default_value(name)


async def put_setting(db: Database, now: datetime, account: str, name: Setting, value: str) -> None:
    """Set an account setting. Errors: InvalidParameter for a value that it cannot have."""
    checked = rules.check_value(name, value)

    async def work(tx: Transaction) -> None:
        await store.put_document(tx, account, _kind(name), checked, now)

    await db.write(work)


async def mounts_blobs(db: Reader, account: str) -> bool:
    """Whether a push may take over a blob from another repository of the registry."""
    return await setting(db, account, Setting.BLOB_MOUNTING) == "ENABLED"


async def lifecycle_extensions(db: Reader, account: str) -> bool:
    """Whether lifecycle policies of the registry may say what those of ECR cannot."""
    return await setting(db, account, Setting.LIFECYCLE_EXTENSIONS) == "ENABLED"


async def image_recovery(db: Reader, account: str) -> timedelta | None:
    """Return for how long images that are deleted from now on can be brought back, None when they cannot."""
    return rules.recovery_time(await setting(db, account, Setting.IMAGE_RECOVERY))


def _kind(name: Setting) -> str:
    return f"setting:{name.value}"


async def _narrow(db: Reader, account: str) -> bool:
    return await setting(db, account, Setting.REGISTRY_POLICY_SCOPE) == "V1"


# --- The registry's policy ---


async def policy_in_force(db: Database, account: str) -> RegistryPolicy | None:
    """Return what the registry's policy says for decisions, None without one.

    Asked for every decision, so it is remembered until something is committed.
    """
    remembered, key = db.derived(), ("registry policy", account)
    found = remembered.get(key, _UNREAD)
    if found is _UNREAD:
        text = await store.document(db, account, Document.POLICY)
        found = None if text is None else RegistryPolicy(text, narrow=await _narrow(db, account))
        remembered[key] = found
    return found if isinstance(found, RegistryPolicy) else None


async def would_be(db: Reader, account: str, text: str) -> RegistryPolicy:
    """Return the policy that `text` would be in this registry. Errors: InvalidParameter when it is none."""
    narrow = await _narrow(db, account)
    rules.check_policy(text, narrow=narrow)
    return RegistryPolicy(text, narrow=narrow)


async def policy(db: Reader, account: str) -> str:
    """Return the policy text. Errors: RegistryPolicyNotFound."""
    text = await store.document(db, account, Document.POLICY)
    if text is None:
        raise RegistryPolicyNotFound(account)
    return text


async def put_policy(db: Database, now: datetime, account: str, text: str) -> None:
    """Set or replace the policy. Errors: InvalidParameter when it is none, or too wide for the registry's scope."""

    async def work(tx: Transaction) -> None:
        await would_be(tx, account, text)
        await store.put_document(tx, account, Document.POLICY, text, now)

    await db.write(work)


async def delete_policy(db: Database, account: str) -> str:
    """Remove the policy and return its text. Errors: RegistryPolicyNotFound."""

    async def work(tx: Transaction) -> str:
        text = await policy(tx, account)
        await store.remove_document(tx, account, Document.POLICY)
        return text

    return await db.write(work)


# --- Scanning and signing ---


async def scanning(db: Reader, account: str) -> ScanningConfiguration:
    """Return the scanning configuration: basic and by hand only, when nobody has set one."""
    text = await store.document(db, account, Document.SCANNING)
    return documents.read_scanning(text) if text is not None else ScanningConfiguration()


async def put_scanning(
    db: Database, now: datetime, account: str, configuration: ScanningConfiguration
) -> None:
    """Replace the scanning configuration. Errors: InvalidParameter."""
    rules.check_scanning(configuration)

    async def work(tx: Transaction) -> None:
        text = documents.scanning_text(configuration)
        await store.put_document(tx, account, Document.SCANNING, text, now)

    await db.write(work)


async def signing(db: Reader, account: str) -> tuple[SigningRule, ...]:
    """Return the signing rules. Errors: SigningConfigurationNotFound."""
    text = await store.document(db, account, Document.SIGNING)
    if text is None:
        raise SigningConfigurationNotFound(
            f"Signing configuration does not exist in the registry with id '{account}'"
        )
    return documents.read_signing(text)


async def put_signing(
    db: Database,
    now: datetime,
    account: str,
    region: str,
    asked: Sequence[SigningRule],
    quotas: Quotas = ECR_QUOTAS,
) -> None:
    """Replace the signing rules of a registry in `region`. Errors: InvalidParameter."""
    rules.check_signing(asked, region, quotas.signing_rules)

    async def work(tx: Transaction) -> None:
        await store.put_document(tx, account, Document.SIGNING, documents.signing_text(asked), now)

    await db.write(work)


async def delete_signing(db: Database, account: str) -> tuple[SigningRule, ...]:
    """Remove the signing rules and return them; signatures stay. Errors: SigningConfigurationNotFound."""

    async def work(tx: Transaction) -> tuple[SigningRule, ...]:
        gone = await signing(tx, account)
        await store.remove_document(tx, account, Document.SIGNING)
        return gone

    return await db.write(work)


# --- Pull-time exclusions ---


async def exclude(db: Database, now: datetime, account: str, principal: str) -> Exclusion:
    """Let pulls by `principal` leave lastRecordedPullTime alone. Errors: ExclusionAlreadyExists, LimitExceeded."""

    async def work(tx: Transaction) -> None:
        if await store.is_excluded(tx, account, principal):
            raise ExclusionAlreadyExists(
                f"The pull time update exclusion for '{principal}' already exists in the registry with id '{account}'"
            )
        if await store.count_exclusions(tx, account) >= limits.PULL_EXCLUSIONS:
            raise LimitExceeded(
                f"A registry can have at most {limits.PULL_EXCLUSIONS} pull time update exclusions"
            )
        await store.add_exclusion(tx, account, principal, now)

    await db.write(work)
    return Exclusion(principal, now)


async def include(db: Database, account: str, principal: str) -> None:
    """Undo `exclude`. Errors: ExclusionNotFound."""

    async def work(tx: Transaction) -> None:
        if not await store.remove_exclusion(tx, account, principal):
            raise ExclusionNotFound(
                f"The pull time update exclusion for '{principal}' does not exist in the registry with id '{account}'"
            )

    await db.write(work)


async def exclusions(db: Reader, account: str, after: str, count: int) -> list[Exclusion]:
    """Return up to `count` exclusions after the ARN `after`, in order of ARN."""
    return await store.exclusions(db, account, after, count)


async def counts_pulls(db: Database, account: str, principal: str) -> bool:
    """Whether a pull from the registry by `principal`, the ARN of a caller, refreshes lastRecordedPullTime."""
    remembered, key = db.derived(), ("pull exclusions", account)
    excluded = remembered.get(key)
    if excluded is None:
        found = await store.exclusions(db, account, "", limits.PULL_EXCLUSIONS)
        excluded = remembered[key] = frozenset(rules.person(each.principal_arn) for each in found)
    return not excluded or rules.person(principal) not in excluded
