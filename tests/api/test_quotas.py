"""The quotas of a registry, as an operator may set them: what is full refuses, and room can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from homeport.kernel.limits import LAYER_PART_MIN_BYTES
from tests.api.calls import at_once, new_name, put, put_manifest, refused
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

QUOTAS = "repositories=3, images_per_repository=2, tags_per_image=3, layer_parts=2, public_repositories=1"


@pytest.fixture(scope="module")
def small() -> Iterator[Homeport]:
    """A server whose registries take very little."""
    with Homeport(environment={"HOMEPORT_QUOTAS": QUOTAS}) as server:
        yield server
        server.terminate()
        assert server.defects == []


@pytest.fixture
def mine(small: Homeport) -> Any:
    """The administrator of a registry of its own on that server."""
    return small.client(credentials=small.account())


@pytest.fixture
def repository(mine: Any) -> str:
    """An empty repository in it."""
    name = new_name()
    mine.create_repository(repositoryName=name)
    return name


def test_a_full_registry_refuses_repositories_until_one_is_deleted(mine: Any) -> None:
    names = [new_name() for _ in range(3)]
    for name in names:
        mine.create_repository(repositoryName=name)

    code, message = refused(mine.create_repository, repositoryName=new_name())
    again = refused(mine.create_repository, repositoryName=names[0])[0]
    mine.delete_repository(repositoryName=names[0])
    mine.create_repository(repositoryName=new_name())

    assert (code, again) == ("LimitExceededException", "RepositoryAlreadyExistsException")
    assert "3 repositories" in message


def test_registries_do_not_share_the_quota_of_repositories(small: Homeport) -> None:
    for _ in range(2):
        client = small.client(credentials=small.account())
        for _ in range(3):
            client.create_repository(repositoryName=new_name())


def test_the_public_registry_has_a_quota_of_its_own(small: Homeport) -> None:
    who = small.account()
    public = small.client("ecr-public", credentials=who)
    first = new_name()
    public.create_repository(repositoryName=first)

    code, message = refused(public.create_repository, repositoryName=new_name())
    small.client(credentials=who).create_repository(repositoryName=new_name())
    public.delete_repository(repositoryName=first)
    public.create_repository(repositoryName=new_name())

    assert code == "LimitExceededException"
    assert "1 repositories" in message


def test_repositories_created_at_the_same_time_do_not_exceed_the_quota(mine: Any) -> None:
    names = [new_name() for _ in range(8)]

    outcomes = at_once(lambda name: mine.create_repository(repositoryName=name), names)

    assert sorted(outcomes) == ["LimitExceededException"] * 5 + ["done"] * 3


def test_a_full_repository_refuses_images_through_the_api_until_one_is_deleted(
    mine: Any, repository: str
) -> None:
    first, second, third = (random_image() for _ in range(3))
    put(mine, repository, first, "first")
    put(mine, repository, second, "second")

    with pytest.raises(mine.exceptions.LimitExceededException, match="holds 2 images"):
        put(mine, repository, third, "third")
    put(mine, repository, second, "renamed")  # no new image
    mine.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": first.digest}])
    put(mine, repository, third, "third")


def test_a_full_repository_refuses_images_over_the_registry_protocol(small: Homeport, mine: Any) -> None:
    administrator = small.client()
    name = new_name()
    administrator.create_repository(repositoryName=name)
    client = OciClient(small.url, "AWS", small.password())
    for tag in ("first", "second"):
        client.push(name, random_image(), tag)
    third = random_image()
    for blob in third.blobs:
        client.push_blob(name, blob.data)

    answer = client.put_manifest(name, "third", third.manifest.data, third.manifest.media_type)

    assert answer.status == 429
    assert answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    administrator.delete_repository(repositoryName=name, force=True)


def test_images_pushed_at_the_same_time_do_not_exceed_the_quota(mine: Any, repository: str) -> None:
    images = [random_image() for _ in range(6)]

    outcomes = at_once(lambda image: put(mine, repository, image), images)

    assert sorted(outcomes) == ["LimitExceededException"] * 4 + ["done"] * 2
    assert len(mine.list_images(repositoryName=repository)["imageIds"]) == 2


def test_an_image_with_all_its_tags_takes_no_other(mine: Any, repository: str) -> None:
    image = random_image()
    put(mine, repository, image, "a", "b", "c")

    code, message = refused(lambda: put_manifest(mine, repository, image.manifest, "d"))
    mine.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "a"}])
    put_manifest(mine, repository, image.manifest, "d")

    assert code == "LimitExceededException"
    assert "3 tags" in message


def test_a_layer_upload_takes_so_many_parts(mine: Any, repository: str) -> None:
    upload = mine.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = bytes(LAYER_PART_MIN_BYTES)

    def send(number: int) -> Any:
        return mine.upload_layer_part(
            repositoryName=repository,
            uploadId=upload,
            partFirstByte=number * len(part),
            partLastByte=(number + 1) * len(part) - 1,
            layerPartBlob=part,
        )

    send(0)
    send(1)
    code, message = refused(lambda: send(2))

    assert code == "LimitExceededException"
    assert "2 layer parts" in message


@pytest.mark.parametrize(
    "text", ["repositories", "repositories=many", "repositories=-1", "repos=5", "tags_per_image=1.5"]
)
def test_a_server_does_not_start_with_a_quota_that_means_nothing(text: str) -> None:
    server = Homeport(environment={"HOMEPORT_QUOTAS": text})
    try:
        done = server.command("init")
    finally:
        server.close()

    assert done.code != 0
    assert "quotas" in done.err
