"""All SQL about the lifecycle policies of single repositories: rows in, values out."""

from __future__ import annotations

from sqlalchemy import bindparam, null, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import repository
from homeport.kernel.clock import from_micros
from homeport.lifecycle.model import StoredPolicy

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


async def policy(db: Reader, repository_id: int) -> StoredPolicy | None:
    """Return the policy of a repository, None when it has none."""
    row = await db.first(_policy, repository=repository_id)
    if row is None or row[0] is None:
        return None
    return StoredPolicy(row[0], from_micros(row[1]) if row[1] is not None else None)


async def set_policy(tx: Transaction, repository_id: int, text: str | None) -> None:
    """Replace the policy, or remove it with None; it was never evaluated."""
    await tx.run(_set_policy, repository_=repository_id, text=text)
