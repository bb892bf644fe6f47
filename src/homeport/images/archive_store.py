"""All SQL about which images are archived, and which bytes only they need. Rows in, values out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, exists, func, select, update

from homeport.blobs.port import StorageClass
from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import blob, image, image_blob, image_child, repository_blob
from homeport.images.model import Status
from homeport.kernel.clock import from_micros, to_micros

_by_id = image.c.id == bindparam("image")
_archive = Statement(
    update(image).where(_by_id).values(status=Status.ARCHIVED.value, archived_at=bindparam("at"))
)
_begin = Statement(update(image).where(_by_id).values(status=Status.ACTIVATING.value))
_activate = Statement(
    update(image).where(_by_id).values(status=Status.ACTIVE.value, activated_at=bindparam("at"))
)
_status = Statement(select(image.c.status).where(_by_id))
_blobs = Statement(
    select(image_blob.c.digest, blob.c.storage_class)
    .join(blob, blob.c.digest == image_blob.c.digest)
    .where(image_blob.c.image_id == bindparam("image"))
    .order_by(image_blob.c.digest)
)
_children = Statement(
    select(image.c.digest, image.c.status)
    .join(
        image_child,
        and_(image_child.c.digest == image.c.digest, image_child.c.repository_id == image.c.repository_id),
    )
    .where(image_child.c.image_id == bindparam("image"))
    .order_by(image.c.digest)
)
_live_parents = Statement(
    select(image.c.digest)
    .join(image_child, image_child.c.image_id == image.c.id)
    .where(
        image_child.c.repository_id == bindparam("repository"),
        image_child.c.digest == bindparam("digest"),
        image.c.status != Status.ARCHIVED.value,
    )
    .order_by(image.c.digest)
    .limit(10)
)
# By repository first: image_blob has no index that begins with the digest alone.
_here = and_(
    image_blob.c.repository_id == repository_blob.c.repository_id,
    image_blob.c.digest == repository_blob.c.digest,
)
_pushed = Statement(
    select(func.max(repository_blob.c.linked_at)).where(
        repository_blob.c.digest == bindparam("digest"),
        ~exists()
        .where(_here, image.c.id == image_blob.c.image_id, image.c.archived_at >= repository_blob.c.linked_at)
        .correlate(repository_blob),
    )
)


async def archive(tx: Transaction, image_id: int, now: datetime) -> None:
    """Mark an image as archived."""
    await tx.run(_archive, image=image_id, at=to_micros(now))


async def begin_restore(tx: Transaction, image_id: int) -> None:
    """Mark an image as on its way back."""
    await tx.run(_begin, image=image_id)


async def activate(tx: Transaction, image_id: int, now: datetime) -> None:
    """Mark an image as active again."""
    await tx.run(_activate, image=image_id, at=to_micros(now))


async def status(db: Reader, image_id: int) -> Status | None:
    """Return an image's status, None when there is no such image."""
    row = await db.first(_status, image=image_id)
    return Status(row[0]) if row else None


async def blobs(db: Reader, image_id: int) -> list[tuple[str, StorageClass]]:
    """Return the digest and the place of each blob that an image refers to and that is here."""
    return [(row[0], StorageClass(row[1])) for row in await db.all(_blobs, image=image_id)]


async def children(db: Reader, image_id: int) -> list[tuple[str, Status]]:
    """Return digest and status of each image that an index names."""
    return [(row[0], Status(row[1])) for row in await db.all(_children, image=image_id)]


async def live_parents(db: Reader, repository: int, digest: str) -> list[str]:
    """Return digests (at most ten) of the indexes that name the image and are not archived."""
    return [row[0] for row in await db.all(_live_parents, repository=repository, digest=digest)]


async def last_push(db: Reader, digest: str) -> datetime | None:
    """Return when the blob last came to a repository where no image was archived with it since; None if nowhere."""
    row = await db.first(_pushed, digest=digest)
    return from_micros(row[0]) if row and row[0] is not None else None
