"""Public repositories through the API: their life, their policies and tags, and that private ones are apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import at_once, new_name, policy, put, refused, unknown_repository
from tests.api.public import alias_of, new_public, password_of
from tests.api.signing import Signer, call, fault
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


@pytest.fixture(scope="session")
def public(homeport: Homeport) -> Any:
    """The administrator's client of ECR Public on the shared server."""
    return homeport.client("ecr-public")


@pytest.fixture(scope="session")
def theirs(homeport: Homeport, stranger: Credentials) -> Any:
    """The client of a user without any policy."""
    return homeport.client("ecr-public", credentials=stranger)


def arn(account: str, name: str) -> str:
    return f"arn:aws:ecr-public::{account}:repository/{name}"


# --- Life ---


def test_a_repository_is_created_described_and_deleted(public: Any, account: str, homeport: Homeport) -> None:
    name = new_name("life")
    began = datetime.now(UTC)

    created = public.create_repository(repositoryName=name)["repository"]
    described = public.describe_repositories(repositoryNames=[name])["repositories"]
    deleted = public.delete_repository(repositoryName=name)["repository"]

    assert created == described[0] == deleted
    assert began - timedelta(seconds=1) < created.pop("createdAt") <= datetime.now(UTC)
    assert created == {
        "repositoryArn": arn(account, name),
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": f"{homeport.host}/public.ecr/{alias_of(public)}/{name}",
    }
    assert refused(public.describe_repositories, repositoryNames=[name]) == unknown_repository(name, account)
    assert refused(public.delete_repository, repositoryName=name) == unknown_repository(name, account)


def test_a_name_is_taken_once_also_when_many_ask_at_the_same_time(public: Any) -> None:
    name = new_name("race")

    outcomes = at_once(lambda _: public.create_repository(repositoryName=name), range(6))

    assert sorted(outcomes) == ["RepositoryAlreadyExistsException"] * 5 + ["done"]


@pytest.mark.parametrize("name", ["a", "A/b", "under__score", "two--lines", "/x", "x/", "x" * 206])
def test_a_name_outside_the_grammar_of_ecr_public_is_refused(
    public: Any, name: str, homeport: Homeport
) -> None:
    signer = Signer.of(homeport.credentials, "ecr-public")

    answer = call(homeport.url, "CreateRepository", {"repositoryName": name}, signer, service="ecr-public")

    assert fault(answer)[0] == "InvalidParameterException"


def test_a_repository_with_images_goes_only_by_force(public: Any, account: str) -> None:
    name = new_public(public)
    put(public, name, random_image(), "v1")

    code, message = refused(public.delete_repository, repositoryName=name)
    public.delete_repository(repositoryName=name, force=True)

    assert code == "RepositoryNotEmptyException"
    assert name in message
    assert refused(public.describe_images, repositoryName=name) == unknown_repository(name, account)


def test_repositories_are_listed_by_pages_in_order_of_name(public: Any) -> None:
    made = sorted(new_public(public, "paged") for _ in range(5))

    paginator = public.get_paginator("describe_repositories")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 2}))

    listed = [each["repositoryName"] for page in pages for each in page["repositories"]]
    assert [name for name in listed if name in made] == made
    assert listed == sorted(listed)
    assert all(len(page["repositories"]) <= 2 for page in pages)


def test_names_and_paging_exclude_each_other(public: Any) -> None:
    name = new_public(public)

    code, _ = refused(public.describe_repositories, repositoryNames=[name], maxResults=5)

    assert code == "InvalidParameterException"


def test_the_quota_of_repositories_is_enforced(fresh_homeport: Callable[..., Homeport]) -> None:
    server = fresh_homeport(environment={"HOMEPORT_QUOTAS": "public_repositories=2"})
    client = server.client("ecr-public")
    new_public(client)
    name = new_public(client)

    code, _ = refused(client.create_repository, repositoryName="one/more")
    server.client().create_repository(repositoryName="private/one")
    client.delete_repository(repositoryName=name)
    client.create_repository(repositoryName="one/more")

    assert code == "LimitExceededException"


# --- Apart from private repositories ---


def test_a_public_and_a_private_repository_of_one_name_are_two(
    public: Any, ecr: Any, homeport: Homeport
) -> None:
    name = new_public(public, "twice")
    first, second = random_image(), random_image()
    put(public, name, first, "v1")

    ecr.create_repository(repositoryName=name)
    put(ecr, name, second, "v1")

    shown = [
        client.describe_images(repositoryName=name)["imageDetails"][0]["imageDigest"]
        for client in (public, ecr)
    ]
    assert shown == [first.digest, second.digest]
    ecr.delete_repository(repositoryName=name, force=True)
    assert public.describe_images(repositoryName=name)["imageDetails"][0]["imageDigest"] == first.digest


def test_neither_kind_of_repository_is_seen_by_the_other_api(
    public: Any, ecr: Any, account: str, repository: str, oci: OciClient
) -> None:
    name = new_public(public, "hidden")

    assert refused(ecr.describe_repositories, repositoryNames=[name]) == unknown_repository(name, account)
    assert refused(public.describe_repositories, repositoryNames=[repository]) == unknown_repository(
        repository, account
    )
    assert oci.get_manifest(name, "v1").status == 404
    listed = oci.request("GET", "/v2/_catalog").json()["repositories"]
    assert repository in listed
    assert name not in listed
    pages = ecr.get_paginator("describe_repositories").paginate()
    assert name not in [each["repositoryName"] for page in pages for each in page["repositories"]]


# --- Policies ---


def test_a_policy_is_kept_as_text_and_answered_when_deleted(public: Any, account: str) -> None:
    name = new_public(public)
    statement = {"Sid": "x", "Effect": "Allow", "Principal": "*", "Action": "ecr-public:PutImage"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)

    answers = [
        public.set_repository_policy(repositoryName=name, policyText=text),
        public.get_repository_policy(repositoryName=name),
        public.delete_repository_policy(repositoryName=name),
    ]

    for answer in answers:
        del answer["ResponseMetadata"]
        assert answer == {"registryId": account, "repositoryName": name, "policyText": text}
    code, _ = refused(public.get_repository_policy, repositoryName=name)
    assert code == "RepositoryPolicyNotFoundException"
    assert refused(public.delete_repository_policy, repositoryName=name)[0] == code


@pytest.mark.parametrize("action", [None, "ecr:PutImage", "sts:AssumeRole"])
def test_a_policy_that_is_not_about_public_repositories_is_refused(public: Any, action: str | None) -> None:
    name = new_public(public)
    statement = {"Effect": "Allow", "Principal": "*", "Action": action}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}) if action else "{}"

    code, message = refused(public.set_repository_policy, repositoryName=name, policyText=text)

    assert code == "InvalidParameterException"
    assert "Invalid repository policy provided" in message


def test_a_policy_lets_another_account_push(
    public: Any, homeport: Homeport, neighbour: Credentials, account: str
) -> None:
    name = new_public(public)
    other = homeport.client("ecr-public", credentials=neighbour)
    before = refused(other.initiate_layer_upload, repositoryName=name, registryId=account)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": neighbour.account_id},
        "Action": ["ecr-public:*Layer*", "ecr-public:PutImage"],
    }

    public.set_repository_policy(
        repositoryName=name, policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    put(other, name, random_image(), "v1", registryId=account)

    assert before[0] == "AccessDeniedException"
    assert arn(account, name) in before[1]
    assert (
        refused(other.delete_repository, repositoryName=name, registryId=account)[0]
        == "AccessDeniedException"
    )


def test_a_policy_that_locks_its_author_out_needs_force(public: Any) -> None:
    name = new_public(public)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr-public:SetRepositoryPolicy"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    code, _ = refused(public.set_repository_policy, repositoryName=name, policyText=text)
    public.set_repository_policy(repositoryName=name, policyText=text, force=True)

    assert code == "InvalidParameterException"
    assert (
        refused(public.set_repository_policy, repositoryName=name, policyText=text)[0]
        == "AccessDeniedException"
    )


def test_permissions_for_private_repositories_open_no_public_ones(homeport: Homeport, public: Any) -> None:
    name = new_public(public)
    who = homeport.user("private-only", policy("ecr:*"))
    client = homeport.client("ecr-public", credentials=who)

    code, message = refused(client.describe_images, repositoryName=name)

    assert code == "AccessDeniedException"
    assert "ecr-public:DescribeImages" in message


# --- Resource tags ---


def test_tags_are_set_listed_and_removed(public: Any, account: str) -> None:
    name = new_public(public, tags=[{"Key": "team", "Value": "web"}, {"Key": "empty"}])
    resource = arn(account, name)

    public.tag_resource(
        resourceArn=resource, tags=[{"Key": "team", "Value": "api"}, {"Key": "x", "Value": "1"}]
    )
    public.untag_resource(resourceArn=resource, tagKeys=["empty", "absent"])

    assert public.list_tags_for_resource(resourceArn=resource)["tags"] == [
        {"Key": "team", "Value": "api"},
        {"Key": "x", "Value": "1"},
    ]


def test_tags_that_cannot_be_are_refused(public: Any, account: str) -> None:
    name = new_public(public)
    resource = arn(account, name)
    many = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]

    assert refused(public.tag_resource, resourceArn=resource, tags=many)[0] == "TooManyTagsException"
    assert (
        refused(public.create_repository, repositoryName=new_name(), tags=many)[0] == "TooManyTagsException"
    )
    for tags in ([{"Key": "aws:x", "Value": "v"}], [{"Value": "v"}], [{"Key": "a"}, {"Key": "a"}]):
        assert (
            refused(public.tag_resource, resourceArn=resource, tags=tags)[0] == "InvalidTagParameterException"
        )
    assert public.list_tags_for_resource(resourceArn=resource)["tags"] == []


@pytest.mark.parametrize("resource", ["nonsense", "arn:aws:ecr:us-east-1:111122223333:repository/x"])
def test_tags_of_something_else_are_not_found_here(public: Any, resource: str) -> None:
    assert refused(public.list_tags_for_resource, resourceArn=resource)[0] == "InvalidParameterException"


def test_tags_of_a_missing_repository_are_not_found(public: Any, account: str) -> None:
    name = new_name()
    expected = unknown_repository(name, account)

    assert refused(public.list_tags_for_resource, resourceArn=arn(account, name)) == expected
    assert refused(public.tag_resource, resourceArn=arn(account, name), tags=[{"Key": "a"}]) == expected
    assert refused(public.untag_resource, resourceArn=arn(account, name), tagKeys=["a"]) == expected


def test_permissions_may_depend_on_the_tags_of_a_public_repository(public: Any, homeport: Homeport) -> None:
    mine = new_public(public, tags=[{"Key": "team", "Value": "web"}])
    other = new_public(public, tags=[{"Key": "team", "Value": "api"}])
    statement = {
        "Effect": "Allow",
        "Action": "ecr-public:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"ecr-public:ResourceTag/team": "web"}},
    }
    who = homeport.user("web-team", {"Version": "2012-10-17", "Statement": [statement]})
    client = homeport.client("ecr-public", credentials=who)

    put(client, mine, random_image(), "v1")

    assert refused(client.describe_images, repositoryName=other)[0] == "AccessDeniedException"


# --- Who may not ---


def test_a_user_without_permission_is_refused_everything(
    theirs: Any, public: Any, account: str, stranger: Credentials
) -> None:
    name = new_public(public)
    resource = arn(account, name)
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("create_repository", {"repositoryName": new_name()}, "CreateRepository"),
        ("describe_repositories", {}, "DescribeRepositories"),
        ("describe_repositories", {"repositoryNames": [name]}, "DescribeRepositories"),
        ("delete_repository", {"repositoryName": name}, "DeleteRepository"),
        ("set_repository_policy", {"repositoryName": name, "policyText": "{}"}, "SetRepositoryPolicy"),
        ("get_repository_policy", {"repositoryName": name}, "GetRepositoryPolicy"),
        ("delete_repository_policy", {"repositoryName": name}, "DeleteRepositoryPolicy"),
        (
            "put_repository_catalog_data",
            {"repositoryName": name, "catalogData": {}},
            "PutRepositoryCatalogData",
        ),
        ("get_repository_catalog_data", {"repositoryName": name}, "GetRepositoryCatalogData"),
        ("describe_images", {"repositoryName": name}, "DescribeImages"),
        ("describe_image_tags", {"repositoryName": name}, "DescribeImageTags"),
        ("batch_delete_image", {"repositoryName": name, "imageIds": [{"imageTag": "a"}]}, "BatchDeleteImage"),
        ("initiate_layer_upload", {"repositoryName": name}, "InitiateLayerUpload"),
        ("put_image", {"repositoryName": name, "imageManifest": "{}"}, "PutImage"),
        ("tag_resource", {"resourceArn": resource, "tags": [{"Key": "a"}]}, "TagResource"),
        ("untag_resource", {"resourceArn": resource, "tagKeys": ["a"]}, "UntagResource"),
        ("list_tags_for_resource", {"resourceArn": resource}, "ListTagsForResource"),
        ("describe_registries", {}, "DescribeRegistries"),
        ("get_registry_catalog_data", {}, "GetRegistryCatalogData"),
        ("put_registry_catalog_data", {"displayName": "x"}, "PutRegistryCatalogData"),
        ("get_authorization_token", {}, "GetAuthorizationToken"),
    ]

    for method, params, action in calls:
        code, message = refused(getattr(theirs, method), **params)
        assert code == "AccessDeniedException", method
        assert message.startswith(
            f"User: {stranger.user_arn} is not authorized to perform: ecr-public:{action} on resource: "
        ), message
    assert public.describe_repositories(repositoryNames=[name])["repositories"]


def test_who_may_not_learns_nothing_about_what_exists(theirs: Any, public: Any) -> None:
    name = new_public(public)

    there = refused(theirs.describe_images, repositoryName=name)
    missing = refused(theirs.describe_images, repositoryName=name + "x")

    assert there[0] == missing[0] == "AccessDeniedException"


def bearer_of(service: str) -> dict[str, Any]:
    """An identity policy for passwords of public images, whose bearer token is one of `service`."""
    document = policy("ecr-public:GetAuthorizationToken")
    document["Statement"].append(
        {
            "Effect": "Allow",
            "Action": "sts:GetServiceBearerToken",
            "Resource": "*",
            "Condition": {"StringEquals": {"sts:AWSServiceName": service}},
        }
    )
    return document


def test_a_password_for_public_images_needs_a_bearer_token_too(homeport: Homeport) -> None:
    half = homeport.user("half", policy("ecr-public:GetAuthorizationToken"))
    other = homeport.user("other-service", bearer_of("codeartifact.amazonaws.com"))
    right = homeport.user("this-service", bearer_of("ecr-public.amazonaws.com"))

    for who in (half, other):
        code, message = refused(homeport.client("ecr-public", credentials=who).get_authorization_token)
        assert code == "AccessDeniedException"
        assert "sts:GetServiceBearerToken" in message
    assert password_of(homeport.client("ecr-public", credentials=right))
