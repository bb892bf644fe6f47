"""What the tests of previews and runs share: a server whose rules live in the future, policies, and their outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api.calls import new_name, put
from tests.harness.images import Image, random_image
from tests.harness.server import Homeport

DAY = 24 * 3600
PROMPTLY: dict[str, Any] = {"Delay": 0.05, "MaxAttempts": 400}

UNTAGGED = {"tagStatus": "untagged"}
ANY = {"tagStatus": "any"}


def tagged(*patterns: str) -> dict[str, Any]:
    return {"tagStatus": "tagged", "tagPatternList": list(patterns)}


def rule(
    priority: int,
    which: dict[str, Any],
    count: str,
    number: int,
    action: str = "expire",
    **more: Any,
) -> dict[str, Any]:
    """One rule; those that count days get their unit, a transition its target."""
    unit = {} if count == "imageCountMoreThan" else {"countUnit": "days"}
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    return {
        "rulePriority": priority,
        "selection": {**which, "countType": count, "countNumber": number, **unit, **more},
        "action": {"type": action, **target},
    }


def policy_of(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": list(rules)})


@contextmanager
def judging_later(**environment: str) -> Iterator[Homeport]:
    """A server that judges ninety-one days and a bit later, and runs no policy by itself."""
    ahead = {"HOMEPORT_LIFECYCLE_CLOCK_OFFSET": str(91 * DAY + 600), "HOMEPORT_LIFECYCLE_INTERVAL": "0"}
    with Homeport(environment={**ahead, **environment}) as server:
        yield server
        server.terminate()
        assert server.defects == []


class Shelf:
    """A repository of one account and what happens to its images under a policy."""

    def __init__(self, server: Homeport, credentials: Any = None, name: str | None = None) -> None:
        self.server = server
        self.ecr: Any = server.client(credentials=credentials)
        self.own: Any = server.client("homeport", credentials=credentials)
        self.name = name if name is not None else new_name("life")
        self.ecr.create_repository(repositoryName=self.name)

    def push(self, *tags: str, image: Image | None = None) -> str:
        return put(self.ecr, self.name, image if image is not None else random_image(), *tags)

    def push_all(self, *tags: str) -> list[str]:
        """One image for each tag, oldest first; an empty tag is none."""
        return [self.push(*([tag] if tag else [])) for tag in tags]

    def there(self, status: str = "ANY") -> dict[str, tuple[str, ...]]:
        """The tags of each image, by digest."""
        pages = self.ecr.get_paginator("describe_images").paginate(
            repositoryName=self.name, filter={"imageStatus": status}
        )
        return {
            each["imageDigest"]: tuple(each.get("imageTags", ()))
            for page in pages
            for each in page["imageDetails"]
        }

    def set_policy(self, *rules: dict[str, Any]) -> None:
        self.ecr.put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=policy_of(*rules))

    def preview(self, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Start a preview of the rules (or of the policy in force), wait for it, and return it."""
        text = {"lifecyclePolicyText": policy_of(*rules)} if rules else {}
        self.ecr.start_lifecycle_policy_preview(repositoryName=self.name, **text)
        waiter = self.ecr.get_waiter("lifecycle_policy_preview_complete")
        waiter.wait(repositoryName=self.name, WaiterConfig=PROMPTLY)
        found: dict[str, Any] = self.ecr.get_lifecycle_policy_preview(repositoryName=self.name, **more)
        return found

    def run(self) -> list[tuple[str, str, str]]:
        """Run the policy in force to its end; return (digest, action, outcome) of each entry in order."""
        named = {
            "repositoryName": self.name,
            "runId": self.own.start_lifecycle_run(repositoryName=self.name)["runId"],
        }
        self.own.get_waiter("lifecycle_run_complete").wait(**named, WaiterConfig=PROMPTLY)
        pages = self.own.get_paginator("describe_lifecycle_run").paginate(**named)
        return [
            (each["imageDigest"], each["action"]["type"], each["outcome"])
            for page in pages
            for each in page["entries"]
        ]

    def act(self, *rules: dict[str, Any]) -> list[tuple[str, str]]:
        """Preview the rules, then let them act; return what both say: (digest, action) in order."""
        self.set_policy(*rules)
        seen = [(one["imageDigest"], one["action"]["type"]) for one in self.preview()["previewResults"]]
        done = self.run()
        assert [(digest, action) for digest, action, _ in done] == seen
        assert {outcome for _, _, outcome in done} <= {"DONE"}
        return seen


@pytest.fixture(scope="module")
def later(isolated_environment: None) -> Iterator[Homeport]:
    """A server that judges ninety-one days later."""
    with judging_later() as server:
        yield server


@pytest.fixture
def shelf(later: Homeport) -> Shelf:
    """An empty repository on that server."""
    return Shelf(later)
