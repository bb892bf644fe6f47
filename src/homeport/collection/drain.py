"""A deleted repository loses its rows in small steps, so that no other write waits for a large one.

Its deletion only takes its name away (`detach`): from then on nobody can address it, a new one of that name has
another id, and nothing of it is ever needed again, so its links go without a delay.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BindParameter, bindparam, delete, literal_column, select, tuple_, update

from homeport.collection import store
from homeport.collection.bury import bury
from homeport.collection.model import Collected, Link
from homeport.database.engine import Database, Reader, Statement, Transaction
from homeport.database.tables import (
    deleted_image,
    image,
    image_tag,
    lifecycle_entry,
    lifecycle_plan,
    repository,
    repository_blob,
)
from homeport.kernel.clock import Clock

ROWS = 200
"""How many rows of each kind one transaction removes at most."""

_gone = repository.c.public == literal_column("2")
_is_it: BindParameter[int] = bindparam("repository")
_detach = Statement(
    update(repository)
    .where(repository.c.id == bindparam("id_"))
    .values(public=2, name=repository.c.name + bindparam("mark"))
)
_waiting = Statement(select(repository.c.id).where(_gone).order_by(repository.c.id).limit(bindparam("count")))
_is_gone = Statement(select(repository.c.id).where(_gone, repository.c.id == bindparam("repository")))
_images = (
    select(image.c.id)
    .where(image.c.repository_id == _is_it)
    .order_by(image.c.id)
    .limit(ROWS)
    .scalar_subquery()
)
_deleted = (
    select(deleted_image.c.id)
    .where(deleted_image.c.repository_id == _is_it)
    .order_by(deleted_image.c.id)
    .limit(ROWS)
    .scalar_subquery()
)
_entries = (
    select(lifecycle_entry.c.plan_id, lifecycle_entry.c.position)
    .join(lifecycle_plan, lifecycle_plan.c.id == lifecycle_entry.c.plan_id)
    .where(lifecycle_plan.c.repository_id == _is_it)
    .limit(ROWS)
)
_remove_tags = Statement(delete(image_tag).where(image_tag.c.image_id.in_(_images)))
_steps = (  # edges follow their images by themselves
    Statement(delete(image).where(image.c.id.in_(_images))),
    Statement(delete(deleted_image).where(deleted_image.c.id.in_(_deleted))),
    Statement(
        delete(lifecycle_entry).where(
            tuple_(lifecycle_entry.c.plan_id, lifecycle_entry.c.position).in_(_entries)
        )
    ),
)
_links = Statement(
    select(repository_blob.c.digest)
    .where(repository_blob.c.repository_id == _is_it)
    .order_by(repository_blob.c.digest)
    .limit(ROWS)
)
_remove = Statement(delete(repository).where(repository.c.id == _is_it))


async def detach(tx: Transaction, repository_id: int) -> None:
    """Take a repository's name away: it is deleted, and its rows are left to `step`."""
    await tx.run(_detach, id_=repository_id, mark=f"@{repository_id}")


async def waiting(db: Reader, count: int) -> list[int]:
    """Return ids of up to `count` deleted repositories that still have rows."""
    return [row[0] for row in await db.all(_waiting, count=count)]


async def go_on(db: Database, clock: Clock, repository_id: int) -> Collected:
    """Remove some more of a deleted repository; return what went. Errors: Unavailable."""

    async def work(tx: Transaction) -> Collected:
        return await step(tx, repository_id, clock.now())

    return await db.write(work)


async def step(tx: Transaction, repository_id: int, now: datetime) -> Collected:
    """Remove at most a few hundred rows of each kind of a deleted repository; at last the repository itself."""
    if await tx.first(_is_gone, repository=repository_id) is None:
        return Collected()
    done = Collected()
    await tx.run(_remove_tags, repository=repository_id)
    finished = True
    for statement in _steps:
        finished = await tx.run(statement, repository=repository_id) < ROWS and finished
    # Links last: at every moment whatever refers to a blob has its link.
    digests = [row[0] for row in await tx.all(_links, repository=repository_id)] if finished else []
    for digest in digests:
        where = await store.lock(tx, digest)
        if await store.unlink(tx, Link(repository_id, digest)):
            done += Collected(links=1) + await bury(tx, digest, where, now)
    if finished and len(digests) < ROWS:
        await tx.run(_remove, repository=repository_id)
        done += Collected(repositories=1)
    return done
