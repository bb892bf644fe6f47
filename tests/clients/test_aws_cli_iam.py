"""The aws command line with the recipes of IAM's own user guide: a user, a group, keys, rotation, removal."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest

from tests.clients.test_aws_cli import Aws
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, needs("aws", "awscli"), pytest.mark.timeout(180)]


@pytest.fixture
def aws(sandbox: Sandbox, homeport: Homeport) -> Aws:
    """The command line as the administrator of the shared server."""
    sandbox.act_as(homeport.credentials)
    return Aws(sandbox, homeport)


def test_a_developer_is_taken_on_works_rotates_keys_and_leaves(
    aws: Aws, sandbox: Sandbox, homeport: Homeport
) -> None:
    user, group = f"dev-{uuid.uuid4().hex[:8]}", f"devs-{uuid.uuid4().hex[:8]}"
    allowed = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})

    aws.json("iam", "create-group", "--group-name", group)
    aws.json(
        *("iam", "put-group-policy", "--group-name", group),
        *("--policy-name", "registry", "--policy-document", document),
    )
    created = aws.json("iam", "create-user", "--user-name", user, "--tags", "Key=team,Value=shop")["User"]
    aws.json("iam", "add-user-to-group", "--group-name", group, "--user-name", user)
    first = aws.json("iam", "create-access-key", "--user-name", user)["AccessKey"]
    shown = aws.json("iam", "get-group-policy", "--group-name", group, "--policy-name", "registry")

    theirs = replace(
        homeport.credentials,
        user_name=user,
        user_arn=created["Arn"],
        access_key_id=first["AccessKeyId"],
        secret_access_key=first["SecretAccessKey"],
    )
    sandbox.act_as(theirs)
    identity = aws.json("sts", "get-caller-identity")
    login = aws.text("ecr", "get-login-password")
    refusal = aws.refused("iam", "create-access-key")
    sandbox.act_as(homeport.credentials)

    second = aws.json("iam", "create-access-key", "--user-name", user)["AccessKey"]["AccessKeyId"]
    named = ("--user-name", user, "--access-key-id", first["AccessKeyId"])
    aws.json("iam", "update-access-key", *named, "--status", "Inactive")
    keys = aws.json("iam", "list-access-keys", "--user-name", user)["AccessKeyMetadata"]
    aws.json("iam", "delete-access-key", *named)

    still = aws.refused("iam", "delete-user", "--user-name", user)
    aws.json("iam", "delete-access-key", "--user-name", user, "--access-key-id", second)
    aws.json("iam", "remove-user-from-group", "--group-name", group, "--user-name", user)
    aws.json("iam", "delete-user", "--user-name", user)
    gone = aws.refused("iam", "get-user", "--user-name", user)

    assert shown["PolicyDocument"] == json.loads(document)
    assert identity["Arn"] == created["Arn"]
    assert login.strip()
    assert "AccessDenied" in refusal
    assert {key["AccessKeyId"]: key["Status"] for key in keys} == {
        first["AccessKeyId"]: "Inactive",
        second: "Active",
    }
    assert "DeleteConflict" in still
    assert f"The user with name {user} cannot be found." in gone


def test_wait_until_a_user_exists_returns(aws: Aws) -> None:
    user = f"dev-{uuid.uuid4().hex[:8]}"
    aws.json("iam", "create-user", "--user-name", user, "--path", "/staff/")

    aws.text("iam", "wait", "user-exists", "--user-name", user)

    listed = aws.json("iam", "list-users", "--path-prefix", "/staff/", "--page-size", "1")["Users"]
    assert user in [each["UserName"] for each in listed]
