"""Use cases of secrets. Callers have authorised already. Values are sealed before they reach the database."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from homeport.access.sealing import SealBroken, Sealer
from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel import limits
from homeport.kernel.errors import (
    DecryptionFailure,
    InvalidSecretState,
    LimitExceeded,
    SecretExists,
    SecretNotFound,
)
from homeport.kernel.names import AccountId
from homeport.secrets import rules, store
from homeport.secrets.model import CURRENT, SecretRecord, Value, Version

_PURPOSE: Final = "secret value"
_MARKED = "You can't perform this operation on the secret because it was marked for deletion."
_ALREADY = "You can't perform this operation on the secret because it was already scheduled for deletion."


def not_found() -> SecretNotFound:
    """Return the error for a secret that does not exist."""
    return SecretNotFound("Secrets Manager can't find the specified secret.")


def must_be_in_use(record: SecretRecord) -> None:
    """Return when the secret is not scheduled for deletion. Errors: InvalidSecretState."""
    if record.delete_after is not None:
        raise InvalidSecretState(_MARKED)


def no_value(which: str) -> SecretNotFound:
    """Return the error for a version that a secret does not have; `which` is what it was asked for by."""
    return SecretNotFound(f"Secrets Manager can't find the specified secret value for {which}")


class Secrets:
    """The secrets of every account of one region."""

    def __init__(self, db: Database, sealer: Sealer, region: str) -> None:
        self._db = db
        self._sealer = sealer
        self.region = region

    async def find(self, account: str, secret_id: str, now: datetime) -> SecretRecord | None:
        """Return the account's secret by its name, its ARN, or its ARN without the random part; or None."""
        return await self._find(self._db, account, secret_id, now)

    async def _find(self, db: Reader, account: str, secret_id: str, now: datetime) -> SecretRecord | None:
        if not secret_id.startswith("arn:"):
            return await store.by_name(db, account, secret_id, now)
        parts = rules.parts_of_arn(secret_id)
        if parts is None or parts[:2] != (self.region, account):
            return None
        whole = await store.by_arn(db, account, secret_id, now)
        return whole if whole is not None else await store.by_name(db, account, parts[2], now)

    async def every(self, account: str, now: datetime) -> list[SecretRecord]:
        """Return all secrets of the account in order of name, those scheduled for deletion too."""
        return await store.every(self._db, account, now)

    def reveal(self, record: SecretRecord, version: Version) -> bytes:
        """Return the value of that version of the secret. Errors: DecryptionFailure under another master key."""
        try:
            return self._sealer.open(_PURPOSE, version.sealed, record.arn.encode())
        except SealBroken:
            raise DecryptionFailure(
                "The value cannot be opened with the master key of this registry"
            ) from None

    def current(self, record: SecretRecord) -> bytes:
        """Return the current value. Errors: SecretNotFound when none was put yet, DecryptionFailure."""
        version = record.staged(CURRENT)
        if version is None:
            raise no_value(f"staging label: {CURRENT}")
        return self.reveal(record, version)

    async def create(
        self,
        now: datetime,
        account: AccountId,
        name: str,
        arn: str,
        value: Value | None,
        token: str | None,
        description: str | None,
        tags: Mapping[str, str],
    ) -> SecretRecord:
        """Create a secret; the same request once more, known by its token, changes nothing.

        Errors: ValidationError, InvalidInput, SecretExists, InvalidSecretState, LimitExceeded.
        """
        rules.check_name(name)
        rules.check_tags(tags)

        async def work(tx: Transaction) -> SecretRecord:
            known = await store.by_name(tx, account, name, now)
            if known is not None:
                if known.delete_after is not None:
                    raise InvalidSecretState(
                        "You can't create this secret because a secret with this name is already scheduled for "
                        "deletion."
                    )
                if value is not None and token is not None and self._has(known, token, value):
                    return known
                raise SecretExists(f"The operation failed because the secret {name} already exists.")
            if await store.count(tx, account, now) >= limits.SECRETS:
                raise LimitExceeded(f"An account can have at most {limits.SECRETS} secrets.")
            await store.remove(tx, account, name)  # one of that name may be past its recovery window
            await store.add(tx, account, name, arn, description or None, tags, now)
            if value is not None:
                made = await self._get(tx, account, name, now)
                await self._add_version(tx, now, made, value, token, (CURRENT,))
            return await self._get(tx, account, name, now)

        return await self._db.write(work)

    async def put(
        self,
        now: datetime,
        record: SecretRecord,
        value: Value | None,
        token: str | None,
        *,
        description: str | None = None,
        stages: Sequence[str] = (CURRENT,),
    ) -> tuple[SecretRecord, str]:
        """Add a version with the labels `stages`, change the description, or both; None leaves it as it is.

        Returns the secret and the id of the version. A token that names a version must come with its value, and then
        changes nothing. Errors: SecretNotFound, InvalidSecretState, SecretExists, LimitExceeded.
        """
        version_id = token or str(uuid.uuid4())

        async def change(tx: Transaction, seen: SecretRecord) -> None:
            if description is not None:
                await store.set_description(tx, seen, description, now)
            if value is None or self._has(seen, version_id, value):
                return
            if seen.version(version_id) is not None:
                raise SecretExists(
                    f"You can't use ClientRequestToken {token} because that value is already in use for a version "
                    f"of secret {seen.arn}."
                )
            await self._add_version(tx, now, seen, value, version_id, stages)

        return await self._change(now, record, change), version_id

    async def move_stage(
        self, now: datetime, record: SecretRecord, label: str, source: str | None, destination: str | None
    ) -> None:
        """Move a staging label from one version to another, or take it away.

        Errors: SecretNotFound, InvalidSecretState, InvalidInput, LimitExceeded.
        """

        async def change(tx: Transaction, seen: SecretRecord) -> None:
            await store.set_stages(tx, seen, rules.move(seen.stages, label, source, destination), now)

        await self._change(now, record, change)

    async def delete(self, now: datetime, record: SecretRecord, window: timedelta | None) -> datetime:
        """Delete after `window`, until when it can be restored, or at once; return when it is gone.

        Errors: SecretNotFound, InvalidSecretState when it is scheduled already.
        """

        async def work(tx: Transaction) -> datetime:
            seen = await self._get(tx, record.account, record.arn, now)
            if window is None:
                await store.remove(tx, seen.account, seen.name)
                return now
            if seen.delete_after is not None:
                raise InvalidSecretState(_ALREADY)
            await store.set_end(tx, seen, now + window, now)
            return now + window

        return await self._db.write(work)

    async def restore(self, now: datetime, record: SecretRecord) -> None:
        """Take a scheduled deletion back. Errors: SecretNotFound."""

        async def work(tx: Transaction) -> None:
            seen = await self._get(tx, record.account, record.arn, now)
            if seen.delete_after is not None:
                await store.set_end(tx, seen, None, now)

        await self._db.write(work)

    async def tag(
        self, now: datetime, record: SecretRecord, added: Mapping[str, str], removed: Sequence[str] = ()
    ) -> None:
        """Add, change and remove tags. Errors: SecretNotFound, InvalidSecretState, InvalidInput."""

        async def change(tx: Transaction, seen: SecretRecord) -> None:
            kept = {key: value for key, value in seen.tags.items() if key not in removed}
            together = {**kept, **added}
            rules.check_tags(together)
            await store.set_tags(tx, seen, together, now)

        await self._change(now, record, change)

    async def purge(self, now: datetime) -> int:
        """Delete for good what is past its recovery window; return how many."""

        async def work(tx: Transaction) -> int:
            return await store.purge(tx, now)

        # A commit for nothing would make every process forget what it remembers.
        return await self._db.write(work) if await store.any_due(self._db, now) else 0

    async def _change(
        self,
        now: datetime,
        record: SecretRecord,
        change: Callable[[Transaction, SecretRecord], Awaitable[None]],
    ) -> SecretRecord:
        async def work(tx: Transaction) -> SecretRecord:
            seen = await self._get(tx, record.account, record.arn, now)
            must_be_in_use(seen)
            await change(tx, seen)
            return await self._get(tx, record.account, record.arn, now)

        return await self._db.write(work)

    async def _get(self, db: Reader, account: str, secret_id: str, now: datetime) -> SecretRecord:
        found = await self._find(db, account, secret_id, now)
        if found is None:
            raise not_found()
        return found

    async def _add_version(
        self,
        tx: Transaction,
        now: datetime,
        record: SecretRecord,
        value: Value,
        token: str | None,
        stages: Sequence[str],
    ) -> None:
        version_id = token or str(uuid.uuid4())
        sealed = self._sealer.seal(_PURPOSE, value.data, record.arn.encode())
        await store.add_version(tx, record.arn, version_id, sealed, now, binary=value.binary)
        await store.set_stages(tx, record, rules.attach(record.stages, version_id, stages), now)

    def _has(self, record: SecretRecord, version_id: str, value: Value) -> bool:
        """Whether the secret has `value` as its version of that id. Errors: DecryptionFailure."""
        version = record.version(version_id)
        if version is None or version.binary is not value.binary:
            return False
        return hmac.compare_digest(self.reveal(record, version), value.data)
