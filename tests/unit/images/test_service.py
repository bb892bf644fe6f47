"""Use cases of images on a real database: push, immutability by every way, deletion, pull times."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from homeport.database import tables
from homeport.images import service as images
from homeport.images import store
from homeport.images.headroom import Headroom
from homeport.images.model import FailureCode, Image, ImageId
from homeport.images.pulls import PullLog
from homeport.images.service import Push
from homeport.kernel import media
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import (
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    ImageNotFound,
    ImageReferencedByManifestList,
    ImageTagAlreadyExists,
    LayersNotFound,
    LimitExceeded,
    ManifestInvalid,
    ReferencedImagesNotFound,
    RepositoryNotFound,
)
from homeport.kernel.limits import Quotas
from homeport.kernel.names import Tag
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings, TagMutability
from tests.unit.repositories.registry import (
    ACCOUNT,
    START,
    Registry,
    descriptor_of,
    index_of,
    manifest_of,
)

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def tags_of(registry: Registry, repository: Repository) -> dict[str, str]:
    """Return every tag of the repository with the digest that it names."""
    digests = {row[0]: row[2] for row in registry.rows(tables.image)}
    return {row[1]: digests[row[2]] for row in registry.rows(tables.image_tag) if row[0] == repository.id}


def delete(
    registry: Registry, repository: Repository, *wanted: ImageId
) -> tuple[set[tuple[str | None, str | None]], list[FailureCode]]:
    gone, failures = registry.run(images.delete(registry.db, registry.clock.now(), repository, list(wanted)))
    return {(item.digest, item.tag) for item in gone}, [failure.code for failure in failures]


def found(registry: Registry, repository: Repository, reference: Digest | Tag) -> bool:
    try:
        registry.run(images.manifest(registry.db, repository, reference))
    except ImageNotFound:
        return False
    return True


# Push


def test_a_pushed_manifest_comes_back_byte_for_byte_by_digest_and_by_tag(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"config")
    body = manifest_of(b"config", [], annotations={"title": "../<b>\x07"}).replace(b", ", b" ,\n ")

    image = registry.put(repository, body, "v1")

    assert image.digest == digest_of(body)
    for reference in (image.digest, Tag("v1")):
        stored = registry.run(images.manifest(registry.db, repository, reference))
        assert (stored.body, stored.media_type, stored.digest) == (body, media.OCI_MANIFEST, image.digest)


def test_the_size_of_an_image_is_that_of_its_distinct_blobs_and_of_an_index_that_of_its_largest_child(
    registry: Registry,
) -> None:
    repository = registry.repository()
    for data in (b"config", b"layer", b"a longer layer"):
        registry.blob(repository, data)

    small = registry.put(repository, manifest_of(b"config", [b"layer", b"layer"]))
    large = registry.put(repository, manifest_of(b"config", [b"layer", b"a longer layer"]))
    index = registry.put(repository, index_of(small, large))

    assert (small.size, large.size, index.size) == (6 + 5, 6 + 5 + 14, 6 + 5 + 14)


def test_layers_that_the_repository_does_not_hold_are_named_and_nothing_is_stored(registry: Registry) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    registry.blob(repository, b"config")
    registry.blob(other, b"layer")  # somebody else's copy must not count

    with pytest.raises(LayersNotFound) as refused:
        registry.put(repository, manifest_of(b"config", [b"layer", b"never pushed"]), "v1")

    assert digest_of(b"layer") in refused.value.message
    assert digest_of(b"never pushed") in refused.value.message
    assert digest_of(b"config") not in refused.value.message
    assert registry.rows(tables.image) == registry.rows(tables.image_tag) == []


def test_an_index_of_images_that_are_not_here_is_refused_in_the_words_of_ecr(registry: Registry) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    elsewhere = registry.image(other)

    with pytest.raises(ReferencedImagesNotFound) as refused:
        registry.put(repository, index_of(elsewhere))

    assert refused.value.message == (
        f"Images with digests '[{elsewhere.digest}]' required for pushing image into repository with name "
        f"'a/b' in the registry with id '{ACCOUNT}' do not exist"
    )


def test_a_size_that_is_not_that_of_the_stored_bytes_is_refused(registry: Registry) -> None:
    repository = registry.repository()
    child = registry.image(repository)
    registry.blob(repository, b"config")
    registry.blob(repository, b"layer")
    lying = manifest_of(b"config", [b"layer"]).replace(b'"size": 5', b'"size": 4')
    lying_index = index_of(child).replace(str(child.manifest_size).encode(), b"1")

    for body in (lying, lying_index):
        with pytest.raises(ManifestInvalid):
            registry.put(repository, body)

    assert len(registry.rows(tables.image)) == 1


def test_a_foreign_layer_need_not_be_here(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"config")
    foreign = descriptor_of(b"windows", FOREIGN, urls=["http://169.254.169.254/"])

    document = json.loads(manifest_of(b"config", []))
    image = registry.put(repository, json.dumps({**document, "layers": [foreign]}).encode())

    assert image.size == len(b"config")


def test_a_referrer_may_come_before_its_subject_and_may_even_name_nothing(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"{}")
    subject = descriptor_of(b"not pushed yet", media.OCI_MANIFEST)

    image = registry.put(repository, manifest_of(b"{}", [], subject=subject, artifactType="example/sbom"))

    assert (image.subject, image.artifact_type) == (subject["digest"], "example/sbom")
    assert registry.run(store.referrers(registry.db, repository.id, subject["digest"], "", 9)) == [image]


def test_text_that_no_database_can_hold_is_refused_with_the_manifest(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"config")
    body = manifest_of(b"config", [], artifactType="a/b").replace(b"a/b", b"a/\\ud800")

    with pytest.raises(ManifestInvalid):
        registry.put(repository, body)

    odd = manifest_of(b"config", [], annotations={"k": "v"}).replace(b'"v"', b'"\\ud800\\u0000"')
    assert json.loads(registry.put(repository, odd).annotations or "") == {"k": "\ud800\x00"}


def test_the_digest_that_the_client_names_must_be_that_of_the_bytes(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"config")
    body = manifest_of(b"config", [])

    with pytest.raises(ImageDigestDoesNotMatch):
        registry.run(images.put(registry.db, START, repository, Push(body, None, digest=digest_of(b"other"))))
    assert registry.rows(tables.image) == []

    for algorithm in ("sha256", "sha512"):
        digest = digest_of(body, algorithm)
        pushed = registry.run(images.put(registry.db, START, repository, Push(body, None, digest=digest)))
        assert pushed.image.digest == digest


def test_pushing_the_same_again_changes_nothing_and_keeps_the_first_moment(registry: Registry) -> None:
    repository = registry.repository()
    first = registry.image(repository, tag="v1")
    body = registry.run(images.manifest(registry.db, repository, Tag("v1"))).body
    registry.clock.advance(3600)
    again = Push(body, None, Tag("v1"))

    pushed = registry.run(images.put(registry.db, registry.clock.now(), repository, again))
    with pytest.raises(ImageAlreadyExists) as refused:
        registry.run(images.put_new(registry.db, registry.clock.now(), repository, again))

    assert (pushed.changed, pushed.image) == (False, first)
    assert refused.value.message == (
        f"Image with digest '{first.digest}' and tag 'v1' already exists in the repository with name "
        f"'shop/cart' in registry with id '{ACCOUNT}'"
    )


def test_another_tag_for_an_image_that_is_there_is_news_but_not_a_new_push(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    body = registry.run(images.manifest(registry.db, repository, Tag("v1"))).body
    registry.clock.advance(3600)

    push = Push(body, None, Tag("v2"))
    tagged = registry.run(images.put_new(registry.db, registry.clock.now(), repository, push))

    assert tagged.pushed_at == image.pushed_at == START
    assert tags_of(registry, repository) == {"v1": image.digest, "v2": image.digest}


def test_a_tag_moves_and_the_image_that_it_named_stays(registry: Registry) -> None:
    repository = registry.repository()
    old = registry.image(repository, "old", tag="latest")
    new = registry.image(repository, "new", tag="latest")

    assert tags_of(registry, repository) == {"latest": new.digest}
    assert found(registry, repository, old.digest)


def test_a_push_into_a_repository_that_is_gone_is_refused(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, b"config")
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))

    with pytest.raises(RepositoryNotFound):
        registry.put(repository, manifest_of(b"config", []))


# P10: the rule of immutable tags is in the domain, so there is no way around it


@pytest.mark.parametrize(
    "settings",
    [
        Settings(TagMutability.IMMUTABLE),
        Settings(TagMutability.IMMUTABLE_WITH_EXCLUSION, ("dev-*",)),
        Settings(TagMutability.MUTABLE_WITH_EXCLUSION, ("v*",)),
    ],
)
def test_a_frozen_tag_is_moved_by_no_kind_of_push(registry: Registry, settings: Settings) -> None:
    repository = registry.repository("a/b", settings)
    first = registry.image(repository, "first", tag="v1")
    second = registry.image(repository, "second", tag="v2")
    stored = registry.run(images.manifest(registry.db, repository, second.digest)).body
    index = index_of(first, second)
    pushes = [
        Push(stored, None, Tag("v1")),  # re-tag an image that is here
        Push(stored, media.OCI_MANIFEST, Tag("v1"), second.digest),
        Push(index, None, Tag("v1")),  # a new document
    ]

    for push in pushes:
        for put in (images.put, images.put_new):
            with pytest.raises(ImageTagAlreadyExists) as refused:
                registry.run(put(registry.db, START, repository, push))
            assert refused.value.message == (
                "The image tag 'v1' already exists in the 'a/b' repository and cannot be overwritten because "
                "the tag is immutable."
            )

    assert tags_of(registry, repository) == {"v1": first.digest, "v2": second.digest}
    assert not found(registry, repository, digest_of(index))  # a refused push stores nothing


def test_immutability_is_judged_by_the_settings_of_the_moment_not_by_those_that_the_caller_saw(
    registry: Registry,
) -> None:
    seen = registry.repository("a/b")
    first = registry.image(seen, "first", tag="v1")
    change = repositories.set_tag_mutability
    registry.run(change(registry.db, ACCOUNT, "a/b", TagMutability.IMMUTABLE, None))

    with pytest.raises(ImageTagAlreadyExists):
        registry.image(seen, "second", tag="v1")

    assert tags_of(registry, seen) == {"v1": first.digest}


def test_an_immutable_repository_takes_new_tags_and_the_same_push_again(registry: Registry) -> None:
    repository = registry.repository("a/b", Settings(TagMutability.IMMUTABLE))
    first = registry.image(repository, "first", tag="v1")

    registry.image(repository, "first", tag="v1")
    registry.image(repository, "first", tag="v2")
    second = registry.image(repository, "second", tag="v3")

    assert tags_of(registry, repository) == {"v1": first.digest, "v2": first.digest, "v3": second.digest}


def test_deleting_an_immutable_tag_frees_it(registry: Registry) -> None:
    repository = registry.repository("a/b", Settings(TagMutability.IMMUTABLE))
    registry.image(repository, "first", tag="v1")

    delete(registry, repository, ImageId(tag="v1"))
    second = registry.image(repository, "second", tag="v1")

    assert tags_of(registry, repository) == {"v1": second.digest}


# Limits


def test_an_image_takes_so_many_tags_and_moving_one_away_makes_room(registry: Registry) -> None:
    registry.room = Headroom(Quotas(tags_per_image=3))
    repository = registry.repository()
    for tag in ("a", "b", "c"):
        registry.image(repository, "full", tag=tag)

    with pytest.raises(LimitExceeded):
        registry.image(repository, "full", tag="d")
    registry.image(repository, "full", tag="c")  # again is not one more
    registry.image(repository, "other", tag="a")
    registry.image(repository, "full", tag="d")

    assert sorted(tags_of(registry, repository)) == ["a", "b", "c", "d"]


def test_a_repository_takes_so_many_images(registry: Registry) -> None:
    registry.room = Headroom(Quotas(images_per_repository=2))
    repository = registry.repository()
    registry.image(repository, "one", tag="one")
    registry.image(repository, "two")

    with pytest.raises(LimitExceeded):
        registry.image(repository, "three", tag="one")
    registry.image(repository, "two", tag="another-tag")  # no new image

    assert len(registry.rows(tables.image)) == 2
    registry.image(registry.repository("elsewhere"), "three")


# Deletion


def test_deleting_one_of_many_tags_keeps_the_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    registry.image(repository, tag="v2")

    gone, failures = delete(registry, repository, ImageId(tag="v1"))

    assert (gone, failures) == ({(image.digest, "v1")}, [])
    assert tags_of(registry, repository) == {"v2": image.digest}


def test_deleting_the_last_tag_deletes_the_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")

    gone, _ = delete(registry, repository, ImageId(tag="v1"))

    assert gone == {(image.digest, "v1")}
    assert not found(registry, repository, image.digest)
    for table in (tables.image, tables.image_tag, tables.image_blob):
        assert registry.rows(table) == []


def test_deleting_both_tags_at_once_deletes_the_image(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    registry.image(repository, tag="v2")

    gone, failures = delete(registry, repository, ImageId(tag="v1"), ImageId(tag="v2"))

    assert (gone, failures) == ({(image.digest, "v1"), (image.digest, "v2")}, [])
    assert registry.rows(tables.image) == []


def test_deleting_a_digest_deletes_all_its_tags_and_names_each(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    registry.image(repository, tag="v2")
    registry.image(repository, tag="v3")

    gone, _ = delete(registry, repository, ImageId(digest=image.digest))

    assert gone == {(image.digest, "v1"), (image.digest, "v2"), (image.digest, "v3")}
    assert registry.rows(tables.image) == registry.rows(tables.image_tag) == []


def test_deleting_an_untagged_image_names_its_digest_alone(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository)

    gone, _ = delete(registry, repository, ImageId(digest=image.digest))

    assert gone == {(image.digest, None)}


def test_the_child_of_an_index_stays_until_the_index_is_gone(registry: Registry) -> None:
    repository = registry.repository()
    child = registry.image(repository, tag="child")
    index = registry.put(repository, index_of(child), "index")
    by_digest, by_tag = ImageId(digest=child.digest), ImageId(tag="child")

    for wanted in (by_digest, by_tag):
        gone, failures = delete(registry, repository, wanted)
        assert (gone, failures) == (set(), [FailureCode.REFERENCED])
    with pytest.raises(ImageReferencedByManifestList) as refused:
        registry.run(images.delete_one(registry.db, registry.clock.now(), repository, child.digest))
    assert refused.value.message == f"Requested image referenced by manifest list: [{index.digest}]"
    assert tags_of(registry, repository) == {"child": child.digest, "index": index.digest}

    gone, failures = delete(registry, repository, ImageId(digest=index.digest), by_digest)
    assert (gone, failures) == ({(index.digest, "index"), (child.digest, "child")}, [])


def test_one_of_many_tags_of_a_child_can_go(registry: Registry) -> None:
    repository = registry.repository()
    child = registry.image(repository, tag="one")
    registry.image(repository, tag="two")
    registry.put(repository, index_of(child), "index")

    gone, failures = delete(registry, repository, ImageId(tag="one"))

    assert (gone, failures) == ({(child.digest, "one")}, [])


def test_a_child_is_kept_by_any_of_its_indexes_but_not_by_those_of_other_repositories(
    registry: Registry,
) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    child = registry.image(repository)
    first = registry.put(repository, index_of(child, annotations={"n": "1"}))
    second = registry.put(repository, index_of(child, annotations={"n": "2"}))
    registry.put(other, index_of(registry.image(other)))

    delete(registry, repository, ImageId(digest=first.digest))
    _, failures = delete(registry, repository, ImageId(digest=child.digest))
    assert failures == [FailureCode.REFERENCED]

    gone, _ = delete(registry, repository, ImageId(digest=second.digest), ImageId(digest=child.digest))
    assert gone == {(second.digest, None), (child.digest, None)}
    assert len(registry.rows(tables.image)) == 2


def test_each_name_of_a_batch_that_leads_nowhere_fails_for_itself(registry: Registry) -> None:
    repository = registry.repository()
    one, two = registry.image(repository, "one", tag="one"), registry.image(repository, "two", tag="two")

    gone, failures = delete(
        registry,
        repository,
        ImageId(),
        ImageId(digest="sha256:x"),
        ImageId(tag="-x"),
        ImageId(tag="absent"),
        ImageId(digest=digest_of(b"absent")),
        ImageId(digest=one.digest, tag="two"),
        ImageId(digest=one.digest, tag="absent"),
        ImageId(digest=two.digest, tag="two"),
        ImageId(tag="two"),
    )

    assert gone == {(two.digest, "two")}
    assert failures == [
        FailureCode.MISSING,
        FailureCode.INVALID_DIGEST,
        FailureCode.INVALID_TAG,
        FailureCode.NOT_FOUND,
        FailureCode.NOT_FOUND,
        FailureCode.TAG_DOES_NOT_MATCH,
        FailureCode.NOT_FOUND,
        FailureCode.NOT_FOUND,
    ]


def test_nobody_deletes_or_reads_through_another_repository(registry: Registry) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    image = registry.image(repository, tag="v1")

    assert not found(registry, other, image.digest)
    assert not found(registry, other, Tag("v1"))
    assert delete(registry, other, ImageId(digest=image.digest))[1] == [FailureCode.NOT_FOUND]
    with pytest.raises(ImageNotFound):
        registry.run(images.delete_one(registry.db, registry.clock.now(), other, Tag("v1")))


# Description


def test_images_are_described_once_however_often_they_are_named(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository, tag="v1")
    registry.image(repository, tag="v2")
    wanted = [ImageId(tag="v1"), ImageId(tag="v2"), ImageId(digest=image.digest)]

    assert registry.run(images.describe(registry.db, repository, wanted)) == [image]
    with pytest.raises(ImageNotFound) as refused:
        registry.run(images.describe(registry.db, repository, [*wanted, ImageId(tag="v9")]))
    assert refused.value.message == (
        "The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the repository with "
        f"name 'shop/cart' in the registry with id '{ACCOUNT}'"
    )


# Pull times


def pulled(registry: Registry, repository: Repository, image: Image) -> timedelta | None:
    stored = registry.run(store.by_digest(registry.db, repository.id, image.digest))
    assert stored is not None
    return stored.pulled_at - START if stored.pulled_at else None


def test_pulls_cost_no_write_until_they_are_flushed_together(registry: Registry) -> None:
    repository = registry.repository()
    one, two = registry.image(repository, "one"), registry.image(repository, "two")
    log = PullLog()

    log.note(one.id, None, START + timedelta(seconds=1))
    log.note(one.id, None, START + timedelta(seconds=5))
    log.note(two.id, None, START + timedelta(seconds=3))
    assert pulled(registry, repository, one) is None
    registry.run(log.flush(registry.db))

    assert pulled(registry, repository, one) == timedelta(seconds=5)
    assert pulled(registry, repository, two) == timedelta(seconds=3)


def test_an_image_that_is_pulled_all_the_time_is_written_once_an_hour(registry: Registry) -> None:
    repository = registry.repository()
    image = registry.image(repository)
    log, minutes = PullLog(), timedelta(minutes=1)

    log.note(image.id, START, START + 59 * minutes)
    registry.run(log.flush(registry.db))
    assert pulled(registry, repository, image) is None

    log.note(image.id, START, START + 60 * minutes)
    registry.run(log.flush(registry.db))
    assert pulled(registry, repository, image) == 60 * minutes


def test_an_image_deleted_between_pull_and_flush_does_no_harm(registry: Registry) -> None:
    repository = registry.repository()
    gone, kept = registry.image(repository, "gone"), registry.image(repository, "kept")
    log = PullLog()
    log.note(gone.id, None, START)
    log.note(kept.id, None, START)

    delete(registry, repository, ImageId(digest=gone.digest))
    registry.run(log.flush(registry.db))
    registry.run(log.flush(registry.db))  # nothing is left

    assert pulled(registry, repository, kept) == timedelta(0)


def test_the_log_of_pulls_is_bounded_and_goes_on_after_a_flush(registry: Registry) -> None:
    log = PullLog()

    for number in range(30_000):
        log.note(number, None, START)

    assert len(log._pending) == 10_000
    registry.run(log.flush(registry.db))
    assert log._pending == {}
