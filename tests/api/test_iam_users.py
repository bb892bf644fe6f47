"""IAM users over boto3: their life, names, paths, tags and inline policies, and who may touch them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.api.calls import at_once, policy, refused
from tests.api.iam import fresh
from tests.harness.server import Homeport

READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
ALLOW_LISTING = policy("ecr:DescribeRepositories")


@pytest.fixture
def user(iam: Any) -> str:
    """A user of the API's own, without rights."""
    name = fresh()
    iam.create_user(UserName=name)
    return name


# --- The life of a user ---


def test_a_user_is_answered_as_it_was_made(iam: Any, account: str) -> None:
    name = fresh()

    created = iam.create_user(UserName=name, Path="/team/a/", Tags=[{"Key": "Team", "Value": "a b"}])["User"]
    got = iam.get_user(UserName=name)["User"]

    assert created == got
    assert got["UserName"] == name
    assert got["Path"] == "/team/a/"
    assert got["Arn"] == f"arn:aws:iam::{account}:user/team/a/{name}"
    assert got["UserId"].startswith("AIDA")
    assert len(got["UserId"]) == 21
    assert got["Tags"] == [{"Key": "Team", "Value": "a b"}]
    assert "PermissionsBoundary" not in got


def test_a_user_without_a_path_is_at_the_root(iam: Any, user: str, account: str) -> None:
    assert iam.get_user(UserName=user)["User"]["Arn"] == f"arn:aws:iam::{account}:user/{user}"


def test_a_name_is_given_once_whatever_its_case(iam: Any, user: str) -> None:
    code, message = refused(iam.create_user, UserName=user)
    other, _ = refused(iam.create_user, UserName=user.upper(), Path="/elsewhere/")

    assert (code, message) == ("EntityAlreadyExists", f"User with name {user} already exists.")
    assert other == "EntityAlreadyExists"


def test_of_many_who_make_the_same_user_one_succeeds(iam: Any) -> None:
    name = fresh()

    outcomes = at_once(lambda _: iam.create_user(UserName=name), range(6))

    assert sorted(outcomes) == ["EntityAlreadyExists"] * 5 + ["done"]


@pytest.mark.parametrize("name", ["a b", "a/b", "ü", "x" * 65])
def test_a_name_that_cannot_be_is_refused(iam: Any, name: str) -> None:
    code, message = refused(iam.create_user, UserName=name)

    assert code == "ValidationError"
    assert "userName" in message


@pytest.mark.parametrize("path", ["team", "/team", "team/", "/a b/"])
def test_a_path_that_cannot_be_is_refused(iam: Any, path: str) -> None:
    code, message = refused(iam.create_user, UserName=fresh(), Path=path)

    assert code == "ValidationError"
    assert "path" in message


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("get_user", {}),
        ("update_user", {"NewPath": "/x/"}),
        ("delete_user", {}),
        ("tag_user", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_user", {"TagKeys": ["a"]}),
        ("list_user_tags", {}),
        ("create_access_key", {}),
        ("list_access_keys", {}),
        ("update_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "Status": "Inactive"}),
        ("delete_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}),
        ("put_user_policy", {"PolicyName": "p", "PolicyDocument": json.dumps(ALLOW_LISTING)}),
        ("get_user_policy", {"PolicyName": "p"}),
        ("delete_user_policy", {"PolicyName": "p"}),
        ("list_user_policies", {}),
        ("list_groups_for_user", {}),
        ("list_mfa_devices", {}),
        ("list_ssh_public_keys", {}),
        ("list_service_specific_credentials", {}),
        ("list_signing_certificates", {}),
        ("get_login_profile", {}),
        ("delete_login_profile", {}),
    ],
)
def test_a_user_who_does_not_exist_is_not_found(iam: Any, operation: str, more: dict[str, Any]) -> None:
    refusal = refused(getattr(iam, operation), UserName="nobody-at-all", **more)

    assert refusal == ("NoSuchEntity", "The user with name nobody-at-all cannot be found.")


def test_a_deleted_user_is_gone_and_a_new_one_of_that_name_is_somebody_else(iam: Any, user: str) -> None:
    before = iam.get_user(UserName=user)["User"]["UserId"]
    iam.tag_user(UserName=user, Tags=[{"Key": "a", "Value": "b"}])
    iam.delete_user(UserName=user)
    gone, _ = refused(iam.get_user, UserName=user)

    again = iam.create_user(UserName=user)["User"]

    assert gone == "NoSuchEntity"
    assert again["UserId"] != before
    assert "Tags" not in iam.get_user(UserName=user)["User"]


def test_a_user_is_deleted_only_when_nothing_is_left(iam: Any, user: str) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(ALLOW_LISTING))
    iam.attach_user_policy(UserName=user, PolicyArn=READ_ONLY)
    group = fresh("g")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user)

    with_key = refused(iam.delete_user, UserName=user)
    iam.delete_access_key(UserName=user, AccessKeyId=key)
    with_attached = refused(iam.delete_user, UserName=user)
    iam.detach_user_policy(UserName=user, PolicyArn=READ_ONLY)
    with_policy = refused(iam.delete_user, UserName=user)
    iam.delete_user_policy(UserName=user, PolicyName="p")
    with_group = refused(iam.delete_user, UserName=user)
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_user(UserName=user)

    assert with_key == ("DeleteConflict", "Cannot delete entity, must delete access keys first.")
    assert with_attached == ("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    assert with_policy == ("DeleteConflict", "Cannot delete entity, must delete policies first.")
    assert with_group == ("DeleteConflict", "Cannot delete entity, must remove users from group first.")
    assert refused(iam.get_user, UserName=user)[0] == "NoSuchEntity"


def test_what_homeport_has_for_no_user_is_an_empty_list(iam: Any, user: str) -> None:
    assert iam.list_mfa_devices(UserName=user)["MFADevices"] == []
    assert iam.list_ssh_public_keys(UserName=user)["SSHPublicKeys"] == []
    assert iam.list_service_specific_credentials(UserName=user)["ServiceSpecificCredentials"] == []
    assert iam.list_signing_certificates(UserName=user)["Certificates"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    missing = ("NoSuchEntity", f"Login Profile for User {user} cannot be found.")
    assert refused(iam.get_login_profile, UserName=user) == missing
    assert refused(iam.delete_login_profile, UserName=user) == missing


def test_terraform_can_make_change_and_destroy_a_user(iam: Any) -> None:
    """The calls of the AWS provider's aws_iam_user with force_destroy, in its order."""
    name, group = fresh("tf"), fresh("g")
    iam.create_user(UserName=name, Path="/", Tags=[{"Key": "a", "Value": "1"}])
    iam.update_user(UserName=name, NewUserName=name, NewPath="/tf/")
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=READ_ONLY)
    iam.untag_user(UserName=name, TagKeys=["a"])
    iam.tag_user(UserName=name, Tags=[{"Key": "b", "Value": "2"}])
    read = iam.get_user(UserName=name)["User"]
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=name)
    iam.create_access_key(UserName=name)

    for each in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(GroupName=each["GroupName"], UserName=name)
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    left = [
        iam.list_ssh_public_keys(UserName=name)["SSHPublicKeys"],
        iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"],
        iam.list_mfa_devices(UserName=name)["MFADevices"],
        iam.list_signing_certificates(UserName=name)["Certificates"],
        iam.list_service_specific_credentials(UserName=name)["ServiceSpecificCredentials"],
    ]
    profile = refused(iam.delete_login_profile, UserName=name)[0]
    iam.delete_user(UserName=name)

    assert (read["Path"], read["Tags"]) == ("/tf/", [{"Key": "b", "Value": "2"}])
    assert read["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    assert left == [[]] * 5
    assert profile == "NoSuchEntity"
    assert refused(iam.get_user, UserName=name)[0] == "NoSuchEntity"


def test_who_takes_on_a_role_must_say_which_user_they_mean(
    homeport: Homeport, iam: Any, account: str
) -> None:
    role = fresh("r")
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps(policy("iam:*")))
    session = homeport.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    theirs = homeport.client(
        "iam",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )

    expected = ("ValidationError", "Must specify userName when calling with non-User credentials")
    assert refused(theirs.get_user) == expected
    assert refused(theirs.create_access_key) == expected
    assert theirs.get_user(UserName="administrator")["User"]["UserName"] == "administrator"


# --- Another name, another path ---


def test_everything_follows_a_user_who_gets_another_name(homeport: Homeport, iam: Any, account: str) -> None:
    old, new, group = fresh("old"), fresh("new"), fresh("g")
    iam.create_user(UserName=old, Tags=[{"Key": "team", "Value": "shop"}])
    iam.put_user_policy(UserName=old, PolicyName="p", PolicyDocument=json.dumps(ALLOW_LISTING))
    key = iam.create_access_key(UserName=old)["AccessKey"]
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=old)
    before = iam.get_user(UserName=old)["User"]

    iam.update_user(UserName=old, NewUserName=new, NewPath="/moved/")

    after = iam.get_user(UserName=new)["User"]
    assert refused(iam.get_user, UserName=old)[0] == "NoSuchEntity"
    assert after["Arn"] == f"arn:aws:iam::{account}:user/moved/{new}"
    assert (after["UserId"], after["Tags"]) == (before["UserId"], before["Tags"])
    assert iam.list_user_policies(UserName=new)["PolicyNames"] == ["p"]
    assert [each["AccessKeyId"] for each in iam.list_access_keys(UserName=new)["AccessKeyMetadata"]] == [
        key["AccessKeyId"]
    ]
    assert [each["GroupName"] for each in iam.list_groups_for_user(UserName=new)["Groups"]] == [group]
    assert [each["UserName"] for each in iam.get_group(GroupName=group)["Users"]] == [new]
    theirs = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    assert homeport.client("sts", **theirs).get_caller_identity()["Arn"] == after["Arn"]
    assert "repositories" in homeport.client("ecr", **theirs).describe_repositories()


def test_a_name_that_is_taken_is_no_new_name(iam: Any, user: str) -> None:
    other = fresh()
    iam.create_user(UserName=other)

    code, message = refused(iam.update_user, UserName=user, NewUserName=other)

    assert (code, message) == ("EntityAlreadyExists", f"User with name {other} already exists.")
    assert iam.get_user(UserName=user)["User"]["UserName"] == user


def test_only_the_case_of_a_name_can_be_changed(iam: Any, user: str) -> None:
    iam.update_user(UserName=user, NewUserName=user.upper())

    assert iam.get_user(UserName=user.upper())["User"]["UserName"] == user.upper()


# --- Lists ---


def test_users_are_listed_by_path_in_pages(iam: Any) -> None:
    path = f"/{uuid.uuid4().hex}/"
    names = sorted(fresh() for _ in range(5))
    for name in names:
        iam.create_user(UserName=name, Path=path + "deep/" if name == names[0] else path)

    listed = iam.list_users(PathPrefix=path)["Users"]
    paged, marker, sizes = [], None, []
    while True:
        page = iam.list_users(PathPrefix=path, MaxItems=2, **({"Marker": marker} if marker else {}))
        paged += [each["UserName"] for each in page["Users"]]
        sizes.append(len(page["Users"]))
        if not page["IsTruncated"]:
            break
        marker = page["Marker"]
        assert len(marker) <= 320

    assert [each["UserName"] for each in listed] == paged == names
    assert sizes == [2, 2, 1]
    assert "Tags" not in listed[0]
    assert [each["UserName"] for each in iam.list_users(PathPrefix=path + "deep/")["Users"]] == names[:1]
    assert "Marker" not in page


def test_the_longest_name_can_begin_a_page(iam: Any) -> None:
    path = f"/{uuid.uuid4().hex}/"
    for letter in "ab":
        iam.create_user(UserName=(letter + uuid.uuid4().hex * 2)[:64], Path=path)

    found = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 1}))

    assert [len(page["Users"]) for page in found] == [1, 1]


def test_a_marker_of_another_list_or_of_nobody_is_refused(iam: Any) -> None:
    path = f"/{uuid.uuid4().hex}/"
    for _ in range(2):
        iam.create_user(UserName=fresh(), Path=path)
    marker = iam.list_users(PathPrefix=path, MaxItems=1)["Marker"]

    other_filter = refused(iam.list_users, PathPrefix="/", Marker=marker)[0]
    other_list = refused(iam.list_groups, PathPrefix=path, Marker=marker)[0]
    made_up = refused(iam.list_users, Marker="made-up")[0]

    assert {other_filter, other_list, made_up} == {"ValidationError"}


# --- Tags ---


def test_tags_are_added_changed_and_removed_without_regard_to_case(iam: Any, user: str) -> None:
    iam.tag_user(UserName=user, Tags=[{"Key": "Department", "Value": "a"}, {"Key": "Größe", "Value": ""}])
    iam.tag_user(UserName=user, Tags=[{"Key": "department", "Value": "b"}])
    changed = iam.list_user_tags(UserName=user)["Tags"]
    iam.untag_user(UserName=user, TagKeys=["DEPARTMENT", "unknown"])

    assert {tag["Key"]: tag["Value"] for tag in changed} == {"department": "b", "Größe": ""}
    assert iam.list_user_tags(UserName=user)["Tags"] == [{"Key": "Größe", "Value": ""}]


def test_tags_come_in_pages(iam: Any, user: str) -> None:
    keys = [f"{'ü' * 120}{number}" for number in range(5)]
    iam.tag_user(UserName=user, Tags=[{"Key": key, "Value": "x"} for key in keys])

    pages = list(
        iam.get_paginator("list_user_tags").paginate(UserName=user, PaginationConfig={"PageSize": 2})
    )

    assert [tag["Key"] for page in pages for tag in page["Tags"]] == keys
    assert [page["IsTruncated"] for page in pages] == [True, True, False]


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}],
        [{"Key": "aws:owner", "Value": "1"}],
    ],
)
def test_tags_that_cannot_be_are_refused_and_change_nothing(
    iam: Any, user: str, tags: list[dict[str, str]]
) -> None:
    name = fresh()

    assert refused(iam.tag_user, UserName=user, Tags=tags)[0] == "InvalidInput"
    assert refused(iam.create_user, UserName=name, Tags=tags)[0] == "InvalidInput"
    assert iam.list_user_tags(UserName=user)["Tags"] == []
    assert refused(iam.get_user, UserName=name)[0] == "NoSuchEntity"


def test_a_user_has_fifty_tags_at_most(iam: Any, user: str) -> None:
    iam.tag_user(UserName=user, Tags=[{"Key": f"k{number}", "Value": "v"} for number in range(50)])

    code, message = refused(iam.tag_user, UserName=user, Tags=[{"Key": "one-more", "Value": "v"}])
    iam.tag_user(UserName=user, Tags=[{"Key": "K7", "Value": "changed"}])

    assert code == "LimitExceeded"
    assert message == "Cannot exceed quota for TagsPerUser: 50"
    assert len(iam.list_user_tags(UserName=user)["Tags"]) == 50


# --- Boundaries ---


def test_a_user_is_made_with_a_boundary_that_counts(homeport: Homeport, iam: Any) -> None:
    name, boundary = fresh(), READ_ONLY
    iam.create_user(UserName=name, PermissionsBoundary=boundary)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy("ecr:*")))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    ecr = homeport.client(
        "ecr", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )

    assert iam.get_user(UserName=name)["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert "repositories" in ecr.describe_repositories()
    assert refused(ecr.create_repository, repositoryName=f"x/{name}")[0] == "AccessDeniedException"


def test_a_boundary_that_is_no_policy_is_refused_and_makes_no_user(iam: Any, account: str) -> None:
    name, missing = fresh(), f"arn:aws:iam::{account}:policy/none"

    code, message = refused(iam.create_user, UserName=name, PermissionsBoundary=missing)

    assert code == "NoSuchEntity"
    assert missing in message
    assert refused(iam.get_user, UserName=name)[0] == "NoSuchEntity"
