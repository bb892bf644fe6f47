"""Pinned tags: what they protect, from whom, and what they leave alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from homeport.database import tables
from homeport.database.engine import Transaction
from homeport.images import pins
from homeport.images import service as images
from homeport.images.model import Failure, FailureCode, Image, ImageId, PinnedTag
from homeport.kernel import limits
from homeport.kernel.errors import (
    ImageNotFound,
    ImageTagPinned,
    LimitExceeded,
    RepositoryNotEmpty,
    RepositoryNotFound,
    TagInvalid,
)
from homeport.kernel.names import Tag
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from tests.unit.repositories.registry import ACCOUNT, ALICE, BOB, START, Registry, manifest_of


def pin(registry: Registry, repository: Repository, tag: str, by: str = ALICE) -> PinnedTag:
    return registry.run(pins.pin(registry.db, registry.clock.now(), repository, tag, by))


def listed(registry: Registry, repository: Repository, after: str = "", count: int = 10) -> list[PinnedTag]:
    return registry.run(pins.pinned(registry.db, repository.id, after, count))


def delete(
    registry: Registry, repository: Repository, *wanted: ImageId
) -> tuple[list[ImageId], list[Failure]]:
    return registry.run(images.delete(registry.db, registry.clock.now(), repository, wanted))


def remaining(registry: Registry) -> set[tuple[str, int]]:
    return {(row[1], row[2]) for row in registry.rows(tables.image_tag)}


def test_a_pinned_tag_says_who_pinned_it_and_which_image_it_protects(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")

    pinned = pin(registry, repository, "release")

    assert pinned == PinnedTag("release", image.digest, START, ALICE)
    assert listed(registry, repository) == [pinned]
    assert registry.run(pins.names(registry.db, repository.id)) == {"release"}


def test_pinning_twice_keeps_the_first_pin(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository, tag="release")
    first = pin(registry, repository, "release")
    registry.clock.advance(60)

    assert pin(registry, repository, "release", BOB) == first
    assert listed(registry, repository) == [first]


def test_only_a_tag_that_is_there_can_be_pinned(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository, tag="release")

    with pytest.raises(ImageNotFound, match="imageTag:'relaese'"):
        pin(registry, repository, "relaese")
    with pytest.raises(TagInvalid):
        pin(registry, repository, "-release")

    assert listed(registry, repository) == []


def test_only_a_pinned_tag_can_be_unpinned_and_then_it_protects_nothing(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")
    pin(registry, repository, "release")

    registry.run(pins.unpin(registry.db, repository, "release"))

    with pytest.raises(ImageNotFound, match="'release' is not pinned"):
        registry.run(pins.unpin(registry.db, repository, "release"))
    assert delete(registry, repository, ImageId(image.digest)) == ([ImageId(image.digest, "release")], [])


def test_pins_of_another_repository_protect_nothing_here(registry: Registry) -> None:
    mine, other = registry.repository("a/b"), registry.repository("other")
    image = registry.image(mine, tag="release")
    registry.image(other, tag="release")
    pin(registry, other, "release")

    assert listed(registry, mine) == []
    assert delete(registry, mine, ImageId(image.digest)) == ([ImageId(image.digest, "release")], [])


def test_an_image_with_a_pinned_tag_cannot_be_deleted_by_digest_or_by_that_tag(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")
    pin(registry, repository, "release")
    before = remaining(registry)
    wanted = [ImageId(image.digest), ImageId(tag="release"), ImageId(image.digest, "release")]

    gone, failures = delete(registry, repository, *wanted)

    assert gone == []
    assert [(failure.image, failure.code) for failure in failures] == [
        (each, FailureCode.PINNED) for each in wanted
    ]
    assert all("[release]" in failure.reason for failure in failures)
    assert remaining(registry) == before


def test_other_tags_of_a_protected_image_can_be_removed_but_not_the_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")
    registry.image(repository, tag="build-7")
    pin(registry, repository, "release")

    gone, failures = delete(registry, repository, ImageId(tag="build-7"), ImageId(tag="release"))

    assert gone == [ImageId(image.digest, "build-7")]
    assert [failure.code for failure in failures] == [FailureCode.PINNED]
    assert remaining(registry) == {("release", image.id)}


def test_a_pin_moves_with_its_tag_and_leaves_the_former_image_unprotected(registry: Registry) -> None:
    repository = registry.repository()
    former = registry.image(repository, "first", tag="stable")
    pin(registry, repository, "stable")
    current = registry.image(repository, "second", tag="stable")

    gone, failures = delete(registry, repository, ImageId(former.digest), ImageId(current.digest))

    assert gone == [ImageId(former.digest)]
    assert [(failure.image.digest, failure.code) for failure in failures] == [
        (current.digest, FailureCode.PINNED)
    ]
    assert [each.digest for each in listed(registry, repository)] == [current.digest]


def test_the_delete_of_one_is_refused_with_the_pinned_tags(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")
    pin(registry, repository, "release")

    for reference in (image.digest, Tag("release")):
        with pytest.raises(ImageTagPinned, match=r"pinned tags: \[release\]"):
            registry.run(images.delete_one(registry.db, registry.clock.now(), repository, reference))


def test_whoever_removes_images_within_a_unit_of_work_is_told_of_the_pin(registry: Registry) -> None:
    repository = registry.repository()
    protected = registry.image(repository, "protected", tag="release")
    other = registry.image(repository, "other", tag="build")
    pin(registry, repository, "release")

    def remove(image: Image) -> Failure | None:
        async def work(tx: Transaction) -> Failure | None:
            return await images.remove_image(tx, registry.clock.now(), repository, image, None)

        return registry.run(registry.db.write(work))

    refused = remove(protected)
    assert refused is not None
    assert refused.code is FailureCode.PINNED
    assert remove(other) is None
    assert remaining(registry) == {("release", protected.id)}


def test_a_repository_with_pinned_tags_cannot_be_deleted_even_by_force(registry: Registry) -> None:
    repository = registry.repository()
    for tag in ("release", "audit"):
        registry.image(repository, tag=tag)
        pin(registry, repository, tag)

    with pytest.raises(RepositoryNotEmpty, match=r"pinned first: \[audit, release\]"):
        registry.run(
            repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True)
        )

    for tag in ("release", "audit"):
        registry.run(pins.unpin(registry.db, repository, tag))
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))
    assert registry.rows(tables.image) == []


def test_pinning_in_a_repository_that_has_just_gone_is_refused(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository, tag="release")
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))

    with pytest.raises(RepositoryNotFound):
        pin(registry, repository, "release")


def test_a_repository_has_only_so_many_pinned_tags(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PINNED_TAGS", 2)
    repository = registry.repository()
    for tag in ("a", "b", "c"):
        registry.image(repository, tag=tag)
    pin(registry, repository, "a")
    pin(registry, repository, "b")

    with pytest.raises(LimitExceeded, match="at most 2 pinned tags"):
        pin(registry, repository, "c")
    assert pin(registry, repository, "a").tag == "a"


def test_pinned_tags_are_listed_by_name_in_pages(registry: Registry) -> None:
    repository = registry.repository()
    for tag in ("c", "a", "d", "b"):
        registry.image(repository, tag=tag)
        pin(registry, repository, tag)
        registry.clock.advance(1)

    pages = [listed(registry, repository, after, 3) for after in ("", "c")]

    assert [[each.tag for each in page] for page in pages] == [["a", "b", "c"], ["d"]]
    assert pages[1][0].pinned_at == START + timedelta(seconds=2)


def test_a_push_of_the_same_tag_and_image_leaves_the_pin(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="release")
    pinned = pin(registry, repository, "release")

    registry.put(repository, manifest_of(b'{"of": "app"}', [b"app"]), "release")

    assert listed(registry, repository) == [pinned]
    assert pinned.digest == image.digest
