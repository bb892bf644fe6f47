"""What a collection would let go of, without doing it: counted by the database, nothing is changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from homeport.collection import rules
from homeport.collection.model import Collected
from homeport.database.engine import Reader, Statement
from homeport.database.tables import blob, deleted_image_blob, image_blob, repository, repository_blob
from homeport.kernel.clock import to_micros

_link = repository_blob.alias("link")
_other = repository_blob.alias("other")


def _detached(link: Any) -> ColumnElement[bool]:
    """Whether the link's repository is deleted."""
    return exists().where(repository.c.id == link.c.repository_id, repository.c.public == literal_column("2"))


def _unneeded(link: Any) -> ColumnElement[bool]:
    """Whether the link is due, and nothing refers to its blob."""
    return and_(
        link.c.review_since <= bindparam("due"),
        ~exists().where(
            image_blob.c.repository_id == link.c.repository_id, image_blob.c.digest == link.c.digest
        ),
        ~exists().where(
            deleted_image_blob.c.repository_id == link.c.repository_id,
            deleted_image_blob.c.digest == link.c.digest,
        ),
    )


# A blob goes with the last of its links; of several that go it is counted at the one that sorts first.
_takes_blob = ~exists().where(
    _other.c.digest == _link.c.digest,
    or_(
        _other.c.repository_id < _link.c.repository_id,
        ~or_(_detached(_other), func.coalesce(_unneeded(_other), literal_column("0") == literal_column("1"))),
    ),
)
_sums = select(
    func.count(),
    func.coalesce(func.sum(case((_takes_blob, 1), else_=0)), 0),
    func.coalesce(func.sum(case((_takes_blob, blob.c.size), else_=0)), 0),
).join_from(_link, blob, blob.c.digest == _link.c.digest)
_of_doubt = Statement(_sums.where(_unneeded(_link), ~_detached(_link)))
_of_deletion = Statement(
    _sums.where(
        _link.c.repository_id.in_(select(repository.c.id).where(repository.c.public == literal_column("2")))
    )
)
_repositories = Statement(
    select(func.count()).select_from(repository).where(repository.c.public == literal_column("2"))
)


async def forecast(db: Reader, now: datetime, delay: timedelta) -> Collected:
    """Return what a collection with that `delay` would let go of now."""
    due = to_micros(rules.due_at(now, delay))
    doubt, gone = await db.first(_of_doubt, due=due), await db.first(_of_deletion, due=due)
    count = await db.first(_repositories)
    rows = [row for row in (doubt, gone) if row is not None]
    return Collected(
        links=sum(row[0] for row in rows),
        blobs=sum(int(row[1]) for row in rows),
        bytes=sum(int(row[2]) for row in rows),
        repositories=int(count[0]) if count is not None else 0,
    )
