"""All SQL about who refers to a blob, and about letting go of what nobody refers to. Rows in, values out.

`repository_blob.review_since` is the queue. A link gets it when it is made (no manifest names the blob yet) and when
an image or a deleted image that referred to the blob goes; a review that finds such an image clears it. So a link
without it is needed, and an image that goes never has to ask who else refers to its blobs.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)

from homeport.blobs.port import StorageClass, StorageKey
from homeport.collection.model import Backlog, Link
from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import (
    blob,
    deleted_image_blob,
    deletion_hold,
    image,
    image_blob,
    repository_blob,
    tombstone,
)
from homeport.kernel.clock import to_micros

_COUNTED = 100_000  # links, at most: a count must not take longer than what it is about

_link = repository_blob
_this_link = and_(_link.c.repository_id == bindparam("repository"), _link.c.digest == bindparam("of"))
_is_due = _link.c.review_since <= bindparam("due")
_edge = or_(
    exists()
    .where(image_blob.c.repository_id == _link.c.repository_id, image_blob.c.digest == _link.c.digest)
    .correlate(_link),
    exists()
    .where(
        deleted_image_blob.c.repository_id == _link.c.repository_id,
        deleted_image_blob.c.digest == _link.c.digest,
    )
    .correlate(_link),
)
_held = exists().where(_link.c.digest == blob.c.digest).correlate(blob)

_due = Statement(
    select(_link.c.repository_id, _link.c.digest)
    .where(_is_due)
    .order_by(_link.c.review_since)
    .limit(bindparam("count"))
)
_lock = Statement(select(blob.c.storage_class).where(blob.c.digest == bindparam("of")).with_for_update())
_unlink_due = Statement(delete(_link).where(_this_link, _is_due, ~_edge))
_unlink = Statement(delete(_link).where(_this_link))
_confirm = Statement(update(_link).where(_this_link, _is_due).values(review_since=null()))
_bury = Statement(
    insert(tombstone).from_select(
        ["storage_key", "delete_after", "size"],
        select(blob.c.storage_key, bindparam("after", type_=BigInteger), blob.c.size).where(
            blob.c.digest == bindparam("of"), ~_held
        ),
    )
)
_size = Statement(select(blob.c.size).where(blob.c.digest == bindparam("of")))
_remove = Statement(delete(blob).where(blob.c.digest == bindparam("of"), ~_held))
_of_image = select(image_blob.c.digest).where(image_blob.c.image_id == bindparam("image"))
_release_image = Statement(
    update(_link)
    .where(_link.c.repository_id == bindparam("repository"), _link.c.digest.in_(_of_image))
    .values(review_since=bindparam("now"))
)
_of_deleted = select(deleted_image_blob.c.repository_id, deleted_image_blob.c.digest).where(
    deleted_image_blob.c.deleted_id == bindparam("deleted")
)
_release_deleted = Statement(
    update(_link)
    .where(tuple_(_link.c.repository_id, _link.c.digest).in_(_of_deleted))
    .values(review_since=bindparam("now"))
)
_put_off = Statement(
    update(_link)
    .where(_this_link, _link.c.review_since < bindparam("now"))
    .values(review_since=bindparam("now"))
)
# By repository first: image_blob has no index that begins with the digest alone.
_here = and_(image_blob.c.repository_id == _link.c.repository_id, image_blob.c.digest == _link.c.digest)
_referring = (
    select(image.c.id)
    .select_from(_link.join(image_blob, _here).join(image, image.c.id == image_blob.c.image_id))
    .where(_link.c.digest == bindparam("digest"))
    .limit(1)
)
_needed = Statement(_referring.where(image.c.status != "ARCHIVED"))
_archived = Statement(_referring.where(image.c.status == "ARCHIVED"))


def _counted(*conditions: object) -> Statement:
    few = select(literal_column("1")).select_from(_link).where(*conditions).limit(_COUNTED).subquery()  # type: ignore[arg-type]
    return Statement(select(func.count()).select_from(few))


_waiting = _counted(_link.c.review_since.is_not(None))
_due_count = _counted(_is_due)
_oldest = Statement(select(func.min(_link.c.review_since)).where(_is_due))
_buried = Statement(
    select(func.count(), func.coalesce(func.sum(tombstone.c.size), 0)).where(tombstone.c.size.is_not(None))
)
_due_tombstones = Statement(
    select(tombstone.c.storage_key, tombstone.c.size)
    .where(
        tombstone.c.delete_after <= bindparam("due"),
        tombstone.c.size.is_not(None),
        ~exists().where(deletion_hold.c.until > bindparam("now")),
    )
    .order_by(tombstone.c.delete_after)
    .limit(bindparam("count"))
)
_forget = Statement(delete(tombstone).where(tombstone.c.storage_key == bindparam("storage_key")))
_place = tuple_(_link.c.repository_id, _link.c.digest)
_after_place = _place > tuple_(bindparam("repository", type_=BigInteger), bindparam("after", type_=Text))
_last_of_links = Statement(
    select(_link.c.repository_id, _link.c.digest)
    .where(_after_place)
    .order_by(_link.c.repository_id, _link.c.digest)
    .limit(1)
    .offset(bindparam("skipped"))
)
_doubt = Statement(
    update(_link)
    .where(
        _after_place,
        _place <= tuple_(bindparam("to_repository", type_=BigInteger), bindparam("to", type_=Text)),
        _link.c.review_since.is_(None),
        ~_edge,
    )
    .values(review_since=bindparam("now"))
)
_blobs_after = Statement(
    select(blob.c.digest, _held.label("held"))
    .where(blob.c.digest > bindparam("after"))
    .order_by(blob.c.digest)
    .limit(bindparam("count"))
)


async def release_image(tx: Transaction, repository: int, image_id: int, now: datetime) -> None:
    """An image is about to be removed: its blobs are reviewed, as in doubt since `now`."""
    await tx.run(_release_image, repository=repository, image=image_id, now=to_micros(now))


async def release_deleted_image(tx: Transaction, deleted_id: int, now: datetime) -> None:
    """What was kept of a deleted image is about to go: its blobs are reviewed, as in doubt since `now`."""
    await tx.run(_release_deleted, deleted=deleted_id, now=to_micros(now))


async def put_off(tx: Transaction, link: Link, now: datetime) -> bool:
    """Have a link that waits for its review in doubt only since `now`; false when it does not wait, or is gone."""
    place = {"repository": link.repository_id, "of": link.digest}
    return await tx.run(_put_off, **place, now=to_micros(now)) == 1


async def due(db: Reader, until: datetime, count: int) -> list[Link]:
    """Return up to `count` links that are in doubt since `until` or longer, longest first."""
    return [Link(row[0], row[1]) for row in await db.all(_due, due=to_micros(until), count=count)]


async def lock(tx: Transaction, digest: str) -> StorageClass | None:
    """Have a blob's row to oneself, before any of its links; return where its bytes are, None without a row."""
    row = await tx.first(_lock, of=digest)
    return StorageClass(row[0]) if row else None


async def unlink_due(tx: Transaction, link: Link, until: datetime) -> bool:
    """Remove a link that is still due and that nothing needs; false when it stays."""
    place = {"repository": link.repository_id, "of": link.digest}
    return await tx.run(_unlink_due, **place, due=to_micros(until)) == 1


async def unlink(tx: Transaction, link: Link) -> bool:
    """Remove a link of a repository that is gone; false when it was removed already."""
    return await tx.run(_unlink, repository=link.repository_id, of=link.digest) == 1


async def confirm(tx: Transaction, link: Link, until: datetime) -> None:
    """A link that was due is needed: it is in doubt no more."""
    await tx.run(_confirm, repository=link.repository_id, of=link.digest, due=to_micros(until))


async def bury(tx: Transaction, digest: str, after: datetime) -> int | None:
    """Remove a blob that no repository holds, its bytes to be deleted after `after`.

    Return how many bytes that are, None when some repository holds it or it is not there.
    """
    row = await tx.first(_size, of=digest)
    if row is None or await tx.run(_bury, of=digest, after=to_micros(after)) != 1:
        return None
    await tx.run(_remove, of=digest)
    return int(row[0])


async def is_needed(db: Reader, digest: str) -> bool:
    """Whether any image of any repository refers to the blob and is not archived."""
    return await db.first(_needed, digest=digest) is not None


async def is_archived(db: Reader, digest: str) -> bool:
    """Whether any archived image of any repository refers to the blob."""
    return await db.first(_archived, digest=digest) is not None


def _first(row: Row | None) -> int | None:
    return row[0] if row else None


async def backlog(db: Reader, until: datetime) -> Backlog:
    """Return what waits, and what of it is in doubt since `until` or longer."""
    waiting, ready = await db.first(_waiting), await db.first(_due_count, due=to_micros(until))
    oldest, buried = await db.first(_oldest, due=to_micros(until)), await db.first(_buried)
    count, size = buried or (0, 0)
    return Backlog(_first(waiting) or 0, _first(ready) or 0, _first(oldest), int(count), int(size))


async def due_tombstones(
    db: Reader, now: datetime, due: datetime, count: int
) -> list[tuple[StorageKey, int]]:
    """Return up to `count` keys, with sizes, of bytes that may be deleted since `due`; none while they are held."""
    rows = await db.all(_due_tombstones, now=to_micros(now), due=to_micros(due), count=count)
    return [(StorageKey(row[0]), row[1]) for row in rows]


async def forget(tx: Transaction, keys: list[StorageKey]) -> None:
    """Remove tombstones after their bytes are gone."""
    for key in keys:
        await tx.run(_forget, storage_key=key)


async def doubt_page(tx: Transaction, after: Link, count: int, now: datetime) -> Link | None:
    """Have links of a page after `after` reviewed that no image refers to; return its last one, None at the end."""
    start = {"repository": after.repository_id, "after": after.digest}
    row = await tx.first(_last_of_links, **start, skipped=count - 1)
    last = Link(row[0], row[1]) if row else Link(2**62, "")
    end = {"to_repository": last.repository_id, "to": last.digest}
    await tx.run(_doubt, **start, **end, now=to_micros(now))
    return last if row else None


async def blobs_after(db: Reader, after: str, count: int) -> list[tuple[str, bool]]:
    """Return up to `count` digests after `after`, in order, and whether any repository holds the blob."""
    return [(row[0], bool(row[1])) for row in await db.all(_blobs_after, after=after, count=count)]
