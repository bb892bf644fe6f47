"""What the tests of Homeport's own operations share: policies, clients, images that are deleted."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.server import Credentials, Homeport


def policy_text(count: int = 5, **more: Any) -> str:
    """A lifecycle policy that leaves the newest `count` images; `more` goes into its selection."""
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count, **more}
    rule = {"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [rule]})


def own_client(homeport: Homeport, who: Credentials | None = None) -> Any:
    """A boto3 client of the service `homeport`."""
    return homeport.client("homeport", credentials=who)


def pages_of(client: Any, operation: str, key: str, **params: Any) -> list[list[Any]]:
    """What a paginator of boto3 returns, two entries a page."""
    pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **params)
    return [page[key] for page in pages]


def bare(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what boto3 adds."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
