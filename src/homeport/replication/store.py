"""All SQL about backfills: rows in, values out. The configuration is a document of the registry."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import replication_backfill
from homeport.kernel.clock import from_micros, to_micros
from homeport.replication.model import Backfill, BackfillStatus, Destination

_table = replication_backfill.c
_columns = select(
    _table.id,
    _table.account_id,
    _table.destination_region,
    _table.destination_account,
    _table.status,
    _table.failure_code,
    _table.started_at,
    _table.ended_at,
)
_mine = _table.account_id == bindparam("account")
_kept = or_(_table.ended_at.is_(None), _table.ended_at >= bindparam("since"))
_by_id = Statement(_columns.where(_mine, _table.id == bindparam("id"), _kept))
_page = Statement(
    _columns.where(
        _mine,
        _kept,
        or_(
            _table.started_at < bindparam("before"),
            and_(_table.started_at == bindparam("at"), _table.id > bindparam("after")),
        ),
    )
    .order_by(_table.started_at.desc(), _table.id)
    .limit(bindparam("count"))
)
_running = Statement(_columns.where(_mine, _table.ended_at.is_(None)))
_insert = Statement(
    insert(replication_backfill).values(
        id=bindparam("id"),
        account_id=bindparam("account"),
        destination_region=bindparam("region"),
        destination_account=bindparam("registry"),
        status=bindparam("status"),
        failure_code=bindparam("failure"),
        started_at=bindparam("started"),
        ended_at=bindparam("ended"),
    )
)
_set_status = Statement(
    update(replication_backfill)
    .where(_table.id == bindparam("id_"))
    .values(status=bindparam("status"), ended_at=bindparam("ended"))
)
_forget = Statement(delete(replication_backfill).where(_mine, _table.ended_at < bindparam("since")))
_LATEST = 2**62  # microseconds after every real moment


def _value(row: Row) -> Backfill:
    return Backfill(
        id=row[0],
        account=row[1],
        destination=Destination(row[2], row[3]),
        status=BackfillStatus(row[4]),
        failure_code=row[5],
        started_at=from_micros(row[6]),
        ended_at=from_micros(row[7]) if row[7] is not None else None,
    )


async def find(db: Reader, account: str, backfill_id: str, since: datetime) -> Backfill | None:
    """Return the registry's backfill of that id, unless it ended before `since`."""
    row = await db.first(_by_id, account=account, id=backfill_id, since=to_micros(since))
    return _value(row) if row else None


async def page(
    db: Reader, account: str, since: datetime, position: tuple[int, str] | None, count: int
) -> list[Backfill]:
    """Return up to `count` backfills after `position` (start in microseconds, id), the latest first."""
    started, after = position or (_LATEST, "")
    rows = await db.all(
        _page,
        account=account,
        since=to_micros(since),
        before=started,
        at=started,
        after=after,
        count=count,
    )
    return [_value(row) for row in rows]


async def running(db: Reader, account: str) -> list[Backfill]:
    """Return the registry's backfills that are not over."""
    return [_value(row) for row in await db.all(_running, account=account)]


async def add(tx: Transaction, backfill: Backfill) -> None:
    """Insert a backfill."""
    await tx.run(
        _insert,
        id=backfill.id,
        account=backfill.account,
        region=backfill.destination.region,
        registry=backfill.destination.account,
        status=backfill.status.value,
        failure=backfill.failure_code,
        started=to_micros(backfill.started_at),
        ended=to_micros(backfill.ended_at) if backfill.ended_at is not None else None,
    )


async def set_status(
    tx: Transaction, backfill_id: str, status: BackfillStatus, ended_at: datetime | None
) -> None:
    """Change how far a backfill is."""
    ended = to_micros(ended_at) if ended_at is not None else None
    await tx.run(_set_status, id_=backfill_id, status=status.value, ended=ended)


async def forget(tx: Transaction, account: str, since: datetime) -> None:
    """Delete the backfills that ended before `since`."""
    await tx.run(_forget, account=account, since=to_micros(since))
