"""The two ways in which a registry keeps what it has, and a look into both that does not ask the registry.

`files`: SQLite and a folder, shared by processes of one machine. `shared`: PostgreSQL and S3, shared by nodes; the S3
server is a quick one, with FAULT_STORE=ceph a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw
import asyncpg
import botocore.session
from botocore.config import Config

from tests.harness.cluster import Cluster, shared_ceph, shared_moto
from tests.harness.s3 import S3Server

BACKENDS = ("files", "shared")
UPLOAD_SECONDS = 24 * 60 * 60
"""How long an upload without progress is kept."""


@dataclass
class Backend:
    """Nodes that share one of both."""

    kind: str
    cluster: Cluster
    store: S3Server | None = None
    bucket: str = ""

    # --- Metadata ---

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database itself; `sql` is what both kinds understand."""
        if self.kind == "files":
            with contextlib.closing(
                apsw.Connection(str(self.cluster.nodes[0].data / "homeport.db"))
            ) as found:
                found.set_busy_timeout(10_000)
                return [tuple(row) for row in found.execute(sql)]
        return asyncio.run(self._fetched(sql))

    async def _fetched(self, sql: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.cluster.database)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    def count(self, what: str) -> int:
        """How many rows there are, such as `image WHERE ...`."""
        return int(self.rows(f"SELECT count(*) FROM {what}")[0][0])

    # --- Bytes ---

    def _client(self) -> Any:
        assert self.store is not None
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.store.endpoint,
            aws_access_key_id=self.store.access_key_id,
            aws_secret_access_key=self.store.secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def objects(self) -> dict[str, int]:
        """Everything that is stored, finished or not, with its size; unfinished multipart uploads have the size -1."""
        if self.kind == "files":
            root = self.cluster.nodes[0].data / "blobs"
            found = {}
            for area in ("data", "staging"):
                for path in (root / area).glob("*/*"):
                    with contextlib.suppress(FileNotFoundError):
                        found[f"{area}/{path.parent.name}/{path.name}"] = path.stat().st_size
            return found
        with contextlib.closing(self._client()) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
            found = {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}
            open_ones = s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
            return found | {f"multipart/{each['Key']}": -1 for each in open_ones}

    def replace_object(self, key: str, content: bytes) -> None:
        """Let other bytes lie at the place of a blob."""
        if self.kind == "files":
            (self.cluster.nodes[0].data / "blobs" / key).write_bytes(content)
            return
        with contextlib.closing(self._client()) as s3:
            s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def key_of(self, digest: str) -> str:
        """Where the bytes of a blob lie."""
        return str(self.rows(f"SELECT storage_key FROM blob WHERE digest = '{digest}'")[0][0])

    # --- Afterwards ---

    def clear(self) -> None:
        """Have everything removed that crashes left behind, by a node that starts; the nodes must not run."""
        ago = (UPLOAD_SECONDS + 60) * 1_000_000
        self._run(f"UPDATE upload SET touched_at = touched_at - {ago}")
        left = self.count("upload") + self.count("tombstone")
        node = self.cluster.nodes[0]
        node.start()
        if left:
            swept = "swept"
            node.wait_for_log(lambda found: found if found.get("event") == swept else None, swept, seconds=90)
        node.terminate()

    def _run(self, sql: str) -> None:
        self.rows(sql)

    def assert_sound(self) -> None:
        """After `clear`: whole metadata, and exactly the bytes that it refers to."""
        assert (self.count("upload"), self.count("tombstone")) == (0, 0)
        sizes = {str(key): int(size) for key, size in self.rows("SELECT storage_key, size FROM blob")}
        assert {key: size for key, size in self.objects().items() if key != "staging/probe"} == sizes
        for table in ("image_blob", "repository_blob"):
            orphans = f"{table} e WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = e.digest)"
            assert self.count(orphans) == 0
        if self.kind == "files":
            assert self.rows("PRAGMA integrity_check") == [("ok",)]
            assert self.rows("PRAGMA foreign_key_check") == []


@contextlib.contextmanager
def backend(kind: str, size: int = 2, **more: Any) -> Iterator[Backend]:
    """Running nodes of a new registry. `more`: as for `Cluster`."""
    environment = dict(more.pop("environment", {}))
    if kind == "files":
        with Cluster(size, database="sqlite", environment=environment, **more) as cluster:
            yield Backend(kind, cluster)
        return
    store = shared_ceph().server if os.environ.get("FAULT_STORE") == "ceph" else shared_moto()
    bucket = store.new_bucket()
    environment |= store.environment()
    with Cluster(size, storage=store.url(bucket), environment=environment, **more) as cluster:
        yield Backend(kind, cluster, store, bucket)
