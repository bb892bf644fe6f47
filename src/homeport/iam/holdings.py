"""What hangs on a user, group or role by its name: inline policies, attached policies, tags."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, update

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import iam_attachment, iam_inline_policy, iam_tag
from homeport.kernel.errors import DeleteConflict

_TABLES = (iam_inline_policy, iam_attachment, iam_tag)
_of_owner = {
    table: (
        table.c.account_id == bindparam("account"),
        table.c.kind == bindparam("kind_"),
        table.c.owner == bindparam("owner_"),
    )
    for table in _TABLES
}
_any_attached = Statement(select(iam_attachment.c.policy_arn).where(*_of_owner[iam_attachment]).limit(1))
_any_inline = Statement(select(iam_inline_policy.c.name).where(*_of_owner[iam_inline_policy]).limit(1))
_rename = tuple(
    Statement(update(table).where(*_of_owner[table]).values(owner=bindparam("to"))) for table in _TABLES
)
_clear = tuple(Statement(delete(table).where(*_of_owner[table])) for table in _TABLES)


async def must_have_no_policies(db: Reader, account: str, kind: str, owner: str) -> None:
    """Return when no policy is left on it. Errors: DeleteConflict."""
    named = {"account": account, "kind_": kind, "owner_": owner}
    if await db.first(_any_attached, **named):
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if await db.first(_any_inline, **named):
        raise DeleteConflict("Cannot delete entity, must delete policies first.")


async def rename(tx: Transaction, account: str, kind: str, owner: str, to: str) -> None:
    """Take everything along when the owner gets another name."""
    for statement in _rename:
        await tx.run(statement, account=account, kind_=kind, owner_=owner, to=to)


async def clear(tx: Transaction, account: str, kind: str, owner: str) -> None:
    """Remove everything: the owner is deleted."""
    for statement in _clear:
        await tx.run(statement, account=account, kind_=kind, owner_=owner)
