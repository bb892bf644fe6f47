"""All SQL about pinned tags. Rows in, values out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, insert, select

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import image, image_tag, pinned_tag
from homeport.images.model import PinnedTag
from homeport.kernel.clock import from_micros, to_micros

_here = pinned_tag.c.repository_id == bindparam("repository")
_this = and_(_here, pinned_tag.c.name == bindparam("tag"))
_same_tag = and_(
    image_tag.c.repository_id == pinned_tag.c.repository_id, image_tag.c.name == pinned_tag.c.name
)
_with_image = select(
    pinned_tag.c.name, image.c.digest, pinned_tag.c.pinned_at, pinned_tag.c.pinned_by
).select_from(pinned_tag.outerjoin(image_tag, _same_tag).outerjoin(image, image.c.id == image_tag.c.image_id))
_one = Statement(_with_image.where(_this))
_page = Statement(
    _with_image.where(_here, pinned_tag.c.name > bindparam("after"))
    .order_by(pinned_tag.c.name)
    .limit(bindparam("count"))
)
_names = Statement(select(pinned_tag.c.name).where(_here))
_count = Statement(select(func.count()).select_from(pinned_tag).where(_here))
_of_image = Statement(
    select(image_tag.c.name)
    .select_from(image_tag.join(pinned_tag, _same_tag))
    .where(image_tag.c.image_id == bindparam("image"))
    .order_by(image_tag.c.name)
)
_insert = Statement(
    insert(pinned_tag).values(
        repository_id=bindparam("repository"),
        name=bindparam("tag"),
        pinned_at=bindparam("at"),
        pinned_by=bindparam("by"),
    )
)
_delete = Statement(delete(pinned_tag).where(_this))


def _value(row: Row) -> PinnedTag:
    return PinnedTag(row[0], row[1], from_micros(row[2]), row[3])


async def find(db: Reader, repository: int, tag: str) -> PinnedTag | None:
    """Return the pinned tag of that name, None when it is not pinned."""
    row = await db.first(_one, repository=repository, tag=tag)
    return _value(row) if row else None


async def page(db: Reader, repository: int, after: str, count: int) -> list[PinnedTag]:
    """Return up to `count` pinned tags after the name `after`, in order of name."""
    return [_value(row) for row in await db.all(_page, repository=repository, after=after, count=count)]


async def names(db: Reader, repository: int) -> frozenset[str]:
    """Return the names of all pinned tags of a repository."""
    return frozenset(row[0] for row in await db.all(_names, repository=repository))


async def count(db: Reader, repository: int) -> int:
    """Count the pinned tags of a repository."""
    row = await db.first(_count, repository=repository)
    return int(row[0]) if row else 0


async def of_image(db: Reader, image_id: int) -> list[str]:
    """Return those tags of an image that are pinned, in order."""
    return [row[0] for row in await db.all(_of_image, image=image_id)]


async def add(tx: Transaction, repository: int, tag: str, now: datetime, by: str) -> None:
    """Pin a tag that is not pinned."""
    await tx.run(_insert, repository=repository, tag=tag, at=to_micros(now), by=by)


async def remove(tx: Transaction, repository: int, tag: str) -> bool:
    """Unpin a tag; false when it is not pinned."""
    return await tx.run(_delete, repository=repository, tag=tag) > 0
