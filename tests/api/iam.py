"""Short forms for the tests of IAM: names that nobody has, and new people with their own clients."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from tests.harness.server import Homeport


def fresh(start: str = "u") -> str:
    """A name that nothing has."""
    return f"{start}-{uuid.uuid4().hex[:12]}"


def as_key(homeport: Homeport, key: Mapping[str, Any], service: str = "iam") -> Any:
    """A client that signs with an access key as CreateAccessKey answers it."""
    return homeport.client(
        service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )


def new_user(
    homeport: Homeport, document: Mapping[str, Any] | None, service: str = "iam", name: str | None = None
) -> Any:
    """Make a user with an inline policy and a key through the API; return a client that acts as them."""
    iam, name = homeport.client("iam"), name or fresh()
    iam.create_user(UserName=name)
    if document is not None:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    return as_key(homeport, iam.create_access_key(UserName=name)["AccessKey"], service)


def pages(client: Any, operation: str, size: int, **params: Any) -> Iterator[dict[str, Any]]:
    """Every page of a list, of `size` items each."""
    return iter(client.get_paginator(operation).paginate(**params, PaginationConfig={"PageSize": size}))
