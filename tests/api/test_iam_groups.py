"""IAM groups over boto3: their life, their members, and policies that reach every member."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam import fresh, new_user, pages
from tests.harness.server import Credentials, Homeport

LISTING = json.dumps(policy("ecr:DescribeRepositories"))


@pytest.fixture
def group(iam: Any) -> str:
    """An empty group."""
    name = fresh("g")
    iam.create_group(GroupName=name)
    return name


@pytest.fixture
def user(iam: Any) -> str:
    """A user without rights."""
    name = fresh()
    iam.create_user(UserName=name)
    return name


def test_a_group_is_answered_as_it_was_made(iam: Any, account: str) -> None:
    name = fresh("g")

    created = iam.create_group(GroupName=name, Path="/team/")["Group"]
    got = iam.get_group(GroupName=name)

    assert got["Group"] == created
    assert (got["Users"], got["IsTruncated"]) == ([], False)
    assert created["Arn"] == f"arn:aws:iam::{account}:group/team/{name}"
    assert created["GroupId"].startswith("AGPA")


def test_a_group_name_is_given_once_whatever_its_case(iam: Any, group: str) -> None:
    code, message = refused(iam.create_group, GroupName=group)

    assert (code, message) == ("EntityAlreadyExists", f"Group with name {group} already exists.")
    assert refused(iam.create_group, GroupName=group.upper())[0] == "EntityAlreadyExists"


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("get_group", {}),
        ("update_group", {"NewPath": "/x/"}),
        ("delete_group", {}),
        ("add_user_to_group", {"UserName": "administrator"}),
        ("remove_user_from_group", {"UserName": "administrator"}),
        ("put_group_policy", {"PolicyName": "p", "PolicyDocument": LISTING}),
        ("get_group_policy", {"PolicyName": "p"}),
        ("delete_group_policy", {"PolicyName": "p"}),
        ("list_group_policies", {}),
    ],
)
def test_a_group_that_does_not_exist_is_not_found(iam: Any, operation: str, more: dict[str, str]) -> None:
    refusal = refused(getattr(iam, operation), GroupName="no-such-group", **more)

    assert refusal == ("NoSuchEntity", "The group with name no-such-group cannot be found.")


def test_a_group_is_deleted_only_when_it_is_empty(iam: Any, group: str, user: str) -> None:
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=LISTING)

    with_user = refused(iam.delete_group, GroupName=group)
    iam.remove_user_from_group(GroupName=group, UserName=user)
    with_policy = refused(iam.delete_group, GroupName=group)
    iam.delete_group_policy(GroupName=group, PolicyName="p")
    iam.delete_group(GroupName=group)

    assert with_user == ("DeleteConflict", "Cannot delete entity, must remove users from group first.")
    assert with_policy == ("DeleteConflict", "Cannot delete entity, must delete policies first.")
    assert refused(iam.get_group, GroupName=group)[0] == "NoSuchEntity"


def test_a_policy_of_a_group_is_every_members_from_the_next_request_on(
    homeport: Homeport, iam: Any, group: str
) -> None:
    name = fresh()
    ecr = new_user(homeport, None, "ecr", name)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=LISTING)
    outcomes = [refused(ecr.describe_repositories)[0]]

    iam.add_user_to_group(GroupName=group, UserName=name)
    outcomes.append("done" if "repositories" in ecr.describe_repositories() else "")
    iam.delete_group_policy(GroupName=group, PolicyName="p")
    outcomes.append(refused(ecr.describe_repositories)[0])
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=LISTING)
    outcomes.append("done" if "repositories" in ecr.describe_repositories() else "")
    iam.remove_user_from_group(GroupName=group, UserName=name)
    outcomes.append(refused(ecr.describe_repositories)[0])

    denied = "AccessDeniedException"
    assert outcomes == [denied, "done", denied, "done", denied]


def test_members_and_policies_follow_a_group_that_gets_another_name(
    homeport: Homeport, iam: Any, account: str, group: str
) -> None:
    name, renamed = fresh(), fresh("renamed")
    ecr = new_user(homeport, None, "ecr", name)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=LISTING)
    iam.add_user_to_group(GroupName=group, UserName=name)

    iam.update_group(GroupName=group, NewGroupName=renamed, NewPath="/moved/")

    got = iam.get_group(GroupName=renamed)
    assert got["Group"]["Arn"] == f"arn:aws:iam::{account}:group/moved/{renamed}"
    assert [each["UserName"] for each in got["Users"]] == [name]
    assert iam.list_group_policies(GroupName=renamed)["PolicyNames"] == ["p"]
    assert refused(iam.get_group, GroupName=group)[0] == "NoSuchEntity"
    assert "repositories" in ecr.describe_repositories()


def test_a_group_cannot_take_the_name_of_another(iam: Any, group: str) -> None:
    other = fresh("g")
    iam.create_group(GroupName=other)

    code, message = refused(iam.update_group, GroupName=group, NewGroupName=other)

    assert (code, message) == ("EntityAlreadyExists", f"Group with name {other} already exists.")


def test_joining_twice_and_leaving_what_one_is_not_in_change_nothing(iam: Any, group: str, user: str) -> None:
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.add_user_to_group(GroupName=group, UserName=user)

    assert [each["UserName"] for each in iam.get_group(GroupName=group)["Users"]] == [user]


@pytest.mark.parametrize("operation", ["add_user_to_group", "remove_user_from_group"])
def test_who_does_not_exist_neither_joins_nor_leaves(iam: Any, group: str, operation: str) -> None:
    refusal = refused(getattr(iam, operation), GroupName=group, UserName="nobody-at-all")

    assert refusal == ("NoSuchEntity", "The user with name nobody-at-all cannot be found.")


def test_a_user_is_in_ten_groups_at_most_and_they_come_in_pages(iam: Any, user: str) -> None:
    names = sorted(fresh("g") for _ in range(11))
    for name in names:
        iam.create_group(GroupName=name)
    for name in names[:10]:
        iam.add_user_to_group(GroupName=name, UserName=user)

    code, message = refused(iam.add_user_to_group, GroupName=names[10], UserName=user)
    found = list(pages(iam, "list_groups_for_user", 4, UserName=user))

    assert (code, message) == ("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")
    assert [each["GroupName"] for page in found for each in page["Groups"]] == names[:10]
    assert [len(page["Groups"]) for page in found] == [4, 4, 2]


def test_members_come_in_pages(iam: Any, group: str) -> None:
    names = sorted(fresh() for _ in range(3))
    for name in names:
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName=group, UserName=name)

    found = list(pages(iam, "get_group", 2, GroupName=group))

    assert [[each["UserName"] for each in page["Users"]] for page in found] == [names[:2], names[2:]]
    assert {page["Group"]["GroupName"] for page in found} == {group}


def test_groups_are_listed_by_path_in_pages(iam: Any) -> None:
    path = f"/{uuid.uuid4().hex}/"
    names = sorted(fresh("g") for _ in range(3))
    for name in names:
        iam.create_group(GroupName=name, Path=path)

    found = list(pages(iam, "list_groups", 2, PathPrefix=path))

    assert [[each["GroupName"] for each in page["Groups"]] for page in found] == [names[:2], names[2:]]


def test_the_inline_policies_of_a_group_share_5120_characters(iam: Any, group: str) -> None:
    def sized(size: int) -> str:
        text = json.dumps(policy("ecr:*", resource="arn:aws:ecr:*:*:repository/"), separators=(",", ":"))
        return text.replace("repository/", "repository/" + "x" * (size - len(text)))

    iam.put_group_policy(GroupName=group, PolicyName="a", PolicyDocument=sized(4000))
    code, message = refused(iam.put_group_policy, GroupName=group, PolicyName="b", PolicyDocument=sized(1121))
    iam.put_group_policy(GroupName=group, PolicyName="b", PolicyDocument=sized(1120))

    assert (code, message) == (
        "LimitExceeded",
        f"Maximum policy size of 5120 bytes exceeded for group {group}",
    )


def test_an_inline_policy_of_a_group_is_answered_as_it_was_put(iam: Any, group: str) -> None:
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=LISTING)

    got = iam.get_group_policy(GroupName=group, PolicyName="p")
    missing = refused(iam.get_group_policy, GroupName=group, PolicyName="none")

    assert got["PolicyDocument"] == json.loads(LISTING)
    assert (got["GroupName"], got["PolicyName"]) == (group, "p")
    assert missing == ("NoSuchEntity", "The group policy with name none cannot be found.")


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("create_group", {"GroupName": "made-by-a-stranger"}),
        ("get_group", {"GroupName": "any"}),
        ("update_group", {"GroupName": "any", "NewPath": "/x/"}),
        ("delete_group", {"GroupName": "any"}),
        ("list_groups", {}),
        ("add_user_to_group", {"GroupName": "any", "UserName": "stranger"}),
        ("remove_user_from_group", {"GroupName": "any", "UserName": "stranger"}),
        ("list_groups_for_user", {"UserName": "stranger"}),
        ("put_group_policy", {"GroupName": "any", "PolicyName": "p", "PolicyDocument": LISTING}),
        ("get_group_policy", {"GroupName": "any", "PolicyName": "p"}),
        ("delete_group_policy", {"GroupName": "any", "PolicyName": "p"}),
        ("list_group_policies", {"GroupName": "any"}),
    ],
)
def test_a_user_without_rights_may_do_nothing_with_groups(
    homeport: Homeport, stranger: Credentials, operation: str, params: dict[str, str]
) -> None:
    theirs = homeport.client("iam", credentials=stranger)

    assert refused(getattr(theirs, operation), **params)[0] == "AccessDenied"


def test_who_may_fill_one_group_may_not_fill_another(
    homeport: Homeport, iam: Any, account: str, group: str, user: str
) -> None:
    powerful = fresh("admins")
    iam.create_group(GroupName=powerful)
    theirs = new_user(
        homeport, policy("iam:AddUserToGroup", resource=f"arn:aws:iam::{account}:group/{group}")
    )

    theirs.add_user_to_group(GroupName=group, UserName=user)

    assert refused(theirs.add_user_to_group, GroupName=powerful, UserName=user)[0] == "AccessDenied"
    assert iam.get_group(GroupName=powerful)["Users"] == []


def test_an_inline_policy_of_a_role_is_kept_as_well(iam: Any) -> None:
    role = fresh("r")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )

    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=LISTING)
    got = iam.get_role_policy(RoleName=role, PolicyName="p")
    listed = iam.list_role_policies(RoleName=role)["PolicyNames"]
    conflict = refused(iam.delete_role, RoleName=role)
    iam.delete_role_policy(RoleName=role, PolicyName="p")

    assert (got["RoleName"], got["PolicyDocument"], listed) == (role, json.loads(LISTING), ["p"])
    assert conflict == ("DeleteConflict", "Cannot delete entity, must delete policies first.")
    assert refused(iam.get_role_policy, RoleName=role, PolicyName="p") == (
        "NoSuchEntity",
        "The role policy with name p cannot be found.",
    )
    assert refused(iam.list_role_policies, RoleName="none") == (
        "NoSuchEntity",
        "The role with name none cannot be found.",
    )
