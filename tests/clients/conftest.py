"""What the tests with real client programs share: sandboxes, logins and the engines' own servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.process import Background
from tests.harness.sandbox import Sandbox
from tests.harness.server import Homeport


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A temporary home for the programs of one test."""
    with Sandbox() as made:
        yield made


@pytest.fixture(scope="session")
def password(homeport: Homeport) -> str:
    """The administrator's docker password for the shared server."""
    return homeport.password()


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """Address of a docker engine of the tests' own, without networks, for plain HTTP on loopback."""
    with Sandbox() as place:
        address = f"unix://{place.folder}/docker.sock"
        engine = Background(
            [
                "dockerd",
                *("--data-root", place.folder / "data"),
                *("--exec-root", place.folder / "exec"),
                *("--pidfile", place.folder / "docker.pid"),
                *("--host", address),
                *("--storage-driver", "vfs"),
                *("--insecure-registry", "127.0.0.0/8"),
                "--iptables=false",
                "--ip6tables=false",
                "--bridge=none",
            ],
            place.environment,
            place.folder,
        )
        try:
            engine.wait_for(lambda line: True if "API listen on" in line else None, "a listening API")
            yield address
        finally:
            engine.stop()


@pytest.fixture(scope="session")
def containerd_address() -> Iterator[str]:
    """Socket of a containerd of the tests' own."""
    with Sandbox() as place:
        address = f"{place.folder}/containerd.sock"
        settings = place.folder / "containerd.toml"
        settings.write_text(
            f"""version = 2
root = "{place.folder}/root"
state = "{place.folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{address}"
[ttrpc]
  address = "{address}.ttrpc"
"""
        )
        runtime = Background(["containerd", "--config", settings], place.environment, place.folder)
        try:
            booted = "containerd successfully booted"
            runtime.wait_for(lambda line: True if booted in line else None, "the end of its boot")
            yield address
        finally:
            runtime.stop()
