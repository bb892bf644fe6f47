"""Each kind of rule on real images: what its preview announces is what its run does, and nothing else."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.api.calls import put, put_manifest
from tests.api.lifecycle import (
    ANY,
    DAY,
    UNTAGGED,
    Shelf,
    judging_later,
    later,
    policy_of,
    rule,
    shelf,
    tagged,
)
from tests.harness.images import artifact, bytes_of, random_image, random_index
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

__all__ = ["later", "shelf"]


# --- What a rule counts ---


def test_the_newest_images_stay_and_the_others_expire_oldest_first(shelf: Shelf) -> None:
    digests = shelf.push_all("v1", "v2", "v3", "v4")

    acted = shelf.act(rule(1, tagged("v*"), "imageCountMoreThan", 2))

    assert acted == [(digest, "EXPIRE") for digest in digests[:2]]
    assert shelf.there() == {digests[2]: ("v3",), digests[3]: ("v4",)}


@pytest.mark.parametrize(("days", "goes"), [(91, True), (92, False)])
def test_images_expire_once_they_are_older_than_the_days_since_their_push(
    shelf: Shelf, days: int, goes: bool
) -> None:
    digest = shelf.push()
    named = shelf.push("v1")

    acted = shelf.act(rule(1, UNTAGGED, "sinceImagePushed", days))

    assert acted == ([(digest, "EXPIRE")] if goes else [])
    assert named in shelf.there()


def test_images_that_nobody_pulls_go_to_the_archive(shelf: Shelf) -> None:
    digest = shelf.push("v1")

    assert shelf.act(rule(1, ANY, "sinceImagePulled", 90, "transition")) == [(digest, "TRANSITION")]

    assert shelf.there("ARCHIVED") == {digest: ("v1",)}
    assert shelf.there("ACTIVE") == {}


def test_an_archived_image_expires_when_its_ninety_days_are_over(shelf: Shelf) -> None:
    digest = shelf.push("v1")
    stays = shelf.push("v2")
    shelf.ecr.update_image_storage_class(
        repositoryName=shelf.name, imageId={"imageDigest": digest}, targetStorageClass="ARCHIVE"
    )

    acted = shelf.act(rule(1, ANY, "sinceImageTransitioned", 90, storageClass="archive"))

    assert acted == [(digest, "EXPIRE")]
    assert list(shelf.there()) == [stays]


def test_before_ninety_days_nothing_deletes_an_archived_image(shelf: Shelf) -> None:
    digest = shelf.push("v1")
    shelf.ecr.update_image_storage_class(
        repositoryName=shelf.name, imageId={"imageDigest": digest}, targetStorageClass="ARCHIVE"
    )

    assert (
        shelf.act(
            rule(1, ANY, "imageCountMoreThan", 1),
            rule(2, ANY, "sinceImageTransitioned", 92, storageClass="archive"),
        )
        == []
    )
    assert list(shelf.there()) == [digest]


def test_prefixes_must_all_be_there_and_an_earlier_rule_protects_its_images(shelf: Shelf) -> None:
    both = shelf.push("alpha-1", "beta-1")
    one = shelf.push("alpha-2")
    protected = shelf.push("alpha-3", "beta-3", "prod-3")

    acted = shelf.act(
        rule(1, tagged("prod*"), "imageCountMoreThan", 5),
        rule(2, {"tagStatus": "tagged", "tagPrefixList": ["alpha", "beta"]}, "sinceImagePushed", 5),
    )

    assert acted == [(both, "EXPIRE")]
    assert set(shelf.there()) == {one, protected}


# --- Families ---


def test_the_images_of_an_index_go_in_the_run_after_the_index(shelf: Shelf) -> None:
    index = random_index()
    for image in index.images:
        put(shelf.ecr, shelf.name, image)
    put_manifest(shelf.ecr, shelf.name, index.manifest, "multi")
    children = {image.digest for image in index.images}
    shelf.set_policy(rule(1, ANY, "sinceImagePushed", 1))

    first = shelf.run()
    assert first == [(index.digest, "EXPIRE", "DONE")]
    assert set(shelf.there()) == children

    second = shelf.run()
    assert {digest for digest, _, _ in second} == children
    assert shelf.there() == {}


def test_a_signature_goes_right_after_what_it_signs_and_never_alone(shelf: Shelf) -> None:
    old, new = random_image(), random_image()
    signatures = []
    for image, tag in ((old, "v1"), (new, "v2")):
        shelf.push(tag, image=image)
        signed = artifact(
            tag.encode(), artifact_type="application/vnd.test.signature", subject=image.manifest
        )
        signatures.append(shelf.push(image=signed))

    acted = shelf.act(rule(1, UNTAGGED, "sinceImagePushed", 1), rule(2, ANY, "imageCountMoreThan", 1))

    assert acted == [(old.digest, "EXPIRE"), (signatures[0], "EXPIRE")]
    assert set(shelf.there()) == {new.digest, signatures[1]}


def test_a_signature_is_archived_with_what_it_signs(shelf: Shelf) -> None:
    image = random_image()
    shelf.push("v1", image=image)
    signed = artifact(b"s", artifact_type="application/vnd.test.signature", subject=image.manifest)
    signature = shelf.push(image=signed)

    acted = shelf.act(rule(1, tagged("v*"), "sinceImagePushed", 1, "transition"))

    assert acted == [(image.digest, "TRANSITION")]
    assert set(shelf.there("ARCHIVED")) == {image.digest, signature}


# --- What only an extended policy says ---


@pytest.fixture
def extended(later: Homeport) -> Shelf:
    """A repository of an account whose policies may say more than ECR's."""
    owner = later.account()
    ecr: Any = later.client(credentials=owner)
    ecr.put_account_setting(name="LIFECYCLE_EXTENSIONS", value="ENABLED")
    return Shelf(later, owner)


def test_images_that_nobody_pulls_can_expire(extended: Shelf) -> None:
    digest = extended.push("v1")

    assert extended.act(rule(1, ANY, "sinceImagePulled", 90)) == [(digest, "EXPIRE")]
    assert extended.there() == {}


def test_tags_can_go_while_their_image_stays(extended: Shelf) -> None:
    digest = extended.push("build-1", "keep")

    acted = extended.act(rule(1, tagged("build-*"), "sinceTagged", 30, "untag"))

    assert acted == [(digest, "UNTAG")]
    assert extended.there() == {digest: ("keep",)}
    assert extended.run() == []


def test_what_a_rule_retains_or_a_pin_protects_is_left_alone(extended: Shelf) -> None:
    retained, pinned, gone = extended.push_all("release-1", "v1", "v2")
    extended.own.pin_image_tag(repositoryName=extended.name, imageTag="v1")
    keep: dict[str, Any] = {
        "rulePriority": 9,
        "selection": {"tagStatus": "tagged", "tagPatternList": ["release-*"]},
        "action": {"type": "retain"},
    }

    acted = extended.act(rule(1, tagged("*"), "sinceImagePushed", 1), keep)

    assert acted == [(gone, "EXPIRE")]
    assert set(extended.there()) == {retained, pinned}


def test_a_policy_goes_on_acting_when_extensions_are_switched_off_again(extended: Shelf) -> None:
    digest = extended.push("v1")
    extended.set_policy(rule(1, ANY, "sinceImagePulled", 90))
    extended.ecr.put_account_setting(name="LIFECYCLE_EXTENSIONS", value="DISABLED")

    assert extended.run() == [(digest, "EXPIRE", "DONE")]


def test_what_a_policy_deleted_can_be_restored_and_is_not_deleted_again_at_once(extended: Shelf) -> None:
    extended.ecr.put_account_setting(name="IMAGE_RECOVERY", value="30")
    image = random_image()
    digest = extended.push("v1", image=image)
    extended.act(rule(3, ANY, "sinceImagePushed", 30))

    [kept] = extended.own.list_deleted_images(repositoryName=extended.name)["deletedImages"]
    assert (kept["imageDigest"], kept["imageTags"]) == (digest, ["v1"])
    assert kept["deletedBy"] == "lifecycle policy, rule 3"
    extended.own.restore_deleted_image(repositoryName=extended.name, imageDigest=digest)

    assert extended.there() == {digest: ("v1",)}
    assert extended.run() == []


# --- Runs ---


def test_a_run_is_told_in_the_log_image_by_image(shelf: Shelf) -> None:
    old, _ = shelf.push_all("v1", "v2")
    shelf.act(rule(4, ANY, "imageCountMoreThan", 1))

    def of(event: str) -> dict[str, Any]:
        def find(record: dict[str, Any]) -> dict[str, Any] | None:
            mine = record.get("event") == event and record.get("repository") == shelf.name
            return record if mine else None

        return shelf.server.wait_for_log(find, event)

    image = of("lifecycle_image_expired")
    assert (image["digest"], image["tags"], image["rule"]) == (old, ["v1"], 4)
    told = of("lifecycle_run")
    assert (told["status"], told["examined"], told["expiring"]) == ("complete", 2, 1)
    assert told["outcomes"] == {"done": 1}
    assert told["acted_by_rule"] == {"4": 1}
    assert told["run"] == image["run"]


def test_a_policy_that_was_run_says_when(shelf: Shelf) -> None:
    shelf.set_policy(rule(1, ANY, "imageCountMoreThan", 1))
    shelf.run()

    evaluated = shelf.ecr.get_lifecycle_policy(repositoryName=shelf.name)["lastEvaluatedAt"]
    gone = shelf.ecr.delete_lifecycle_policy(repositoryName=shelf.name)

    created = shelf.ecr.describe_repositories(repositoryNames=[shelf.name])["repositories"][0]["createdAt"]
    assert created <= evaluated
    assert gone["lastEvaluatedAt"] == evaluated


def test_a_pull_that_was_not_written_yet_counts(later: Homeport) -> None:
    """The last pull is far from ninety days ago, whatever the clock of the rules says: both are seen by it."""
    shelf = Shelf(later)
    image = random_image()
    digest = shelf.push("v1", image=image)
    shelf.set_policy(rule(1, ANY, "sinceImagePulled", 90, "transition"))
    client = OciClient(later.url, "AWS", later.password())
    assert client.pull(shelf.name, "v1") == bytes_of(image)

    shelf.run()

    [found] = shelf.ecr.describe_images(repositoryName=shelf.name, imageIds=[{"imageDigest": digest}])[
        "imageDetails"
    ]
    assert found["lastRecordedPullTime"] >= found["imagePushedAt"]


def test_every_policy_acts_by_itself_at_its_interval() -> None:
    pause = threading.Event()
    with judging_later(HOMEPORT_LIFECYCLE_INTERVAL="1") as server:
        own, without, inheriting = Shelf(server), Shelf(server), Shelf(server, name="team/app")
        for each in (own, without, inheriting):
            each.push_all("v1", "v2")
        own.set_policy(rule(1, ANY, "imageCountMoreThan", 1))
        text = policy_of(rule(1, ANY, "sinceImagePushed", 30))
        own.own.put_default_lifecycle_policy(prefix="team", lifecyclePolicyText=text)

        for _ in range(200):
            if len(own.there()) == 1 and not inheriting.there():
                break
            pause.wait(0.05)

        assert list(own.there().values()) == [("v2",)]
        assert inheriting.there() == {}
        assert len(without.there()) == 2


def test_images_of_two_ages_are_told_apart_by_the_clock_of_the_rules() -> None:
    """The same images on a clock that is a day earlier, and a day later, than the rule's limit."""
    with judging_later(HOMEPORT_LIFECYCLE_CLOCK_OFFSET=str(13 * DAY)) as server:
        shelf = Shelf(server)
        digests = shelf.push_all("", "")
        shelf.set_policy(rule(1, UNTAGGED, "sinceImagePushed", 14))
        assert shelf.run() == []

        server.environment["HOMEPORT_LIFECYCLE_CLOCK_OFFSET"] = str(15 * DAY)
        server.restart(same_port=True)
        again = Shelf(server)
        shelf.ecr, shelf.own = again.ecr, again.own
        assert [digest for digest, _, _ in shelf.run()] == digests
        assert shelf.there() == {}
