"""Tags of users, roles, policies and identity providers. IAM User Guide, "Tags for IAM resources".

Keys differ only if they differ in more than case: a new `department` replaces `Department`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from homeport.database.engine import Reader, Statement, Transaction
from homeport.database.tables import iam_tag
from homeport.kernel.errors import InvalidEntityInput, LimitExceeded

TAGS: Final = 50  # IAM: tags on one identity

_of_owner = (
    iam_tag.c.account_id == bindparam("account"),
    iam_tag.c.kind == bindparam("kind_"),
    iam_tag.c.owner == bindparam("owner_"),
)
_all = Statement(select(iam_tag.c.key, iam_tag.c.value).where(*_of_owner).order_by(iam_tag.c.key))
_add = Statement(
    insert(iam_tag).values(
        account_id=bindparam("account"),
        kind=bindparam("kind_"),
        owner=bindparam("owner_"),
        key=bindparam("key_"),
        value=bindparam("value_"),
    )
)
_remove = Statement(delete(iam_tag).where(*_of_owner, iam_tag.c.key == bindparam("key_")))
_clear = Statement(delete(iam_tag).where(*_of_owner))


def asked(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Return the tags of a request by key. Errors: InvalidEntityInput for a reserved or repeated key."""
    found: dict[str, str] = {}
    for tag in tags or ():
        if tag["Key"].lower() in {key.lower() for key in found}:
            raise InvalidEntityInput(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            )
        if tag["Key"].lower().startswith("aws:"):
            raise InvalidEntityInput("aws: prefixed tag key names are not allowed for external use.")
        found[tag["Key"]] = tag["Value"]
    return found


async def of(db: Reader, account: str, kind: str, owner: str) -> dict[str, str]:
    """Return the tags of something, in order of key."""
    rows = await db.all(_all, account=account, kind_=kind, owner_=owner)
    return {row[0]: row[1] for row in rows}


async def put(tx: Transaction, account: str, kind: str, owner: str, added: Mapping[str, str]) -> None:
    """Add or change tags. Errors: LimitExceeded past 50."""
    present = {key.lower(): key for key in await of(tx, account, kind, owner)}
    if len(present.keys() | {key.lower() for key in added}) > TAGS:
        raise LimitExceeded(f"Cannot exceed quota for TagsPer{kind.title().replace('-', '')}: {TAGS}")
    for key, value in added.items():
        old = present.get(key.lower())
        if old is not None:
            await tx.run(_remove, account=account, kind_=kind, owner_=owner, key_=old)
        await tx.run(_add, account=account, kind_=kind, owner_=owner, key_=key, value_=value)


async def remove(tx: Transaction, account: str, kind: str, owner: str, keys: Sequence[str]) -> None:
    """Remove tags; keys that are not there are ignored."""
    asked_keys = {key.lower() for key in keys}
    for key in await of(tx, account, kind, owner):
        if key.lower() in asked_keys:
            await tx.run(_remove, account=account, kind_=kind, owner_=owner, key_=key)


async def clear(tx: Transaction, account: str, kind: str, owner: str) -> None:
    """Remove every tag: what they were on is deleted."""
    await tx.run(_clear, account=account, kind_=kind, owner_=owner)
