"""Conditions on image tags and digests: our condition keys ecr:ImageTag and ecr:ImageDigest, on both fronts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import policy, put, put_manifest, refused
from tests.api.roles import assume, document, new_role, outcome, root, statement, trust
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


def rights(allow: dict[str, Any] | None, deny: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything in the registry where the condition `allow` holds, nothing where `deny` does."""
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": "ecr:*", "Resource": "*", "Condition": allow or {}},
    ]
    if deny is not None:
        images = ["ecr:PutImage", "ecr:BatchGetImage", "ecr:BatchDeleteImage"]
        statements.append({"Effect": "Deny", "Action": images, "Resource": "*", "Condition": deny})
    return {"Version": "2012-10-17", "Statement": statements}


@pytest.fixture(scope="session")
def releaser(homeport: Homeport) -> Credentials:
    """May touch only tags of releases."""
    return homeport.user("releaser", rights({"StringLike": {"ecr:ImageTag": "release-*"}}))


@pytest.fixture(scope="session")
def developer(homeport: Homeport) -> Credentials:
    """May do everything but touch tags of releases."""
    return homeport.user("developer", rights(None, {"StringLike": {"ecr:ImageTag": "release-*"}}))


@pytest.fixture
def filled(homeport: Homeport, repository: str) -> str:
    """A repository with a release and a work in progress."""
    for tag in ("release-1", "dev"):
        put(homeport.client(), repository, random_image(), tag)
    return repository


def test_a_pull_of_an_allowed_tag_opens_no_other_tag(
    homeport: Homeport, releaser: Credentials, filled: str
) -> None:
    registry = OciClient(homeport.url, password=homeport.password(releaser))

    def status(tag: str, method: str = "GET") -> int:
        return registry.request(method, f"/v2/{filled}/manifests/{tag}").status

    assert [status("release-1"), status("dev"), status("release-1"), status("dev", "HEAD")] == [
        200,
        403,
        200,
        403,
    ]
    assert status("dev", "DELETE") == 403


def test_a_push_of_a_forbidden_tag_is_refused_and_of_another_is_not(
    homeport: Homeport, developer: Credentials, filled: str
) -> None:
    registry = OciClient(homeport.url, password=homeport.password(developer))
    image = random_image()
    for blob in image.blobs:
        put_blob = registry.request(
            "POST", f"/v2/{filled}/blobs/uploads/?digest={blob.digest}", body=blob.data
        )
        assert put_blob.status == 201

    def status(tag: str) -> int:
        headers = {"Content-Type": image.manifest.media_type}
        path = f"/v2/{filled}/manifests/{tag}"
        return registry.request("PUT", path, headers=headers, body=image.manifest.data).status

    assert [status("dev"), status("release-2"), status("release-1"), status("next")] == [201, 403, 403, 201]


def test_the_api_decides_by_tag_as_the_registry_does(
    homeport: Homeport, releaser: Credentials, developer: Credentials, filled: str
) -> None:
    image = random_image()
    put(homeport.client(), filled, image)
    may, may_not = homeport.client(credentials=releaser), homeport.client(credentials=developer)

    assert put_manifest(may, filled, image.manifest, "release-3") == image.digest
    assert refused(put_manifest, ecr=may_not, repository=filled, manifest=image.manifest, tag="release-4")[
        0
    ] == ("AccessDeniedException")
    assert put_manifest(may_not, filled, image.manifest, "dev-4") == image.digest


def test_a_batch_is_allowed_only_when_each_of_its_images_is(
    homeport: Homeport, releaser: Credentials, developer: Credentials, filled: str
) -> None:
    release, work = {"imageTag": "release-1"}, {"imageTag": "dev"}
    may, may_not = homeport.client(credentials=releaser), homeport.client(credentials=developer)

    def get(ecr: Any, *images: dict[str, str]) -> str:
        return outcome(ecr.batch_get_image, repositoryName=filled, imageIds=list(images))

    assert [get(may, release), get(may, work), get(may, release, work), get(may, work, release)] == [
        "done",
        *["AccessDeniedException"] * 3,
    ]
    assert [get(may_not, work), get(may_not, work, release)] == ["done", "AccessDeniedException"]
    assert outcome(may_not.batch_delete_image, repositoryName=filled, imageIds=[work, release]) == (
        "AccessDeniedException"
    )
    assert len(homeport.client().list_images(repositoryName=filled)["imageIds"]) == 2


def test_a_digest_can_be_a_condition_too(homeport: Homeport, repository: str) -> None:
    good, bad = random_image(), random_image()
    for image in (good, bad):
        put(homeport.client(), repository, image)
    who = homeport.user("of-one-digest", rights({"StringEquals": {"ecr:ImageDigest": good.digest}}))
    registry = OciClient(homeport.url, password=homeport.password(who))

    assert registry.request("GET", f"/v2/{repository}/manifests/{good.digest}").status == 200
    assert registry.request("GET", f"/v2/{repository}/manifests/{bad.digest}").status == 403


def test_a_repository_policy_leaves_release_tags_to_one_role(homeport: Homeport, filled: str) -> None:
    role = new_role(homeport, trust(root(homeport.credentials)), policy("ecr:*"))
    deny = statement(
        {"AWS": "*"},
        *("ecr:PutImage", "ecr:BatchDeleteImage"),
        effect="Deny",
        Condition={
            "StringLike": {"ecr:ImageTag": "release-*"},
            "StringNotEquals": {"aws:PrincipalArn": role},
        },
    )
    homeport.client().set_repository_policy(repositoryName=filled, policyText=document(deny))
    image, admin = random_image(), homeport.client()
    released = assume(homeport, role).client()

    put(admin, filled, image, "dev-2")
    refusal = refused(put_manifest, ecr=admin, repository=filled, manifest=image.manifest, tag="release-2")

    assert refusal[1].endswith("with an explicit deny in a resource-based policy")
    assert put_manifest(released, filled, image.manifest, "release-2") == image.digest
