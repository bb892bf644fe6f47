"""Use cases of the archive storage class. ECR User Guide, archive-image and restore-image.

An archived image keeps its rows and cannot be pulled. Its referrers go with it and come back with it, but for those
that an active index names or that have a pinned tag: they stay. The images of an index stay when the index goes, and
come back with it. Bytes follow in jobs: until they have moved they are read from
where they are. Callers have authorised already.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from homeport.blobs.port import StorageClass
from homeport.collection import store as references
from homeport.database.engine import Database, Reader, Transaction
from homeport.images import archive_store, pins_store, store
from homeport.images.model import Image, Status
from homeport.jobs import store as jobs
from homeport.jobs.model import Kind
from homeport.kernel.errors import ImageNotFound, ImageStorageClassUpdateNotSupported
from homeport.repositories.model import Repository

_PAGE = 500
_DIGESTS = 100  # of one job


async def update(
    db: Database, now: datetime, repository: Repository, digest: str, target: StorageClass
) -> Status:
    """Move an image to the archive, or begin to restore it from there; return its status then.

    Errors: ImageNotFound, ImageStorageClassUpdateNotSupported when its state or its kind does not allow that.
    """

    async def work(tx: Transaction) -> Status:
        image = await store.by_digest(tx, repository.id, digest)
        if image is None:
            raise ImageNotFound("Requested image not found")
        if target is StorageClass.ARCHIVE:
            await archive_one(tx, now, repository, image)
            return Status.ARCHIVED
        await _may_restore(tx, repository, image)
        for each in await _family(tx, repository, image, {Status.ARCHIVED}, with_children=True):
            await archive_store.begin_restore(tx, each.id)
            await jobs.add(tx, Kind.RESTORE_IMAGE, {"image": each.id}, now)
        return Status.ACTIVATING

    return await db.write(work)


async def archive_one(tx: Transaction, now: datetime, repository: Repository, image: Image) -> None:
    """Move an image with its referrers to the archive, within a unit of work.

    Errors: ImageStorageClassUpdateNotSupported when its state or its kind does not allow that.
    """
    await _may_archive(tx, repository, image)
    await _archive(tx, repository, image, now)


async def _may_archive(tx: Transaction, repository: Repository, image: Image) -> None:
    if image.status is not Status.ACTIVE:
        _refuse(f"The image is {image.status.value} and only an ACTIVE image can be archived")
    parents = await archive_store.live_parents(tx, repository.id, image.digest)
    if parents:
        _refuse(f"Requested image referenced by manifest list: [{', '.join(parents)}]")
    if image.subject is not None and await store.by_digest(tx, repository.id, image.subject) is not None:
        _refuse(f"The image is a referrer of {image.subject} and is archived together with it")


async def _may_restore(tx: Transaction, repository: Repository, image: Image) -> None:
    if image.status is not Status.ARCHIVED:
        _refuse(f"The image is {image.status.value} and only an ARCHIVED image can be restored")
    subject = await store.by_digest(tx, repository.id, image.subject) if image.subject is not None else None
    if subject is not None and subject.status is Status.ARCHIVED:
        _refuse(f"The image is a referrer of {image.subject} and is restored together with it")


def _refuse(why: str) -> None:
    raise ImageStorageClassUpdateNotSupported(why)


async def _archive(tx: Transaction, repository: Repository, image: Image, now: datetime) -> None:
    digests: set[str] = set()
    there = {Status.ACTIVE, Status.ACTIVATING}
    for each in await _family(tx, repository, image, there, but_protected=True):
        await archive_store.archive(tx, each.id, now)
        digests.update(digest for digest, _ in await archive_store.blobs(tx, each.id))
    await _settle(tx, digests, now)


async def _family(
    tx: Transaction,
    repository: Repository,
    image: Image,
    statuses: set[Status],
    *,
    with_children: bool = False,
    but_protected: bool = False,
) -> list[Image]:
    """Return the image and what goes with it as far as that has one of `statuses`, what others need first.

    `but_protected` leaves out referrers that must stay where they are, and with them their own.
    """
    found: dict[str, Image] = {image.digest: image}
    waiting = [image]
    while waiting:
        one = waiting.pop()
        near = await _referrers(tx, repository, one)
        if with_children:
            for digest, _ in await archive_store.children(tx, one.id):
                child = await store.by_digest(tx, repository.id, digest)
                near.extend([child] if child is not None else [])
        for each in near:
            if each.digest in found or each.status not in statuses:
                continue
            if not (but_protected and await _is_protected(tx, repository, each)):
                found[each.digest] = each
                waiting.append(each)
    return list(reversed(found.values()))


async def _is_protected(tx: Transaction, repository: Repository, referrer: Image) -> bool:
    """Whether somebody counts on pulling a referrer by itself: through an index, or by a pinned tag."""
    if await archive_store.live_parents(tx, repository.id, referrer.digest):
        return True
    return bool(await pins_store.of_image(tx, referrer.id))


async def _referrers(tx: Transaction, repository: Repository, subject: Image) -> list[Image]:
    found: list[Image] = []
    while page := await store.referrers(
        tx, repository.id, subject.digest, found[-1].digest if found else "", _PAGE, status=None
    ):
        found.extend(page)
    return found


async def _settle(tx: Transaction, digests: Iterable[str], now: datetime) -> None:
    """Have the bytes of these blobs brought to where their images need them."""
    listed = sorted(digests)
    for first in range(0, len(listed), _DIGESTS):
        await jobs.add(tx, Kind.SETTLE_BLOBS, {"digests": listed[first : first + _DIGESTS]}, now)


async def restore_at_once(tx: Transaction, repository: Repository, image: Image, now: datetime) -> None:
    """An image was pushed that is archived or on its way back: it is active now, with all that goes with it."""
    digests: set[str] = set()
    away = {Status.ARCHIVED, Status.ACTIVATING}
    for each in await _family(tx, repository, image, away, with_children=True):
        await archive_store.activate(tx, each.id, now)
        digests.update(await _cold(tx, each.id))
    await _settle(tx, digests, now)


async def standard_blobs(tx: Transaction, image_id: int) -> list[str]:
    """Return digests of the image's blobs whose bytes are not in the archive."""
    listed = await archive_store.blobs(tx, image_id)
    return [digest for digest, where in listed if where is StorageClass.STANDARD]


async def _cold(tx: Transaction, image_id: int) -> list[str]:
    listed = await archive_store.blobs(tx, image_id)
    return [digest for digest, where in listed if where is StorageClass.ARCHIVE]


async def warm_up(tx: Transaction, digests: Iterable[str], now: datetime) -> None:
    """A new image refers to blobs whose bytes are in the archive: have them brought back."""
    await _settle(tx, digests, now)


async def release(tx: Transaction, digests: Iterable[str], now: datetime) -> None:
    """An image that referred to these blobs is gone: have those archived that only archived images refer to now."""
    alone = [
        digest
        for digest in digests
        if not await references.is_needed(tx, digest) and await references.is_archived(tx, digest)
    ]
    await _settle(tx, alone, now)


async def is_complete(db: Reader, image_id: int) -> bool:
    """Whether everything that an image on its way back needs is back: its bytes, and the images of an index."""
    there = all(status is Status.ACTIVE for _, status in await archive_store.children(db, image_id))
    return there and not any(
        where is StorageClass.ARCHIVE for _, where in await archive_store.blobs(db, image_id)
    )


async def finish_restore(tx: Transaction, image_id: int, now: datetime) -> None:
    """The bytes of an image are back: it is active, unless something else happened to it meanwhile."""
    if await archive_store.status(tx, image_id) is Status.ACTIVATING:
        await archive_store.activate(tx, image_id, now)
