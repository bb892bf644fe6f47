"""Who may do what with IAM users: nobody by default, and never more than a policy says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam import fresh, new_user
from tests.harness.server import Credentials, Homeport


@pytest.fixture
def user(iam: Any) -> str:
    """A user of the API's own, without rights."""
    name = fresh()
    iam.create_user(UserName=name)
    return name


READS: dict[str, dict[str, Any]] = {
    "list_users": {},
    "get_user": {"UserName": "administrator"},
    "list_user_tags": {"UserName": "administrator"},
    "list_access_keys": {"UserName": "administrator"},
    "list_user_policies": {"UserName": "administrator"},
    "get_user_policy": {"UserName": "administrator", "PolicyName": "AdministratorAccess"},
    "list_groups_for_user": {"UserName": "administrator"},
    "list_mfa_devices": {"UserName": "administrator"},
    "list_virtual_mfa_devices": {},
    "get_login_profile": {"UserName": "administrator"},
}
WRITES: dict[str, dict[str, Any]] = {
    "create_user": {"UserName": "made-by-a-stranger"},
    "update_user": {"UserName": "administrator", "NewUserName": "demoted"},
    "delete_user": {"UserName": "administrator"},
    "tag_user": {"UserName": "administrator", "Tags": [{"Key": "a", "Value": "b"}]},
    "untag_user": {"UserName": "administrator", "TagKeys": ["a"]},
    "create_access_key": {"UserName": "administrator"},
    "put_user_policy": {"UserName": "administrator", "PolicyName": "p", "PolicyDocument": "{}"},
    "delete_user_policy": {"UserName": "administrator", "PolicyName": "AdministratorAccess"},
    "delete_login_profile": {"UserName": "administrator"},
}


@pytest.mark.parametrize("operation", [*READS, *WRITES])
def test_a_user_without_rights_may_do_nothing(
    homeport: Homeport, iam: Any, stranger: Credentials, operation: str
) -> None:
    theirs = homeport.client("iam", credentials=stranger)

    code, message = refused(getattr(theirs, operation), **{**READS, **WRITES}[operation])

    assert code == "AccessDenied"
    assert message.startswith(f"User: {stranger.user_arn} is not authorized to perform: iam:")
    assert "AdministratorAccess" in iam.list_user_policies(UserName="administrator")["PolicyNames"]


def test_who_may_not_look_does_not_learn_whether_a_user_exists(homeport: Homeport, user: str) -> None:
    theirs = new_user(homeport, None)

    known = refused(theirs.get_user, UserName=user)
    unknown = refused(theirs.get_user, UserName="nobody-at-all")

    assert known[0] == unknown[0] == "AccessDenied"
    assert known[1].replace(user, "X") == unknown[1].replace("nobody-at-all", "X")


def test_a_user_may_look_after_themselves_alone(
    iam: Any, account: str, homeport: Homeport, user: str
) -> None:
    own = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:GetUser", "iam:*AccessKey*"],
                "Resource": f"arn:aws:iam::{account}:user/${{aws:username}}",
            }
        ],
    }
    name = fresh()
    theirs = new_user(homeport, own, "iam", name)

    assert theirs.get_user()["User"]["UserName"] == name
    assert len(theirs.list_access_keys()["AccessKeyMetadata"]) == 1
    second = theirs.create_access_key()["AccessKey"]
    assert second["UserName"] == name
    theirs.update_access_key(AccessKeyId=second["AccessKeyId"], Status="Inactive")
    theirs.delete_access_key(UserName=name, AccessKeyId=second["AccessKeyId"])
    for operation in ("get_user", "create_access_key", "list_access_keys"):
        assert refused(getattr(theirs, operation), UserName=user)[0] == "AccessDenied"
    assert refused(theirs.put_user_policy, UserName=name, PolicyName="p", PolicyDocument="{}")[0] == (
        "AccessDenied"
    )


def test_rights_on_a_path_end_at_the_path(iam: Any, account: str, homeport: Homeport) -> None:
    part = uuid.uuid4().hex
    theirs = new_user(homeport, policy("iam:*User", resource=f"arn:aws:iam::{account}:user/{part}/*"))
    inside, outside = fresh("in"), fresh("out")
    iam.create_user(UserName=outside)

    theirs.create_user(UserName=inside, Path=f"/{part}/")
    created_outside = refused(theirs.create_user, UserName=fresh())[0]
    moved_out = refused(theirs.update_user, UserName=inside, NewPath="/")[0]
    moved_in = refused(theirs.update_user, UserName=outside, NewPath=f"/{part}/")[0]
    theirs.update_user(UserName=inside, NewPath=f"/{part}/deeper/")
    deleted_outside = refused(theirs.delete_user, UserName=outside)[0]
    theirs.delete_user(UserName=inside)

    assert {created_outside, moved_out, moved_in, deleted_outside} == {"AccessDenied"}


def test_tags_of_a_request_and_of_a_user_decide(account: str, iam: Any, homeport: Homeport) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:CreateUser", "iam:TagUser"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:RequestTag/team": "shop"}},
            },
            {
                "Effect": "Allow",
                "Action": "iam:DeleteUser",
                "Resource": "*",
                "Condition": {
                    "StringEquals": {"aws:ResourceTag/team": "shop", "iam:ResourceTag/team": "shop"}
                },
            },
        ],
    }
    theirs = new_user(homeport, document)
    shop, other = fresh(), fresh()
    iam.create_user(UserName=other, Tags=[{"Key": "team", "Value": "other"}])

    untagged = refused(theirs.create_user, UserName=fresh())[0]
    wrong = refused(theirs.create_user, UserName=fresh(), Tags=[{"Key": "team", "Value": "other"}])[0]
    theirs.create_user(UserName=shop, Tags=[{"Key": "team", "Value": "shop"}])
    not_theirs = refused(theirs.delete_user, UserName=other)[0]
    theirs.delete_user(UserName=shop)

    assert {untagged, wrong, not_theirs} == {"AccessDenied"}


def test_a_user_is_made_with_tags_only_by_who_may_tag(homeport: Homeport) -> None:
    theirs = new_user(homeport, policy("iam:CreateUser"))

    code, message = refused(theirs.create_user, UserName=fresh(), Tags=[{"Key": "a", "Value": "b"}])

    assert code == "AccessDenied"
    assert "iam:TagUser" in message
    theirs.create_user(UserName=fresh())


def test_the_administrator_of_another_account_finds_nobody_here(
    homeport: Homeport, neighbour: Credentials, user: str
) -> None:
    theirs = homeport.client("iam", credentials=neighbour)

    assert refused(theirs.get_user, UserName=user)[0] == "NoSuchEntity"
    assert user not in [each["UserName"] for each in theirs.list_users(MaxItems=1000)["Users"]]
