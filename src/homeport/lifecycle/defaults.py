"""Lifecycle policies that repositories inherit: from the longest prefix of their name, or from the whole registry.

An extension: ECR knows only policies of single repositories. A repository's own policy takes the place of what it
would inherit entirely. Callers have authorised already.
"""

from __future__ import annotations

from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import DefaultLifecyclePolicyNotFound, LimitExceeded
from homeport.lifecycle import defaults_store, store
from homeport.lifecycle.model import DefaultPolicy, EffectivePolicy
from homeport.lifecycle.policies import accepted_text
from homeport.repositories.model import Repository
from homeport.repositories.prefixes import candidates, spellings


async def put_default(
    db: Database,
    now: datetime,
    account: str,
    prefix: str,
    text: str,
    *,
    extended: bool = False,
    most_rules: int = limits.LIFECYCLE_RULES,
) -> DefaultPolicy:
    """Let the repositories below `prefix` inherit `text`, or with ROOT all; return what is stored.

    Args:
        extended: whether the policy may say what those of ECR cannot.
        most_rules: how many rules it may have.

    Errors: InvalidParameter when it is not a lifecycle policy, LimitExceeded when too many prefixes have one.
    """
    accepted = accepted_text(text, extended=extended, most_rules=most_rules)
    bare, _ = spellings(prefix)
    stored = DefaultPolicy(bare, accepted, now)

    async def work(tx: Transaction) -> None:
        present = await defaults_store.find(tx, account, bare)
        if present is None and await defaults_store.count(tx, account) >= limits.DEFAULT_LIFECYCLE_POLICIES:
            raise LimitExceeded(
                f"A registry can have at most {limits.DEFAULT_LIFECYCLE_POLICIES} default lifecycle policies"
            )
        await defaults_store.put(tx, account, bare, stored.text, now)

    await db.write(work)
    return stored


async def delete_default(db: Database, account: str, prefix: str) -> DefaultPolicy:
    """Let nothing be inherited from exactly that prefix; return what was. Errors: DefaultLifecyclePolicyNotFound."""
    bare, _ = spellings(prefix)

    async def work(tx: Transaction) -> DefaultPolicy:
        found = await defaults_store.find(tx, account, bare)
        if found is None:
            raise DefaultLifecyclePolicyNotFound(bare, account)
        await defaults_store.remove(tx, account, bare)
        return found

    return await db.write(work)


async def defaults(reader: Reader, account: str, after: str, count: int) -> list[DefaultPolicy]:
    """Return up to `count` inherited policies of the registry after the prefix `after`, in order of prefix."""
    return await defaults_store.page(reader, account, after, count)


async def effective(reader: Reader, repository: Repository) -> EffectivePolicy | None:
    """Return the policy that acts on the repository: its own, else that of its closest prefix; None without any.

    Public repositories have none: ECR Public knows no lifecycle policies.
    """
    if repository.public:
        return None
    own = await store.policy(reader, repository.id)
    if own is not None:
        return EffectivePolicy(own.text, None)
    for prefix in candidates(repository.name):
        found = await defaults_store.find(reader, repository.account, prefix)
        if found is not None:
            return EffectivePolicy(found.text, found.prefix)
    return None
