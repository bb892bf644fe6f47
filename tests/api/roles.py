"""Roles for tests: made through the IAM API, taken on through STS."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


def statement(principal: object, *actions: str, effect: str = "Allow", **fields: Any) -> dict[str, Any]:
    """One statement of a trust policy; by default it lets the role be taken on."""
    return {
        "Effect": effect,
        "Principal": principal if isinstance(principal, dict) else {"AWS": principal},
        "Action": list(actions) or ["sts:AssumeRole"],
        **fields,
    }


def document(*statements: Mapping[str, Any]) -> str:
    """A policy of these statements, as JSON text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(*principals: str, **fields: Any) -> str:
    """A trust policy that lets these AWS principals take the role on."""
    return document(statement({"AWS": list(principals)}, **fields))


def root(who: Credentials) -> str:
    """The account of somebody, as policies name it."""
    return f"arn:aws:iam::{who.account_id}:root"


def new_role(
    homeport: Homeport,
    trust_policy: str,
    rights: Mapping[str, Any] | None = None,
    *,
    owner: Credentials | None = None,
    **more: Any,
) -> str:
    """Make a role with an inline policy; return its ARN."""
    iam = homeport.client("iam", credentials=owner)
    name = f"role-{uuid.uuid4().hex[:12]}"
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy, **more)["Role"]["Arn"]
    if rights is not None:
        iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=json.dumps(rights))
    return arn


def outcome(call: Callable[..., object], **params: Any) -> str:
    """Make a call; return `done` or the code of its error."""
    try:
        call(**params)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"


def name_of(arn: str) -> str:
    """The name of a role."""
    return arn.rpartition("/")[2]


class Session:
    """Temporary credentials as a test uses them."""

    def __init__(self, homeport: Homeport, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        found = answer["Credentials"]
        self._homeport = homeport
        self._settings = {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["SessionToken"],
        }

    def client(self, service: str = "ecr") -> Any:
        """A boto3 client of the session."""
        return self._homeport.client(service, **self._settings)

    def registry(self) -> OciClient:
        """The registry as the session sees it."""
        answer = self.client().get_authorization_token()
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        return OciClient(self._homeport.url, password=token.removeprefix("AWS:"))


def assume(homeport: Homeport, role: str, *, by: Any = None, name: str = "work", **more: Any) -> Session:
    """Take on a role; `by` is an STS client, by default the administrator's."""
    sts = by if by is not None else homeport.client("sts")
    return Session(homeport, sts.assume_role(RoleArn=role, RoleSessionName=name, **more))
