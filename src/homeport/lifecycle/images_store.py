"""All SQL by which lifecycle policies see the images of a repository. Rows in, values out; every query is one page.

A repository may have 100,000 images: whoever reads them all asks page by page and lets others have their turn between.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, or_, select

from homeport.database.engine import Reader, Statement
from homeport.database.tables import blob, image, image_blob, image_child, image_tag
from homeport.images.model import Status
from homeport.lifecycle.model import TagSeen

_here = image.c.repository_id == bindparam("repository")
_images = Statement(
    select(
        image.c.id,
        image.c.digest,
        image.c.subject,
        image.c.size,
        image.c.pushed_at,
        image.c.pulled_at,
        image.c.status,
        image.c.archived_at,
        image.c.activated_at,
    )
    .where(_here, image.c.id > bindparam("after"))
    .order_by(image.c.id)
    .limit(bindparam("count"))
)
_tags = Statement(
    select(image_tag.c.name, image_tag.c.image_id, image_tag.c.tagged_at)
    .where(image_tag.c.repository_id == bindparam("repository"), image_tag.c.name > bindparam("after"))
    .order_by(image_tag.c.name)
    .limit(bindparam("count"))
)
_tags_of = Statement(
    select(image_tag.c.name, image_tag.c.tagged_at)
    .where(image_tag.c.image_id == bindparam("image"))
    .order_by(image_tag.c.name)
)
# Of the images of one page, in the order of their keys: no row of another repository is looked at.
_range = and_(_here, image.c.id >= bindparam("image"), image.c.id <= bindparam("last"))
_children = Statement(
    select(image.c.id, image_child.c.digest)
    .select_from(image.join(image_child, image_child.c.image_id == image.c.id))
    .where(_range, or_(image.c.id > bindparam("image"), image_child.c.digest > bindparam("digest")))
    .order_by(image.c.id, image_child.c.digest)
    .limit(bindparam("count"))
)
_blobs = Statement(
    select(image.c.id, image_blob.c.digest, image.c.status, blob.c.size, blob.c.storage_class)
    .select_from(
        image.join(image_blob, image_blob.c.image_id == image.c.id).join(
            blob, blob.c.digest == image_blob.c.digest
        )
    )
    .where(_range, or_(image.c.id > bindparam("image"), image_blob.c.digest > bindparam("digest")))
    .order_by(image.c.id, image_blob.c.digest)
    .limit(bindparam("count"))
)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image as its row alone says. Moments in microseconds since 1970, size in bytes."""

    id: int
    digest: str
    subject: str | None
    size: int
    pushed_at: int
    pulled_at: int | None
    status: str
    archived_at: int | None
    activated_at: int | None


@dataclass(frozen=True, slots=True)
class BlobOfImage:
    """A blob that an image refers to: its size in bytes, and whether its bytes are in the archive."""

    image_id: int
    digest: str
    archived: bool
    """Whether the image is."""
    size: int
    cold: bool


async def images(db: Reader, repository: int, after: int, count: int) -> list[ImageRow]:
    """Return up to `count` images with ids above `after`, in order of id."""
    rows = await db.all(_images, repository=repository, after=after, count=count)
    return [ImageRow(*row) for row in rows]


async def tags(db: Reader, repository: int, after: str, count: int) -> list[tuple[int, TagSeen]]:
    """Return up to `count` tags after `after` in order of name, each with the id of the image that it names."""
    rows = await db.all(_tags, repository=repository, after=after, count=count)
    return [(row[1], TagSeen(row[0], row[2])) for row in rows]


async def tags_of(db: Reader, image_id: int) -> tuple[TagSeen, ...]:
    """Return the tags of one image in order of name."""
    return tuple(TagSeen(row[0], row[1]) for row in await db.all(_tags_of, image=image_id))


async def children(
    db: Reader, repository: int, place: tuple[int, str], last: int, count: int
) -> list[tuple[int, str]]:
    """Return up to `count` (id of an index, digest of an image that it names) after `place`, up to the id `last`."""
    at = {"image": place[0], "digest": place[1]}
    rows = await db.all(_children, repository=repository, last=last, count=count, **at)
    return [(row[0], row[1]) for row in rows]


async def blobs(
    db: Reader, repository: int, place: tuple[int, str], last: int, count: int
) -> list[BlobOfImage]:
    """Return up to `count` blobs of images after `place` (id of an image, digest), up to the image id `last`."""
    at = {"image": place[0], "digest": place[1]}
    rows = await db.all(_blobs, repository=repository, last=last, count=count, **at)
    return [
        BlobOfImage(row[0], row[1], row[2] == Status.ARCHIVED.value, row[3], row[4] == "ARCHIVE")
        for row in rows
    ]
