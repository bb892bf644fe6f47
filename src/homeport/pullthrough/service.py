"""Use cases of pull-through cache rules. Callers have authorised already.

Nothing is pulled through yet: rules are kept and checked, and `validate` says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.errors import (
    Conflict,
    DecryptionFailure,
    LimitExceeded,
    PullThroughCacheRuleAlreadyExists,
    PullThroughCacheRuleNotFound,
    SecretNotFound,
    UnableToAccessSecret,
)
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.kernel.names import AccountId
from homeport.pullthrough import rules, store
from homeport.pullthrough.model import CacheRule, Credential, Upstream
from homeport.secrets.service import Secrets

_NOT_FOUND = (
    "The ARN of the secret specified in the pull through cache rule was not found. Update the secret ARN and "
    "try again."
)
_NOT_READABLE = (
    "The secret is unable to be accessed. Verify the resource permissions for the secret and try again."
)


async def get(db: Reader, account: str, prefix: str) -> CacheRule:
    """Return the rule of that prefix. Errors: PullThroughCacheRuleNotFound."""
    found = await store.find(db, account, prefix)
    if found is None:
        raise PullThroughCacheRuleNotFound(
            f"Pull through cache rule with repository prefix '{prefix}' does not exist in the registry with id "
            f"'{account}'"
        )
    return found


async def every(db: Reader, account: str) -> list[CacheRule]:
    """Return the rules of the registry in order of prefix."""
    return await store.every(db, account)


async def credential(secrets: Secrets, now: datetime, account: str, arn: str) -> Credential:
    """Return the credentials for an upstream registry that the account keeps in the secret `arn`.

    Errors: SecretNotFound, UnableToAccessSecret when it is in another account or region or scheduled for deletion,
    UnableToDecryptSecretValue when its value is not JSON with `username` and `accessToken`.
    """
    parts = arn.split(":")
    if parts[3:5] != [secrets.region, account]:
        raise UnableToAccessSecret(_NOT_READABLE)
    found = await secrets.find(account, arn, now)
    if found is None or found.arn != arn:
        raise SecretNotFound(_NOT_FOUND)
    if found.delete_after is not None:
        raise UnableToAccessSecret(_NOT_READABLE)
    try:
        return rules.read_credential(secrets.current(found))
    except (DecryptionFailure, SecretNotFound):
        raise rules.unreadable() from None


async def create(
    db: Database,
    secrets: Secrets,
    now: datetime,
    account: AccountId,
    prefix: str,
    url: str,
    upstream: Upstream,
    upstream_prefix: str | None,
    credential_arn: str | None,
    custom_role_arn: str | None,
    quotas: Quotas = ECR_QUOTAS,
) -> CacheRule:
    """Create a rule.

    Errors: InvalidParameter, PullThroughCacheRuleAlreadyExists, LimitExceeded, and those of `credential`.
    """
    rules.check_source(upstream, url, account, secrets.region, credential_arn, custom_role_arn)
    if credential_arn is not None:
        await credential(secrets, now, account, credential_arn)
    rule = CacheRule(
        account, prefix, url, upstream, upstream_prefix, credential_arn, custom_role_arn, now, now
    )

    async def work(tx: Transaction) -> CacheRule:
        if await store.find(tx, account, prefix) is not None:
            raise PullThroughCacheRuleAlreadyExists(
                f"A pull through cache rule with repository prefix '{prefix}' already exists in the registry with "
                f"id '{account}'"
            )
        most = quotas.pull_through_rules
        if await store.count(tx, account) >= most:
            raise LimitExceeded(f"A registry can have at most {most} pull through cache rules")
        await store.add(tx, rule)
        return rule

    return await db.write(work)


async def change(
    db: Database,
    secrets: Secrets,
    now: datetime,
    account: AccountId,
    prefix: str,
    credential_arn: str | None,
    custom_role_arn: str | None,
) -> CacheRule:
    """Change what a rule pulls with; None leaves it as it is.

    Errors: PullThroughCacheRuleNotFound, InvalidParameter, and those of `credential`.
    """
    seen = await get(db, account, prefix)
    rules.check_source(
        seen.upstream,
        seen.upstream_url,
        account,
        secrets.region,
        credential_arn or seen.credential_arn,
        custom_role_arn or seen.custom_role_arn,
    )
    if credential_arn is not None:
        await credential(secrets, now, account, credential_arn)

    async def work(tx: Transaction) -> CacheRule:
        found = await get(tx, account, prefix)
        arn, role = credential_arn or found.credential_arn, custom_role_arn or found.custom_role_arn
        await store.set_source(tx, found, arn, role, now)
        return replace(found, credential_arn=arn, custom_role_arn=role, updated_at=now)

    return await db.write(work)


async def delete(db: Database, account: AccountId, prefix: str) -> CacheRule:
    """Delete a rule and return it; repositories that it filled stay. Errors: PullThroughCacheRuleNotFound."""

    async def work(tx: Transaction) -> CacheRule:
        found = await get(tx, account, prefix)
        await store.remove(tx, found)
        return found

    return await db.write(work)


async def failure(secrets: Secrets, now: datetime, rule: CacheRule) -> str:
    """Return why nothing can be pulled through the rule: its credentials, or that no upstream is contacted yet."""
    if rule.credential_arn is not None:
        try:
            await credential(secrets, now, rule.account, rule.credential_arn)
        except (Conflict, SecretNotFound) as error:
            return error.message
    return (
        f"The upstream registry '{rule.upstream_url}' was not contacted: this version of the registry does not pull "
        "from upstream registries yet. Credentials and settings of the rule are well formed."
    )
