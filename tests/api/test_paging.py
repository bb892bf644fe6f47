"""Pages: every entry once, in order, and a `nextToken` that is good for one caller and one question only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import new_name, policy, put, put_manifest, refused, upload
from tests.harness.images import artifact, random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

KIND = "application/vnd.example.note"


@pytest.fixture(scope="session")
def seven(homeport: Homeport, ecr: Any) -> tuple[str, list[str]]:
    """A repository of seven images, oldest first: v0 ... v6, of which v0 is also latest and v3 has no tag."""
    name = new_name("paging")
    ecr.create_repository(repositoryName=name)
    digests = []
    for number in range(7):
        image = random_image()
        tags = {0: ("v0", "latest"), 3: ()}.get(number, (f"v{number}",))
        digests.append(put(ecr, name, image, *tags))
    return name, digests


def pages(call: Callable[..., Any], key: str, size: int, **params: Any) -> list[list[Any]]:
    """Every page of a listing, following nextToken by hand."""
    found: list[list[Any]] = []
    token: dict[str, str] = {}
    while True:
        page = call(maxResults=size, **params, **token)
        found.append(page[key])
        if "nextToken" not in page:
            return found
        token = {"nextToken": page["nextToken"]}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 1000])
def test_images_are_described_once_each_newest_first(
    ecr: Any, seven: tuple[str, list[str]], size: int
) -> None:
    name, digests = seven

    found = pages(ecr.describe_images, "imageDetails", size, repositoryName=name)

    assert [each["imageDigest"] for page in found for each in page] == digests[::-1]
    assert all(len(page) == size for page in found[:-1])
    assert found[-1]


@pytest.mark.parametrize("status", ["ANY", "TAGGED", "UNTAGGED"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_images_are_listed_once_for_each_tag(
    ecr: Any, seven: tuple[str, list[str]], size: int, status: str
) -> None:
    name, digests = seven

    found = pages(ecr.list_images, "imageIds", size, repositoryName=name, filter={"tagStatus": status})

    pairs = [(each["imageDigest"], each.get("imageTag")) for page in found for each in page]
    everything = [
        *((digests[number], f"v{number}") for number in (6, 5, 4)),
        (digests[3], None),
        *((digests[number], f"v{number}") for number in (2, 1)),
        (digests[0], "latest"),
        (digests[0], "v0"),
    ]
    wanted = {"ANY": (True, True), "TAGGED": (True, False), "UNTAGGED": (False, True)}[status]
    assert pairs == [pair for pair in everything if wanted[0 if pair[1] else 1]]
    assert all(len(page) == size for page in found[:-1])


def test_the_paginators_of_boto3_find_everything(ecr: Any, seven: tuple[str, list[str]]) -> None:
    name, digests = seven

    def walk(operation: str, key: str, **params: Any) -> list[Any]:
        paginator = ecr.get_paginator(operation).paginate(**params, PaginationConfig={"PageSize": 3})
        return [each for page in paginator for each in page[key]]

    described = walk("describe_images", "imageDetails", repositoryName=name)
    listed = walk("list_images", "imageIds", repositoryName=name)
    repositories = walk("describe_repositories", "repositories")

    assert [each["imageDigest"] for each in described] == digests[::-1]
    assert len(listed) == 8
    names = [each["repositoryName"] for each in repositories]
    assert name in names
    assert names == sorted(set(names))


def test_an_image_pushed_between_two_pages_disturbs_neither(ecr: Any, repository: str) -> None:
    digests = [put(ecr, repository, random_image()) for _ in range(4)]
    first = ecr.describe_images(repositoryName=repository, maxResults=2)

    put(ecr, repository, random_image())
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digests[2]}])
    second = ecr.describe_images(repositoryName=repository, maxResults=2, nextToken=first["nextToken"])

    found = [each["imageDigest"] for page in (first, second) for each in page["imageDetails"]]
    assert found == digests[::-1]


def test_referrers_are_paged_and_a_filter_does_not_shorten_pages(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    image = random_image()
    notes = [artifact(bytes([number]), artifact_type=KIND, subject=image.manifest) for number in range(5)]
    others = [artifact(b"x", artifact_type=f"{KIND}.{number}", subject=image.manifest) for number in range(5)]
    for pushed in (*notes, *others):
        oci.push(repository, pushed)
    subject = {"repositoryName": repository, "subjectId": {"imageDigest": image.digest}}

    everything = pages(ecr.list_image_referrers, "referrers", 3, **subject)
    chosen = pages(ecr.list_image_referrers, "referrers", 2, filter={"artifactTypes": [KIND]}, **subject)

    assert [len(page) for page in everything] == [3, 3, 3, 1]
    assert {each["digest"] for page in everything for each in page} == {
        pushed.digest for pushed in (*notes, *others)
    }
    assert [len(page) for page in chosen] == [2, 2, 1]
    assert {each["digest"] for page in chosen for each in page} == {note.digest for note in notes}


def test_a_page_of_referrers_is_twenty_unless_asked_otherwise(
    ecr: Any, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push_blob(repository, b"{}")
    oci.push_blob(repository, b"same")
    for number in range(21):
        note = artifact(b"same", artifact_type=KIND, subject=image.manifest, annotations={"n": str(number)})
        oci.push_manifest(repository, note.manifest)

    page = ecr.list_image_referrers(repositoryName=repository, subjectId={"imageDigest": image.digest})

    assert len(page["referrers"]) == 20
    assert "nextToken" in page


def test_a_page_is_a_hundred_unless_asked_otherwise(ecr: Any, repository: str) -> None:
    image = random_image()
    for blob in image.blobs:
        upload(ecr, repository, blob.data)
    for number in range(101):
        put_manifest(ecr, repository, image.manifest, f"v{number}")

    first = ecr.list_images(repositoryName=repository)
    second = ecr.list_images(repositoryName=repository, nextToken=first["nextToken"])

    assert len(first["imageIds"]) == 100
    assert len(second["imageIds"]) == 1
    assert "nextToken" not in second


@pytest.mark.parametrize("operation", ["describe_images", "list_images"])
def test_a_page_size_over_a_thousand_is_refused(ecr: Any, repository: str, operation: str) -> None:
    refusal = refused(getattr(ecr, operation), repositoryName=repository, maxResults=1001)

    assert refusal == (
        "InvalidParameterException",
        "Invalid parameter at 'maxResults' failed to satisfy constraint: "
        "'Member must have value less than or equal to 1000'",
    )


# --- nextToken ---


@pytest.fixture
def token(ecr: Any, seven: tuple[str, list[str]]) -> str:
    """The nextToken of a first page of DescribeImages."""
    found: str = ecr.describe_images(repositoryName=seven[0], maxResults=2)["nextToken"]
    return found


REFUSED = "Invalid parameter at 'nextToken' failed to satisfy constraint"


def test_a_token_is_good_more_than_once(ecr: Any, seven: tuple[str, list[str]], token: str) -> None:
    first = ecr.describe_images(repositoryName=seven[0], maxResults=2, nextToken=token)
    second = ecr.describe_images(repositoryName=seven[0], maxResults=2, nextToken=token)

    assert first["imageDetails"] == second["imageDetails"]


@pytest.mark.parametrize("change", ["made up", "changed", "longer", "empty"])
def test_a_forged_token_is_refused(ecr: Any, seven: tuple[str, list[str]], token: str, change: str) -> None:
    last = "A" if token[10] != "A" else "B"
    forged = {
        "made up": "bmV4dA",
        "changed": token[:10] + last + token[11:],
        "longer": token + "A",
        "empty": "",
    }[change]

    code, message = refused(ecr.describe_images, repositoryName=seven[0], nextToken=forged)

    assert code == "InvalidParameterException"
    assert message.startswith(REFUSED)


def test_a_token_of_another_question_is_refused(
    ecr: Any, seven: tuple[str, list[str]], token: str, repository: str
) -> None:
    elsewhere = refused(ecr.describe_images, repositoryName=repository, nextToken=token)
    other_operation = refused(ecr.list_images, repositoryName=seven[0], nextToken=token)
    other_filter = refused(
        ecr.describe_images, repositoryName=seven[0], filter={"tagStatus": "TAGGED"}, nextToken=token
    )

    for code, message in (elsewhere, other_operation, other_filter):
        assert code == "InvalidParameterException"
        assert message.startswith(REFUSED)


def test_a_token_of_another_caller_is_refused(
    homeport: Homeport, seven: tuple[str, list[str]], token: str, pusher: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=pusher)
    theirs.describe_images(repositoryName=seven[0])

    code, message = refused(theirs.describe_images, repositoryName=seven[0], nextToken=token)

    assert code == "InvalidParameterException"
    assert message.startswith(REFUSED)


def test_named_repositories_and_pages_exclude_each_other(ecr: Any, repository: str) -> None:
    code, message = refused(ecr.describe_repositories, repositoryNames=[repository], maxResults=5)

    assert code == "InvalidParameterException"
    assert "repositoryNames" in message


def test_a_description_of_everything_needs_permission_for_everything(
    homeport: Homeport, repository: str, account: str
) -> None:
    arn = f"arn:aws:ecr:{homeport.credentials.region}:{account}:repository/{repository}"
    narrow = homeport.user("one-repository", policy("ecr:DescribeRepositories", resource=arn))
    theirs: Any = homeport.client(credentials=narrow)

    named = theirs.describe_repositories(repositoryNames=[repository])["repositories"]
    code, message = refused(theirs.describe_repositories)

    assert [each["repositoryName"] for each in named] == [repository]
    assert code == "AccessDeniedException"
    assert "repository/*" in message
