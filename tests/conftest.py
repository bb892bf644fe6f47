"""Fixtures for every test: isolation from the machine, and servers to talk to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.harness import postgres as postgres_server
from tests.harness.oci import OciClient
from tests.harness.server import Homeport


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for `-n auto`: one more than there are cores, since many tests wait for a server or its disk.

    The slow ones, chosen by their marks, wait most of their time: two for each core and one more.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slow = bool(config.option.markexpr) and not config.option.markexpr.startswith("not ")
    return (2 if slow else 1) * cores + 1


@pytest.fixture(scope="session", autouse=True)
def isolated_environment() -> Iterator[None]:
    """No test sees this machine's AWS configuration, registry logins, proxies or server settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "HOMEPORT_", "DOCKER_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def postgres(isolated_environment: None) -> postgres_server.Postgres:
    """A PostgreSQL server shared by the tests of one worker; each makes a database of its own there."""
    if postgres_server.programs() is None:
        pytest.skip(postgres_server.MISSING)
    return postgres_server.shared()


@pytest.fixture(scope="session")
def homeport(isolated_environment: None) -> Iterator[Homeport]:
    """A running server shared by the tests of one worker.

    For tests that touch only repositories of their own (see `repository`) and leave registry-wide
    settings alone. Whoever needs more takes `fresh_homeport`. When the last test is done it must end
    cleanly, without having logged one defect.
    """
    with Homeport() as server:
        yield server
        server.terminate()
        assert server.defects == []


@pytest.fixture(scope="session")
def mounting(homeport: Homeport) -> None:
    """The shared server mounts blobs, which ECR does only for those who switch it on."""
    homeport.client().put_account_setting(name="BLOB_MOUNTING", value="ENABLED")


@pytest.fixture
def fresh_homeport() -> Iterator[Callable[..., Homeport]]:
    """`fresh_homeport(options=[...], ...)` starts a server of the test's own; all end with the test."""
    with ExitStack() as servers:

        def start(**settings: Any) -> Homeport:
            return servers.enter_context(Homeport(**settings))

        yield start


@pytest.fixture
def new_repository(homeport: Homeport) -> Callable[[], str]:
    """Makes another empty, uniquely named repository on the shared server at every call."""

    def make() -> str:
        name = f"test/{uuid.uuid4().hex}"
        homeport.client().create_repository(repositoryName=name)
        return name

    return make


@pytest.fixture
def repository(new_repository: Callable[[], str]) -> str:
    """The name of an empty repository on the shared server that no other test uses."""
    return new_repository()


@pytest.fixture(scope="session")
def oci(homeport: Homeport) -> OciClient:
    """A bare OCI client of the shared server, logged in as its administrator."""
    return OciClient(homeport.url, "AWS", homeport.password())
