"""What happens at intervals, once in all processes together: whoever comes first at a slot begins it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, insert, select, update

from homeport.database.engine import Statement, Transaction
from homeport.database.tables import cron
from homeport.kernel.clock import from_micros, to_micros

_known = Statement(select(cron.c.slot).where(cron.c.name == bindparam("name")))
_insert = Statement(insert(cron).values(name=bindparam("name"), slot=bindparam("slot")))
_advance = Statement(
    update(cron)
    .where(cron.c.name == bindparam("name_"), cron.c.slot < bindparam("slot_"))
    .values(slot=bindparam("slot_"))
)


def slot_at(now: datetime, interval: timedelta) -> datetime:
    """Return when the slot of `now` began: slots follow one another since 1970 without a gap."""
    length = interval // timedelta(microseconds=1)
    return from_micros(to_micros(now) // length * length)


async def begin(tx: Transaction, name: str, slot: datetime) -> bool:
    """Return whether the slot is one's own to begin: nobody has begun it, or a later one, yet."""
    if await tx.run(_advance, name_=name, slot_=to_micros(slot)) == 1:
        return True
    if await tx.first(_known, name=name) is not None:
        return False
    await tx.run(_insert, name=name, slot=to_micros(slot))
    return True
