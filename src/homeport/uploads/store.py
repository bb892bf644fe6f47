"""All SQL about uploads and blobs: rows in, values out."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from sqlalchemy import bindparam, case, delete, exists, func, insert, null, select, update
from sqlalchemy.dialects.sqlite import insert as insert_if_new

from homeport.blobs.port import SIBLING_CHARS, StorageKey
from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import (
    blob,
    deletion_hold,
    image,
    image_blob,
    repository_blob,
    tombstone,
    upload,
)
from homeport.kernel.clock import from_micros, to_micros
from homeport.uploads.model import Blob, Upload

_columns = select(
    upload.c.id,
    upload.c.repository_id,
    upload.c.principal,
    upload.c.storage_key,
    upload.c.offset,
    upload.c.version,
    upload.c.parts,
    upload.c.small_parts,
    upload.c.state,
)
_find = Statement(
    _columns.where(
        upload.c.id == bindparam("upload"),
        upload.c.repository_id == bindparam("repository"),
        upload.c.principal == bindparam("principal"),
    )
)
_stale = Statement(
    _columns.where(upload.c.touched_at < bindparam("before"))
    .order_by(upload.c.touched_at)
    .limit(bindparam("count"))
)
_open = Statement(select(func.count()).where(upload.c.principal == bindparam("principal")))
_insert = Statement(
    insert(upload).values(
        id=bindparam("upload"),
        repository_id=bindparam("repository"),
        principal=bindparam("principal"),
        storage_key=bindparam("storage_key"),
        offset=0,
        version=0,
        parts=0,
        small_parts=0,
        created_at=bindparam("now"),
        touched_at=bindparam("now"),
    )
)
_at_version = (upload.c.id == bindparam("upload"), upload.c.version == bindparam("seen"))
_advance = Statement(
    update(upload)
    .where(*_at_version)
    .values(
        offset=bindparam("to"),
        version=upload.c.version + 1,
        parts=upload.c.parts + 1,
        small_parts=bindparam("small"),
        state=bindparam("state"),
        touched_at=bindparam("now"),
    )
)
_close = Statement(delete(upload).where(*_at_version))
_version = Statement(select(upload.c.version).where(upload.c.id == bindparam("upload")))
_is_blob = Statement(select(blob.c.digest).where(blob.c.storage_key == bindparam("storage_key")))
_insert_blob = Statement(
    insert_if_new(blob)
    .values(
        digest=bindparam("digest"),
        size=bindparam("size"),
        storage_key=bindparam("storage_key"),
        storage_class="STANDARD",
        created_at=bindparam("now"),
    )
    .on_conflict_do_nothing()
)
# The moment counts also when the link is there: a layer pushed again after its images were archived is at hand.
_link = Statement(
    insert_if_new(repository_blob)
    .values(
        repository_id=bindparam("repository"),
        digest=bindparam("digest"),
        linked_at=bindparam("now"),
        review_since=bindparam("now"),
    )
    .on_conflict_do_update(
        index_elements=["repository_id", "digest"],
        set_={"linked_at": bindparam("now"), "review_since": bindparam("now")},
    )
)
_referring = (
    select(image_blob.c.image_id)
    .join(image, image.c.id == image_blob.c.image_id)
    .where(
        image_blob.c.repository_id == repository_blob.c.repository_id,
        image_blob.c.digest == repository_blob.c.digest,
    )
    .correlate(repository_blob)
)
_blob = Statement(
    select(
        blob.c.digest,
        blob.c.size,
        blob.c.storage_key,
        case(  # in this order: of thousands of images that share a layer the first active one settles it
            (_referring.where(image.c.status == "ACTIVE").exists(), 0),
            (_referring.where(image.c.archived_at >= repository_blob.c.linked_at).exists(), 1),
            else_=0,
        ),
        blob.c.damaged_at,
        repository_blob.c.review_since,
    )
    .join(repository_blob, repository_blob.c.digest == blob.c.digest)
    .where(
        repository_blob.c.repository_id == bindparam("repository"),
        repository_blob.c.digest == bindparam("digest"),
    )
)
_stored = Statement(
    select(blob.c.digest, blob.c.size, blob.c.storage_key, blob.c.damaged_at).where(
        blob.c.digest == bindparam("digest")
    )
)
_repoint = Statement(
    update(blob)
    .where(blob.c.digest == bindparam("of"), blob.c.storage_key == bindparam("seen"))
    .values(
        storage_key=bindparam("to"), storage_class=bindparam("class_"), verified_at=null(), damaged_at=null()
    )
)
_insert_tombstone = Statement(
    insert_if_new(tombstone)
    .values(storage_key=bindparam("storage_key"), delete_after=bindparam("after"))
    .on_conflict_do_nothing()
)
_due = Statement(
    select(tombstone.c.storage_key)
    .where(
        tombstone.c.delete_after <= bindparam("now"),
        tombstone.c.size.is_(None),  # those of blobs belong to the collection
        ~exists().where(deletion_hold.c.until > bindparam("now")),
    )
    .order_by(tombstone.c.delete_after)
    .limit(bindparam("count"))
)
_bury = Statement(delete(tombstone).where(tombstone.c.storage_key == bindparam("storage_key")))
_needed = Statement(
    select(
        exists().where(blob.c.storage_key == bindparam("storage_key"))
        | exists().where(tombstone.c.storage_key == bindparam("storage_key"))
        | exists().where(
            upload.c.storage_key >= bindparam("family"), upload.c.storage_key < bindparam("family_end")
        )
    )
)
_save = Statement(
    delete(tombstone).where(
        tombstone.c.storage_key == bindparam("storage_key"), tombstone.c.delete_after > bindparam("now")
    )
)


def _value(row: Row) -> Upload:
    return Upload(row[0], row[1], row[2], StorageKey(row[3]), row[4], row[5], row[6], row[7], row[8] or "")


async def find(db: Reader, upload_id: str, repository: int, principal: str) -> Upload | None:
    """Return the upload, None unless it is of this repository and this principal."""
    row = await db.first(_find, upload=upload_id, repository=repository, principal=principal)
    return _value(row) if row else None


async def stale(db: Reader, before: datetime, count: int) -> list[Upload]:
    """Return up to `count` uploads that nothing was added to since `before`, oldest first."""
    return [_value(row) for row in await db.all(_stale, before=to_micros(before), count=count)]


async def count_open(db: Reader, principal: str) -> int:
    """Count the open uploads of a principal."""
    row = await db.first(_open, principal=principal)
    return int(row[0]) if row else 0


async def add(
    tx: Transaction, upload_id: str, repository: int, principal: str, storage_key: str, now: datetime
) -> None:
    """Insert an upload without bytes."""
    await tx.run(
        _insert,
        upload=upload_id,
        repository=repository,
        principal=principal,
        storage_key=storage_key,
        now=to_micros(now),
    )


async def advance(
    tx: Transaction, seen: Upload, to: int, small_parts: int, now: datetime, state: str = ""
) -> bool:
    """Move the offset to `to`, about which the blob store said `state`.

    False when somebody else changed the upload since `seen`.
    """
    changed = await tx.run(
        _advance,
        upload=seen.id,
        seen=seen.version,
        to=to,
        small=small_parts,
        state=state,
        now=to_micros(now),
    )
    return changed == 1


async def close(tx: Transaction, seen: Upload) -> bool:
    """Delete the upload row; false when somebody else changed the upload since `seen`."""
    return await tx.run(_close, upload=seen.id, seen=seen.version) == 1


async def version(db: Reader, upload_id: str) -> int | None:
    """Return the version of an upload's row as it is now, None when there is no such row."""
    row = await db.first(_version, upload=upload_id)
    return int(row[0]) if row else None


async def is_owned(db: Reader, seen: Upload) -> bool:
    """Whether the bytes of an upload still belong to somebody: to its row, or to the blob that it became."""
    open_ = await version(db, seen.id) is not None
    return open_ or await db.first(_is_blob, storage_key=seen.storage_key) is not None


async def add_blob(tx: Transaction, digest: str, size: int, storage_key: str, now: datetime) -> bool:
    """Insert a blob; false when its digest is known already, under another storage key."""
    added = await tx.run(_insert_blob, digest=digest, size=size, storage_key=storage_key, now=to_micros(now))
    return added == 1


async def link(tx: Transaction, repository: int, digest: str, now: datetime) -> None:
    """Let the repository hold the blob, as pushed or mounted `now`; it is reviewed when no manifest follows in time."""
    await tx.run(_link, repository=repository, digest=digest, now=to_micros(now))


@lru_cache(maxsize=1024)  # a row that has not changed is the same value
def _blob_of(row: Row) -> Blob:
    since = from_micros(row[5]) if row[5] is not None else None
    return Blob(row[0], row[1], StorageKey(row[2]), bool(row[3]), row[4] is not None, since)


async def find_blob(db: Reader, repository: int, digest: str) -> Blob | None:
    """Return a blob of this repository, or None."""
    row = await db.first(_blob, repository=repository, digest=digest)
    return _blob_of(row) if row else None


async def stored_blob(db: Reader, digest: str) -> Blob | None:
    """Return a blob, whoever holds it, or None."""
    row = await db.first(_stored, digest=digest)
    return Blob(row[0], row[1], StorageKey(row[2]), damaged=row[3] is not None) if row else None


async def repoint(tx: Transaction, seen: Blob, storage_key: StorageKey) -> bool:
    """Let the blob's bytes be the whole ones under `storage_key`; false when they are not those of `seen` any more."""
    changed = await tx.run(
        _repoint,
        of=seen.digest,
        seen=seen.storage_key,
        to=storage_key,
        class_=storage_key.storage_class.value,
    )
    return changed == 1


async def add_tombstone(tx: Transaction, storage_key: str, after: datetime) -> None:
    """Mark bytes that nothing refers to for deletion after `after`."""
    await tx.run(_insert_tombstone, storage_key=storage_key, after=to_micros(after))


async def due_tombstones(db: Reader, now: datetime, count: int) -> list[StorageKey]:
    """Return up to `count` storage keys whose time has come; none while a hold is in force (a backup runs)."""
    return [StorageKey(row[0]) for row in await db.all(_due, now=to_micros(now), count=count)]


async def save(tx: Transaction, storage_key: str, now: datetime) -> bool:
    """Remove the tombstone of bytes that are needed after all; false when it is due, or gone with the bytes."""
    return await tx.run(_save, storage_key=storage_key, now=to_micros(now)) == 1


async def is_needed(db: Reader, storage_key: StorageKey) -> bool:
    """Whether a finished object of an upload is a blob's, will go by itself, or may still become a blob's."""
    family = storage_key[:-SIBLING_CHARS]
    row = await db.first(_needed, storage_key=storage_key, family=family, family_end=f"{family}~")
    return row is None or bool(row[0])


async def remove_tombstone(tx: Transaction, storage_key: str) -> None:
    """Forget a tombstone after its bytes are gone."""
    await tx.run(_bury, storage_key=storage_key)
