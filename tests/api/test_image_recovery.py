"""Deleted images through the API: kept only where the registry says so, listed, and restored whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import MISSING, at_once, at_registry, new_name, put, put_manifest, refused
from tests.harness.images import artifact, bytes_of, random_image, random_index
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


@pytest.fixture
def recovering(own: Any) -> Any:
    """The administrator of a registry of the test's own, which keeps deleted images for seven days."""
    own.put_account_setting(name="IMAGE_RECOVERY", value="ENABLED")
    return own


@pytest.fixture
def extension(homeport: Homeport, owner: Credentials) -> Any:
    """The same person's client of Homeport's own operations."""
    return homeport.client("homeport", credentials=owner)


@pytest.fixture
def name(own: Any) -> str:
    """The name of an empty repository of that registry."""
    made: str = own.create_repository(repositoryName=new_name())["repository"]["repositoryName"]
    return made


@pytest.fixture
def docker(homeport: Homeport, owner: Credentials) -> OciClient:
    """The same person over /v2/."""
    return at_registry(homeport, owner)


def delete(ecr: Any, repository: str, *digests: str) -> None:
    wanted = [{"imageDigest": digest} for digest in digests]
    answer = ecr.batch_delete_image(repositoryName=repository, imageIds=wanted)
    assert answer["failures"] == []


def deleted(extension: Any, repository: str) -> list[dict[str, Any]]:
    pages = extension.get_paginator("list_deleted_images").paginate(
        repositoryName=repository, PaginationConfig={"PageSize": 2}
    )
    return [each for page in pages for each in page["deletedImages"]]


def test_by_default_a_deleted_image_is_gone_as_in_ecr(own: Any, extension: Any, name: str) -> None:
    digest = put(own, name, random_image(), "v1")
    delete(own, name, digest)

    assert deleted(extension, name) == []
    assert refused(extension.restore_deleted_image, repositoryName=name, imageDigest=digest)[0] == (
        "ImageNotFoundException"
    )


def test_a_deleted_image_comes_back_with_its_tags_and_can_be_pulled(
    recovering: Any, extension: Any, name: str, docker: OciClient, owner: Credentials
) -> None:
    image = random_image(layers=2)
    docker.push(name, image, "v1")
    docker.push_manifest(name, image.manifest, "latest")
    [before] = recovering.describe_images(repositoryName=name)["imageDetails"]
    begun = datetime.now(UTC)

    delete(recovering, name, image.digest)
    assert docker.get_manifest(name, "v1").status == 404

    [kept] = deleted(extension, name)
    assert kept["imageTags"] == ["latest", "v1"]
    assert (kept["imageDigest"], kept["imagePushedAt"]) == (image.digest, before["imagePushedAt"])
    assert (kept["deletedBy"], kept["imageSizeInBytes"]) == (owner.user_arn, before["imageSizeInBytes"])
    assert begun <= kept["deletedAt"] <= datetime.now(UTC)
    assert abs(kept["recoverableUntil"] - kept["deletedAt"] - timedelta(days=7)) < timedelta(seconds=5)

    back = extension.restore_deleted_image(repositoryName=name, imageDigest=image.digest)["image"]

    assert (back["imageDigest"], back["imageTags"]) == (image.digest, ["latest", "v1"])
    assert docker.pull(name, "v1") == docker.pull(name, "latest") == bytes_of(image)
    [after] = recovering.describe_images(repositoryName=name)["imageDetails"]
    assert after.pop("lastActivatedAt") >= kept["deletedAt"]
    pulled = {"lastRecordedPullTime"}
    assert {key: after[key] for key in after.keys() - pulled} == {
        key: before[key] for key in before.keys() - pulled
    }
    assert deleted(extension, name) == []


def test_deletes_over_v2_by_tag_and_digest_are_kept_and_a_tag_that_is_not_the_last_is_not(
    recovering: Any, extension: Any, name: str, docker: OciClient
) -> None:
    first, second = random_image(), random_image()
    docker.push(name, first, "a")
    docker.push_manifest(name, first.manifest, "b")
    docker.push(name, second)

    docker.delete(name, "a").expect(202)
    assert deleted(extension, name) == []
    docker.delete(name, "b").expect(202)
    docker.delete(name, second.digest).expect(202)

    assert [(each["imageDigest"], each.get("imageTags")) for each in deleted(extension, name)] == [
        (second.digest, None),
        (first.digest, ["b"]),
    ]


def test_an_index_comes_back_with_its_images_and_signatures(
    recovering: Any, extension: Any, name: str, docker: OciClient
) -> None:
    index = random_index()
    docker.push(name, index, "v1")
    signature = artifact(b"signed", artifact_type="application/signature", subject=index.manifest)
    docker.push(name, signature)
    delete(recovering, name, index.digest, signature.digest, *(image.digest for image in index.images))
    assert recovering.list_images(repositoryName=name)["imageIds"] == []

    extension.restore_deleted_image(repositoryName=name, imageDigest=index.digest)

    assert docker.pull(name, "v1") == bytes_of(index)
    assert [each["digest"] for each in docker.referrers(name, index.digest)] == [signature.digest]
    assert deleted(extension, name) == []


def test_an_index_whose_images_are_gone_for_good_is_refused(
    recovering: Any, extension: Any, name: str, docker: OciClient
) -> None:
    index = random_index()
    docker.push(name, index)
    delete(recovering, name, index.digest)
    recovering.put_account_setting(name="IMAGE_RECOVERY", value="DISABLED")
    delete(recovering, name, index.images[0].digest)

    code, message = refused(extension.restore_deleted_image, repositoryName=name, imageDigest=index.digest)

    assert code == "ReferencedImagesNotFoundException"
    assert index.images[0].digest in message
    assert index.images[1].digest not in message


def test_a_tag_that_was_given_away_meanwhile_stays_where_it_is(
    recovering: Any, extension: Any, name: str
) -> None:
    old = put(recovering, name, random_image(), "latest", "v1")
    delete(recovering, name, old)
    new = put(recovering, name, random_image(), "latest")

    back = extension.restore_deleted_image(repositoryName=name, imageDigest=old)["image"]

    assert back["imageTags"] == ["v1"]
    found = {
        each["imageTag"]: each["imageDigest"]
        for each in recovering.list_images(repositoryName=name)["imageIds"]
    }
    assert found == {"latest": new, "v1": old}


def test_an_immutable_tag_is_not_taken_from_another_image_by_asking_for_it(
    recovering: Any, extension: Any, name: str
) -> None:
    recovering.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    old = put(recovering, name, random_image(), "v1")
    delete(recovering, name, old)
    put(recovering, name, random_image(), "v1")

    asked = {"repositoryName": name, "imageDigest": old}
    code, _ = refused(extension.restore_deleted_image, **asked, imageTags=["v1"])
    assert code == "ImageTagAlreadyExistsException"
    assert [each["imageDigest"] for each in deleted(extension, name)] == [old]

    back = extension.restore_deleted_image(**asked, imageTags=["v1-restored"])["image"]
    assert back["imageTags"] == ["v1-restored"]


def test_what_is_not_in_the_bin_or_in_the_repository_already_is_told_apart(
    recovering: Any, extension: Any, name: str
) -> None:
    image = random_image()
    digest = put(recovering, name, image, "v1")

    def outcome(asked: str) -> str:
        return refused(extension.restore_deleted_image, repositoryName=name, imageDigest=asked)[0]

    assert outcome(MISSING) == "ImageNotFoundException"
    assert outcome(digest) == "ImageAlreadyExistsException"
    delete(recovering, name, digest)
    put_manifest(recovering, name, image.manifest, "v2")
    assert outcome(digest) == "ImageAlreadyExistsException"
    assert deleted(extension, name) == []


@pytest.mark.slow
def test_restoring_and_pushing_the_same_image_at_once_leaves_one_whole_image(
    recovering: Any, extension: Any, name: str, docker: OciClient
) -> None:
    image = random_image()
    digest = put(recovering, name, image, "v1")

    for turn in range(10):
        delete(recovering, name, digest)

        def do(what: str, tag: str = f"pushed-{turn}") -> None:
            if what == "push":
                put_manifest(recovering, name, image.manifest, tag)
            else:
                extension.restore_deleted_image(repositoryName=name, imageDigest=digest)

        outcomes = at_once(do, ["push", "restore", "push", "restore"])

        assert set(outcomes) <= {"done", "ImageAlreadyExistsException"}
        assert "done" in outcomes
        [found] = recovering.describe_images(repositoryName=name)["imageDetails"]
        assert f"pushed-{turn}" in found["imageTags"]
        assert docker.pull(name, digest) == bytes_of(image)
        assert deleted(extension, name) == []


def test_a_lister_alone_may_not_restore(
    homeport: Homeport, recovering: Any, name: str, owner: Credentials
) -> None:
    digest = put(recovering, name, random_image())
    delete(recovering, name, digest)
    iam = homeport.client("iam", credentials=owner)
    iam.create_user(UserName="lister")
    iam.put_user_policy(
        UserName="lister",
        PolicyName="default",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:ListDeletedImages",'
        '"Resource":"*"}]}',
    )
    key = iam.create_access_key(UserName="lister")["AccessKey"]
    lister = homeport.client(
        "homeport",
        credentials=owner,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )

    assert [each["imageDigest"] for each in deleted(lister, name)] == [digest]
    code, _ = refused(lister.restore_deleted_image, repositoryName=name, imageDigest=digest)
    assert code == "AccessDeniedException"


def test_a_new_repository_of_the_same_name_has_nothing_of_the_former_one(
    recovering: Any, extension: Any, name: str
) -> None:
    digest = put(recovering, name, random_image())
    delete(recovering, name, digest)
    recovering.delete_repository(repositoryName=name)
    recovering.create_repository(repositoryName=name)

    assert deleted(extension, name) == []
    assert refused(extension.restore_deleted_image, repositoryName=name, imageDigest=digest)[0] == (
        "ImageNotFoundException"
    )


def test_an_archived_image_comes_back_as_one_that_can_be_pulled(
    recovering: Any, extension: Any, name: str, docker: OciClient
) -> None:
    image = random_image()
    put(recovering, name, image, "v1")
    recovering.update_image_storage_class(
        repositoryName=name, imageId={"imageDigest": image.digest}, targetStorageClass="ARCHIVE"
    )
    delete(recovering, name, image.digest)

    extension.restore_deleted_image(repositoryName=name, imageDigest=image.digest)

    assert docker.pull(name, "v1") == bytes_of(image)


# --- Time ---


@pytest.fixture
def moved(fresh_homeport: Callable[..., Homeport]) -> Iterator[Callable[[int], Homeport]]:
    """`moved(days)` starts a server, or starts it again, whose lifecycle clock is so many days ahead."""
    running: list[Homeport] = []

    def move(days: int) -> Homeport:
        offset = {"HOMEPORT_LIFECYCLE_CLOCK_OFFSET": str(days * 86_400)}
        if not running:
            running.append(fresh_homeport(environment=offset))
        else:
            running[0].environment.update(offset)
            running[0].restart()
        return running[0]

    yield move
    for server in running:
        server.terminate()
        assert server.defects == []


@pytest.mark.slow
def test_images_are_kept_for_the_days_that_the_registry_says_and_then_forgotten(
    moved: Callable[[int], Homeport],
) -> None:
    server, name = moved(0), "shop/cart"
    ecr, extension = server.client(), server.client("homeport")
    ecr.put_account_setting(name="IMAGE_RECOVERY", value="30")
    ecr.create_repository(repositoryName=name)
    images = [random_image() for _ in range(2)]
    for image in images:
        put(ecr, name, image, f"v{images.index(image)}")
    delete(ecr, name, *(image.digest for image in images))
    [kept, _] = deleted(extension, name)
    assert abs(kept["recoverableUntil"] - kept["deletedAt"] - timedelta(days=30)) < timedelta(seconds=5)

    extension = moved(29).client("homeport")
    back = extension.restore_deleted_image(repositoryName=name, imageDigest=images[0].digest)["image"]
    assert back["imageTags"] == ["v0"]

    extension = moved(31).client("homeport")
    assert deleted(extension, name) == []
    assert refused(extension.restore_deleted_image, repositoryName=name, imageDigest=images[1].digest)[0] == (
        "ImageNotFoundException"
    )
    server.wait_for_log(
        lambda record: record["images"] if record["event"] == "deleted_images_forgotten" else None,
        "the purge of what was over",
    )
    extension = moved(0).client("homeport")
    assert deleted(extension, name) == []  # forgotten, not merely hidden


@pytest.mark.slow
def test_an_image_that_a_policy_expired_is_restored_with_its_signature_and_outlives_the_next_run(
    moved: Callable[[int], Homeport],
) -> None:
    server, name = moved(10), "shop/cart"
    ecr, extension = server.client(), server.client("homeport")
    ecr.put_account_setting(name="IMAGE_RECOVERY", value="ENABLED")
    ecr.create_repository(repositoryName=name)
    oci = OciClient(server.url, password=server.password())
    image, lost = random_image(), random_image()
    signature = artifact(b"signed", artifact_type="application/signature", subject=image.manifest)
    oci.push(name, image, "v1")
    oci.push(name, signature)
    oci.push(name, lost, "v0")
    expire = {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 5}
    rule = {"rulePriority": 7, "selection": expire, "action": {"type": "expire"}}
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]}))

    run(server, name)
    assert ecr.list_images(repositoryName=name)["imageIds"] == []
    listed = deleted(extension, name)
    assert {each["imageDigest"] for each in listed} == {image.digest, signature.digest, lost.digest}
    assert {each["deletedBy"] for each in listed} == {"lifecycle policy, rule 7"}

    extension.restore_deleted_image(repositoryName=name, imageDigest=image.digest)
    run(server, name)

    assert oci.pull(name, "v1") == bytes_of(image)
    assert [each["digest"] for each in oci.referrers(name, image.digest)] == [signature.digest]
    assert [each["imageDigest"] for each in deleted(extension, name)] == [lost.digest]


def run(server: Homeport, name: str) -> None:
    """Let the policy of a repository act, and return when it has."""
    words = server.command("lifecycle", "run", name)
    assert words.code == 0, words


# --- Public repositories ---


def test_the_images_of_public_repositories_are_kept_too_and_restored_at_the_command_line(
    homeport: Homeport, recovering: Any, owner: Credentials
) -> None:
    public, name = homeport.client("ecr-public", credentials=owner), new_name("open")
    public.create_repository(repositoryName=name)
    image = random_image()
    digest = put(public, name, image, "v1")
    public.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])
    where = ("--public", "--account", owner.account_id)

    listed = homeport.here("image", "deleted", name, *where)
    restored = homeport.here("image", "restore", name, digest, *where)

    assert (listed.code, restored.code) == (0, 0), f"{listed}{restored}"
    assert digest in listed.out
    [found] = public.describe_images(repositoryName=name)["imageDetails"]
    assert (found["imageDigest"], found["imageTags"]) == (digest, ["v1"])
