"""All SQL about whether images and what they refer to agree. Rows in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, Table, and_, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert as insert_if_new

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import (
    blob,
    deleted_image,
    deleted_image_blob,
    image,
    image_blob,
    image_child,
    image_tag,
    repository_blob,
)
from homeport.keeping.model import Edge, Referring
from homeport.kernel.clock import to_micros

_images = Statement(
    select(image.c.id, image.c.repository_id, image.c.digest, image.c.media_type, image.c.manifest)
    .where(image.c.id > bindparam("after"))
    .order_by(image.c.id)
    .limit(bindparam("count"))
)
_deleted = Statement(
    select(
        deleted_image.c.id,
        deleted_image.c.repository_id,
        deleted_image.c.digest,
        deleted_image.c.media_type,
        deleted_image.c.manifest,
    )
    .where(deleted_image.c.id > bindparam("after"))
    .order_by(deleted_image.c.id)
    .limit(bindparam("count"))
)
_count = {
    False: Statement(select(func.count()).select_from(image)),
    True: Statement(select(func.count()).select_from(deleted_image)),
}


def _edges(edges: Table, owner: Column[int]) -> Statement:
    link = and_(
        repository_blob.c.repository_id == edges.c.repository_id, repository_blob.c.digest == edges.c.digest
    )
    return Statement(
        select(owner, edges.c.digest, edges.c.repository_id, repository_blob.c.digest, blob.c.digest)
        .select_from(edges.outerjoin(repository_blob, link).outerjoin(blob, blob.c.digest == edges.c.digest))
        .where(owner > bindparam("after"), owner <= bindparam("upto"))
    )


_image_edges = _edges(image_blob, image_blob.c.image_id)
_deleted_edges = _edges(deleted_image_blob, deleted_image_blob.c.deleted_id)
_child = image.alias("child")
_children = Statement(
    select(image_child.c.image_id, image_child.c.digest, image_child.c.repository_id, _child.c.id)
    .select_from(
        image_child.outerjoin(
            _child,
            and_(
                _child.c.repository_id == image_child.c.repository_id, _child.c.digest == image_child.c.digest
            ),
        )
    )
    .where(image_child.c.image_id > bindparam("after"), image_child.c.image_id <= bindparam("upto"))
)
_stray_tags = Statement(
    select(image.c.id, image_tag.c.name)
    .select_from(image.join(image_tag, image_tag.c.image_id == image.c.id))
    .where(
        image.c.id > bindparam("after"),
        image.c.id <= bindparam("upto"),
        image_tag.c.repository_id != image.c.repository_id,
    )
)
_link = Statement(
    insert_if_new(repository_blob)
    .values(repository_id=bindparam("repository"), digest=bindparam("digest"), linked_at=bindparam("at"))
    .on_conflict_do_nothing()
)
_refer = Statement(
    insert_if_new(image_blob)
    .values(
        image_id=bindparam("image"),
        digest=bindparam("digest"),
        repository_id=bindparam("repository"),
        media_type=bindparam("media_type"),
    )
    .on_conflict_do_nothing()
)
_refer_deleted = Statement(
    insert_if_new(deleted_image_blob)
    .values(deleted_id=bindparam("image"), digest=bindparam("digest"), repository_id=bindparam("repository"))
    .on_conflict_do_nothing()
)


async def count(db: Reader, *, deleted: bool) -> int:
    """Return how many images there are, or how many deleted ones."""
    row = await db.first(_count[deleted])
    return int(row[0]) if row else 0


async def images(db: Reader, after: int, count: int, *, deleted: bool) -> list[Referring]:
    """Return up to `count` images with ids above `after`, or deleted ones, with all that they refer to.

    Read in several statements: outside of a transaction they may be of different moments.
    """
    rows = await db.all(_deleted if deleted else _images, after=after, count=count)
    found = {row[0]: Referring(*row) for row in rows}
    if not found:
        return []
    upto = max(found)
    for row in await db.all(_deleted_edges if deleted else _image_edges, after=after, upto=upto):
        if (owner := found.get(row[0])) is not None:
            owner.edges.append(Edge(row[1], row[2], row[3] is not None, row[4] is not None))
    if not deleted:
        await _add_children(db, found, after, upto)
    return list(found.values())


async def _add_children(db: Reader, found: Mapping[int, Referring], after: int, upto: int) -> None:
    for row in await db.all(_children, after=after, upto=upto):
        if (owner := found.get(row[0])) is not None:
            owner.children[row[1]] = row[3] is not None
            if row[2] != owner.repository_id:
                owner.astray.append(f"the reference to {row[1]}")
    for row in await db.all(_stray_tags, after=after, upto=upto):
        if (owner := found.get(row[0])) is not None:
            owner.astray.append(f"the tag {row[1]}")


async def link(tx: Transaction, repository: int, digest: str, at: datetime) -> None:
    """Let the repository hold a blob."""
    await tx.run(_link, repository=repository, digest=digest, at=to_micros(at))


async def refer(tx: Transaction, owner: Referring, digest: str, media_type: str, *, deleted: bool) -> None:
    """Let an image, or a deleted one, refer to a blob."""
    named = {"image": owner.id, "digest": digest, "repository": owner.repository_id}
    if deleted:
        await tx.run(_refer_deleted, **named)
    else:
        await tx.run(_refer, **named, media_type=media_type)
