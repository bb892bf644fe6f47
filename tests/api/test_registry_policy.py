"""The policy of a registry: its operations, its scopes, and its part in every decision on both fronts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.calls import at_registry, document, policy, put, refused
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport

OTHER = "arn:aws:iam::111122223333:root"


def statement(principal: Any, *actions: str, effect: str = "Allow", resource: str = "*") -> dict[str, Any]:
    """A statement of a registry policy."""
    return {"Effect": effect, "Principal": principal, "Action": list(actions), "Resource": resource}


def person(homeport: Homeport, owner: Credentials, name: str, *actions: str) -> Credentials:
    """A user of the owner's account who may do these actions."""
    return homeport.user(name, policy(*actions) if actions else None, owner.account_id)


# --- The operations ---


def test_a_policy_is_kept_as_text_and_answered_when_deleted(own: Any, owner: Credentials) -> None:
    text = json.dumps(json.loads(document(statement({"AWS": OTHER}, "ecr:ReplicateImage"))), indent=2)

    answers = [
        own.put_registry_policy(policyText=text),
        own.get_registry_policy(),
        own.delete_registry_policy(),
    ]

    for answer in answers:
        del answer["ResponseMetadata"]
        assert answer == {"registryId": owner.account_id, "policyText": text}


def test_no_policy_is_a_failure_of_its_own(own: Any, owner: Credentials) -> None:
    expected = (
        "RegistryPolicyNotFoundException",
        f"Registry policy does not exist in the registry with id '{owner.account_id}'",
    )

    assert refused(own.get_registry_policy) == expected
    assert refused(own.delete_registry_policy) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "{}",
        document({"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}),
        document({"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}),
        document(statement("*", "s3:GetObject")),
        document({**statement("*", "ecr:*"), "Condition": {"Invented": {"aws:SourceIp": "1"}}}),
    ],
)
def test_a_policy_that_is_none_is_refused(own: Any, text: str) -> None:
    code, message = refused(own.put_registry_policy, policyText=text)

    assert (code, message) == (
        "InvalidParameterException",
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'",
    )
    assert refused(own.get_registry_policy)[0] == "RegistryPolicyNotFoundException"


def test_a_policy_that_locks_its_author_out_is_refused(own: Any) -> None:
    text = document(statement("*", "ecr:*", effect="Deny"))

    assert refused(own.put_registry_policy, policyText=text)[0] == "InvalidParameterException"
    assert refused(own.get_registry_policy)[0] == "RegistryPolicyNotFoundException"


def test_who_may_do_nothing_cannot_touch_the_policy(homeport: Homeport, stranger: Credentials) -> None:
    theirs: Any = homeport.client(credentials=stranger)
    text = document(statement({"AWS": OTHER}, "ecr:ReplicateImage"))

    for call, params in (
        (theirs.get_registry_policy, {}),
        (theirs.put_registry_policy, {"policyText": text}),
        (theirs.delete_registry_policy, {}),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"


# --- Scope ---


@pytest.mark.parametrize(
    "actions",
    [
        ("ecr:BatchGetImage",),
        ("ecr:ReplicateImage", "ecr:PutImage"),
        ("ecr:*",),
        ("*",),
    ],
)
def test_the_narrow_scope_refuses_other_actions_than_its_three(own: Any, actions: tuple[str, ...]) -> None:
    own.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")

    code, message = refused(own.put_registry_policy, policyText=document(statement({"AWS": OTHER}, *actions)))

    assert code == "InvalidParameterException"
    assert message.endswith("'Invalid registry policy provided'")


def test_the_narrow_scope_takes_its_three_actions(own: Any) -> None:
    own.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")
    actions = ("ecr:ReplicateImage", "ecr:CreateRepository", "ecr:BatchImportUpstreamImage")

    text = document(statement({"AWS": OTHER}, *actions))

    assert own.put_registry_policy(policyText=text)["policyText"] == text


def test_a_wide_policy_is_not_looked_at_under_the_narrow_scope(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    reader = person(homeport, owner, "reader")
    own.put_registry_policy(policyText=document(statement({"AWS": reader.user_arn}, "ecr:ListImages")))
    theirs: Any = homeport.client(credentials=reader)
    assert theirs.list_images(repositoryName="shop")["imageIds"] == []

    own.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")

    assert refused(theirs.list_images, repositoryName="shop")[0] == "AccessDeniedException"


# --- Within one account ---


def test_a_registry_policy_alone_lets_in_a_user_of_the_same_account(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    image = random_image()
    put(own, "shop", image, "v1")
    reader = person(homeport, owner, "reader", "ecr:GetAuthorizationToken")
    registry = at_registry(homeport, reader)
    theirs: Any = homeport.client(credentials=reader)
    before = registry.get_manifest("shop", "v1").status

    own.put_registry_policy(policyText=document(statement({"AWS": reader.user_arn}, "ecr:BatchGetImage")))

    assert before == 403
    assert registry.get_manifest("shop", "v1").expect(200).body == image.manifest.data
    found = theirs.batch_get_image(repositoryName="shop", imageIds=[{"imageTag": "v1"}])
    assert len(found["images"]) == 1
    assert refused(theirs.list_images, repositoryName="shop")[0] == "AccessDeniedException"


def test_a_registry_policy_is_about_the_repositories_that_its_resource_names(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    for name in ("prod/web", "test/web"):
        own.create_repository(repositoryName=name)
    reader = person(homeport, owner, "reader")
    arn = f"arn:aws:ecr:{owner.region}:{owner.account_id}:repository/prod/*"
    own.put_registry_policy(
        policyText=document(statement({"AWS": reader.user_arn}, "ecr:ListImages", resource=arn))
    )
    theirs: Any = homeport.client(credentials=reader)

    assert theirs.list_images(repositoryName="prod/web")["imageIds"] == []
    assert refused(theirs.list_images, repositoryName="test/web")[0] == "AccessDeniedException"


def test_a_deny_of_the_registry_wins_over_an_administrator_on_both_fronts(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    put(own, "shop", random_image(), "v1")
    registry = at_registry(homeport, owner)
    registry.get_manifest("shop", "v1").expect(200)

    own.put_registry_policy(
        policyText=document(statement("*", "ecr:BatchGetImage", "ecr:DescribeRepositories", effect="Deny"))
    )
    code, message = refused(own.batch_get_image, repositoryName="shop", imageIds=[{"imageTag": "v1"}])
    pulled = registry.get_manifest("shop", "v1")
    listed = registry.request("GET", "/v2/_catalog")
    all_listed, _ = refused(own.describe_repositories)
    own.delete_registry_policy()

    assert code == all_listed == "AccessDeniedException"
    assert message.endswith("with an explicit deny in a resource-based policy")
    assert (pulled.status, pulled.error_codes) == (403, ["DENIED"])
    assert (listed.status, listed.error_codes) == (403, ["DENIED"])
    registry.get_manifest("shop", "v1").expect(200)


def test_a_deny_of_the_registry_wins_over_an_allow_of_the_repository(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    reader = person(homeport, owner, "reader")
    theirs: Any = homeport.client(credentials=reader)
    allowed = statement({"AWS": reader.user_arn}, "ecr:ListImages")
    del allowed["Resource"]
    own.set_repository_policy(repositoryName="shop", policyText=document(allowed))
    assert theirs.list_images(repositoryName="shop")["imageIds"] == []

    denied = statement({"AWS": reader.user_arn}, "ecr:ListImages", effect="Deny")
    own.put_registry_policy(policyText=document(denied))

    assert refused(theirs.list_images, repositoryName="shop")[0] == "AccessDeniedException"


def test_an_operation_on_the_registry_itself_obeys_the_policy(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    reader = person(homeport, owner, "reader")
    theirs: Any = homeport.client(credentials=reader)
    before, _ = refused(theirs.describe_registry)

    own.put_registry_policy(policyText=document(statement({"AWS": reader.user_arn}, "ecr:DescribeRegistry")))

    assert before == "AccessDeniedException"
    assert theirs.describe_registry()["registryId"] == owner.account_id


def test_a_new_repository_obeys_the_policy(owner: Credentials, own: Any) -> None:
    arn = f"arn:aws:ecr:{owner.region}:{owner.account_id}:repository/frozen/*"
    own.put_registry_policy(
        policyText=document(statement("*", "ecr:CreateRepository", effect="Deny", resource=arn))
    )

    assert refused(own.create_repository, repositoryName="frozen/new")[0] == "AccessDeniedException"
    assert own.create_repository(repositoryName="thawed/new")["repository"]["repositoryName"] == "thawed/new"


def test_a_tag_by_resource_name_obeys_the_policy(owner: Credentials, own: Any) -> None:
    arn = own.create_repository(repositoryName="shop")["repository"]["repositoryArn"]
    own.put_registry_policy(policyText=document(statement("*", "ecr:TagResource", effect="Deny")))

    code, _ = refused(own.tag_resource, resourceArn=arn, tags=[{"Key": "a", "Value": "b"}])

    assert code == "AccessDeniedException"


def test_a_condition_of_the_policy_is_asked_for_every_request_anew(
    homeport: Homeport, owner: Credentials, own: Any
) -> None:
    own.create_repository(repositoryName="shop")
    put(own, "shop", random_image(), "v1")
    registry = at_registry(homeport, owner)
    old = {"Condition": {"StringLike": {"aws:UserAgent": "old/*"}}}
    own.put_registry_policy(
        policyText=document({**statement("*", "ecr:BatchGetImage", effect="Deny"), **old})
    )

    def status(agent: str) -> int:
        headers = {"User-Agent": agent, "Accept": "*/*"}
        return registry.request("GET", "/v2/shop/manifests/v1", headers=headers).status

    assert [status(agent) for agent in ("new/1", "old/1", "new/1", "old/2")] == [200, 403, 200, 403]


# --- Across accounts ---


def test_another_account_needs_both_sides_to_allow(
    homeport: Homeport, owner: Credentials, own: Any, neighbour: Credentials
) -> None:
    own.create_repository(repositoryName="shop")
    image = random_image()
    put(own, "shop", image, "v1")
    asked = {"registryId": owner.account_id, "repositoryName": "shop"}
    theirs: Any = homeport.client(credentials=neighbour)
    idler = homeport.user(
        f"idler-of-{owner.account_id}", policy("ecr:GetAuthorizationToken"), neighbour.account_id
    )
    idle: Any = homeport.client(credentials=idler)
    registry = at_registry(homeport, neighbour, owner.account_id)

    only_theirs = refused(theirs.list_images, **asked)
    only_theirs_oci = registry.get_manifest("shop", "v1")
    root = {"AWS": f"arn:aws:iam::{neighbour.account_id}:root"}
    own.put_registry_policy(policyText=document(statement(root, "ecr:ListImages", "ecr:BatchGetImage")))
    only_ours = refused(idle.list_images, **asked)

    assert only_theirs[0] == only_ours[0] == "AccessDeniedException"
    assert only_theirs[1].endswith("because no resource-based policy allows the ecr:ListImages action")
    assert only_ours[1].endswith("because no identity-based policy allows the ecr:ListImages action")
    assert only_theirs_oci.status == 403
    assert len(theirs.list_images(**asked)["imageIds"]) == 1
    assert registry.get_manifest("shop", "v1").expect(200).body == image.manifest.data


def test_another_account_may_create_repositories_where_the_policy_says(
    homeport: Homeport, owner: Credentials, own: Any, neighbour: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)
    arn = f"arn:aws:ecr:{owner.region}:{owner.account_id}:repository/prod/*"
    root = {"AWS": f"arn:aws:iam::{neighbour.account_id}:root"}
    own.put_registry_policy(policyText=document(statement(root, "ecr:CreateRepository", resource=arn)))

    made = theirs.create_repository(registryId=owner.account_id, repositoryName="prod/new")["repository"]
    code, _ = refused(theirs.create_repository, registryId=owner.account_id, repositoryName="test/new")

    assert made["registryId"] == owner.account_id
    assert code == "AccessDeniedException"
