"""Deleted images: what is kept of them and for how long, and how they come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, update

from homeport.blobs.port import StorageClass
from homeport.database import tables
from homeport.database.engine import Statement, Transaction
from homeport.images import archive, archive_store, pins, recycle, store
from homeport.images import service as images
from homeport.images.headroom import Headroom
from homeport.images.model import DeletedImage, FailureCode, Image, ImageId, Retention, Status
from homeport.images.pulls import PullLog
from homeport.kernel import limits
from homeport.kernel.digests import Digest
from homeport.kernel.errors import (
    ImageAlreadyExists,
    ImageNotFound,
    ImageTagAlreadyExists,
    LimitExceeded,
    ReferencedImagesNotFound,
    TagInvalid,
)
from homeport.kernel.limits import Quotas
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings, TagMutability
from tests.unit.repositories.registry import ACCOUNT, ALICE, START, Registry, index_of, manifest_of

WEEK = timedelta(days=7)
IMMUTABLE = Settings(tag_mutability=TagMutability.IMMUTABLE)


def delete(
    registry: Registry, repository: Repository, *wanted: ImageId, kept: timedelta | None = WEEK
) -> None:
    now = registry.clock.now()
    keep = Retention.starting(now, kept, ALICE)
    _, failures = registry.run(images.delete(registry.db, now, repository, wanted, keep))
    assert failures == []


def delete_all(registry: Registry, repository: Repository, *gone: Image) -> None:
    """Delete images, a second apart."""
    for image in gone:
        delete(registry, repository, ImageId(image.digest))
        registry.clock.advance(1)


def deleted(
    registry: Registry, repository: Repository, before: int = 2**62, count: int = 100
) -> list[DeletedImage]:
    return registry.run(recycle.deleted(registry.db, registry.clock.now(), repository, before, count))


def digests(listed: Sequence[DeletedImage]) -> list[Digest]:
    return [each.digest for each in listed]


def restore(
    registry: Registry,
    repository: Repository,
    digest: str,
    tags: Sequence[str] | None = None,
    room: Headroom | None = None,
) -> Image:
    room = room or registry.room
    return registry.run(recycle.restore(registry.db, registry.clock.now(), repository, digest, tags, room))


def tags_of(registry: Registry, image: Image) -> list[str]:
    return registry.run(store.tags_of(registry.db, image.id))


def present(registry: Registry) -> set[str]:
    return {row[2] for row in registry.rows(tables.image)}


def referrer_of(registry: Registry, repository: Repository, subject: Image, content: str) -> Image:
    """Push a signature of an image, or of a signature."""
    config, layer = b"{}", content.encode()
    registry.blob(repository, config)
    registry.blob(repository, layer)
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.manifest_size}
    return registry.put(repository, manifest_of(config, [layer], subject=about))


# What is kept


def test_without_retention_nothing_is_kept_and_nothing_comes_back(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")

    delete(registry, repository, ImageId(image.digest), kept=None)

    assert deleted(registry, repository) == []
    assert registry.rows(tables.deleted_image) == registry.rows(tables.deleted_image_blob) == []
    with pytest.raises(ImageNotFound, match=f"no deleted image with digest '{image.digest}'"):
        restore(registry, repository, image.digest)


def test_a_deleted_image_is_listed_with_what_it_was_and_who_deleted_it(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v2")
    registry.image(repository, tag="v1")
    registry.clock.advance(60)

    delete(registry, repository, ImageId(image.digest))

    [kept] = deleted(registry, repository)
    gone_at = START + timedelta(seconds=60)
    assert kept == DeletedImage(
        kept.id,
        image.digest,
        image.media_type,
        image.size,
        ("v1", "v2"),
        START,
        None,
        gone_at,
        ALICE,
        gone_at + WEEK,
    )
    assert len(registry.rows(tables.deleted_image_blob)) == 2
    assert registry.rows(tables.image) == registry.rows(tables.image_tag) == []


def test_removing_one_tag_of_several_keeps_nothing_and_removing_the_last_keeps_the_image(
    registry: Registry,
) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    registry.image(repository, tag="v2")

    delete(registry, repository, ImageId(tag="v1"))
    assert deleted(registry, repository) == []

    delete(registry, repository, ImageId(tag="v2"))
    assert [(each.digest, each.tags) for each in deleted(registry, repository)] == [(image.digest, ("v2",))]


def test_deleted_images_are_listed_last_deleted_first_in_pages_and_per_repository(registry: Registry) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    gone = [registry.image(repository, f"image {number}") for number in range(5)]
    elsewhere = registry.image(other, "elsewhere")
    delete_all(registry, repository, *gone)
    delete_all(registry, other, elsewhere)

    first = deleted(registry, repository, count=3)
    second = deleted(registry, repository, first[-1].id, 3)

    assert digests([*first, *second]) == [image.digest for image in reversed(gone)]
    assert digests(deleted(registry, other)) == [elsewhere.digest]


def test_an_image_that_an_index_needs_stays_and_is_not_in_the_bin(registry: Registry) -> None:
    repository = registry.repository()
    child = registry.image(repository)
    registry.put(repository, index_of(child))
    now = registry.clock.now()
    keep = Retention(now + WEEK, ALICE)

    _, failures = registry.run(images.delete(registry.db, now, repository, [ImageId(child.digest)], keep))

    assert [failure.code for failure in failures] == [FailureCode.REFERENCED]
    assert deleted(registry, repository) == []


# Coming back


def test_a_restored_image_is_the_one_that_was_deleted_and_active_since_now(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    pulls, pulled_at = PullLog(), START + timedelta(hours=2)
    pulls.note(image.id, None, pulled_at)
    registry.run(pulls.flush(registry.db))
    body = registry.run(images.manifest(registry.db, repository, image.digest)).body
    registry.clock.advance(86_400)
    delete(registry, repository, ImageId(image.digest))
    registry.clock.advance(3_600)

    back = restore(registry, repository, image.digest)

    assert back.id > image.id  # or a listing would find it where it was, and rules would take it for as old
    assert (back.digest, back.size, back.media_type) == (image.digest, image.size, image.media_type)
    assert (back.pushed_at, back.pulled_at) == (START, pulled_at)
    assert (back.status, back.activated_at) == (Status.ACTIVE, registry.clock.now())
    assert tags_of(registry, back) == ["v1"]
    stored = registry.run(images.manifest(registry.db, repository, image.digest))
    assert (stored.body, stored.image_id) == (body, back.id)
    assert registry.rows(tables.deleted_image) == registry.rows(tables.deleted_image_blob) == []
    assert len(registry.rows(tables.image_blob)) == 2


def test_what_a_manifest_says_of_itself_is_there_again_after_a_restore(registry: Registry) -> None:
    repository = registry.repository()
    subject = registry.image(repository)
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.manifest_size}
    for data in (b"{}", b"sbom"):
        registry.blob(repository, data)
    body = manifest_of(
        b"{}", [b"sbom"], artifactType="application/sbom", subject=about, annotations={"a": "b"}
    )
    artifact = registry.put(repository, body)
    delete(registry, repository, ImageId(artifact.digest))

    back = restore(registry, repository, artifact.digest)

    assert (back.artifact_type, back.subject) == ("application/sbom", subject.digest)
    assert json.loads(back.annotations or "") == {"a": "b"}
    assert [
        each.digest
        for each in registry.run(store.referrers(registry.db, repository.id, subject.digest, "", 9))
    ] == [artifact.digest]


def test_tags_that_another_image_has_by_now_stay_where_they_are(registry: Registry) -> None:
    repository = registry.repository(settings=IMMUTABLE)
    image = registry.image(repository, "first", tag="latest")
    registry.image(repository, "first", tag="v1")
    delete(registry, repository, ImageId(image.digest))
    newer = registry.image(repository, "second", tag="latest")

    back = restore(registry, repository, image.digest)

    assert (tags_of(registry, back), tags_of(registry, newer)) == (["v1"], ["latest"])


def test_tags_that_are_asked_for_replace_the_former_ones_and_none_is_possible(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")

    for asked in (["rescued", "again"], []):
        delete(registry, repository, ImageId(image.digest))
        back = restore(registry, repository, image.digest, asked)
        assert tags_of(registry, back) == sorted(asked)


def test_a_tag_that_is_asked_for_moves_where_tags_are_mutable(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, "first", tag="latest")
    delete(registry, repository, ImageId(image.digest))
    newer = registry.image(repository, "second", tag="latest")

    back = restore(registry, repository, image.digest, ["latest"])

    assert (tags_of(registry, back), tags_of(registry, newer)) == (["latest"], [])


def test_a_tag_that_is_asked_for_and_immutable_refuses_the_whole_restore(registry: Registry) -> None:
    repository = registry.repository(settings=IMMUTABLE)
    image = registry.image(repository, "first", tag="v1")
    delete(registry, repository, ImageId(image.digest))
    registry.image(repository, "second", tag="v1")
    before = deleted(registry, repository)

    with pytest.raises(ImageTagAlreadyExists):
        restore(registry, repository, image.digest, ["free", "v1"])
    with pytest.raises(TagInvalid):
        restore(registry, repository, image.digest, ["not a tag"])

    assert deleted(registry, repository) == before
    assert image.digest not in present(registry)


def test_a_pinned_tag_that_is_asked_for_protects_the_restored_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, "first", tag="v1")
    delete(registry, repository, ImageId(image.digest))
    registry.image(repository, "second", tag="stable")
    registry.run(pins.pin(registry.db, START, repository, "stable", ALICE))

    back = restore(registry, repository, image.digest, ["stable"])

    [pinned] = registry.run(pins.pinned(registry.db, repository.id, "", 9))
    assert pinned.digest == back.digest


# Its time


def test_an_image_whose_time_is_over_is_neither_listed_nor_restored_and_then_purged(
    registry: Registry,
) -> None:
    repository = registry.repository()
    old, young = registry.image(repository, "old"), registry.image(repository, "young")
    delete(registry, repository, ImageId(old.digest))
    registry.clock.advance(86_400)
    delete(registry, repository, ImageId(young.digest))

    registry.clock.advance(6 * 86_400 - 1)
    assert digests(deleted(registry, repository)) == [young.digest, old.digest]
    assert registry.run(recycle.purge(registry.db, registry.clock.now())) == 0

    registry.clock.advance(1)
    assert digests(deleted(registry, repository)) == [young.digest]
    with pytest.raises(ImageNotFound):
        restore(registry, repository, old.digest)
    assert registry.run(recycle.purge(registry.db, registry.clock.now())) == 1
    assert [row[2] for row in registry.rows(tables.deleted_image)] == [young.digest]
    assert {row[1] for row in registry.rows(tables.deleted_image_blob)} == {
        digest for digest, _ in _blobs_after_restore(registry, repository, young)
    }


def _blobs_after_restore(
    registry: Registry, repository: Repository, image: Image
) -> list[tuple[str, StorageClass]]:
    kept = registry.rows(tables.deleted_image_blob)
    assert len(kept) == 2
    back = restore(registry, repository, image.digest)
    found = registry.run(archive_store.blobs(registry.db, back.id))
    delete(registry, repository, ImageId(image.digest))
    return found


def test_purging_goes_on_until_everything_that_is_over_is_gone(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recycle, "_PURGED", 2)
    repository = registry.repository()
    delete_all(registry, repository, *(registry.image(repository, f"image {number}") for number in range(5)))
    registry.clock.advance(WEEK.total_seconds())

    assert registry.run(recycle.purge(registry.db, registry.clock.now())) == 5
    assert registry.rows(tables.deleted_image) == registry.rows(tables.deleted_image_blob) == []


def test_pushing_the_image_again_empties_it_from_the_bin(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    delete(registry, repository, ImageId(image.digest))

    pushed = registry.image(repository, tag="v2")

    assert registry.rows(tables.deleted_image) == []
    assert tags_of(registry, pushed) == ["v2"]
    with pytest.raises(ImageAlreadyExists):
        restore(registry, repository, image.digest)


def test_an_image_that_is_deleted_again_is_in_the_bin_once_as_it_was_last(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    delete(registry, repository, ImageId(image.digest))
    registry.clock.advance(60)
    registry.image(repository, tag="v2")
    delete(registry, repository, ImageId(image.digest))

    [kept] = deleted(registry, repository)
    assert (kept.tags, kept.pushed_at) == (("v2",), START + timedelta(seconds=60))


def test_a_deleted_repository_takes_its_deleted_images_with_it(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository)
    delete(registry, repository, ImageId(image.digest))

    registry.run(
        repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False)
    )

    assert registry.rows(tables.deleted_image) == registry.rows(tables.deleted_image_blob) == []


# What comes with it


def test_an_index_brings_back_the_images_that_it_needs(registry: Registry) -> None:
    repository = registry.repository()
    children = [registry.image(repository, f"child {number}") for number in range(3)]
    index = registry.put(repository, index_of(*children), "v1")
    delete_all(registry, repository, index, children[0], children[1])

    back = restore(registry, repository, index.digest)

    assert tags_of(registry, back) == ["v1"]
    assert back.size == index.size
    assert present(registry) == {index.digest, *(child.digest for child in children)}
    assert deleted(registry, repository) == []
    _, failures = registry.run(
        images.delete(registry.db, registry.clock.now(), repository, [ImageId(children[0].digest)])
    )
    assert [failure.code for failure in failures] == [FailureCode.REFERENCED]


def test_an_index_of_indexes_that_share_images_comes_back_however_deep_it_is(registry: Registry) -> None:
    repository = registry.repository()
    shared = registry.image(repository, "shared")
    chain = [shared]
    for _ in range(60):
        chain.append(registry.put(repository, index_of(*chain[-2:], shared)))
    delete_all(registry, repository, *reversed(chain))
    assert present(registry) == set()

    restore(registry, repository, chain[-1].digest)

    assert present(registry) == {image.digest for image in chain}


def test_an_index_whose_images_are_gone_for_good_cannot_come_back_and_says_which(registry: Registry) -> None:
    repository = registry.repository()
    lost, kept = registry.image(repository, "lost"), registry.image(repository, "kept")
    index = registry.put(repository, index_of(lost, kept))
    delete_all(registry, repository, index, kept)
    delete(registry, repository, ImageId(lost.digest), kept=None)

    with pytest.raises(ReferencedImagesNotFound) as refused:
        restore(registry, repository, index.digest)

    assert lost.digest in refused.value.message
    assert kept.digest not in refused.value.message
    assert present(registry) == set()
    assert set(digests(deleted(registry, repository))) == {index.digest, kept.digest}


def test_signatures_that_went_with_an_image_come_back_and_those_withdrawn_before_do_not(
    registry: Registry,
) -> None:
    repository = registry.repository()
    image = registry.image(repository)
    withdrawn = referrer_of(registry, repository, image, "withdrawn")
    signature = referrer_of(registry, repository, image, "signature")
    countersigned = referrer_of(registry, repository, signature, "signature of the signature")
    delete_all(registry, repository, withdrawn, image, signature, countersigned)

    restore(registry, repository, image.digest)

    assert present(registry) == {image.digest, signature.digest, countersigned.digest}
    assert digests(deleted(registry, repository)) == [withdrawn.digest]


def test_a_referrer_that_misses_something_stays_in_the_bin_and_does_not_hinder_its_subject(
    registry: Registry,
) -> None:
    repository = registry.repository()
    image, lost = registry.image(repository, "image"), registry.image(repository, "lost")
    about = {"mediaType": image.media_type, "digest": image.digest, "size": image.manifest_size}
    referrer = registry.put(repository, index_of(lost, subject=about))
    delete_all(registry, repository, image, referrer)
    delete(registry, repository, ImageId(lost.digest), kept=None)

    restore(registry, repository, image.digest)

    assert present(registry) == {image.digest}
    assert digests(deleted(registry, repository)) == [referrer.digest]


def test_a_signature_alone_can_come_back_before_its_subject(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository)
    signature = referrer_of(registry, repository, image, "signature")
    delete_all(registry, repository, image, signature)

    restore(registry, repository, signature.digest)

    assert present(registry) == {signature.digest}
    assert digests(deleted(registry, repository)) == [image.digest]


def test_only_so_many_images_come_back_together_and_some_can_be_restored_first(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESTORED_TOGETHER", 2)
    repository = registry.repository()
    children = [registry.image(repository, f"child {number}") for number in range(3)]
    index = registry.put(repository, index_of(*children))
    delete_all(registry, repository, index, *children)

    with pytest.raises(LimitExceeded, match="More than 2 other images"):
        restore(registry, repository, index.digest)
    assert present(registry) == set()

    restore(registry, repository, children[0].digest)
    restore(registry, repository, index.digest)
    assert len(present(registry)) == 4


# Room


def test_a_full_repository_takes_no_image_back(registry: Registry) -> None:
    repository = registry.repository()
    room = Headroom(Quotas(images_per_repository=2))
    image = registry.image(repository, "deleted")
    delete(registry, repository, ImageId(image.digest))
    registry.image(repository, "first")
    second = registry.image(repository, "second")

    with pytest.raises(LimitExceeded, match="holds 2 images already"):
        restore(registry, repository, image.digest, room=room)
    delete(registry, repository, ImageId(second.digest), kept=None)
    restore(registry, repository, image.digest, room=room)
    with pytest.raises(LimitExceeded):
        registry.run(recycle.restore(registry.db, START, repository, _gone(registry, repository), None, room))


def _gone(registry: Registry, repository: Repository) -> str:
    """Push another image where there is room for it, delete it, and return its digest."""
    image = registry.image(repository, "third")
    delete(registry, repository, ImageId(image.digest))
    return image.digest


def test_restored_images_count_like_pushed_ones_for_whoever_counted_before(registry: Registry) -> None:
    repository = registry.repository()
    room = Headroom(Quotas(images_per_repository=4))
    gone = [registry.image(repository, f"image {number}") for number in range(5)]
    delete_all(registry, repository, *gone)
    for image in gone[:4]:
        restore(registry, repository, image.digest, room=room)

    with pytest.raises(LimitExceeded):
        restore(registry, repository, gone[4].digest, room=room)
    assert len(present(registry)) == 4


# Archived images


def test_a_restored_image_whose_bytes_are_in_the_archive_is_active_and_they_are_brought_back(
    registry: Registry,
) -> None:
    repository = registry.repository()
    image = registry.image(repository)
    registry.run(archive.update(registry.db, START, repository, image.digest, StorageClass.ARCHIVE))
    delete(registry, repository, ImageId(image.digest))
    for row in registry.rows(tables.blob):
        _move_to_archive(registry, row[0])
    before = len(registry.rows(tables.job))

    back = restore(registry, repository, image.digest)

    assert (back.status, back.archived_at) == (Status.ACTIVE, None)
    [job] = registry.rows(tables.job)[before:]
    assert sorted(json.loads(job[2])["digests"]) == sorted(row[0] for row in registry.rows(tables.blob))


def _move_to_archive(registry: Registry, digest: str) -> None:
    statement = Statement(
        update(tables.blob).where(tables.blob.c.digest == bindparam("which")).values(storage_class="ARCHIVE")
    )

    async def work(tx: Transaction) -> None:
        await tx.run(statement, which=digest)

    registry.run(registry.db.write(work))


# At the same time


def test_a_restore_and_a_push_of_the_same_image_leave_one_whole_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    body = registry.run(images.manifest(registry.db, repository, image.digest)).body
    now = registry.clock.now()

    for first in ("push", "restore"):
        delete(registry, repository, ImageId(image.digest))
        push = images.Push(body, None)

        async def both(first: str = first, push: images.Push = push) -> list[object]:
            works = {
                "push": images.put(registry.db, now, repository, push, registry.room),
                "restore": recycle.restore(registry.db, now, repository, image.digest, None, registry.room),
            }
            ordered = sorted(works, key=lambda name: name != first)
            return list(await asyncio.gather(*(works[name] for name in ordered), return_exceptions=True))

        outcomes = registry.run(both())

        assert [isinstance(each, Exception) for each in outcomes] == [False, first == "push"]
        assert present(registry) == {image.digest}
        assert registry.rows(tables.deleted_image) == []
