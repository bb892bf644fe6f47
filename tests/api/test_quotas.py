"""The quotas of a registry, as an operator may set them: what is full refuses, and room can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from homeport.kernel.limits import LAYER_PART_MIN_BYTES, Quotas
from tests.api.calls import at_once, new_name, put, put_manifest, refused
from tests.harness.images import random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

QUOTAS = (
    "repositories=3, images_per_repository=2, tags_per_image=3, layer_parts=2, public_repositories=1, "
    "layer_bytes=100000, public_layer_bytes=5000, public_layer_parts=1, layer_part_min_bytes=1000, "
    "pull_through_rules=2, replication_rules=2, replication_destinations=3, replication_filters=2, signing_rules=1"
)


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
def public(small: Homeport) -> Any:
    """The administrator of a public registry of its own on that server."""
    return small.client("ecr-public", credentials=small.account())


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
    send(mine, repository, upload, 0, bytes(1000))
    send(mine, repository, upload, 1000, bytes(1000))
    code, message = refused(lambda: send(mine, repository, upload, 2000, bytes(1000)))

    assert code == "LimitExceededException"
    assert "2 layer parts" in message


def send(client: Any, repository: str, upload: str, first: int, data: bytes) -> Any:
    """Send one part of an upload."""
    return client.upload_layer_part(
        repositoryName=repository,
        uploadId=upload,
        partFirstByte=first,
        partLastByte=first + len(data) - 1,
        layerPartBlob=data,
    )


def test_an_upload_to_the_public_registry_takes_so_many_parts(public: Any) -> None:
    repository = new_name()
    public.create_repository(repositoryName=repository)
    upload = public.initiate_layer_upload(repositoryName=repository)["uploadId"]

    send(public, repository, upload, 0, bytes(1000))
    code, message = refused(lambda: send(public, repository, upload, 1000, b"more"))

    assert (code, message) == ("LimitExceededException", "An upload can have at most 1 layer parts")


def test_a_layer_is_as_large_as_its_registry_takes(mine: Any, repository: str, public: Any) -> None:
    public.create_repository(repositoryName=repository)

    for client, most in ((mine, 100_000), (public, 5_000)):
        exact = client.initiate_layer_upload(repositoryName=repository)["uploadId"]
        send(client, repository, exact, 0, bytes(most))
        over = client.initiate_layer_upload(repositoryName=repository)["uploadId"]
        code, message = refused(lambda: send(client, repository, over, 0, bytes(most + 1)))  # noqa: B023

        assert (code, message) == (
            "LimitExceededException",
            f"The layer exceeds the limit of {most} bytes",
        )
        client.complete_layer_upload(
            repositoryName=repository, uploadId=exact, layerDigests=[sha256(bytes(most))]
        )


def test_a_layer_that_is_too_large_is_refused_over_the_registry_protocol(small: Homeport) -> None:
    administrator = small.client()
    name = new_name()
    administrator.create_repository(repositoryName=name)
    client = OciClient(small.url, "AWS", small.password())
    digest = client.push_blob(name, bytes(100_000))
    location = client.request("POST", f"/v2/{name}/blobs/uploads/").expect(202).header("Location")

    answer = client.request("PATCH", location, body=bytes(100_001))

    assert digest == sha256(bytes(100_000))
    assert answer.status == 413
    assert answer.json()["errors"][0]["code"] == "SIZE_INVALID"
    administrator.delete_repository(repositoryName=name, force=True)


@pytest.mark.parametrize(
    ("configured", "least"), [(False, LAYER_PART_MIN_BYTES), (True, 1000)], ids=["default", "configured"]
)
def test_every_part_but_the_last_has_a_least_size(
    homeport: Homeport, small: Homeport, configured: bool, least: int
) -> None:
    server = small if configured else homeport
    client = server.client(credentials=server.account())
    name = new_name()
    client.create_repository(repositoryName=name)

    def outcome(first: int) -> str:
        upload = client.initiate_layer_upload(repositoryName=name)["uploadId"]
        send(client, name, upload, 0, bytes(first))
        send(client, name, upload, first, b"last")
        digest = sha256(bytes(first) + b"last")
        try:
            client.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[digest])
        except client.exceptions.LayerPartTooSmallException as error:
            return str(error.response["Error"]["Message"])
        return "done"

    assert outcome(least - 1) == f"Layer parts except the last one must have at least {least} bytes"
    assert outcome(least) == "done"


def test_a_registry_has_so_many_pull_through_rules(mine: Any) -> None:
    def create(prefix: str) -> Any:
        return mine.create_pull_through_cache_rule(
            ecrRepositoryPrefix=prefix, upstreamRegistryUrl="public.ecr.aws"
        )

    create("one")
    create("two")
    full = refused(lambda: create("three"))
    mine.delete_pull_through_cache_rule(ecrRepositoryPrefix="one")
    create("three")

    assert full == ("LimitExceededException", "A registry can have at most 2 pull through cache rules")


def violation(member: str, constraint: str) -> tuple[str, str]:
    """What ECR answers about a configuration that is too large."""
    return (
        "InvalidParameterException",
        f"Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'",
    )


def replicating(destinations: list[int], filters: int = 0) -> dict[str, Any]:
    """A replication rule with those destinations, by number, and so many filters."""
    rule: dict[str, Any] = {
        "destinations": [{"region": "mars-north-1", "registryId": f"{each:012}"} for each in destinations]
    }
    if filters:
        rule["repositoryFilters"] = [
            {"filter": f"team{number}/", "filterType": "PREFIX_MATCH"} for number in range(filters)
        ]
    return rule


@pytest.mark.parametrize(
    ("fits", "exceeds", "constraint"),
    [
        (
            [replicating([1])] * 2,
            [replicating([1])] * 3,
            "Replication configuration cannot have more than 2 rules",
        ),
        (
            [replicating([1, 2]), replicating([2, 3])],
            [replicating([1, 2]), replicating([3, 4])],
            "Replication configuration cannot have more than 3 unique destinations across all rules",
        ),
        (
            [replicating([1], filters=2)],
            [replicating([1], filters=3)],
            "A replication rule cannot have more than 2 repository filters",
        ),
    ],
    ids=["rules", "destinations", "filters"],
)
def test_a_replication_configuration_is_as_large_as_the_quotas_say(
    mine: Any, fits: list[dict[str, Any]], exceeds: list[dict[str, Any]], constraint: str
) -> None:
    mine.put_replication_configuration(replicationConfiguration={"rules": fits})

    answer = refused(mine.put_replication_configuration, replicationConfiguration={"rules": exceeds})

    assert answer == violation("replicationConfiguration", constraint)
    assert mine.describe_registry()["replicationConfiguration"]["rules"] == fits


def test_a_signing_configuration_is_as_large_as_the_quota_says(small: Homeport, mine: Any) -> None:
    region = small.credentials.region
    rules = [
        {"signingProfileArn": f"arn:aws:signer:{region}:111122223333:/signing-profiles/{name}"}
        for name in ("one", "two")
    ]
    mine.put_signing_configuration(signingConfiguration={"rules": rules[:1]})

    answer = refused(mine.put_signing_configuration, signingConfiguration={"rules": rules})

    assert answer == violation("signingConfiguration", "Signing configuration cannot have more than 1 rules")


def test_configurations_are_as_large_as_ecr_takes_where_nothing_is_set(homeport: Homeport) -> None:
    client: Any = homeport.client(credentials=homeport.account())
    region = homeport.credentials.region
    ecr = Quotas()
    profiles = [
        {"signingProfileArn": f"arn:aws:signer:{region}:111122223333:/signing-profiles/n{number}"}
        for number in range(ecr.signing_rules + 1)
    ]
    one = [replicating([1])]
    each = list(range(1, ecr.replication_destinations + 1))

    def replicate(rules: list[dict[str, Any]]) -> Any:
        return client.put_replication_configuration(replicationConfiguration={"rules": rules})

    def sign(rules: list[dict[str, Any]]) -> Any:
        return client.put_signing_configuration(signingConfiguration={"rules": rules})

    for call, fits, exceeds, told in (
        (
            replicate,
            one * ecr.replication_rules,
            one * (ecr.replication_rules + 1),
            "length less than or equal to 25",
        ),
        (
            replicate,
            [replicating(each)],
            [replicating([*each, 99])],
            "cannot have more than 25 unique destinations",
        ),
        (
            replicate,
            [replicating([1], ecr.replication_filters)],
            [replicating([1], ecr.replication_filters + 1)],
            "length less than or equal to 100",
        ),
        (sign, profiles[:-1], profiles, "length less than or equal to 10"),
    ):
        call(fits)
        code, message = refused(call, rules=exceeds)
        assert code == "InvalidParameterException"
        assert told in message


@pytest.mark.parametrize(
    "text",
    [
        "repositories",
        "repositories=many",
        "repositories=-1",
        "repos=5",
        "tags_per_image=1.5",
        "replication_rules=26",  # the API's model takes no more, so this would change nothing
        "replication_filters=101",
        "signing_rules=11",
        "layer_part_min_bytes=10485761",
    ],
)
def test_a_server_does_not_start_with_a_quota_that_means_nothing(text: str) -> None:
    server = Homeport(environment={"HOMEPORT_QUOTAS": text})
    try:
        done = server.here("init")
    finally:
        server.close()

    assert done.code != 0
    assert "quotas" in done.err
