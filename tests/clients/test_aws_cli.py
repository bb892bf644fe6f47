"""The aws command line, with the commands and recipes of ECR's own user guide."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from tests.harness.images import OCI_INDEX, bytes_of, random_image, random_index, sha256
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, needs("aws", "awscli"), pytest.mark.timeout(120)]


class Aws:
    """`aws` with the server's address, as one user."""

    def __init__(self, sandbox: Sandbox, homeport: Homeport) -> None:
        self.sandbox = sandbox
        self._before = ("aws", "--endpoint-url", homeport.url)

    def text(self, *words: str) -> str:
        return self.sandbox.run(*self._before, *words).out

    def json(self, *words: str) -> Any:
        out = self.text("--output", "json", *words)
        return json.loads(out) if out.strip() else None

    def ecr(self, *words: str) -> Any:
        return self.json("ecr", *words)

    def refused(self, *words: str) -> str:
        return self.sandbox.refused(*self._before, *words)


@pytest.fixture
def aws(sandbox: Sandbox, homeport: Homeport) -> Aws:
    """The command line as the administrator of the shared server."""
    sandbox.act_as(homeport.credentials)
    return Aws(sandbox, homeport)


def test_get_login_password_prints_a_password_that_opens_the_registry(aws: Aws, homeport: Homeport) -> None:
    printed = aws.text("ecr", "get-login-password")

    password = printed.strip()
    assert ":" not in password
    assert password.isascii()
    assert OciClient(homeport.url, "AWS", password).request("GET", "/v2/").status == 200
    assert OciClient(homeport.url, "AWS", password[:-4] + "AAAA").request("GET", "/v2/").status == 401


def test_get_authorization_token_names_the_registry_that_was_asked(aws: Aws, homeport: Homeport) -> None:
    data = aws.ecr("get-authorization-token")["authorizationData"]

    assert len(data) == 1
    assert data[0]["proxyEndpoint"] == homeport.url
    assert base64.b64decode(data[0]["authorizationToken"]).startswith(b"AWS:")


def test_a_repository_is_created_described_and_deleted(aws: Aws, homeport: Homeport) -> None:
    name = f"cli/{random.getrandbits(60):x}"

    created = aws.ecr(
        "create-repository",
        *("--repository-name", name),
        *("--image-tag-mutability", "IMMUTABLE"),
        *("--tags", "Key=team,Value=shop"),
    )["repository"]
    described = aws.ecr("describe-repositories", "--repository-names", name)["repositories"]
    tags = aws.ecr("list-tags-for-resource", "--resource-arn", created["repositoryArn"])
    deleted = aws.ecr("delete-repository", "--repository-name", name)["repository"]
    after = aws.refused("ecr", "describe-repositories", "--repository-names", name)

    assert created["repositoryUri"] == f"{homeport.host}/{name}"
    assert created["imageTagMutability"] == "IMMUTABLE"
    assert described == [created]
    assert tags["tags"] == [{"Key": "team", "Value": "shop"}]
    assert deleted["repositoryName"] == name
    assert "(RepositoryNotFoundException)" in after


def test_creating_a_repository_twice_is_refused_in_ecrs_words(
    aws: Aws, homeport: Homeport, repository: str
) -> None:
    said = aws.refused("ecr", "create-repository", "--repository-name", repository)

    account = homeport.credentials.account_id
    assert "(RepositoryAlreadyExistsException)" in said
    assert (
        f"The repository with name '{repository}' already exists in the registry with id '{account}'" in said
    )


def test_a_layer_and_an_image_are_pushed_by_commands_alone(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(layer_bytes=20_000)
    here = ("--repository-name", repository)

    for blob in image.blobs:
        upload = aws.ecr("initiate-layer-upload", *here)["uploadId"]
        part = aws.sandbox.folder / "part"
        part.write_bytes(blob.data)
        aws.ecr(
            "upload-layer-part",
            *here,
            *("--upload-id", upload),
            *("--part-first-byte", "0"),
            *("--part-last-byte", str(blob.size - 1)),
            *("--layer-part-blob", f"fileb://{part}"),
        )
        aws.ecr("complete-layer-upload", *here, "--upload-id", upload, "--layer-digests", blob.digest)
    manifest = aws.sandbox.folder / "manifest.json"
    manifest.write_bytes(image.manifest.data)
    put = aws.ecr("put-image", *here, "--image-tag", "v1", "--image-manifest", f"file://{manifest}")

    assert put["image"]["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    assert oci.pull(repository, "v1") == bytes_of(image)


def test_the_recipe_for_giving_an_image_another_tag_works(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")
    here = ("--repository-name", repository)

    got = aws.ecr("batch-get-image", *here, "--image-ids", "imageTag=v1")["images"][0]
    aws.ecr("put-image", *here, "--image-tag", "stable", "--image-manifest", got["imageManifest"])
    details = aws.ecr("describe-images", *here)["imageDetails"]

    assert len(details) == 1
    assert details[0]["imageDigest"] == image.digest
    assert sorted(details[0]["imageTags"]) == ["stable", "v1"]


def test_list_images_follows_pages_and_filters_untagged_images(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    tagged = [random_image() for _ in range(5)]
    loose = random_image()
    for number, image in enumerate(tagged):
        oci.push(repository, image, f"v{number}")
    oci.push(repository, loose)
    command = ("list-images", "--repository-name", repository)

    everything = aws.ecr(*command, "--page-size", "2")["imageIds"]
    some = aws.ecr(*command, "--max-items", "4")
    untagged = aws.ecr(*command, "--filter", "tagStatus=UNTAGGED")["imageIds"]

    assert {entry["imageDigest"] for entry in everything} == {image.digest for image in [*tagged, loose]}
    assert len(some["imageIds"]) == 4
    assert some["NextToken"]
    assert untagged == [{"imageDigest": loose.digest}]


def test_describe_images_sorts_by_push_time_as_users_do(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    images = [random_image() for _ in range(3)]
    for number, image in enumerate(images):
        oci.push(repository, image, f"v{number}")

    newest = aws.text(
        "ecr",
        "describe-images",
        *("--repository-name", repository),
        *("--query", "sort_by(imageDetails,&imagePushedAt)[-1].imageTags[0]"),
        *("--output", "text"),
    )

    assert newest.strip() == "v2"


def test_batch_delete_image_deletes_what_it_can_and_reports_the_rest(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    gone, kept = random_image(), random_image()
    oci.push(repository, gone, "gone")
    oci.push(repository, kept, "kept")
    ids = ("imageTag=gone", "imageTag=none")

    answer = aws.ecr("batch-delete-image", "--repository-name", repository, "--image-ids", *ids)

    assert answer["imageIds"] == [{"imageDigest": gone.digest, "imageTag": "gone"}]
    assert [failure["failureCode"] for failure in answer["failures"]] == ["ImageNotFound"]
    assert oci.tags(repository) == ["kept"]


def test_a_multi_platform_manifest_is_fetched_byte_for_byte(
    aws: Aws, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "all")

    images = aws.ecr(
        "batch-get-image",
        *("--repository-name", repository),
        *("--image-ids", "imageTag=all"),
        *("--accepted-media-types", OCI_INDEX),
    )["images"]

    assert sha256(images[0]["imageManifest"].encode()) == index.digest
    assert images[0]["imageManifestMediaType"] == OCI_INDEX


def test_a_repository_policy_is_stored_read_and_removed(
    aws: Aws, homeport: Homeport, repository: str
) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PullForAll",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{homeport.credentials.account_id}:root"},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            }
        ],
    }
    here = ("--repository-name", repository)

    aws.ecr("set-repository-policy", *here, "--policy-text", json.dumps(policy))
    stored = aws.ecr("get-repository-policy", *here)
    aws.ecr("delete-repository-policy", *here)
    after = aws.refused("ecr", "get-repository-policy", *here)

    assert json.loads(stored["policyText"]) == policy
    assert "(RepositoryPolicyNotFoundException)" in after


def test_resource_tags_are_added_listed_and_removed(aws: Aws, repository: str) -> None:
    found = aws.ecr("describe-repositories", "--repository-names", repository)["repositories"][0]
    resource = ("--resource-arn", found["repositoryArn"])

    aws.ecr("tag-resource", *resource, "--tags", "Key=team,Value=shop", "Key=stage,Value=test")
    aws.ecr("untag-resource", *resource, "--tag-keys", "stage")
    left = aws.ecr("list-tags-for-resource", *resource)["tags"]

    assert left == [{"Key": "team", "Value": "shop"}]


def test_sts_says_who_the_caller_is(aws: Aws, homeport: Homeport) -> None:
    identity = aws.json("sts", "get-caller-identity")

    assert identity["Account"] == homeport.credentials.account_id
    assert identity["Arn"] == homeport.credentials.user_arn
    assert identity["UserId"]


def test_a_wrong_secret_key_is_refused_before_anything_happens(
    aws: Aws, homeport: Homeport, repository: str
) -> None:
    aws.sandbox.environment["AWS_SECRET_ACCESS_KEY"] = "x" * 40

    said = aws.refused("ecr", "delete-repository", "--repository-name", repository)

    assert "(InvalidSignatureException)" in said
    assert homeport.client().list_images(repositoryName=repository)["imageIds"] == []


def test_an_operation_that_is_not_offered_is_refused_clearly(aws: Aws) -> None:
    said = aws.refused("ecr", "start-image-scan", "--repository-name", "x/y", "--image-id", "imageTag=v1")

    assert "An error occurred (" in said
    assert "Internal" not in said
