"""A push to a repository that does not exist: a creation template makes it, once, and only for those who may."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.calls import MISSING, at_once, new_name, policy, refused, unknown_repository, upload
from tests.harness.images import OCI_MANIFEST, random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "ecr:BatchGetImage"}],
    }
)
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 9},
                "action": {"type": "expire"},
            }
        ]
    }
)
PUSH = ("ecr:*Layer*", "ecr:PutImage", "ecr:BatchGetImage", "ecr:GetAuthorizationToken")


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"push-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def below(ecr: Any, prefix: str) -> Iterator[str]:
    """The name of a repository that does not exist, below the prefix of a template without any wishes."""
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=["CREATE_ON_PUSH"])
    yield f"{prefix}/app"
    ecr.delete_repository_creation_template(prefix=prefix)


def exists(ecr: Any, name: str) -> bool:
    pages = ecr.get_paginator("describe_repositories").paginate()
    return any(each["repositoryName"] == name for page in pages for each in page["repositories"])


def start(oci: OciClient, name: str) -> Any:
    return oci.request("POST", f"/v2/{name}/blobs/uploads/")


def pusher(homeport: Homeport, *more: str) -> Credentials:
    """A user who may push, and what is named besides."""
    return homeport.user(f"pusher-{uuid.uuid4().hex[:8]}", policy(*PUSH, *more))


def oci_of(homeport: Homeport, who: Credentials) -> OciClient:
    return OciClient(homeport.url, "AWS", homeport.password(who))


def test_a_push_makes_the_repository_as_its_template_says(
    ecr: Any, oci: OciClient, account: str, prefix: str
) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix,
        appliedFor=["CREATE_ON_PUSH"],
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
        resourceTags=[{"Key": "team", "Value": "cart"}],
        repositoryPolicy=POLICY,
        lifecyclePolicy=LIFECYCLE,
        customRoleArn=f"arn:aws:iam::{account}:role/templates",
    )
    image, name = random_image(), f"{prefix}/deep/app"

    for blob in image.blobs:
        oci.push_blob(name, blob.data)
    oci.push_manifest(name, image.manifest, "v1")

    made = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "dev-*"}]
    assert made["encryptionConfiguration"] == {"encryptionType": "AES256"}
    tags = ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "cart"}]
    assert ecr.get_repository_policy(repositoryName=name)["policyText"] == POLICY
    assert ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == LIFECYCLE
    listed = ecr.list_images(repositoryName=name)["imageIds"]
    assert listed == [{"imageDigest": image.digest, "imageTag": "v1"}]


def test_a_push_through_the_api_makes_it_too(ecr: Any, below: str) -> None:
    digest = upload(ecr, below, b"a layer")

    available = ecr.batch_check_layer_availability(repositoryName=below, layerDigests=[digest])
    assert available["layers"][0]["layerAvailability"] == "AVAILABLE"


def test_a_manifest_alone_makes_it(ecr: Any, oci: OciClient, below: str) -> None:
    empty_index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'

    answer = oci.put_manifest(below, "v1", empty_index, "application/vnd.oci.image.index.v1+json")

    answer.expect(201)
    assert ecr.list_images(repositoryName=below)["imageIds"][0]["imageTag"] == "v1"


def test_a_mount_makes_it(ecr: Any, oci: OciClient, below: str) -> None:
    oci.mount_blob(below, MISSING, "somewhere/else").expect(202)

    assert exists(ecr, below)


def test_layers_that_come_at_the_same_time_make_one_repository(
    ecr: Any, homeport: Homeport, below: str
) -> None:
    outcomes = at_once(lambda data: upload(ecr, below, data), [b"layer %d" % number for number in range(8)])

    assert outcomes == ["done"] * 8
    assert exists(ecr, below)


def test_without_a_template_nothing_is_made(ecr: Any, oci: OciClient, account: str) -> None:
    name = new_name("untemplated")

    answers = [
        start(oci, name),
        oci.put_manifest(name, "v1", b"{}", OCI_MANIFEST),
        oci.mount_blob(name, MISSING, "somewhere/else"),
    ]

    assert [each.expect(404).error_codes for each in answers] == [["NAME_UNKNOWN"]] * 3
    assert refused(ecr.initiate_layer_upload, repositoryName=name) == unknown_repository(name, account)
    assert not exists(ecr, name)


@pytest.mark.parametrize("kind", ["REPLICATION", "PULL_THROUGH_CACHE"])
def test_a_template_for_something_else_does_not_count(
    ecr: Any, oci: OciClient, prefix: str, kind: str
) -> None:
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=[kind])

    start(oci, f"{prefix}/app").expect(404)

    assert not exists(ecr, f"{prefix}/app")


def test_the_longest_prefix_wins_and_root_takes_the_rest(homeport: Homeport) -> None:
    ecr: Any = homeport.client(credentials=homeport.account())
    for prefix, mode in (
        ("ROOT", "MUTABLE"),
        ("prod/", "IMMUTABLE"),
        ("prod/team", "MUTABLE_WITH_EXCLUSION"),
    ):
        more = {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "x"}]}
        ecr.create_repository_creation_template(
            prefix=prefix,
            appliedFor=["CREATE_ON_PUSH"],
            imageTagMutability=mode,
            **(more if mode.endswith("EXCLUSION") else {}),
        )
    names = ["prod/team/app", "prod/teams/app", "production/app", "prod", "prod/team"]

    for name in names:
        ecr.initiate_layer_upload(repositoryName=name)

    made = {
        each["repositoryName"]: each["imageTagMutability"]
        for each in ecr.describe_repositories()["repositories"]
    }
    assert [made[name] for name in names] == [
        "MUTABLE_WITH_EXCLUSION", "IMMUTABLE", "MUTABLE", "MUTABLE", "IMMUTABLE",
    ]  # fmt: skip


def test_an_existing_repository_keeps_its_settings(ecr: Any, oci: OciClient, below: str, prefix: str) -> None:
    start(oci, below).expect(202)

    ecr.update_repository_creation_template(prefix=prefix, imageTagMutability="IMMUTABLE")
    start(oci, below).expect(202)

    made = ecr.describe_repositories(repositoryNames=[below])["repositories"][0]
    assert made["imageTagMutability"] == "MUTABLE"


def test_who_may_push_but_not_create_is_told_that_it_does_not_exist(
    ecr: Any, homeport: Homeport, account: str, below: str
) -> None:
    who = pusher(homeport)

    answer = start(oci_of(homeport, who), below)
    refusal = refused(homeport.client(credentials=who).initiate_layer_upload, repositoryName=below)

    assert answer.expect(404).error_codes == ["NAME_UNKNOWN"]
    assert refusal == unknown_repository(below, account)
    assert not exists(ecr, below)


def test_who_may_create_but_not_push_makes_nothing(ecr: Any, homeport: Homeport, below: str) -> None:
    rights = policy("ecr:CreateRepository", "ecr:GetAuthorizationToken")
    who = homeport.user(f"creator-{uuid.uuid4().hex[:8]}", rights)

    start(oci_of(homeport, who), below).expect(403)

    assert not exists(ecr, below)


def test_who_may_push_and_create_needs_no_more(ecr: Any, homeport: Homeport, below: str) -> None:
    who = pusher(homeport, "ecr:CreateRepository")
    oci, image = oci_of(homeport, who), random_image()

    for blob in image.blobs:
        oci.push_blob(below, blob.data)
    oci.push_manifest(below, image.manifest, "v1")

    assert exists(ecr, below)


def test_a_template_with_tags_needs_permission_to_tag(
    ecr: Any, homeport: Homeport, account: str, prefix: str
) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix,
        appliedFor=["CREATE_ON_PUSH"],
        resourceTags=[{"Key": "team", "Value": "cart"}],
        customRoleArn=f"arn:aws:iam::{account}:role/templates",
    )
    name = f"{prefix}/app"

    start(oci_of(homeport, pusher(homeport, "ecr:CreateRepository")), name).expect(404)
    before = exists(ecr, name)
    start(oci_of(homeport, pusher(homeport, "ecr:CreateRepository", "ecr:TagResource")), name).expect(202)

    assert not before
    assert exists(ecr, name)


def test_a_policy_can_depend_on_the_tags_that_the_template_sets(
    ecr: Any, homeport: Homeport, account: str, prefix: str
) -> None:
    role = f"arn:aws:iam::{account}:role/templates"
    for team in ("cart", "other"):
        ecr.create_repository_creation_template(
            prefix=f"{prefix}/{team}",
            appliedFor=["CREATE_ON_PUSH"],
            resourceTags=[{"Key": "team", "Value": team}],
            customRoleArn=role,
        )
    rights = policy(*PUSH)
    creating = policy("ecr:CreateRepository", "ecr:TagResource")["Statement"][0]
    creating["Condition"] = {"StringEquals": {"aws:RequestTag/team": "cart"}}
    rights["Statement"].append(creating)
    oci = oci_of(homeport, homeport.user(f"cart-{uuid.uuid4().hex[:8]}", rights))

    start(oci, f"{prefix}/cart/app").expect(202)
    start(oci, f"{prefix}/other/app").expect(404)


def test_a_template_with_tags_and_no_role_makes_nothing_and_says_why(
    ecr: Any, oci: OciClient, prefix: str
) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix, appliedFor=["CREATE_ON_PUSH"], resourceTags=[{"Key": "a", "Value": "b"}]
    )

    answer = start(oci, f"{prefix}/app").expect(404)

    assert answer.error_codes == ["NAME_UNKNOWN"]
    assert "without a customRoleArn" in answer.json()["errors"][0]["message"]
    assert not exists(ecr, f"{prefix}/app")


def test_the_policy_of_the_template_counts_for_the_very_push_that_makes_the_repository(
    ecr: Any, oci: OciClient, prefix: str
) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:InitiateLayerUpload"}
    ecr.create_repository_creation_template(
        prefix=prefix,
        appliedFor=["CREATE_ON_PUSH"],
        repositoryPolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )

    start(oci, f"{prefix}/app").expect(403)

    assert exists(ecr, f"{prefix}/app")


def test_a_pull_makes_nothing(ecr: Any, oci: OciClient, below: str) -> None:
    for path in ("manifests/latest", f"blobs/{MISSING}", "tags/list"):
        oci.request("GET", f"/v2/{below}/{path}").expect(404)
    refused(ecr.list_images, repositoryName=below)

    assert not exists(ecr, below)


def test_somebody_else_cannot_make_repositories_in_a_registry(
    ecr: Any, homeport: Homeport, neighbour: Credentials, account: str, below: str
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)

    code, _ = refused(theirs.initiate_layer_upload, registryId=account, repositoryName=below)

    assert code == "AccessDeniedException"
    assert not exists(ecr, below)
