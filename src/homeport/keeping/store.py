"""All SQL about the bytes that are kept: what rows say of them, marks, quarantine, holds. Rows in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import BindParameter, bindparam, delete, func, insert, null, select, union_all, update
from sqlalchemy.dialects.sqlite import insert as insert_if_new

from homeport.blobs.port import Shard, StorageKey
from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import blob, deletion_hold, quarantine, tombstone, upload
from homeport.keeping.model import KeptBlob
from homeport.kernel.clock import from_micros, to_micros

KEYS_AT_ONCE = 64

_columns = (
    blob.c.digest,
    blob.c.size,
    blob.c.storage_key,
    func.coalesce(blob.c.verified_at, blob.c.created_at),
    blob.c.damaged_at,
)
_page = Statement(
    select(*_columns)
    .where(blob.c.digest > bindparam("after"))
    .order_by(blob.c.digest)
    .limit(bindparam("count"))
)
_page_of_shard = Statement(
    select(*_columns)
    .where(blob.c.storage_key > bindparam("after"), blob.c.storage_key < bindparam("end"))
    .order_by(blob.c.storage_key)
    .limit(bindparam("count"))
)
_one = Statement(select(*_columns).where(blob.c.digest == bindparam("digest")))
_totals = Statement(select(func.count(), func.coalesce(func.sum(blob.c.size), 0)).select_from(blob))
_damaged = Statement(select(func.count()).where(blob.c.damaged_at.is_not(None)))
_same = (blob.c.digest == bindparam("of"), blob.c.storage_key == bindparam("seen"))
_whole = Statement(update(blob).where(*_same).values(verified_at=bindparam("at"), damaged_at=null()))
_mark = Statement(update(blob).where(*_same, blob.c.damaged_at.is_(None)).values(damaged_at=bindparam("at")))

_unmark = Statement(update(blob).where(blob.c.damaged_at.is_not(None)).values(damaged_at=null()))

_places: list[BindParameter[str]] = [bindparam(f"key_{number}") for number in range(KEYS_AT_ONCE)]
_known = Statement(
    union_all(
        *(
            select(table.c.storage_key).where(table.c.storage_key.in_(_places))
            for table in (blob, upload, tombstone, quarantine)
        )
    )
)
_owned = Statement(
    union_all(
        *(
            select(table.c.storage_key).where(table.c.storage_key == bindparam("key"))
            for table in (blob, upload)
        )
    )
)

_set_aside = Statement(
    insert_if_new(quarantine)
    .values(storage_key=bindparam("key"), size=bindparam("size"), found_at=bindparam("at"))
    .on_conflict_do_nothing()
)
_aside = Statement(
    select(func.count(), func.coalesce(func.sum(quarantine.c.size), 0)).select_from(quarantine)
)
_long_aside = Statement(
    select(quarantine.c.storage_key, quarantine.c.size)
    .where(quarantine.c.found_at <= bindparam("before"))
    .order_by(quarantine.c.found_at)
    .limit(bindparam("count"))
)
_take_back = Statement(delete(quarantine).where(quarantine.c.storage_key == bindparam("key")))

_add_hold = Statement(
    insert(deletion_hold).values(id=bindparam("id"), reason=bindparam("reason"), until=bindparam("until"))
)
_renew_hold = Statement(
    update(deletion_hold)
    .where(deletion_hold.c.id == bindparam("of"), deletion_hold.c.until > bindparam("now"))
    .values(until=bindparam("to"))
)
_end_hold = Statement(delete(deletion_hold).where(deletion_hold.c.id == bindparam("id")))
_ended_holds = Statement(delete(deletion_hold).where(deletion_hold.c.until <= bindparam("now")))

_forget = tuple(Statement(delete(table)) for table in (upload, tombstone, quarantine, deletion_hold))
_forget_unfinished = tuple(Statement(delete(table)) for table in (upload, quarantine))


def _value(row: Row) -> KeptBlob:
    return KeptBlob(row[0], row[1], StorageKey(row[2]), from_micros(row[3]), row[4] is not None)


async def blobs(db: Reader, after: str, count: int) -> list[KeptBlob]:
    """Return up to `count` blobs whose digests follow `after`, in order; from the start for the empty text."""
    return [_value(row) for row in await db.all(_page, after=after, count=count)]


async def blobs_of_shard(db: Reader, shard: Shard, after: str, count: int) -> list[KeptBlob]:
    """Return up to `count` blobs with bytes in a shard whose storage keys follow `after`, in order."""
    rows = await db.all(
        _page_of_shard, after=after or shard, end=f"{shard[:-1]}0", count=count
    )  # "0" follows "/"
    return [_value(row) for row in rows]


async def find(db: Reader, digest: str) -> KeptBlob | None:
    """Return a blob, None when there is none (any more)."""
    row = await db.first(_one, digest=digest)
    return _value(row) if row else None


async def totals(db: Reader) -> tuple[int, int]:
    """Return how many blobs there are, and their bytes together."""
    row = await db.first(_totals)
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def damaged(db: Reader) -> int:
    """Return how many blobs are marked as damaged."""
    row = await db.first(_damaged)
    return int(row[0]) if row else 0


async def is_whole(tx: Transaction, seen: KeptBlob, now: datetime) -> None:
    """Write down that the bytes of `seen` were read and are the blob's; a mark goes."""
    await tx.run(_whole, of=seen.digest, seen=seen.storage_key, at=to_micros(now))


async def mark(tx: Transaction, seen: KeptBlob, now: datetime) -> bool:
    """Mark the bytes of `seen` as damaged; false when they were already, or are others by now."""
    return await tx.run(_mark, of=seen.digest, seen=seen.storage_key, at=to_micros(now)) == 1


async def remove_marks(tx: Transaction) -> None:
    """Call no blob damaged."""
    await tx.run(_unmark)


async def unknown(db: Reader, keys: Sequence[StorageKey]) -> list[StorageKey]:
    """Return those of at most `KEYS_AT_ONCE` keys of which no row knows: no blob, upload, tombstone or quarantine."""
    if not keys:
        return []
    asked = {f"key_{number}": keys[min(number, len(keys) - 1)] for number in range(KEYS_AT_ONCE)}
    known = {row[0] for row in await db.all(_known, **asked)}
    return [key for key in keys if key not in known]


async def is_owned(db: Reader, key: StorageKey) -> bool:
    """Whether a blob or an open upload has its bytes under `key`."""
    return await db.first(_owned, key=key) is not None


async def set_aside(tx: Transaction, key: StorageKey, size: int, now: datetime) -> None:
    """Put bytes that nobody knows into quarantine, where they are."""
    await tx.run(_set_aside, key=key, size=size, at=to_micros(now))


async def aside(db: Reader) -> tuple[int, int]:
    """Return how many objects are in quarantine, and their bytes together."""
    row = await db.first(_aside)
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def long_aside(db: Reader, before: datetime, count: int) -> list[tuple[StorageKey, int]]:
    """Return key and size of up to `count` objects that came into quarantine before then."""
    rows = await db.all(_long_aside, before=to_micros(before), count=count)
    return [(StorageKey(row[0]), row[1]) for row in rows]


async def take_back(tx: Transaction, keys: Iterable[StorageKey]) -> None:
    """Forget that objects are in quarantine."""
    for key in keys:
        await tx.run(_take_back, key=key)


async def add_hold(tx: Transaction, id_: str, reason: str, now: datetime, until: datetime) -> None:
    """Let no bytes be deleted until then; holds that have ended are forgotten."""
    await tx.run(_ended_holds, now=to_micros(now))
    await tx.run(_add_hold, id=id_, reason=reason, until=to_micros(until))


async def renew_hold(tx: Transaction, id_: str, now: datetime, until: datetime) -> bool:
    """Prolong a hold; false when it has ended already, so that bytes may be gone."""
    return await tx.run(_renew_hold, of=id_, now=to_micros(now), to=to_micros(until)) == 1


async def end_hold(tx: Transaction, id_: str) -> None:
    """Let deletions go on."""
    await tx.run(_end_hold, id=id_)


async def forget_unfinished(tx: Transaction) -> None:
    """Forget uploads and quarantine: their bytes stay behind when blobs move to another place."""
    for statement in _forget_unfinished:
        await tx.run(statement)


async def forget_what_was_not_restored(tx: Transaction) -> None:
    """Forget uploads, tombstones and quarantine: their bytes are in no backup."""
    for statement in _forget:
        await tx.run(statement)
