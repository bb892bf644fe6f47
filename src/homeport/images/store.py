"""All SQL about images: what they are, their tags and their edges. Rows in, values out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, exists, func, insert, or_, select, update

from homeport.blobs.port import StorageClass
from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.keys import HighestKey
from homeport.database.listed import OneOf, listed
from homeport.database.tables import blob, image, image_blob, image_child, image_tag, repository_blob
from homeport.images.model import Image, Manifest, Status, StoredManifest, TagStatus
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.digests import Digest

_columns = (
    image.c.id,
    image.c.digest,
    image.c.media_type,
    image.c.artifact_type,
    image.c.subject,
    image.c.annotations,
    image.c.size,
    image.c.manifest_size,
    image.c.pushed_at,
    image.c.pulled_at,
    image.c.status,
    image.c.archived_at,
    image.c.activated_at,
)
_manifest_columns = (image.c.id, image.c.digest, image.c.media_type, image.c.manifest, image.c.pulled_at)
_here = image.c.repository_id == bindparam("repository")
_tagged = exists().where(image_tag.c.image_id == image.c.id)
_tag_here = and_(image_tag.c.repository_id == bindparam("repository"), image_tag.c.name == bindparam("tag"))

_by_digest = Statement(select(*_columns).where(_here, image.c.digest == bindparam("digest")))
_by_tag = Statement(select(*_columns).join(image_tag, image_tag.c.image_id == image.c.id).where(_tag_here))
_active = image.c.status == Status.ACTIVE.value  # only such an image can be pulled
_manifest_by_digest = Statement(
    select(*_manifest_columns).where(_here, image.c.digest == bindparam("digest"), _active)
)
_manifest_by_tag = Statement(
    select(*_manifest_columns).join(image_tag, image_tag.c.image_id == image.c.id).where(_tag_here, _active)
)
_of_status = image.c.status == bindparam("status")
_statuses = {True: (), False: (_of_status,)}  # by whether any status will do
_images = {
    (status, any_): Statement(
        select(*_columns)
        .where(_here, image.c.id < bindparam("before"), *condition, *_statuses[any_])
        .order_by(image.c.id.desc())
        .limit(bindparam("count"))
    )
    for status, condition in (
        (TagStatus.ANY, ()),
        (TagStatus.TAGGED, (_tagged,)),
        (TagStatus.UNTAGGED, (~_tagged,)),
    )
    for any_ in (True, False)
}
_after = or_(
    image.c.id < bindparam("before"),
    and_(image.c.id == bindparam("before"), func.coalesce(image_tag.c.name, "") > bindparam("tag")),
)
_pairs = {
    (status, any_): Statement(
        select(image.c.id, image.c.digest, image_tag.c.name)
        .select_from(image.outerjoin(image_tag, image_tag.c.image_id == image.c.id))
        .where(_here, image.c.id <= bindparam("before"), _after, *condition, *_statuses[any_])
        .order_by(image.c.id.desc(), func.coalesce(image_tag.c.name, ""))
        .limit(bindparam("count"))
    )
    for status, condition in (
        (TagStatus.ANY, ()),
        (TagStatus.TAGGED, (image_tag.c.name.is_not(None),)),
        (TagStatus.UNTAGGED, (image_tag.c.name.is_(None),)),
    )
    for any_ in (True, False)
}
# The index holds all that is asked of an image, those of one repository side by side; their rows lie far apart. A
# subquery, not a join, for which PostgreSQL may read all images of the repository.
_status_of_tagged = (
    select(image.c.status)
    .where(_here, image.c.id == image_tag.c.image_id)
    .with_hint(image, "INDEXED BY image_by_age", "sqlite")
    .correlate(image_tag)
    .scalar_subquery()
)
_tags_page = Statement(
    select(image_tag.c.name)
    .where(
        image_tag.c.repository_id == bindparam("repository"),
        image_tag.c.name > bindparam("after"),
        _status_of_tagged == Status.ACTIVE.value,
    )
    .order_by(image_tag.c.name)
    .limit(bindparam("count"))
)
_tags_of = Statement(
    select(image_tag.c.name).where(image_tag.c.image_id == bindparam("image")).order_by(image_tag.c.name)
)
_referrers = {
    any_: Statement(
        select(*_columns)
        .where(
            _here,
            image.c.subject == bindparam("subject"),
            image.c.digest > bindparam("after"),
            *_statuses[any_],
        )
        .order_by(image.c.digest)
        .limit(bindparam("count"))
    )
    for any_ in (True, False)
}
_count = Statement(
    select(func.count()).select_from(select(image.c.id).where(_here).limit(bindparam("most")).subquery())
)
_count_unarchived = Statement(
    select(func.count()).select_from(
        select(image.c.id).where(_here, image.c.status != "ARCHIVED").limit(bindparam("most")).subquery()
    )
)
_newest = Statement(select(func.max(image.c.id)))
_highest_id = Statement(select(HighestKey(image.c.id)))
_count_tags = Statement(select(func.count()).where(image_tag.c.image_id == bindparam("image")))
# A subquery, not a join, for which PostgreSQL may read all links of the repository.
_link_of_blob = (
    select(repository_blob.c.repository_id)
    .where(
        repository_blob.c.repository_id == bindparam("repository"), repository_blob.c.digest == blob.c.digest
    )
    .correlate(blob)
    .scalar_subquery()
)
_blobs_here = Statement(
    select(blob.c.digest, blob.c.size, blob.c.storage_class).where(
        OneOf(blob.c.digest, "digests"), blob.c.damaged_at.is_(None), _link_of_blob.is_not(None)
    )
)
_by_digests = Statement(select(*_columns).where(_here, OneOf(image.c.digest, "digests")))
_parents = Statement(
    select(image.c.digest)
    .join(image_child, image_child.c.image_id == image.c.id)
    .where(
        image_child.c.repository_id == bindparam("repository"), image_child.c.digest == bindparam("digest")
    )
    .order_by(image.c.digest)
    .limit(10)
)
_layer = Statement(
    select(image_blob.c.media_type)
    .where(image_blob.c.repository_id == bindparam("repository"), image_blob.c.digest == bindparam("digest"))
    .limit(1)
)
_insert = Statement(
    insert(image)
    .values(
        repository_id=bindparam("repository"),
        digest=bindparam("digest"),
        media_type=bindparam("media_type"),
        artifact_type=bindparam("artifact_type"),
        subject=bindparam("subject"),
        annotations=bindparam("annotations"),
        size=bindparam("size"),
        manifest=bindparam("manifest"),
        manifest_size=bindparam("manifest_size"),
        pushed_at=bindparam("pushed_at"),
        status=Status.ACTIVE.value,
    )
    .returning(image.c.id)
)
_insert_blob = Statement(
    insert(image_blob).values(
        image_id=bindparam("image"),
        digest=bindparam("digest"),
        repository_id=bindparam("repository"),
        media_type=bindparam("media_type"),
    )
)
_insert_child = Statement(
    insert(image_child).values(
        image_id=bindparam("image"), digest=bindparam("digest"), repository_id=bindparam("repository")
    )
)
_insert_tag = Statement(
    insert(image_tag).values(
        repository_id=bindparam("repository"),
        name=bindparam("tag"),
        image_id=bindparam("image"),
        tagged_at=bindparam("at"),
    )
)
_delete_tag = Statement(delete(image_tag).where(_tag_here))
_delete_tags = Statement(delete(image_tag).where(image_tag.c.image_id == bindparam("image")))
_delete = Statement(delete(image).where(image.c.id == bindparam("image")))
_pulled = Statement(update(image).where(image.c.id == bindparam("image")).values(pulled_at=bindparam("at")))


def _value(row: Row) -> Image:
    return Image(
        id=row[0],
        digest=str.__new__(Digest, row[1]),  # validated on its way in
        media_type=row[2],
        artifact_type=row[3],
        subject=row[4],
        annotations=row[5],
        size=row[6],
        manifest_size=row[7],
        pushed_at=from_micros(row[8]),
        pulled_at=from_micros(row[9]) if row[9] is not None else None,
        status=Status(row[10]),
        archived_at=from_micros(row[11]) if row[11] is not None else None,
        activated_at=from_micros(row[12]) if row[12] is not None else None,
    )


def _manifest(row: Row | None) -> StoredManifest | None:
    if row is None:
        return None
    pulled_at = from_micros(row[4]) if row[4] is not None else None
    return StoredManifest(row[0], str.__new__(Digest, row[1]), row[2], row[3], pulled_at)


async def by_digest(db: Reader, repository: int, digest: str) -> Image | None:
    """Return the image with that digest, or None."""
    row = await db.first(_by_digest, repository=repository, digest=digest)
    return _value(row) if row else None


async def by_tag(db: Reader, repository: int, tag: str) -> Image | None:
    """Return the image that the tag names, or None."""
    row = await db.first(_by_tag, repository=repository, tag=tag)
    return _value(row) if row else None


async def manifest_by_digest(db: Reader, repository: int, digest: str) -> StoredManifest | None:
    """Return the stored manifest with that digest, None unless it is of an active image."""
    return _manifest(await db.first(_manifest_by_digest, repository=repository, digest=digest))


async def manifest_by_tag(db: Reader, repository: int, tag: str) -> StoredManifest | None:
    """Return the stored manifest that the tag names, None unless it is of an active image."""
    return _manifest(await db.first(_manifest_by_tag, repository=repository, tag=tag))


def _wanted(status: Status | None) -> dict[str, str]:
    return {} if status is None else {"status": status.value}


async def images(
    db: Reader,
    repository: int,
    tags: TagStatus,
    before: int,
    count: int,
    status: Status | None = Status.ACTIVE,
) -> list[Image]:
    """Return up to `count` images older than the id `before`, newest first; of any `status` with None."""
    statement = _images[tags, status is None]
    rows = await db.all(statement, repository=repository, before=before, count=count, **_wanted(status))
    return [_value(row) for row in rows]


async def pairs(
    db: Reader,
    repository: int,
    tags: TagStatus,
    before: int,
    tag: str,
    count: int,
    status: Status | None = Status.ACTIVE,
) -> list[tuple[int, str, str | None]]:
    """Return up to `count` (image id, digest, tag or None) after the place (`before`, `tag`), newest image first.

    Of images of any `status` with None.
    """
    statement = _pairs[tags, status is None]
    place = {"before": before, "tag": tag}
    rows = await db.all(statement, repository=repository, count=count, **place, **_wanted(status))
    return [(row[0], row[1], row[2]) for row in rows]


async def tags_page(db: Reader, repository: int, after: str, count: int) -> list[str]:
    """Return up to `count` tags of active images after `after`, in order."""
    return [row[0] for row in await db.all(_tags_page, repository=repository, after=after, count=count)]


async def tags_of(db: Reader, image_id: int) -> list[str]:
    """Return the tags of one image, in order."""
    return [row[0] for row in await db.all(_tags_of, image=image_id)]


async def referrers(
    db: Reader,
    repository: int,
    subject: str,
    after: str,
    count: int,
    status: Status | None = Status.ACTIVE,
) -> list[Image]:
    """Return up to `count` images whose subject is `subject`, by digest after `after`; of any `status` with None."""
    statement = _referrers[status is None]
    place = {"subject": subject, "after": after}
    rows = await db.all(statement, repository=repository, count=count, **place, **_wanted(status))
    return [_value(row) for row in rows]


async def count_images(db: Reader, repository: int, most: int) -> int:
    """Count the images of a repository, giving up at `most`."""
    row = await db.first(_count, repository=repository, most=most)
    return int(row[0]) if row else 0


async def count_unarchived(db: Reader, repository: int, most: int) -> int:
    """Count the images of a repository that are not archived, giving up at `most`."""
    row = await db.first(_count_unarchived, repository=repository, most=most)
    return int(row[0]) if row else 0


async def newest(db: Reader) -> int:
    """Return the highest id of all images of all repositories, 0 without any."""
    row = await db.first(_newest)
    return int(row[0] or 0) if row else 0


async def highest_id(db: Reader) -> int:
    """Return an id that none exceeds which was given out so far, also to images that are not committed yet."""
    row = await db.first(_highest_id)
    return int(row[0] or 0) if row else 0


async def count_tags(db: Reader, image_id: int) -> int:
    """Count the tags of an image."""
    row = await db.first(_count_tags, image=image_id)
    return int(row[0]) if row else 0


async def blobs_here(
    db: Reader, repository: int, digests: Iterable[str]
) -> dict[str, tuple[int, StorageClass]]:
    """Return size in bytes and place of those of the blobs that this repository has, by digest."""
    rows = await db.all(_blobs_here, repository=repository, digests=listed(digests))
    return {row[0]: (row[1], StorageClass(row[2])) for row in rows}


async def by_digests(db: Reader, repository: int, digests: Iterable[str]) -> dict[str, Image]:
    """Return those of the images that this repository has, by digest."""
    rows = await db.all(_by_digests, repository=repository, digests=listed(digests))
    return {row[1]: _value(row) for row in rows}


async def parents(db: Reader, repository: int, digest: str) -> list[str]:
    """Return digests (at most ten) of the indexes that have this image as a child."""
    return [row[0] for row in await db.all(_parents, repository=repository, digest=digest)]


async def layer_media_type(db: Reader, repository: int, digest: str) -> str | None:
    """Return the media type under which some image of the repository refers to the blob, None when none does."""
    row = await db.first(_layer, repository=repository, digest=digest)
    return row[0] if row else None


async def add(
    tx: Transaction,
    repository: int,
    digest: Digest,
    manifest: Manifest,
    body: bytes,
    size: int,
    now: datetime,
) -> Image:
    """Insert an image with its edges and return it."""
    annotations = json.dumps(manifest.annotations) if manifest.annotations else None
    pushed_at = to_micros(now)
    row = await tx.first(
        _insert,
        repository=repository,
        digest=digest,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
        annotations=annotations,
        size=size,
        manifest=body,
        manifest_size=len(body),
        pushed_at=pushed_at,
    )
    assert row is not None
    edge = {"image": row[0], "repository": repository}
    types = {item.digest: item.media_type for item in manifest.blobs}
    children = {item.digest for item in manifest.children}
    blobs = [{**edge, "digest": each, "media_type": media_type} for each, media_type in types.items()]
    await tx.run_each(_insert_blob, blobs)
    await tx.run_each(_insert_child, [{**edge, "digest": child} for child in children])
    return Image(
        id=row[0],
        digest=digest,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
        annotations=annotations,
        size=size,
        manifest_size=len(body),
        pushed_at=from_micros(pushed_at),
        pulled_at=None,
        status=Status.ACTIVE,
        archived_at=None,
        activated_at=None,
    )


async def add_tag(tx: Transaction, repository: int, tag: str, image_id: int, now: datetime) -> None:
    """Make `tag`, which names nothing, name the image."""
    await tx.run(_insert_tag, repository=repository, tag=tag, image=image_id, at=to_micros(now))


async def put_tag(tx: Transaction, repository: int, tag: str, image_id: int, now: datetime) -> None:
    """Make `tag` name the image, whatever it named before."""
    await tx.run(_delete_tag, repository=repository, tag=tag)
    await add_tag(tx, repository, tag, image_id, now)


async def remove_tag(tx: Transaction, repository: int, tag: str) -> None:
    """Remove one tag."""
    await tx.run(_delete_tag, repository=repository, tag=tag)


async def remove(tx: Transaction, image_id: int) -> None:
    """Remove an image with its tags and edges; the bytes of its blobs are untouched."""
    await tx.run(_delete_tags, image=image_id)
    await tx.run(_delete, image=image_id)


async def record_pulls(tx: Transaction, pulls: Iterable[tuple[int, datetime]]) -> None:
    """Write the moments of the last pulls, by image id."""
    for image_id, at in pulls:
        await tx.run(_pulled, image=image_id, at=to_micros(at))
