"""A registry without its fronts: a real database in a folder of its own, blobs in memory, a clock that obeys.

Tests stay plain functions: `registry.run(...)` runs one use case to its end on the loop that the database belongs to.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from sqlalchemy import bindparam, insert, select

from homeport.blobs.memory import MemoryBlobStore
from homeport.database.engine import Row, Statement, Transaction
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.database.tables import account
from homeport.images import service as images
from homeport.images.headroom import Headroom
from homeport.images.model import Image
from homeport.images.service import Push
from homeport.kernel import media
from homeport.kernel.clock import ManualClock, to_micros
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.names import AccountId, RepositoryName, Tag
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings
from homeport.uploads import service as uploads
from homeport.uploads.model import Blob, Upload
from homeport.uploads.service import Place, Uploads

Result = TypeVar("Result")

ACCOUNT = AccountId("111122223333")
ALICE, BOB = (f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob"))
START = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryBlobs(MemoryBlobStore):
    """Blobs in memory that can be counted."""

    def keys(self) -> set[str]:
        """Return the keys of everything that is kept, staged or finished."""
        return set(self._staged) | set(self._finished)


@functools.cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "homeport.db")
        migrate_sqlite(path)
        return path.read_bytes()


class Registry:
    """One account's registry, and short words for what tests do with it."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        path = folder / "homeport.db"
        path.write_bytes(_empty_database())
        self._runner = runner
        self.db = SqliteDatabase(path)
        self.clock = ManualClock(START)
        self.blobs = MemoryBlobs(clock=self.clock)
        self.uploads = Uploads(self.blobs)
        self.room = Headroom()

        async def add_account(tx: Transaction) -> None:
            row = {"id": str(ACCOUNT), "name": "default", "created_at": to_micros(START)}
            await tx.run(
                Statement(insert(account).values(**{key: bindparam(key + "_") for key in row})),
                **{key + "_": value for key, value in row.items()},
            )

        self.run(self.db.write(add_account))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run one use case to its end and return its result; its errors pass through."""
        return self._runner.run(work)

    def rows(self, table: Any) -> list[Row]:
        """Return every row of a table."""
        return self.run(self.db.all(Statement(select(table))))

    def repository(self, name: str = "shop/cart", settings: Settings | None = None) -> Repository:
        """Create a repository."""
        work = repositories.create(
            self.db, self.clock.now(), ACCOUNT, RepositoryName(name), settings or Settings(), {}
        )
        return self.run(work)

    def place(self, repository: Repository, principal: str = ALICE) -> Place:
        """Return where the uploads of `principal` to `repository` belong."""
        return Place(repository, principal)

    def start(self, repository: Repository, principal: str = ALICE) -> Upload:
        """Open an upload."""
        return self.run(uploads.start(self.db, self.clock.now(), self.place(repository, principal)))

    def append(
        self, upload: Upload, *parts: bytes, small_part: bool = False, node: Uploads | None = None
    ) -> Upload:
        """Send the next bytes of an upload, through another node if given, and have them acknowledged."""

        async def work() -> Upload:
            async with (node or self.uploads).receive(self.db, upload) as received:
                received.write(parts)
                return await uploads.advance(self.db, self.clock.now(), received, small_part=small_part)

        return self.run(work())

    def finish(
        self,
        repository: Repository,
        upload: Upload,
        digest: Digest,
        last: bytes = b"",
        node: Uploads | None = None,
    ) -> Blob:
        """Send the last bytes of an upload, through another node if given, and the digest of the whole."""
        through, place = node or self.uploads, self.place(repository, upload.principal)

        async def work() -> Blob:
            async with through.receive(self.db, upload) as received:
                if last:
                    received.write([last])
                return await uploads.finish(self.db, through, self.clock.now(), place, received, digest)

        return self.run(work())

    def blob(self, repository: Repository, data: bytes) -> Blob:
        """Push a blob."""
        return self.finish(repository, self.start(repository), digest_of(data), data)

    def content(self, blob: Blob) -> bytes:
        """Read a finished blob."""
        reader = self.blobs.reader(blob.storage_key)
        try:
            return reader.read(0, reader.size)
        finally:
            reader.close()

    def put(self, repository: Repository, body: bytes, tag: str | None = None) -> Image:
        """Push a manifest."""
        push = Push(body, None, Tag(tag) if tag else None)
        return self.run(images.put(self.db, self.clock.now(), repository, push, self.room)).image

    def image(self, repository: Repository, content: str = "app", tag: str | None = None) -> Image:
        """Push an image of one layer with its config and manifest."""
        config, layer = f'{{"of": "{content}"}}'.encode(), content.encode()
        self.blob(repository, config)
        self.blob(repository, layer)
        return self.put(repository, manifest_of(config, [layer]), tag)


def descriptor_of(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Return the descriptor of `data`."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(data), **more}


def manifest_of(config: bytes, layers: Sequence[bytes], **more: Any) -> bytes:
    """Return an OCI image manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": descriptor_of(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor_of(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def index_of(*children: Image, **more: Any) -> bytes:
    """Return an OCI index of stored images."""
    listed = [
        {"mediaType": child.media_type, "digest": child.digest, "size": child.manifest_size}
        for child in children
    ]
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed, **more}
    return json.dumps(document).encode()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry."""
    with asyncio.Runner() as runner:
        made = Registry(tmp_path, runner)
        yield made
        made.run(made.db.close())
