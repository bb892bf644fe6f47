"""Short forms for the tests of IAM's roles, managed policies and providers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from tests.api.calls import policy
from tests.harness.server import Credentials, Homeport

AWS = "arn:aws:iam::aws:policy/"
"""Begins the ARN of every built-in policy."""


def fresh(start: str = "t") -> str:
    """A name that nobody has."""
    return f"{start}-{uuid.uuid4().hex[:12]}"


def text(*actions: str, resource: str = "*", effect: str = "Allow") -> str:
    """An identity policy with one statement, as text."""
    return json.dumps(policy(*actions, resource=resource, effect=effect))


def trust(account: str) -> str:
    """A trust policy for everybody in an account whose own policies allow it."""
    statement = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def new_role(iam: Any, account: str, **more: Any) -> str:
    """Create a role; return its name."""
    name = fresh("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(account), **more)
    return name


def new_policy(iam: Any, document: str | None = None, **more: Any) -> str:
    """Create a managed policy; return its ARN."""
    answer = iam.create_policy(
        PolicyName=fresh("policy"), PolicyDocument=document or text("ecr:DescribeRepositories"), **more
    )
    arn: str = answer["Policy"]["Arn"]
    return arn


def new_user(homeport: Homeport, document: Mapping[str, Any] | None = None) -> Credentials:
    """Create a user with that inline policy through the API; return its key."""
    iam: Any = homeport.client("iam")
    name = fresh("user")
    created = iam.create_user(UserName=name)["User"]
    if document is not None:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    us = homeport.credentials
    return Credentials(
        us.account_id, us.region, name, created["Arn"], key["AccessKeyId"], key["SecretAccessKey"]
    )
