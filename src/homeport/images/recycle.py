"""Images that were deleted and can still be restored, an extension: off unless the setting IMAGE_RECOVERY is on.

What was kept of an image leaves the bin when the image is restored or pushed again, when its time is over, and when
its repository is deleted. Nothing is copied: the bytes of its blobs stay where they are. Callers have authorised
already, and give the moment by which recovery is judged (`Region.lifecycle_clock`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.images import archive, recycle_store, rules, service, store
from homeport.images.headroom import Headroom
from homeport.images.model import DeletedImage, Image, Manifest
from homeport.images.recycle_store import Kept
from homeport.kernel import limits
from homeport.kernel.errors import (
    ImageAlreadyExists,
    ImageNotFound,
    LayersNotFound,
    LimitExceeded,
    ReferencedImagesNotFound,
    Unavailable,
)
from homeport.kernel.names import Tag
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository

_PURGED = 100  # images in one transaction


async def deleted(
    reader: Reader, now: datetime, repository: Repository, before: int, count: int
) -> list[DeletedImage]:
    """Return up to `count` images that can be restored and have ids below `before`, last deleted first."""
    return await recycle_store.page(reader, now, repository.id, before, count)


async def find(reader: Reader, now: datetime, repository: Repository, digest: str) -> DeletedImage | None:
    """Return the image of that digest that can be restored, None when there is none."""
    kept = await recycle_store.find(reader, now, repository.id, digest)
    return kept.image if kept is not None else None


async def together(reader: Reader, now: datetime, repository: Repository, digest: str) -> list[DeletedImage]:
    """Return the deleted image of that digest and those that `restore` brings back with it; none when there is none.

    It stops beyond as many as can be restored together.
    """
    found: dict[str, DeletedImage] = {}
    waiting = [digest]
    while waiting and len(found) <= limits.RESTORED_TOGETHER + 1:
        one = waiting.pop()
        kept = await recycle_store.find(reader, now, repository.id, one) if one not in found else None
        if kept is None:
            continue
        found[one] = kept.image
        manifest = rules.read_manifest(kept.manifest, kept.image.media_type)
        waiting.extend(child.digest for child in manifest.children)
        waiting.extend(
            await recycle_store.referrers(
                reader, now, repository.id, one, kept.image.deleted_at, limits.RESTORED_TOGETHER + 1
            )
        )
    return list(found.values())


async def restore(
    db: Database,
    now: datetime,
    repository: Repository,
    digest: str,
    tags: Sequence[str] | None,
    room: Headroom,
) -> Image:
    """Bring a deleted image back with what it needs and what went with it, in one transaction.

    It has its digest, and the moments of its push and last pull, as before; it is active since now, so that no policy
    removes it at once. The deleted images of an index come back before it, and referrers (signatures, attestations)
    that were deleted with the image or later come back after it. Each gets its tags again as far as no other image has
    them now; the image itself gets `tags` instead unless they are None, by the rules for a push.

    Errors: ImageNotFound when it cannot be restored (any more), ImageAlreadyExists, LayersNotFound,
    ReferencedImagesNotFound, TagInvalid, ImageTagAlreadyExists, LimitExceeded, RepositoryNotFound.
    """
    wanted = [Tag(tag) for tag in tags] if tags is not None else None

    async def work(tx: Transaction) -> Image:
        here = await repositories.get(tx, repository.account, repository.name, public=repository.public)
        if await store.by_digest(tx, here.id, digest) is not None:
            raise ImageAlreadyExists(
                f"Image with digest '{digest}' already exists in the repository with name '{here.name}' "
                f"in registry with id '{here.account}'"
            )
        if not await recycle_store.is_kept(tx, now, here.id, digest):
            raise ImageNotFound(
                f"There is no deleted image with digest '{digest}' to restore in the repository with name "
                f"'{here.name}' in the registry with id '{here.account}'"
            )
        await _Restoring(tx, now, here, room).image(digest, wanted)
        image = await store.by_digest(tx, here.id, digest)
        assert image is not None
        return image

    try:
        return await db.write(work)
    except Unavailable:
        room.forget(repository.id)  # other writes that it counted may be undone with this one
        raise


class _Restoring:
    """One restoration: brings images back within a unit of work."""

    def __init__(self, tx: Transaction, now: datetime, repository: Repository, room: Headroom) -> None:
        self._tx = tx
        self._now = now
        self._repository = repository
        self._room = room
        self._back: list[DeletedImage] = []

    async def image(self, digest: str, tags: Sequence[Tag] | None) -> None:
        """Bring back one image with all that its indexes need and that refers to it."""
        await self._tree(digest, tags)
        for each in self._back:  # which grows meanwhile: signatures may be signed
            for referrer in await self._referrers(each):
                # It is no less deleted than before when something that it needs is gone for good.
                with contextlib.suppress(LayersNotFound, ReferencedImagesNotFound):
                    await self._tree(referrer, None)

    async def _tree(self, digest: str, tags: Sequence[Tag] | None) -> None:
        waiting = [digest]
        while waiting:  # no recursion: indexes of indexes can be as deep as somebody cared to push them
            kept = await recycle_store.find(self._tx, self._now, self._repository.id, waiting[-1])
            if kept is None:  # two need it, and it is back already
                waiting.pop()
                continue
            manifest = rules.read_manifest(kept.manifest, kept.image.media_type)
            children = [each.digest for each in manifest.children if await self._is_deleted(each.digest)]
            if children:
                waiting.extend(children)
                continue
            waiting.pop()
            await self._one(kept, manifest, tags if kept.image.digest == digest else None)

    async def _is_deleted(self, digest: str) -> bool:
        return await recycle_store.is_kept(self._tx, self._now, self._repository.id, digest)

    async def _referrers(self, subject: DeletedImage) -> list[str]:
        return await recycle_store.referrers(
            self._tx,
            self._now,
            self._repository.id,
            subject.digest,
            subject.deleted_at,
            limits.RESTORED_TOGETHER + 1,
        )

    async def _one(self, kept: Kept, manifest: Manifest, tags: Sequence[Tag] | None) -> None:
        tx, here, was = self._tx, self._repository, kept.image
        if len(self._back) > limits.RESTORED_TOGETHER:
            raise LimitExceeded(
                f"More than {limits.RESTORED_TOGETHER} other images would be restored together with the image; "
                "restore some of those that it names, or that refer to it, on their own first"
            )
        references = await service.check_references(tx, here, manifest)
        await self._room.require(tx, here)
        image = await store.add(
            tx, here.id, was.digest, manifest, kept.manifest, references.size, was.pushed_at
        )
        await recycle_store.set_moments(tx, image.id, was.pulled_at, self._now)
        await recycle_store.forget(tx, here.id, was.digest)
        # Due at once: the moment of the deletion is past also while the clock of recovery is ahead.
        await archive.warm_up(tx, references.cold, was.deleted_at)
        self._back.append(was)
        if tags is not None:
            for tag in tags:
                await service.give_tag(tx, here, tag, image, self._now, self._room.quotas.tags_per_image)
            return
        for former in was.tags:
            if await store.by_tag(tx, here.id, former) is None:
                await store.put_tag(tx, here.id, former, image.id, self._now)


async def purge(db: Database, now: datetime, doubted: datetime | None = None) -> int:
    """Drop what was kept of images whose time is over, in small transactions; return how many.

    Their blobs are reviewed, as in doubt since `doubted`: the moment by the clock that is not ahead; default: `now`.
    """
    removed = 0
    while ids := await recycle_store.over(db, now, _PURGED):
        await db.write(functools.partial(recycle_store.remove, ids=ids, now=doubted or now))
        removed += len(ids)
    return removed
