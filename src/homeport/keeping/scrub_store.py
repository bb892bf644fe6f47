"""All SQL about how far the verification of stored bytes is, and who does it. Rows in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import scrub
from homeport.kernel.clock import to_micros

_NAME = "blobs"


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to go on after the digest `cursor`. `fence` is the lease: a later one has a greater number."""

    cursor: str
    fence: int


_find = Statement(select(scrub.c.cursor, scrub.c.fence, scrub.c.resume_after).where(scrub.c.name == _NAME))
_insert = Statement(insert(scrub).values(name=_NAME, cursor="", resume_after=bindparam("until"), fence=1))
_mine = (scrub.c.name == _NAME, scrub.c.fence == bindparam("seen"))
_lease = Statement(
    update(scrub).where(*_mine).values(fence=scrub.c.fence + 1, resume_after=bindparam("until"))
)
_renew = Statement(update(scrub).where(*_mine).values(resume_after=bindparam("until")))
_move = Statement(update(scrub).where(*_mine).values(cursor=bindparam("to"), resume_after=bindparam("until")))


async def is_due(db: Reader, now: datetime) -> bool:
    """Whether nobody does it and it is time to go on. Cheap to ask again when nothing changed."""
    row = await db.first(_find)
    return row is None or row[2] <= to_micros(now)


async def cursor(db: Reader) -> str:
    """Return the digest after which the next turn goes on; empty between two passes."""
    row = await db.first(_find)
    return str(row[0]) if row else ""


async def take(tx: Transaction, now: datetime, until: datetime) -> Turn | None:
    """Take the turn for oneself until then; None when somebody else has it, or it is not time yet."""
    row = await tx.first(_find)
    if row is None:
        await tx.run(_insert, until=to_micros(until))
        return Turn("", 1)
    if row[2] > to_micros(now):
        return None
    await tx.run(_lease, seen=row[1], until=to_micros(until))
    return Turn(row[0], row[1] + 1)


async def renew(tx: Transaction, turn: Turn, until: datetime) -> bool:
    """Keep the turn until then; false when it is another one's."""
    return await tx.run(_renew, seen=turn.fence, until=to_micros(until)) == 1


async def move(tx: Transaction, turn: Turn, cursor: str, until: datetime) -> bool:
    """Write down how far it is; the turn, or the rest before the next one, lasts until then. False as for `renew`."""
    return await tx.run(_move, seen=turn.fence, to=cursor, until=to_micros(until)) == 1
