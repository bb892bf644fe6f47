"""Use cases of the collection. The order of steps is architecture.md section 4, "Collect".

Nothing that was chosen outside a transaction is trusted inside: each unit of work asks again whether the link is still
due and still unneeded, so any number of collectors may work at once, and one that dies leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import datetime, timedelta

from homeport.blobs.port import BlobStore
from homeport.collection import drain, rules, store
from homeport.collection.bury import bury
from homeport.collection.model import Backlog, Collected, Link
from homeport.database.engine import Database, Reader, Transaction
from homeport.kernel.clock import Clock

_BATCH = 64  # reviews asked for at a time; on SQLite they share one flush
_PAGE = 500  # links that are looked at in one transaction

Progress = Callable[[Collected], None]


async def keep(db: Database, now: datetime, link: Link) -> None:
    """A client was told that it need not push this blob: put its review off, so that the manifest finds it.

    Nothing happens when the link is gone meanwhile: whoever asks must look once more.
    """

    async def work(tx: Transaction) -> None:
        await store.put_off(tx, link, now)

    await db.write(work)


async def backlog(db: Reader, now: datetime, delay: timedelta) -> Backlog:
    """Return what waits for the collection."""
    return await store.backlog(db, rules.due_at(now, delay))


async def is_due(db: Reader, now: datetime, delay: timedelta) -> bool:
    """Whether there is anything to collect, or bytes to delete, now."""
    return bool(
        await store.due(db, rules.due_at(now, delay), 1)
        or await drain.waiting(db, 1)
        or await store.due_tombstones(db, now, now, 1)
    )


async def collect(
    db: Database, clock: Clock, delay: timedelta, turn: timedelta | None = None, tell: Progress | None = None
) -> tuple[Collected, bool]:
    """Let go of what is in doubt for `delay` or longer and of what deleted repositories held.

    Stops after about `turn`; returns what went, and whether there is more to do at once. Errors: Unavailable.
    """
    begun, done = clock.now(), Collected()
    while True:
        batch = await _batch(db, clock, delay)
        if batch is None:
            return done, False
        done += batch
        if tell is not None:
            tell(done)
        if turn is not None and clock.now() - begun >= turn:
            return done, True


async def _batch(db: Database, clock: Clock, delay: timedelta) -> Collected | None:
    """Do the next few reviews; None when there is nothing to do."""
    now = clock.now()
    if gone := await drain.waiting(db, 1):
        return await drain.go_on(db, clock, gone[0])
    until = rules.due_at(now, delay)
    links = await store.due(db, until, _BATCH)
    if not links:
        return None
    return sum(await asyncio.gather(*[review(db, now, link, until) for link in links]), Collected())


async def review(db: Database, now: datetime, link: Link, until: datetime) -> Collected:
    """Remove one link, and with the last link the blob, when that is still due and nothing refers to it."""

    async def work(tx: Transaction) -> Collected:
        where = await store.lock(tx, link.digest)
        if not await store.unlink_due(tx, link, until):
            await store.confirm(tx, link, until)
            return Collected(reviewed=1)
        return Collected(reviewed=1, links=1) + await bury(tx, link.digest, where, now)

    return await db.write(work)


async def delete_bytes(db: Database, blobs: BlobStore, clock: Clock, *, at_once: bool = False) -> Collected:
    """Delete the bytes of blobs that are gone for long enough, `at_once` also those that are not.

    None while a backup holds deletions. Any number of processes may do so at once. Errors: Unavailable.
    """
    done, loop = Collected(), asyncio.get_running_loop()
    while True:
        now = clock.now()
        due = rules.delete_after(now) if at_once else now
        found = await store.due_tombstones(db, now, due, _BATCH)
        if not found:
            return done
        for key, _ in found:
            await loop.run_in_executor(None, blobs.discard, key)
        await db.write(functools.partial(store.forget, keys=[key for key, _ in found]))
        done += Collected(blobs=len(found), bytes=sum(size for _, size in found))


async def review_links(tx: Transaction, after: Link, now: datetime) -> Link | None:
    """Have those links of a page after `after` reviewed that no image refers to; return where to go on.

    For what is older than the notes that reviews go by. None when that was the last page.
    """
    return await store.doubt_page(tx, after, _PAGE, now)


async def review_blobs(tx: Transaction, after: str, now: datetime) -> str | None:
    """Remove those blobs of a page after `after` that no repository holds; return where to go on, None at the end."""
    page = await store.blobs_after(tx, after, _PAGE)
    for digest, held in page:
        if not held:
            await bury(tx, digest, await store.lock(tx, digest), now)
    return page[-1][0] if len(page) == _PAGE else None
