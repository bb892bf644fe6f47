"""The quota of images per repository, which is not counted at every push and never exceeded all the same."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, update

from homeport.database import tables
from homeport.database.engine import Reader, Statement, Transaction
from homeport.images import store
from homeport.images.headroom import Headroom
from homeport.images.model import ImageId
from homeport.images.service import delete
from homeport.kernel.errors import LimitExceeded
from homeport.kernel.limits import Quotas
from tests.unit.repositories.registry import Registry

_ARCHIVE = Statement(
    update(tables.image).where(tables.image.c.digest == bindparam("digest_")).values(status="ARCHIVED")
)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The repositories whose images were counted, in order."""
    counted: list[int] = []
    count = store.count_images

    async def noted(db: Reader, repository: int, most: int) -> int:
        counted.append(repository)
        return await count(db, repository, most)

    monkeypatch.setattr(store, "count_images", noted)
    return counted


def test_the_images_of_an_empty_repository_are_counted_once_until_it_may_be_full(
    registry: Registry, counts: list[int]
) -> None:
    registry.room = Headroom(Quotas(images_per_repository=8))
    repository = registry.repository()

    for number in range(8):
        registry.image(repository, f"image-{number}")

    assert counts == [repository.id]
    with pytest.raises(LimitExceeded):
        registry.image(repository, "one too many")


def test_images_of_other_repositories_and_processes_take_no_room(registry: Registry) -> None:
    one, other = registry.repository("one"), registry.repository("other")
    here, elsewhere = (Headroom(Quotas(images_per_repository=4)) for _ in range(2))

    for number in range(4):
        registry.room = here if number % 2 else elsewhere
        registry.image(one, f"one-{number}")
        registry.image(other, f"other-{number}")

    for registry.room in (here, elsewhere):
        for repository in (one, other):
            with pytest.raises(LimitExceeded):
                registry.image(repository, "one too many")


def test_a_deleted_image_makes_room(registry: Registry) -> None:
    registry.room = Headroom(Quotas(images_per_repository=2))
    repository = registry.repository()
    old = registry.image(repository, "old")
    registry.image(repository, "new")

    registry.run(delete(registry.db, registry.clock.now(), repository, [ImageId(digest=old.digest)]))
    registry.image(repository, "newest")

    with pytest.raises(LimitExceeded):
        registry.image(repository, "one too many")


def test_a_deleted_image_of_another_repository_makes_none(registry: Registry) -> None:
    registry.room = Headroom(Quotas(images_per_repository=2))
    full, other = registry.repository("full"), registry.repository("other")
    registry.image(full, "one")
    registry.image(full, "two")
    newest = registry.image(other, "newest")
    with pytest.raises(LimitExceeded):
        registry.image(full, "one too many")

    registry.run(delete(registry.db, registry.clock.now(), other, [ImageId(digest=newest.digest)]))

    with pytest.raises(LimitExceeded):
        registry.image(full, "one too many")


def test_an_archived_image_does_not_count(registry: Registry) -> None:
    registry.room = Headroom(Quotas(images_per_repository=2))
    repository = registry.repository()
    old = registry.image(repository, "old")
    registry.image(repository, "new")

    async def archive(tx: Transaction) -> None:
        await tx.run(_ARCHIVE, digest_=old.digest)

    registry.run(registry.db.write(archive))
    registry.image(repository, "newest")

    with pytest.raises(LimitExceeded):
        registry.image(repository, "one too many")


def test_a_refused_push_of_another_image_leaves_room_as_it_was(registry: Registry) -> None:
    registry.room = Headroom(Quotas(images_per_repository=1))
    repository = registry.repository()
    registry.image(repository, "only")

    for _ in range(3):
        with pytest.raises(LimitExceeded):
            registry.image(repository, "another")
    registry.image(repository, "only", tag="again")  # no new image


def test_memory_is_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeport.images.headroom._REMEMBERED", 2)
    registry.room = Headroom(Quotas(images_per_repository=3))

    for name in ("one", "two", "three"):
        registry.image(registry.repository(name), name)

    assert len(registry.room._counted) == 2
