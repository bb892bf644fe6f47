"""Ways in which stored bytes and rows come to be wrong, for tests in memory."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement, select

from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import StorageKey, new_storage_key
from homeport.database import tables
from homeport.database.engine import Statement, Transaction
from homeport.keeping import store
from homeport.keeping.model import KeptBlob
from tests.unit.repositories.registry import Registry


def spoil(blobs: MemoryBlobStore, key: StorageKey) -> None:
    """Change one byte."""
    blobs._finished[key].content[0] ^= 1


def cut(blobs: MemoryBlobStore, key: StorageKey) -> None:
    """Lose the last byte."""
    del blobs._finished[key].content[-1]


def lose(blobs: MemoryBlobStore, key: StorageKey) -> None:
    """Lose the object."""
    blobs.discard(key)


def kept(registry: Registry, digest: str) -> KeptBlob:
    """The row of a blob."""
    found = registry.run(store.find(registry.db, digest))
    assert found is not None
    return found


def change(registry: Registry, construct: ClauseElement, **values: Any) -> None:
    """Change rows behind everybody's back, foreign keys or not."""

    async def work(tx: Transaction) -> None:
        await tx.run(Statement(construct), **values)

    registry.run(registry.db.write(work))


def damaged(registry: Registry) -> set[str]:
    """The digests of all blobs that are marked."""
    marked = select(tables.blob.c.digest).where(tables.blob.c.damaged_at.is_not(None))
    return {row[0] for row in registry.run(registry.db.all(Statement(marked)))}


def orphan(registry: Registry, content: bytes = b"nobody's") -> StorageKey:
    """Finished bytes of which no row knows."""
    key = new_storage_key()
    writer = registry.blobs.writer(key, 0)
    writer.write([content])
    writer.finish(len(content))
    return key


def stored(registry: Registry) -> set[str]:
    """The keys of everything that is stored."""
    return registry.blobs.keys()
