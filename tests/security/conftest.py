"""What security tests share: the server as a `Site`, a stranger with few rights, and the server's memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.server import Credentials, Homeport
from tests.oci.raw import Site


@pytest.fixture(scope="session")
def site(homeport: Homeport) -> Site:
    """The shared server, as its administrator."""
    return Site.of(homeport.url, homeport.password())


@pytest.fixture
def stranger(homeport: Homeport) -> Callable[..., Credentials]:
    """`stranger("repo/a", "repo/b")` makes a user that may do everything with those repositories alone."""

    def make(*repositories: str) -> Credentials:
        who = homeport.credentials
        arns = [f"arn:aws:ecr:{who.region}:{who.account_id}:repository/{name}" for name in repositories]
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
        ]
        if arns:
            statements.append({"Effect": "Allow", "Action": "ecr:*", "Resource": arns})
        policy = {"Version": "2012-10-17", "Statement": statements}
        return homeport.user(f"stranger-{uuid.uuid4().hex[:12]}", policy)

    return make


class Memory:
    """Resident memory of the server's process, in MiB."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        (self._process / "clear_refs").write_text("5")  # forget the peak so far
        self._before = self._read("VmRSS")

    def _read(self, name: str) -> float:
        for line in (self._process / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"no {name}")

    @property
    def growth(self) -> float:
        """The highest since this object was made, above what it was then."""
        return self._read("VmHWM") - self._before


@pytest.fixture
def memory(homeport: Homeport) -> Memory:
    """Memory of the shared server from here on."""
    return Memory(homeport.pid)


def compact(document: object) -> bytes:
    """JSON as a client would send it."""
    return json.dumps(document, separators=(",", ":")).encode()
