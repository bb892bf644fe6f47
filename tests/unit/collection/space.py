"""Short words for what tests of the collection do with a registry."""

from __future__ import annotations

from datetime import datetime, timedelta

from homeport.collection import service as collection
from homeport.collection.forecast import forecast
from homeport.collection.model import Collected
from homeport.database import tables
from homeport.images import recycle
from homeport.images import service as images
from homeport.images.model import Image, ImageId, Retention
from homeport.kernel.digests import digest_of
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from homeport.uploads import service as uploads
from homeport.uploads import store
from homeport.uploads.model import Blob
from tests.unit.repositories.registry import ACCOUNT, ALICE, Registry

DELAY = timedelta(hours=24)
HOUR = 3600.0
DAY = 24 * HOUR


def collect(registry: Registry, delay: timedelta = DELAY) -> Collected:
    """Let everything go that is due; what a forecast said is what happens."""
    foreseen = registry.run(forecast(registry.db, registry.clock.now(), delay))
    done, more = registry.run(collection.collect(registry.db, registry.clock, delay))
    assert not more
    assert (done.links, done.blobs, done.bytes) == (foreseen.links, foreseen.blobs, foreseen.bytes)
    assert done.repositories == foreseen.repositories
    return done


def delete_bytes(registry: Registry, *, at_once: bool = False) -> Collected:
    return registry.run(collection.delete_bytes(registry.db, registry.blobs, registry.clock, at_once=at_once))


def delete_image(
    registry: Registry, repository: Repository, image: Image, until: datetime | None = None
) -> None:
    """Delete an image; it can be restored until then."""
    keep = Retention(until=until, by=ALICE) if until is not None else None
    wanted = [ImageId(image.digest)]
    _, failures = registry.run(images.delete(registry.db, registry.clock.now(), repository, wanted, keep))
    assert failures == []


def delete_repository(registry: Registry, repository: Repository) -> None:
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))


def purge(registry: Registry) -> int:
    return registry.run(recycle.purge(registry.db, registry.clock.now()))


def find(registry: Registry, repository: Repository, data: bytes) -> Blob | None:
    """What the repository answers when it is asked for a blob."""
    return registry.run(store.find_blob(registry.db, repository.id, digest_of(data)))


def head(registry: Registry, repository: Repository, data: bytes) -> Blob | None:
    """What a client is answered that asks whether it must push."""
    known = find(registry, repository, data)
    if known is None:
        return None
    return registry.run(uploads.claim(registry.db, registry.clock.now(), repository, known, DELAY))


def links(registry: Registry) -> set[tuple[int, str]]:
    return {(row[0], row[1]) for row in registry.rows(tables.repository_blob)}


def assert_sound(registry: Registry) -> None:
    """Every blob is held, its bytes are there and right; nothing else is stored but what waits for its deletion."""
    rows = registry.rows(tables.blob)
    assert {row[0] for row in rows} == {digest for _, digest in links(registry)}
    for row in rows:
        assert digest_of(registry.content(Blob(row[0], row[1], row[2]))) == row[0]
    kept = {row[2] for row in rows} | {row[0] for row in registry.rows(tables.tombstone)}
    uploads_open = {row[3] for row in registry.rows(tables.upload)}
    assert {str(key) for key in registry.blobs.keys()} == kept | uploads_open  # noqa: SIM118
