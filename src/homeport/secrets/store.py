"""All SQL about secrets. A secret past its recovery window is as good as gone: no query finds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import secret, secret_version
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.names import AccountId
from homeport.secrets.model import SecretRecord, Version

_c, _v = secret.c, secret_version.c
_columns = select(
    _c.account_id,
    _c.name,
    _c.arn,
    _c.description,
    _c.tags,
    _c.created_at,
    _c.changed_at,
    _c.delete_after,
)
_alive = and_(
    _c.account_id == bindparam("account"),
    or_(_c.delete_after.is_(None), _c.delete_after > bindparam("now")),
)
_by_name = Statement(_columns.where(_alive, _c.name == bindparam("name")))
_by_arn = Statement(_columns.where(_alive, _c.arn == bindparam("arn")))
_all = Statement(_columns.where(_alive).order_by(_c.name))
_count = Statement(select(func.count()).where(_alive))
_insert = Statement(
    insert(secret).values(
        account_id=bindparam("account"),
        name=bindparam("name"),
        arn=bindparam("arn"),
        description=bindparam("description"),
        tags=bindparam("tags"),
        created_at=bindparam("now"),
        changed_at=bindparam("now"),
    )
)
_mine = and_(_c.account_id == bindparam("account"), _c.name == bindparam("name_"))
_touch = Statement(update(secret).where(_mine).values(changed_at=bindparam("now")))
_version_columns = select(_v.arn, _v.version_id, _v.value_sealed, _v.binary, _v.stages, _v.created_at)
_in_order = (_v.created_at, _v.version_id)
_versions = Statement(_version_columns.where(_v.arn == bindparam("arn")).order_by(*_in_order))
_all_versions = Statement(
    _version_columns.join(secret, _c.arn == _v.arn)
    .where(_c.account_id == bindparam("account"))
    .order_by(*_in_order)
)
_insert_version = Statement(
    insert(secret_version).values(
        arn=bindparam("arn"),
        version_id=bindparam("version_id"),
        value_sealed=bindparam("sealed"),
        binary=bindparam("binary"),
        stages=bindparam("stages"),
        created_at=bindparam("now"),
    )
)
_this_version = and_(_v.arn == bindparam("arn_"), _v.version_id == bindparam("version"))
_set_stages = Statement(update(secret_version).where(_this_version).values(stages=bindparam("labels")))
_delete_version = Statement(delete(secret_version).where(_this_version))
_set_description = Statement(
    update(secret).where(_mine).values(description=bindparam("text"), changed_at=bindparam("now"))
)
_set_tags = Statement(update(secret).where(_mine).values(tags=bindparam("text"), changed_at=bindparam("now")))
_set_end = Statement(
    update(secret).where(_mine).values(delete_after=bindparam("end"), changed_at=bindparam("now"))
)
_delete = Statement(delete(secret).where(_mine))
_due = Statement(select(_c.arn).where(_c.delete_after <= bindparam("now")).limit(1))
_purge = Statement(delete(secret).where(_c.delete_after <= bindparam("now")))


def _value(row: Row, versions: Sequence[Version]) -> SecretRecord:
    return SecretRecord(
        account=AccountId(row[0]),
        name=row[1],
        arn=row[2],
        description=row[3],
        tags=json.loads(row[4]),
        created_at=from_micros(row[5]),
        changed_at=from_micros(row[6]),
        delete_after=from_micros(row[7]) if row[7] is not None else None,
        versions=tuple(versions),
    )


def _version(row: Row) -> Version:
    return Version(
        id=row[1],
        sealed=row[2],
        binary=bool(row[3]),
        stages=tuple(json.loads(row[4])),
        created_at=from_micros(row[5]),
    )


async def _whole(db: Reader, row: Row | None) -> SecretRecord | None:
    if row is None:
        return None
    return _value(row, [_version(each) for each in await db.all(_versions, arn=row[2])])


async def by_name(db: Reader, account: str, name: str, now: datetime) -> SecretRecord | None:
    """Return the secret of that name, or None."""
    return await _whole(db, await db.first(_by_name, account=account, name=name, now=to_micros(now)))


async def by_arn(db: Reader, account: str, arn: str, now: datetime) -> SecretRecord | None:
    """Return the account's secret with that complete ARN, or None."""
    return await _whole(db, await db.first(_by_arn, account=account, arn=arn, now=to_micros(now)))


async def every(db: Reader, account: str, now: datetime) -> list[SecretRecord]:
    """Return all secrets of the account in order of name."""
    versions: dict[str, list[Version]] = {}
    for row in await db.all(_all_versions, account=account):
        versions.setdefault(row[0], []).append(_version(row))
    rows = await db.all(_all, account=account, now=to_micros(now))
    return [_value(row, versions.get(row[2], ())) for row in rows]


async def count(db: Reader, account: str, now: datetime) -> int:
    """Return how many secrets the account has."""
    row = await db.first(_count, account=account, now=to_micros(now))
    return int(row[0]) if row else 0


async def add(
    tx: Transaction,
    account: AccountId,
    name: str,
    arn: str,
    description: str | None,
    tags: Mapping[str, str],
    now: datetime,
) -> None:
    """Insert a secret that has no version yet."""
    await tx.run(
        _insert,
        account=account,
        name=name,
        arn=arn,
        description=description,
        tags=json.dumps(dict(tags)),
        now=to_micros(now),
    )


async def add_version(
    tx: Transaction, arn: str, version_id: str, sealed: bytes, now: datetime, *, binary: bool
) -> None:
    """Insert a version; `set_stages` then says which labels it has."""
    await tx.run(
        _insert_version,
        arn=arn,
        version_id=version_id,
        sealed=sealed,
        binary=int(binary),
        stages="[]",
        now=to_micros(now),
    )


async def set_stages(
    tx: Transaction, record: SecretRecord, stages: Mapping[str, tuple[str, ...]], now: datetime
) -> None:
    """Give each version its staging labels and delete those of `record` that have none."""
    for version in record.versions:
        if version.id not in stages:
            await tx.run(_delete_version, arn_=record.arn, version=version.id)
    for version_id, labels in stages.items():
        await tx.run(_set_stages, arn_=record.arn, version=version_id, labels=json.dumps(labels))
    await tx.run(_touch, account=record.account, name_=record.name, now=to_micros(now))


async def set_description(tx: Transaction, record: SecretRecord, text: str, now: datetime) -> None:
    """Replace the description; an empty one is none."""
    await tx.run(
        _set_description, account=record.account, name_=record.name, text=text or None, now=to_micros(now)
    )


async def set_tags(tx: Transaction, record: SecretRecord, tags: Mapping[str, str], now: datetime) -> None:
    """Replace all tags."""
    text = json.dumps(dict(tags))
    await tx.run(_set_tags, account=record.account, name_=record.name, text=text, now=to_micros(now))


async def set_end(tx: Transaction, record: SecretRecord, end: datetime | None, now: datetime) -> None:
    """Schedule the secret for deletion at `end`, or take that back with None."""
    micros = to_micros(end) if end is not None else None
    await tx.run(_set_end, account=record.account, name_=record.name, end=micros, now=to_micros(now))


async def remove(tx: Transaction, account: str, name: str) -> None:
    """Delete a secret for good."""
    await tx.run(_delete, account=account, name_=name)


async def any_due(db: Reader, now: datetime) -> bool:
    """Whether any secret is past its recovery window."""
    return await db.first(_due, now=to_micros(now)) is not None


async def purge(tx: Transaction, now: datetime) -> int:
    """Delete for good all secrets past their recovery window; return how many."""
    return await tx.run(_purge, now=to_micros(now))
