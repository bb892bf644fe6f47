"""Access keys over boto3: two at most, on and off, and what a switched-off key takes with it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.api.calls import at_once, policy, refused
from tests.api.iam import as_key, fresh, new_user, pages
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

LOGIN = policy("ecr:GetAuthorizationToken", "sts:GetCallerIdentity")


@pytest.fixture
def user(iam: Any) -> str:
    """A user without keys who may log in to the registry."""
    name = fresh()
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(LOGIN))
    return name


def test_a_key_signs_as_its_user_and_its_secret_is_shown_once(
    homeport: Homeport, iam: Any, user: str, account: str
) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]

    identity = as_key(homeport, key, "sts").get_caller_identity()
    listed = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key["AccessKeyId"])
    assert len(key["SecretAccessKey"]) == 40
    assert (key["UserName"], key["Status"]) == (user, "Active")
    assert identity["Arn"] == f"arn:aws:iam::{account}:user/{user}"
    assert identity["UserId"] == iam.get_user(UserName=user)["User"]["UserId"]
    assert listed == [
        {
            "UserName": user,
            "AccessKeyId": key["AccessKeyId"],
            "Status": "Active",
            "CreateDate": key["CreateDate"],
        }
    ]


def test_a_user_has_two_keys_at_most_also_when_many_ask_at_once(iam: Any, user: str) -> None:
    outcomes = at_once(lambda _: iam.create_access_key(UserName=user), range(6))

    code, message = refused(iam.create_access_key, UserName=user)
    assert sorted(outcomes) == ["LimitExceeded"] * 4 + ["done"] * 2
    assert (code, message) == ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
    assert len(iam.list_access_keys(UserName=user)["AccessKeyMetadata"]) == 2


def test_keys_come_in_pages(iam: Any, user: str) -> None:
    made = [iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"] for _ in range(2)]

    found = list(pages(iam, "list_access_keys", 1, UserName=user))

    assert [[key["AccessKeyId"] for key in page["AccessKeyMetadata"]] for page in found] == [
        [each] for each in made
    ]


def test_a_key_that_is_off_signs_nothing_until_it_is_on_again(
    homeport: Homeport, iam: Any, user: str
) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    theirs = as_key(homeport, key, "sts")
    named = {"UserName": user, "AccessKeyId": key["AccessKeyId"]}

    iam.update_access_key(**named, Status="Inactive")
    off = refused(theirs.get_caller_identity)[0]
    status = iam.list_access_keys(UserName=user)["AccessKeyMetadata"][0]["Status"]
    iam.update_access_key(**named, Status="Active")

    assert (off, status) == ("InvalidClientTokenId", "Inactive")
    assert "Arn" in theirs.get_caller_identity()


@pytest.mark.parametrize("how", ["off", "deleted", "user without policy"])
def test_a_password_that_is_out_ends_with_its_key(homeport: Homeport, iam: Any, user: str, how: str) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    credentials = Credentials(
        "", homeport.credentials.region, user, "", key["AccessKeyId"], key["SecretAccessKey"]
    )
    client = OciClient(homeport.url, "AWS", homeport.password(credentials))
    before = client.request("GET", "/v2/").status

    if how == "off":
        iam.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    elif how == "deleted":
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    else:
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName=user, PolicyName="p")
        iam.delete_user(UserName=user)

    assert before == 200
    assert client.request("GET", "/v2/").status == 401


@pytest.mark.parametrize("operation", ["update_access_key", "delete_access_key"])
def test_a_key_belongs_to_one_user(iam: Any, user: str, operation: str) -> None:
    other = fresh()
    iam.create_user(UserName=other)
    key = iam.create_access_key(UserName=other)["AccessKey"]["AccessKeyId"]
    status = {"Status": "Inactive"} if operation == "update_access_key" else {}

    refusal = refused(getattr(iam, operation), UserName=user, AccessKeyId=key, **status)

    assert refusal == ("NoSuchEntity", f"The Access Key with id {key} cannot be found.")
    assert [each["Status"] for each in iam.list_access_keys(UserName=other)["AccessKeyMetadata"]] == [
        "Active"
    ]


def test_a_key_cannot_be_made_to_expire(iam: Any, user: str) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]

    code, message = refused(iam.update_access_key, UserName=user, AccessKeyId=key, Status="Expired")

    assert code == "InvalidInput"
    assert message == "The status Expired cannot be set; it must be Active or Inactive."


def test_a_key_of_another_account_is_out_of_reach(
    homeport: Homeport, iam: Any, neighbour: Credentials
) -> None:
    theirs = homeport.client("iam", credentials=neighbour)

    for operation, more in (("update_access_key", {"Status": "Inactive"}), ("delete_access_key", {})):
        code, _ = refused(getattr(theirs, operation), AccessKeyId=homeport.credentials.access_key_id, **more)
        assert code == "NoSuchEntity"
    assert iam.get_user()["User"]["UserName"] == "administrator"


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("create_access_key", {}),
        ("list_access_keys", {}),
        ("update_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "Status": "Inactive"}),
        ("delete_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}),
    ],
)
def test_a_user_without_rights_does_not_manage_even_their_own_keys(
    homeport: Homeport, operation: str, more: dict[str, str]
) -> None:
    name = fresh()
    theirs = new_user(homeport, LOGIN, "iam", name)

    for named in ({}, {"UserName": name}, {"UserName": "administrator"}):
        assert refused(getattr(theirs, operation), **named, **more)[0] == "AccessDenied"


def test_temporary_credentials_of_a_user_cannot_make_themselves_a_key(homeport: Homeport) -> None:
    session = homeport.client("sts").get_session_token()["Credentials"]
    temporary = homeport.client(
        "iam",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )

    assert refused(temporary.create_access_key)[0] == "InvalidClientTokenId"
    assert refused(temporary.list_users)[0] == "InvalidClientTokenId"


def test_whose_key_it_is_is_told_to_who_may_know(homeport: Homeport, iam: Any, user: str) -> None:
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    theirs = new_user(homeport, LOGIN)

    answer = iam.get_access_key_last_used(AccessKeyId=key)
    unknown = refused(iam.get_access_key_last_used, AccessKeyId="AKIAAAAAAAAAAAAAAAAA")

    assert answer["UserName"] == user
    assert "AccessKeyLastUsed" not in answer
    assert unknown == ("NoSuchEntity", "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found.")
    for each in (key, "AKIAAAAAAAAAAAAAAAAA"):
        assert refused(theirs.get_access_key_last_used, AccessKeyId=each)[0] == "AccessDenied"


def test_no_secret_of_a_new_key_reaches_the_log(homeport: Homeport, iam: Any, user: str) -> None:
    secret = iam.create_access_key(UserName=user)["AccessKey"]["SecretAccessKey"]
    homeport.wait_for_log(lambda record: record.get("operation") == "CreateAccessKey" or None, "the request")

    assert secret not in "\n".join(homeport.output)
