"""The images of a repository as lifecycle rules see them, read page by page.

The pages are not one moment: what changes while they are read is found when a plan is executed, by the fingerprint of
each image (`fingerprint`). Between two pages the event loop does what else is due.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence

from homeport.database.engine import Reader
from homeport.images import pins
from homeport.images.model import Status
from homeport.lifecycle import images_store
from homeport.lifecycle.images_store import BlobOfImage, ImageRow
from homeport.lifecycle.model import Candidate, TagSeen

_PAGE = 1000


async def pages(reader: Reader, repository_id: int) -> AsyncIterator[list[ImageRow]]:
    """Return all images of a repository in order of id, a page at a time."""
    after = 0
    while page := await images_store.images(reader, repository_id, after, _PAGE):
        yield page
        after = page[-1].id
        await asyncio.sleep(0)


async def _tags(reader: Reader, repository_id: int) -> dict[int, list[TagSeen]]:
    found: dict[int, list[TagSeen]] = {}
    after = ""
    while page := await images_store.tags(reader, repository_id, after, _PAGE):
        for image_id, tag in page:
            found.setdefault(image_id, []).append(tag)
        after = page[-1][1].name
        await asyncio.sleep(0)
    return found


async def _children(reader: Reader, repository_id: int, page: Sequence[ImageRow]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    place = (page[0].id, "")
    while more := await images_store.children(reader, repository_id, place, page[-1].id, _PAGE):
        found.extend(more)
        place = more[-1]
        await asyncio.sleep(0)
    return found


async def blobs(reader: Reader, repository_id: int) -> AsyncIterator[list[BlobOfImage]]:
    """Return what the images of a repository refer to, in order of image, a page at a time."""
    async for page in pages(reader, repository_id):
        place = (page[0].id, "")
        while more := await images_store.blobs(reader, repository_id, place, page[-1].id, _PAGE):
            yield more
            place = (more[-1].image_id, more[-1].digest)
            await asyncio.sleep(0)


async def read(reader: Reader, repository_id: int) -> list[Candidate]:
    """Return every image of a repository that a rule may look at: all but those on their way back from the archive."""
    pinned = await pins.names(reader, repository_id)
    tags = await _tags(reader, repository_id)
    rows: list[ImageRow] = []
    listed: set[str] = set()
    live: set[str] = set()
    async for page in pages(reader, repository_id):
        rows.extend(page)
        archived = {row.id for row in page if row.status == Status.ARCHIVED.value}
        for index, digest in await _children(reader, repository_id, page):
            listed.add(digest)
            if index not in archived:
                live.add(digest)
    present = {row.digest for row in rows}
    found: list[Candidate] = []
    for first in range(0, len(rows), _PAGE):
        for row in rows[first : first + _PAGE]:
            if row.status == Status.ACTIVATING.value:
                continue
            own = tuple(tags.get(row.id, ()))
            found.append(
                Candidate(
                    id=row.id,
                    digest=row.digest,
                    tags=own,
                    size=row.size,
                    pushed_at=row.pushed_at,
                    pulled_at=row.pulled_at,
                    archived=row.status == Status.ARCHIVED.value,
                    archived_at=row.archived_at,
                    activated_at=row.activated_at,
                    listed=row.digest in listed,
                    listed_live=row.digest in live,
                    subject=row.subject if row.subject in present else None,
                    pinned=bool(pinned) and any(tag.name in pinned for tag in own),
                )
            )
        await asyncio.sleep(0)
    return found


def fingerprint(
    tags: Iterable[TagSeen],
    pulled_at: int | None,
    archived: bool,
    archived_at: int | None,
    activated_at: int | None,
) -> str:
    """Return what changes when anything of an image changes on which a rule may rest.

    That no index needs the image, that its subject is gone and that no tag of it is pinned are asked for anew when a
    plan is executed. Moments in microseconds since 1970; `tags` in order of name.
    """
    said = [[(tag.name, tag.tagged_at) for tag in tags], pulled_at, archived, archived_at, activated_at]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def fingerprint_of(image: Candidate) -> str:
    """Return the fingerprint of an image that was judged."""
    tags, state = image.tags, (image.pulled_at, image.archived, image.archived_at, image.activated_at)
    return fingerprint(tags, *state)
