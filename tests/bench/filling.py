"""Fills an initialised registry with images by bulk insert, as they would be after years of pushes.

Only rows are made: no request of the benchmark reads the bytes of a layer. What a row says is what a push would have
written (`src/homeport/images/store.py`, `uploads/store.py`), and images of all repositories take turns, so that those
of one lie scattered among those of the others. Every tenth image of a repository is an untagged signature of the one
before. Contract: `src/homeport/database/tables.py`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from homeport.database.tables import metadata
from tests.bench.material import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

PROBE = "probe"
"""The repository that is asked about; it has PROBE_IMAGES images however many others there are."""
PROBE_IMAGES = 1000
LARGE = "large"
"""The repository that holds as many images as one is meant to."""
EMPTY = 200  # repositories without images, so that a page of repositories is full in every registry
FILLER_IMAGES = 100  # in each of the other repositories
_BATCH = 20_000  # images at a time
_SIGNATURE = "application/vnd.example.signature"
_PUSHED = 1_700_000_000_000_000  # microseconds since 1970
_TABLES = ("image", "image_tag", "image_blob", "blob", "repository_blob")

Rows = dict[str, list[tuple[Any, ...]]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Filling:
    """How many images a registry has, `large` of them in one repository (0: there is no such repository)."""

    images: int
    large: int = 0

    @property
    def fillers(self) -> int:
        """How many repositories hold what is neither in the probe nor in the large one."""
        return -(-max(self.images - PROBE_IMAGES - self.large, 0) // FILLER_IMAGES)

    def names(self) -> list[str]:
        """Return the names of all repositories, in order."""
        return sorted(_repositories(self))

    def ids_of(self, repository: str) -> list[int]:
        """Return the ids of the images of a repository, oldest first."""
        return [image for image, (name, _) in enumerate(_order(self), 1) if name == repository]


def digest_of(name: str) -> str:
    """Return the digest of something that nobody has the bytes of."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def manifest(repository: str, number: int) -> bytes:
    """Return the manifest of the image of that number in a repository."""
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": 1500, "digest": digest_of(f"c {repository} {number}")},
        "layers": [
            {"mediaType": LAYER_TYPE, "size": 30_000_000, "digest": base_layer(repository)},
            {"mediaType": LAYER_TYPE, "size": 4_000_000, "digest": digest_of(f"l {repository} {number}")},
        ],
    }
    if is_signature(number):
        subject = manifest(repository, number - 1)
        body["artifactType"] = _SIGNATURE
        body["subject"] = {
            "mediaType": MANIFEST_TYPE,
            "size": len(subject),
            "digest": f"sha256:{hashlib.sha256(subject).hexdigest()}",
        }
    return json.dumps(body).encode()


def base_layer(repository: str) -> str:
    """Return the digest of the layer that all images of a repository share."""
    return digest_of(f"b {repository}")


def is_signature(number: int) -> bool:
    """Whether the image of that number is a signature, which has no tag."""
    return number % 10 == 9


def tag(number: int) -> str:
    """Return the tag of the image of that number."""
    return f"v{number:06}"


def _order(filling: Filling) -> Iterator[tuple[str, int]]:
    """Return (repository, number in it) of each image, in the order in which they were pushed."""
    steps = {
        PROBE: filling.images // PROBE_IMAGES,
        LARGE: filling.images // filling.large if filling.large else 0,
    }
    done = dict.fromkeys(steps, 0)
    filled = 0
    for position in range(filling.images):
        if position % steps[PROBE] == 0 and done[PROBE] < PROBE_IMAGES:
            name = PROBE
        elif filling.large and position % steps[LARGE] <= 1 and done[LARGE] < filling.large:
            name = LARGE
        else:
            yield f"team/filler-{filled % filling.fillers:05}", filled // filling.fillers
            filled += 1
            continue
        yield name, done[name]
        done[name] += 1


def _repositories(filling: Filling) -> list[str]:
    fillers = [f"team/filler-{number:05}" for number in range(filling.fillers)]
    return [PROBE, *([LARGE] if filling.large else []), *[f"empty/{i:04}" for i in range(EMPTY)], *fillers]


def _batches(filling: Filling, ids: dict[str, int]) -> Iterator[Rows]:
    """Return the rows of `_TABLES`, a batch of images at a time."""
    shared = set()
    numbered = enumerate(_order(filling), 1)
    while batch := list(itertools.islice(numbered, _BATCH)):
        rows: Rows = {name: [] for name in _TABLES}
        for image, (repository, number) in batch:
            body = manifest(repository, number)
            here, at = ids[repository], _PUSHED + image * 1_000_000
            rows["image"].append(_image(image, here, body, at))
            if not is_signature(number):
                rows["image_tag"].append((here, tag(number), image, at))
            base, config, layer = base_layer(repository), digest_of(f"c {repository} {number}"), ""
            layer = digest_of(f"l {repository} {number}")
            own = [(config, 1500, CONFIG_TYPE), (layer, 4_000_000, LAYER_TYPE)]
            rows["image_blob"] += [(image, digest, here, kind) for digest, _, kind in own]
            rows["image_blob"].append((image, base, here, LAYER_TYPE))
            new = own if repository in shared else [*own, (base, 30_000_000, LAYER_TYPE)]
            shared.add(repository)
            for digest, size, _ in new:
                rows["blob"].append((digest, size, _storage_key(digest), "STANDARD", at))
                rows["repository_blob"].append((here, digest, at))
        yield rows


def _storage_key(digest: str) -> str:
    name = str(uuid.UUID(digest[7:39], version=4))
    return f"data/{name[:2]}/{name}"


def _image(key: int, repository: int, body: bytes, at: int) -> tuple[Any, ...]:
    read = json.loads(body)
    subject = read.get("subject", {}).get("digest")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    kind = read.get("artifactType")
    return (key, repository, digest, MANIFEST_TYPE, kind, subject, 34_001_500, len(body), at, "ACTIVE", body)


_COLUMNS = {
    "image": (
        "id", "repository_id", "digest", "media_type", "artifact_type", "subject", "size", "manifest_size",
        "pushed_at", "status", "manifest",
    ),
    "image_tag": ("repository_id", "name", "image_id", "tagged_at"),
    "image_blob": ("image_id", "digest", "repository_id", "media_type"),
    "blob": ("digest", "size", "storage_key", "storage_class", "created_at"),
    "repository_blob": ("repository_id", "digest", "linked_at"),
    "repository": (
        "id", "account_id", "public", "name", "created_at", "tag_mutability", "mutability_filters", "scan_on_push",
        "encryption_type",
    ),
}  # fmt: skip


def _repository_rows(account: str, ids: dict[str, int]) -> list[tuple[Any, ...]]:
    return [(key, account, 0, name, _PUSHED, "MUTABLE", "[]", 0, "AES256") for name, key in ids.items()]


def fill_sqlite(path: Path, account: str, filling: Filling, say: Progress) -> None:
    """Fill the database file of a registry that no server uses."""
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -2000000", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    ids = {name: key for key, name in enumerate(_repositories(filling), 1)}

    def insert(table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        columns = _COLUMNS[table]
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
        connection.executemany(sql, rows)

    with connection:
        insert("repository", _repository_rows(account, ids))
    indexes = [index for name in _TABLES for index in metadata.tables[name].indexes]
    kept = {}
    for index in indexes:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index.name,)).fetchone()
        assert found is not None
        kept[index.name] = found[0]
        connection.execute(f"DROP INDEX {index.name}")
    for done, rows in enumerate(_batches(filling, ids), 1):
        with connection:
            for name in _TABLES:
                insert(name, rows[name])
        say(f"  {min(done * _BATCH, filling.images):,} images")
    for sql in kept.values():
        connection.execute(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgres(url: str, account: str, filling: Filling, say: Progress) -> None:
    """Fill the PostgreSQL database of a registry that no server uses; its role must be a superuser."""
    asyncio.run(_fill_postgres(url, account, filling, say))


async def _fill_postgres(url: str, account: str, filling: Filling, say: Progress) -> None:
    connection = await asyncpg.connect(url)
    run = functools.partial(connection.execute, timeout=None)
    ids = {name: key for key, name in enumerate(_repositories(filling), 1)}

    async def insert(table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        await connection.copy_records_to_table(table, records=rows, columns=_COLUMNS[table], timeout=None)

    try:
        await run("SET synchronous_commit = off")
        await run("SET maintenance_work_mem = '512MB'")
        await run("SET session_replication_role = replica")  # without asking for each foreign key
        await insert("repository", _repository_rows(account, ids))
        names = [index.name for name in _TABLES for index in metadata.tables[name].indexes]
        kept = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE indexname = ANY($1)", names
        )
        for index, _ in kept:
            await run(f'DROP INDEX "{index}"')
        for done, rows in enumerate(_batches(filling, ids), 1):
            for name in _TABLES:
                await insert(name, rows[name])
            say(f"  {min(done * _BATCH, filling.images):,} images")
        for _, sql in kept:
            await run(sql)
        for name in ("image", "repository"):
            await run(f"SELECT setval('{name}_id_seq', (SELECT max(id) FROM {name}))")
        await run("VACUUM ANALYZE")  # as it does by itself before long
        await run("CHECKPOINT")
    finally:
        await connection.close()
