"""All SQL about repositories: rows in, values out."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache

from sqlalchemy import bindparam, delete, func, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import image, pinned_tag, repository, repository_tag, upload
from homeport.kernel.clock import from_micros, to_micros
from homeport.kernel.names import AccountId, RepositoryName
from homeport.repositories.model import Repository, Settings, TagMutability

_columns = select(
    repository.c.id,
    repository.c.account_id,
    repository.c.name,
    repository.c.created_at,
    repository.c.tag_mutability,
    repository.c.mutability_filters,
    repository.c.scan_on_push,
    repository.c.encryption_type,
    repository.c.kms_key,
    repository.c.policy,
    repository.c.public,
)
_registry = (repository.c.account_id == bindparam("account"), repository.c.public == bindparam("public"))
_by_name = Statement(_columns.where(*_registry, repository.c.name == bindparam("name")))
_by_id = Statement(_columns.where(repository.c.id == bindparam("id"), repository.c.public != 2))
_private = Statement(
    _columns.where(repository.c.public == 0, repository.c.id > bindparam("after"))
    .order_by(repository.c.id)
    .limit(bindparam("count"))
)
_page = Statement(
    _columns.where(*_registry, repository.c.name > bindparam("after"))
    .order_by(repository.c.name)
    .limit(bindparam("count"))
)
_insert = Statement(
    insert(repository).values(
        account_id=bindparam("account"),
        public=bindparam("public"),
        name=bindparam("name"),
        created_at=bindparam("created_at"),
        tag_mutability=bindparam("tag_mutability"),
        mutability_filters=bindparam("mutability_filters"),
        scan_on_push=bindparam("scan_on_push"),
        encryption_type=bindparam("encryption_type"),
        kms_key=bindparam("kms_key"),
    )
)
_set_mutability = Statement(
    update(repository)
    .where(repository.c.id == bindparam("id_"))
    .values(tag_mutability=bindparam("mode"), mutability_filters=bindparam("filters"))
)
_set_policy = Statement(
    update(repository).where(repository.c.id == bindparam("id_")).values(policy=bindparam("text"))
)
_set_scan_on_push = Statement(
    update(repository).where(repository.c.id == bindparam("id_")).values(scan_on_push=bindparam("on_push"))
)
_delete_uploads = Statement(
    update(upload).where(upload.c.repository_id == bindparam("id_")).values(touched_at=0)
)
_any = Statement(select(repository.c.id).limit(1))
_any_image = Statement(select(image.c.id).where(image.c.repository_id == bindparam("id")).limit(1))
_pinned = Statement(
    select(pinned_tag.c.name)
    .where(pinned_tag.c.repository_id == bindparam("id"))
    .order_by(pinned_tag.c.name)
    .limit(bindparam("count"))
)
_count = Statement(
    select(func.count()).select_from(
        select(repository.c.id).where(*_registry).limit(bindparam("most")).subquery()
    )
)
_tags = Statement(
    select(repository_tag.c.key, repository_tag.c.value)
    .where(repository_tag.c.repository_id == bindparam("id"))
    .order_by(repository_tag.c.key)
)
_insert_tag = Statement(
    insert(repository_tag).values(
        repository_id=bindparam("id"), key=bindparam("key"), value=bindparam("value")
    )
)
_delete_tag = Statement(
    delete(repository_tag).where(
        repository_tag.c.repository_id == bindparam("id"), repository_tag.c.key == bindparam("key")
    )
)


@lru_cache(maxsize=1024)  # a row that has not changed is the same value
def _value(row: Row) -> Repository:
    return Repository(
        id=row[0],
        account=str.__new__(AccountId, row[1]),  # stored names were validated on their way in
        name=str.__new__(RepositoryName, row[2]),
        created_at=from_micros(row[3]),
        settings=Settings(
            tag_mutability=TagMutability(row[4]),
            mutability_filters=tuple(json.loads(row[5])) if row[5] != "[]" else (),
            scan_on_push=bool(row[6]),
            encryption_type=row[7],
            kms_key=row[8],
        ),
        policy=row[9],
        public=bool(row[10]),
    )


async def find(db: Reader, account: str, name: str, *, public: bool = False) -> Repository | None:
    """Return the repository of that name, or None."""
    row = await db.first(_by_name, account=account, public=int(public), name=name)
    return _value(row) if row else None


async def by_id(db: Reader, repository_id: int) -> Repository | None:
    """Return the repository with that id, None also when it is deleted and only its rows are not all gone."""
    row = await db.first(_by_id, id=repository_id)
    return _value(row) if row else None


async def private(db: Reader, after: int, count: int) -> list[Repository]:
    """Return up to `count` private repositories of all registries with ids above `after`, in order of id."""
    return [_value(row) for row in await db.all(_private, after=after, count=count)]


async def any_of(db: Reader) -> bool:
    """Whether any account has a repository."""
    return await db.first(_any) is not None


async def page(db: Reader, account: str, after: str, count: int, *, public: bool = False) -> list[Repository]:
    """Return up to `count` repositories whose names come after `after`, in order of name."""
    rows = await db.all(_page, account=account, public=int(public), after=after, count=count)
    return [_value(row) for row in rows]


async def add(
    tx: Transaction,
    account: AccountId,
    name: RepositoryName,
    settings: Settings,
    now: datetime,
    *,
    public: bool = False,
) -> None:
    """Insert a repository."""
    await tx.run(
        _insert,
        account=account,
        public=int(public),
        name=name,
        created_at=to_micros(now),
        tag_mutability=settings.tag_mutability.value,
        mutability_filters=json.dumps(settings.mutability_filters),
        scan_on_push=int(settings.scan_on_push),
        encryption_type=settings.encryption_type,
        kms_key=settings.kms_key,
    )


async def set_mutability(
    tx: Transaction, repository_id: int, mode: TagMutability, filters: tuple[str, ...]
) -> None:
    """Change whether tags may move."""
    await tx.run(_set_mutability, id_=repository_id, mode=mode.value, filters=json.dumps(filters))


async def set_scan_on_push(tx: Transaction, repository_id: int, on_push: bool) -> None:
    """Change whether the basic scanner looks at every push."""
    await tx.run(_set_scan_on_push, id_=repository_id, on_push=int(on_push))


async def set_policy(tx: Transaction, repository_id: int, text: str | None) -> None:
    """Replace the policy text, or remove it with None."""
    await tx.run(_set_policy, id_=repository_id, text=text)


async def give_up_uploads(tx: Transaction, repository_id: int) -> None:
    """Have the open uploads of a repository that is deleted removed by the next sweep."""
    await tx.run(_delete_uploads, id_=repository_id)


async def count(db: Reader, account: str, most: int, *, public: bool = False) -> int:
    """Count the repositories of a registry, giving up at `most`."""
    row = await db.first(_count, account=account, public=int(public), most=most)
    return int(row[0]) if row else 0


async def holds_images(db: Reader, repository_id: int) -> bool:
    """Whether the repository has any image."""
    return await db.first(_any_image, id=repository_id) is not None


async def pinned_tags(db: Reader, repository_id: int, count: int) -> list[str]:
    """Return up to `count` pinned image tags, in order."""
    return [row[0] for row in await db.all(_pinned, id=repository_id, count=count)]


async def tags(db: Reader, repository_id: int) -> dict[str, str]:
    """Return the resource tags, in order of key."""
    return {row[0]: row[1] for row in await db.all(_tags, id=repository_id)}


async def put_tag(tx: Transaction, repository_id: int, key: str, value: str) -> None:
    """Set one resource tag."""
    await tx.run(_delete_tag, id=repository_id, key=key)
    await tx.run(_insert_tag, id=repository_id, key=key, value=value)


async def remove_tag(tx: Transaction, repository_id: int, key: str) -> None:
    """Remove one resource tag, if it is there."""
    await tx.run(_delete_tag, id=repository_id, key=key)
