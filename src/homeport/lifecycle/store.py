"""All SQL about lifecycle policies and their previews: rows in, values out."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, null, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import lifecycle_preview, repository
from homeport.kernel.clock import from_micros, to_micros
from homeport.lifecycle.model import Preview, PreviewStatus, StoredPolicy

_policy = Statement(
    select(repository.c.lifecycle_policy, repository.c.lifecycle_evaluated_at).where(
        repository.c.id == bindparam("repository")
    )
)
_set_policy = Statement(
    update(repository)
    .where(repository.c.id == bindparam("repository_"))
    .values(lifecycle_policy=bindparam("text"), lifecycle_evaluated_at=null())
)
_here = lifecycle_preview.c.repository_id == bindparam("repository")
_preview = Statement(
    select(lifecycle_preview.c.policy, lifecycle_preview.c.status, lifecycle_preview.c.started_at).where(
        _here
    )
)
_delete_preview = Statement(delete(lifecycle_preview).where(_here))
_insert_preview = Statement(
    insert(lifecycle_preview).values(
        repository_id=bindparam("repository"),
        policy=bindparam("policy"),
        status=bindparam("status"),
        started_at=bindparam("started_at"),
    )
)


async def policy(db: Reader, repository_id: int) -> StoredPolicy | None:
    """Return the policy of a repository, None when it has none."""
    row = await db.first(_policy, repository=repository_id)
    if row is None or row[0] is None:
        return None
    return StoredPolicy(row[0], from_micros(row[1]) if row[1] is not None else None)


async def set_policy(tx: Transaction, repository_id: int, text: str | None) -> None:
    """Replace the policy, or remove it with None; it was never evaluated."""
    await tx.run(_set_policy, repository_=repository_id, text=text)


async def preview(db: Reader, repository_id: int) -> Preview | None:
    """Return the newest preview of a repository, None when there is none."""
    row = await db.first(_preview, repository=repository_id)
    return Preview(row[0], PreviewStatus(row[1]), from_micros(row[2])) if row else None


async def put_preview(tx: Transaction, repository_id: int, started: Preview) -> None:
    """Store a preview in the place of the former one."""
    await tx.run(_delete_preview, repository=repository_id)
    await tx.run(
        _insert_preview,
        repository=repository_id,
        policy=started.policy,
        status=started.status.value,
        started_at=to_micros(started.started_at),
    )
