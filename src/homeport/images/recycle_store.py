"""All SQL about images that were deleted and can be restored. Rows in, values out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Text, and_, bindparam, delete, insert, select, update

from homeport.collection import store as references
from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import deleted_image, deleted_image_blob, image, image_blob
from homeport.images.model import DeletedImage, Image, Retention
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.digests import Digest

_columns = (
    deleted_image.c.id,
    deleted_image.c.digest,
    deleted_image.c.media_type,
    deleted_image.c.size,
    deleted_image.c.tags,
    deleted_image.c.pushed_at,
    deleted_image.c.pulled_at,
    deleted_image.c.deleted_at,
    deleted_image.c.deleted_by,
    deleted_image.c.keep_until,
)
_here = deleted_image.c.repository_id == bindparam("repository")
_this = and_(_here, deleted_image.c.digest == bindparam("digest"))
_kept = deleted_image.c.keep_until > bindparam("now")
_find = Statement(select(*_columns, deleted_image.c.manifest).where(_this, _kept))
_is_kept = Statement(select(deleted_image.c.id).where(_this, _kept))
_page = Statement(
    select(*_columns)
    .where(_here, deleted_image.c.id < bindparam("before"), _kept)
    .order_by(deleted_image.c.id.desc())
    .limit(bindparam("count"))
)
_referrers = Statement(
    select(deleted_image.c.digest)
    .where(
        _here,
        deleted_image.c.subject == bindparam("subject"),
        deleted_image.c.deleted_at >= bindparam("since"),
        _kept,
    )
    .order_by(deleted_image.c.digest)
    .limit(bindparam("count"))
)
_keep = Statement(
    insert(deleted_image).from_select(
        [
            "repository_id",
            "digest",
            "media_type",
            "subject",
            "size",
            "tags",
            "pushed_at",
            "pulled_at",
            "deleted_at",
            "deleted_by",
            "keep_until",
            "manifest",
        ],
        select(
            image.c.repository_id,
            image.c.digest,
            image.c.media_type,
            image.c.subject,
            image.c.size,
            bindparam("tags", type_=Text),
            image.c.pushed_at,
            image.c.pulled_at,
            bindparam("at", type_=BigInteger),
            bindparam("by", type_=Text),
            bindparam("until", type_=BigInteger),
            image.c.manifest,
        ).where(image.c.id == bindparam("image")),
    )
)
_keep_blobs = Statement(
    insert(deleted_image_blob).from_select(
        ["deleted_id", "digest", "repository_id"],
        select(deleted_image.c.id, image_blob.c.digest, image_blob.c.repository_id)
        .select_from(
            image_blob.join(image, image.c.id == image_blob.c.image_id).join(
                deleted_image,
                and_(
                    deleted_image.c.repository_id == image.c.repository_id,
                    deleted_image.c.digest == image.c.digest,
                ),
            )
        )
        .where(image_blob.c.image_id == bindparam("image")),
    )
)
_forget = Statement(delete(deleted_image).where(_this))
_restored = Statement(
    update(image)
    .where(image.c.id == bindparam("image"))
    .values(pulled_at=bindparam("pulled"), activated_at=bindparam("now"))
)
_over = Statement(
    select(deleted_image.c.id)
    .where(deleted_image.c.keep_until <= bindparam("now"))
    .order_by(deleted_image.c.keep_until)
    .limit(bindparam("count"))
)
_remove = Statement(delete(deleted_image).where(deleted_image.c.id == bindparam("id")))


@dataclass(frozen=True, slots=True)
class Kept:
    """A deleted image with the bytes of its manifest."""

    image: DeletedImage
    manifest: bytes


def _value(row: Row) -> DeletedImage:
    return DeletedImage(
        id=row[0],
        digest=str.__new__(Digest, row[1]),  # validated on its way in
        media_type=row[2],
        size=row[3],
        tags=tuple(json.loads(row[4])),
        pushed_at=from_micros(row[5]),
        pulled_at=from_micros(row[6]) if row[6] is not None else None,
        deleted_at=from_micros(row[7]),
        deleted_by=row[8],
        recoverable_until=from_micros(row[9]),
    )


async def keep(
    tx: Transaction, repository: int, gone: Image, tags: list[str], now: datetime, how: Retention
) -> None:
    """Keep what it takes to restore an image that is about to be removed at `now`."""
    await tx.run(_forget, repository=repository, digest=gone.digest)
    await tx.run(
        _keep,
        image=gone.id,
        tags=json.dumps(tags),
        at=to_micros(now),
        by=how.by,
        until=to_micros(how.until),
    )
    await tx.run(_keep_blobs, image=gone.id)


async def find(db: Reader, now: datetime, repository: int, digest: str) -> Kept | None:
    """Return the deleted image with that digest, None when there is none or its time is over."""
    row = await db.first(_find, repository=repository, digest=digest, now=to_micros(now))
    return Kept(_value(row), row[10]) if row else None


async def is_kept(db: Reader, now: datetime, repository: int, digest: str) -> bool:
    """Whether there is a deleted image with that digest whose time is not over."""
    return await db.first(_is_kept, repository=repository, digest=digest, now=to_micros(now)) is not None


async def page(db: Reader, now: datetime, repository: int, before: int, count: int) -> list[DeletedImage]:
    """Return up to `count` images that can be restored at `now` with ids below `before`, last deleted first."""
    rows = await db.all(_page, repository=repository, before=before, count=count, now=to_micros(now))
    return [_value(row) for row in rows]


async def referrers(
    db: Reader, now: datetime, repository: int, subject: str, since: datetime, count: int
) -> list[str]:
    """Return digests (up to `count`) of the images with that subject which were deleted at `since` or later."""
    place = {"repository": repository, "subject": subject, "since": to_micros(since)}
    return [row[0] for row in await db.all(_referrers, **place, count=count, now=to_micros(now))]


async def forget(tx: Transaction, repository: int, digest: str) -> None:
    """Drop what was kept of an image, if anything was: it is there again."""
    await tx.run(_forget, repository=repository, digest=digest)


async def set_moments(tx: Transaction, image_id: int, pulled_at: datetime | None, now: datetime) -> None:
    """Give a restored image the moment of its last pull, and `now` as that since which it is active again."""
    pulled = to_micros(pulled_at) if pulled_at is not None else None
    await tx.run(_restored, image=image_id, pulled=pulled, now=to_micros(now))


async def over(db: Reader, now: datetime, count: int) -> list[int]:
    """Return ids of up to `count` images whose time is over, those first that were over first."""
    return [row[0] for row in await db.all(_over, now=to_micros(now), count=count)]


async def remove(tx: Transaction, ids: list[int], now: datetime) -> None:
    """Drop what was kept of images, by id; their blobs are reviewed, as in doubt since `now`."""
    for each in ids:
        await references.release_deleted_image(tx, each, now)
        await tx.run(_remove, id=each)
