"""Pinned tags, an extension: nothing deletes a pinned tag, or the image that it names, before it is unpinned.

No lifecycle policy touches such an image, no caller can delete it by tag or digest, and its repository cannot be
deleted with `force`. A push may move the tag: then it protects its new image, and the former one no more. Callers have
authorised already.
"""

from __future__ import annotations

from datetime import datetime

from homeport.database.engine import Database, Reader, Transaction
from homeport.images import pins_store, service, store
from homeport.images.model import ImageId, PinnedTag
from homeport.kernel import limits
from homeport.kernel.errors import ImageNotFound, LimitExceeded
from homeport.kernel.names import Tag
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository


async def pin(db: Database, now: datetime, repository: Repository, tag: str, by: str) -> PinnedTag:
    """Pin a tag for the caller with the ARN `by`; a tag that is pinned already stays as it is.

    Errors: TagInvalid, ImageNotFound when no image has the tag, LimitExceeded, RepositoryNotFound.
    """
    name = Tag(tag)

    async def work(tx: Transaction) -> PinnedTag:
        here = await repositories.get(tx, repository.account, repository.name, public=repository.public)
        known = await pins_store.find(tx, here.id, name)
        if known is not None:
            return known
        image = await store.by_tag(tx, here.id, name)
        if image is None:
            raise service.not_found(here, ImageId(tag=name))
        if await pins_store.count(tx, here.id) >= limits.PINNED_TAGS:
            raise LimitExceeded(f"A repository can have at most {limits.PINNED_TAGS} pinned tags")
        await pins_store.add(tx, here.id, name, now, by)
        return PinnedTag(name, image.digest, now, by)

    return await db.write(work)


async def unpin(db: Database, repository: Repository, tag: str) -> PinnedTag:
    """Undo `pin`; return what was undone. Errors: ImageNotFound when the tag is not pinned."""

    async def work(tx: Transaction) -> PinnedTag:
        known = await pins_store.find(tx, repository.id, tag)
        if known is None:
            raise ImageNotFound(
                f"The image tag '{tag}' is not pinned in the repository with name '{repository.name}' "
                f"in the registry with id '{repository.account}'"
            )
        await pins_store.remove(tx, repository.id, tag)
        return known

    return await db.write(work)


async def pinned(reader: Reader, repository_id: int, after: str, count: int) -> list[PinnedTag]:
    """Return up to `count` pinned tags after the name `after`, in order of name."""
    return await pins_store.page(reader, repository_id, after, count)


async def names(reader: Reader, repository_id: int) -> frozenset[str]:
    """Return the names of all pinned tags of a repository."""
    return await pins_store.names(reader, repository_id)
