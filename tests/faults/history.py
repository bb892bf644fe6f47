"""What clients were promised, and a look into a stopped server's data folder to see whether it was kept.

The checker of every fault test: each acknowledged push is written down, and at the end each is pulled and hashed.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from tests.harness.images import Image, bytes_of
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

UPLOAD_SECONDS = 24 * 60 * 60
"""How long an upload without progress is kept."""


@dataclass
class History:
    """The acknowledged pushes to one repository, from any number of threads."""

    repository: str
    _images: dict[str, Image] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, tag: str, image: Image) -> None:
        """The server answered 201 to the manifest."""
        with self._lock:
            self._images[tag] = image

    def __len__(self) -> int:
        return len(self._images)

    def check(self, *clients: OciClient) -> None:
        """Pull every acknowledged image through each client, that is each node, and compare every byte."""
        for client in clients:
            for tag, image in self._images.items():
                named = client.pull_manifest(self.repository, tag)
                assert named.digest == image.digest, f"{tag} is another image"
                pulled = client.pull(self.repository, image.digest)
                assert pulled == bytes_of(image), f"{tag} is not as it was pushed"


def database(data: Path) -> apsw.Connection:
    """Open the metadata of a server that is not running."""
    return apsw.Connection(str(data / "homeport.db"))


def age_uploads(data: Path) -> None:
    """Make every open upload of a stopped server so old that the next sweep takes it."""
    with database(data) as connection:
        connection.execute(
            "UPDATE upload SET touched_at = touched_at - ?", ((UPLOAD_SECONDS + 60) * 1_000_000,)
        )
    connection.close()


def stored(data: Path, area: str) -> set[str]:
    """The storage keys of the files in `staging` or `data`."""
    return {f"data/{path.parent.name}/{path.name}" for path in (data / "blobs" / area).glob("*/*")}


def assert_sound(data: Path) -> None:
    """A stopped server whose uploads were swept has whole metadata and exactly the bytes that it refers to."""
    connection = database(data)
    found = connection.execute("SELECT storage_key, size FROM blob").fetchall()
    sizes = {str(key): size for key, size in found}
    uploads = connection.execute("SELECT storage_key FROM upload").fetchall()
    tombstones = connection.execute("SELECT storage_key FROM tombstone").fetchall()
    integrity = connection.pragma("integrity_check")
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()

    assert integrity == "ok"
    assert orphans == []
    assert (uploads, tombstones) == ([], [])
    assert stored(data, "staging") == set()
    assert stored(data, "data") == set(sizes)
    for key, size in sizes.items():
        assert (data / "blobs" / key).stat().st_size == size


def expect_death(server: Homeport) -> None:
    """Wait until a server has killed itself as it was told, and be ready to start it again."""
    assert server._running().ended(20) == -signal.SIGKILL
    server.kill()


def sweep(server: Homeport) -> None:
    """Let the open uploads of a stopped server be old, and run one sweep by starting and stopping it."""
    age_uploads(server.data)
    connection = database(server.data)
    left = connection.execute("SELECT 1 FROM upload UNION ALL SELECT 1 FROM tombstone").fetchall()
    connection.close()
    server.start()
    if left:
        server.wait_for_log(lambda record: record if record.get("event") == "swept" else None, "the sweep")
    server.terminate()
