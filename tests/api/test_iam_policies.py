"""Managed policies over boto3: versions, listings, tags, what the built-in ones allow, and who may touch them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.calls import at_once, policy, put, refused
from tests.api.iam_calls import AWS, fresh, new_policy, new_role, new_user, text
from tests.api.signing import Signer, query_call
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

BUILT_IN = {
    "AdministratorAccess",
    "AmazonEC2ContainerRegistryFullAccess",
    "AmazonEC2ContainerRegistryPowerUser",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonElasticContainerRegistryPublicFullAccess",
    "AmazonElasticContainerRegistryPublicPowerUser",
    "AmazonElasticContainerRegistryPublicReadOnly",
    "IAMFullAccess",
}


@pytest.fixture(scope="session")
def iam(homeport: Homeport) -> Any:
    """The administrator's client."""
    return homeport.client("iam")


@pytest.fixture
def arn(iam: Any) -> str:
    """A new managed policy."""
    return new_policy(iam)


# --- The life of a policy ---


def test_a_policy_is_answered_as_it_was_made(iam: Any, account: str) -> None:
    name, tags = fresh(), [{"Key": "Team", "Value": "x"}]

    created = iam.create_policy(
        PolicyName=name, Path="/a/b/", PolicyDocument=text("ecr:*"), Description="All of ECR", Tags=tags
    )["Policy"]
    got = iam.get_policy(PolicyArn=created["Arn"])["Policy"]

    assert got.pop("Description") == "All of ECR"
    assert created == got
    assert got["Arn"] == f"arn:aws:iam::{account}:policy/a/b/{name}"
    assert got["PolicyId"].startswith("ANPA")
    assert (got["DefaultVersionId"], got["AttachmentCount"], got["IsAttachable"]) == ("v1", 0, True)
    assert got["Tags"] == tags


def test_a_document_is_answered_as_it_was_written_percent_encoded(homeport: Homeport, iam: Any) -> None:
    written = json.dumps(json.loads(text("ecr:*", resource="arn:aws:ecr:*:*:repository/a+b c")), indent=2)
    arn = new_policy(iam, written)
    form = {"Version": "2010-05-08", "Action": "GetPolicyVersion", "PolicyArn": arn, "VersionId": "v1"}

    answer = query_call(homeport.url, form, Signer.of(homeport.credentials, "iam"))

    encoded = answer.body.decode().partition("<Document>")[2].partition("</Document>")[0]
    assert encoded == urllib.parse.quote(written, safe="")
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(
        written
    )


def test_a_name_can_be_given_once(iam: Any, arn: str) -> None:
    name = arn.rpartition("/")[2]

    refusal = refused(iam.create_policy, PolicyName=name, Path="/other/", PolicyDocument=text("ecr:*"))

    assert refusal == (
        "EntityAlreadyExists",
        f"A policy called {name} already exists. Duplicate names are not allowed.",
    )


@pytest.mark.parametrize(
    "document",
    ["nonsense", "{}", text("PutImage"), text("ecr:*", resource="nonsense"), text("ecr:*", effect="Maybe")],
)
def test_what_is_no_policy_is_malformed(iam: Any, arn: str, document: str) -> None:
    assert (
        refused(iam.create_policy, PolicyName=fresh(), PolicyDocument=document)[0]
        == "MalformedPolicyDocument"
    )
    version = refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=document)
    assert version[0] == "MalformedPolicyDocument"


def test_a_managed_policy_has_at_most_6144_characters_without_white_space(iam: Any) -> None:
    fits = text(*[f"ecr:Action{number:03}" for number in range(300)])
    spaced = json.dumps(json.loads(fits), indent=20)
    large = text(*[f"ecr:Action{number:03}" for number in range(400)])
    assert len(spaced) > 6144

    new_policy(iam, spaced)

    refusal = refused(iam.create_policy, PolicyName=fresh(), PolicyDocument=large)
    assert refusal == ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")


def test_a_deleted_policy_is_gone(iam: Any, arn: str) -> None:
    iam.delete_policy(PolicyArn=arn)

    assert refused(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", f"Policy {arn} was not found.")


def test_a_policy_in_use_cannot_be_deleted(iam: Any, account: str, arn: str) -> None:
    role = new_role(iam, account)
    expected = ("DeleteConflict", "Cannot delete a policy attached to entities.")

    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    assert refused(iam.delete_policy, PolicyArn=arn) == expected
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=arn)
    assert refused(iam.delete_policy, PolicyArn=arn) == expected
    iam.delete_role_permissions_boundary(RoleName=role)

    iam.delete_policy(PolicyArn=arn)


def test_a_deleted_role_uses_no_policy_any_more(iam: Any, account: str, arn: str) -> None:
    role = new_role(iam, account, PermissionsBoundary=arn)
    iam.delete_role(RoleName=role)

    iam.delete_policy(PolicyArn=arn)


# --- Versions ---


def test_versions_are_numbered_and_the_newest_comes_first(iam: Any, arn: str) -> None:
    second = iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:PutImage"))["PolicyVersion"]

    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]

    assert (second["VersionId"], second["IsDefaultVersion"]) == ("v2", False)
    assert [(each["VersionId"], each["IsDefaultVersion"]) for each in listed] == [("v2", False), ("v1", True)]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"


def test_a_new_version_can_be_the_default_at_once(iam: Any, arn: str) -> None:
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:*"), SetAsDefault=True)

    assert made["PolicyVersion"]["IsDefaultVersion"] is True
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"


def test_a_policy_has_five_versions_at_most_and_numbers_never_come_again(iam: Any, arn: str) -> None:
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:*"))

    sixth = refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=text("ecr:*"))
    iam.delete_policy_version(PolicyArn=arn, VersionId="v5")
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:*"))

    assert sixth[0] == "LimitExceeded"
    assert "up to 5 versions" in sixth[1]
    assert made["PolicyVersion"]["VersionId"] == "v6"
    paging = {"PageSize": 2}
    pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn, PaginationConfig=paging)
    assert [each["VersionId"] for page in pages for each in page["Versions"]] == [
        "v6",
        "v4",
        "v3",
        "v2",
        "v1",
    ]


def test_limits_hold_when_many_come_at_once(iam: Any, account: str, arn: str) -> None:
    role, policies = new_role(iam, account), [new_policy(iam) for _ in range(12)]

    attached = at_once(lambda each: iam.attach_role_policy(RoleName=role, PolicyArn=each), policies)
    versions = at_once(
        lambda document: iam.create_policy_version(PolicyArn=arn, PolicyDocument=document),
        [text("ecr:*")] * 6,
    )

    assert sorted(attached) == ["LimitExceeded"] * 2 + ["done"] * 10
    assert sorted(versions) == ["LimitExceeded"] * 2 + ["done"] * 4


def test_the_default_version_cannot_be_deleted(iam: Any, arn: str) -> None:
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v1") == (
        "DeleteConflict",
        "Cannot delete the default version of a policy.",
    )


def test_a_policy_with_further_versions_cannot_be_deleted(iam: Any, arn: str) -> None:
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:*"))

    assert refused(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize(
    "operation", ["get_policy_version", "delete_policy_version", "set_default_policy_version"]
)
def test_a_version_that_does_not_exist_is_no_such_entity(iam: Any, arn: str, operation: str) -> None:
    assert refused(getattr(iam, operation), PolicyArn=arn, VersionId="v9") == (
        "NoSuchEntity",
        f"Policy {arn} version v9 does not exist or is not attachable.",
    )


def test_the_default_version_counts_from_the_next_request_on(homeport: Homeport, iam: Any, arn: str) -> None:
    who = new_user(homeport)
    ecr = homeport.client(credentials=who)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=arn)
    ecr.describe_repositories(maxResults=1)

    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text("ecr:ListImages"), SetAsDefault=True)
    narrowed = refused(ecr.describe_repositories)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")

    assert narrowed[0] == "AccessDeniedException"
    ecr.describe_repositories(maxResults=1)


# --- Lists ---


def test_built_in_policies_and_own_ones_are_listed_by_scope(iam: Any, arn: str) -> None:
    def listed(**filters: Any) -> set[str]:
        pages = iam.get_paginator("list_policies").paginate(**filters, PaginationConfig={"PageSize": 7})
        found = [each["Arn"] for page in pages for each in page["Policies"]]
        assert len(found) == len(set(found))
        return set(found)

    built_in = {AWS + name for name in BUILT_IN}
    assert listed(Scope="AWS") == built_in
    assert arn in listed(Scope="Local")
    assert not listed(Scope="Local") & built_in
    assert listed() == listed(Scope="All") == listed(Scope="AWS") | listed(Scope="Local")


def test_policies_are_listed_by_path_and_by_use(iam: Any, account: str) -> None:
    path = f"/{fresh()}/"
    unused, attached, bounding = (new_policy(iam, Path=path) for _ in range(3))
    role = new_role(iam, account, PermissionsBoundary=bounding)
    iam.attach_role_policy(RoleName=role, PolicyArn=attached)

    def listed(**filters: Any) -> set[str]:
        return {each["Arn"] for each in iam.list_policies(PathPrefix=path, **filters)["Policies"]}

    assert listed() == {unused, attached, bounding}
    assert listed(OnlyAttached=True) == {attached, bounding}
    assert listed(OnlyAttached=True, PolicyUsageFilter="PermissionsPolicy") == {attached}
    assert listed(PolicyUsageFilter="PermissionsBoundary") == {bounding}
    shown = iam.get_policy(PolicyArn=bounding)["Policy"]
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (0, 1)
    assert iam.get_policy(PolicyArn=attached)["Policy"]["AttachmentCount"] == 1


def test_who_has_a_policy_is_listed_by_kind_path_use_and_pages(iam: Any, account: str, arn: str) -> None:
    path, user, group = f"/{fresh()}/", fresh(), fresh()
    iam.create_user(UserName=user, Path=path)
    iam.create_group(GroupName=group)
    role, bounded = new_role(iam, account), new_role(iam, account, PermissionsBoundary=arn)
    iam.attach_user_policy(UserName=user, PolicyArn=arn)
    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    def listed(**filters: Any) -> list[str]:
        pages = iam.get_paginator("list_entities_for_policy").paginate(
            PolicyArn=arn, PaginationConfig={"PageSize": 2}, **filters
        )
        return [
            each[f"{kind}Name"]
            for page in pages
            for kind in ("Group", "User", "Role")
            for each in page[f"Policy{kind}s"]
        ]

    assert listed() == [group, user, *sorted([role, bounded])]
    assert listed(EntityFilter="User") == [user]
    assert listed(PathPrefix=path) == [user]
    assert listed(PolicyUsageFilter="PermissionsBoundary") == [bounded]
    assert listed(PolicyUsageFilter="PermissionsPolicy") == [group, user, role]


# --- Tags ---


def test_tags_of_a_policy_can_be_added_changed_and_removed(iam: Any, arn: str) -> None:
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["b"])

    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Tags"] == [{"Key": "a", "Value": "3"}]


# --- The built-in policies ---


def test_a_built_in_policy_is_read_like_any_other(iam: Any) -> None:
    arn = AWS + "AmazonEC2ContainerRegistryPullOnly"

    got = iam.get_policy(PolicyArn=arn)["Policy"]
    (version,) = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    read = iam.get_policy_version(PolicyArn=arn, VersionId=got["DefaultVersionId"])["PolicyVersion"]

    assert version["VersionId"] == got["DefaultVersionId"] == "v1"
    assert set(read["Document"]["Statement"][0]["Action"]) == {
        "ecr:GetAuthorizationToken",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchImportUpstreamImage",
    }


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("delete_policy", {}),
        ("create_policy_version", {"PolicyDocument": text("*")}),
        ("delete_policy_version", {"VersionId": "v1"}),
        ("set_default_policy_version", {"VersionId": "v1"}),
        ("tag_policy", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_policy", {"TagKeys": ["a"]}),
    ],
)
def test_nobody_changes_a_built_in_policy(iam: Any, operation: str, more: Mapping[str, Any]) -> None:
    arn = AWS + "AmazonEC2ContainerRegistryReadOnly"

    assert refused(getattr(iam, operation), PolicyArn=arn, **more)[0] == "AccessDenied"


@pytest.mark.parametrize(
    ("name", "may_pull", "may_push", "may_delete", "may_create"),
    [
        ("AmazonEC2ContainerRegistryPullOnly", True, False, False, False),
        ("AmazonEC2ContainerRegistryReadOnly", True, False, False, False),
        ("AmazonEC2ContainerRegistryPowerUser", True, True, False, False),
        ("AmazonEC2ContainerRegistryFullAccess", True, True, True, True),
        ("AdministratorAccess", True, True, True, True),
    ],
)
def test_built_in_policies_allow_what_they_say_and_no_more(
    homeport: Homeport,
    iam: Any,
    ecr: Any,
    repository: str,
    name: str,
    may_pull: bool,
    may_push: bool,
    may_delete: bool,
    may_create: bool,
) -> None:
    put(ecr, repository, random_image(), "there")
    who = new_user(homeport)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=AWS + name)
    client = homeport.client(credentials=who)
    docker = OciClient(homeport.url, "AWS", homeport.password(who))

    assert (docker.get_manifest(repository, "there").status == 200) is may_pull
    assert (docker.request("POST", f"/v2/{repository}/blobs/uploads/").status == 202) is may_push
    deleted = docker.request("DELETE", f"/v2/{repository}/manifests/there")
    assert (deleted.status == 202) is may_delete
    made = fresh("made")
    if may_create:
        client.create_repository(repositoryName=made)
    else:
        assert refused(client.create_repository, repositoryName=made)[0] == "AccessDeniedException"
    if name != "AdministratorAccess":
        assert refused(homeport.client("iam", credentials=who).list_users)[0] == "AccessDenied"


def test_iam_full_access_manages_identities_and_no_images(homeport: Homeport, iam: Any) -> None:
    who = new_user(homeport)
    iam.attach_user_policy(UserName=who.user_name, PolicyArn=AWS + "IAMFullAccess")

    homeport.client("iam", credentials=who).list_users()

    refusal = refused(homeport.client(credentials=who).describe_repositories)
    assert refusal[0] == "AccessDeniedException"


def test_a_policy_of_the_group_counts_for_its_members_until_it_is_detached(
    homeport: Homeport, iam: Any
) -> None:
    who, group = new_user(homeport), fresh()
    ecr = homeport.client(credentials=who)
    arn = AWS + "AmazonEC2ContainerRegistryReadOnly"
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=who.user_name)
    assert refused(ecr.describe_repositories)[0] == "AccessDeniedException"

    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    ecr.describe_repositories(maxResults=1)

    iam.detach_group_policy(GroupName=group, PolicyArn=arn)
    assert refused(ecr.describe_repositories)[0] == "AccessDeniedException"


# --- Who may ---

ON_A_POLICY: list[tuple[str, dict[str, Any]]] = [
    ("get_policy", {}),
    ("delete_policy", {}),
    ("create_policy_version", {"PolicyDocument": text("ecr:*")}),
    ("get_policy_version", {"VersionId": "v1"}),
    ("list_policy_versions", {}),
    ("delete_policy_version", {"VersionId": "v1"}),
    ("set_default_policy_version", {"VersionId": "v1"}),
    ("list_entities_for_policy", {}),
    ("tag_policy", {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("untag_policy", {"TagKeys": ["a"]}),
    ("list_policy_tags", {}),
]


@pytest.mark.parametrize(("operation", "more"), ON_A_POLICY)
def test_a_policy_that_does_not_exist_is_named_so_only_to_those_who_may(
    iam: Any,
    homeport: Homeport,
    account: str,
    stranger: Credentials,
    operation: str,
    more: Mapping[str, Any],
) -> None:
    arn = f"arn:aws:iam::{account}:policy/nobody-made-this"
    denied: Any = homeport.client("iam", credentials=stranger)

    assert refused(getattr(iam, operation), PolicyArn=arn, **more) == (
        "NoSuchEntity",
        f"Policy {arn} was not found.",
    )
    code, message = refused(getattr(denied, operation), PolicyArn=arn, **more)
    assert (code, arn in message) == ("AccessDenied", True)


@pytest.mark.parametrize(("operation", "more"), ON_A_POLICY)
def test_a_policy_of_another_account_does_not_exist_for_us(
    homeport: Homeport, neighbour: Credentials, arn: str, operation: str, more: Mapping[str, Any]
) -> None:
    theirs: Any = homeport.client("iam", credentials=neighbour)

    assert refused(getattr(theirs, operation), PolicyArn=arn, **more)[0] == "NoSuchEntity"


def test_what_is_no_arn_is_invalid_input(iam: Any) -> None:
    arn = "arn:aws:iam::aws:group/whatever"

    assert refused(iam.get_policy, PolicyArn=arn) == ("InvalidInput", f"ARN {arn} is not valid.")


def test_one_who_may_nothing_may_neither_make_nor_list_policies(
    homeport: Homeport, stranger: Credentials
) -> None:
    denied: Any = homeport.client("iam", credentials=stranger)

    made = refused(denied.create_policy, PolicyName=fresh(), PolicyDocument=text("*"))

    assert made[0] == "AccessDenied"
    assert refused(denied.list_policies)[0] == "AccessDenied"


def test_tags_of_the_policy_decide_who_may_change_it(homeport: Homeport, iam: Any) -> None:
    document = policy("iam:CreatePolicyVersion")
    document["Statement"][0]["Condition"] = {"StringEquals": {"iam:ResourceTag/Team": "blue"}}
    blue: Any = homeport.client("iam", credentials=new_user(homeport, document))
    ours = new_policy(iam, Tags=[{"Key": "Team", "Value": "blue"}])
    theirs = new_policy(iam)

    blue.create_policy_version(PolicyArn=ours, PolicyDocument=text("ecr:*"))

    refusal = refused(blue.create_policy_version, PolicyArn=theirs, PolicyDocument=text("ecr:*"))
    assert refusal[0] == "AccessDenied"
