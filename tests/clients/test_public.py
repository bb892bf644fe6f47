"""Public images with the programs that people use: pulled without any login, pushed after one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.calls import put
from tests.api.public import alias_of, new_public, password_of, path_of
from tests.harness.images import Image, bytes_of, files_of, random_image, read_layout, write_layout
from tests.harness.process import Background, ProgramFailed
from tests.harness.sandbox import Sandbox, needs, needs_root
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

PLAIN = "--tls-verify=false"
FROM_PLAIN, TO_PLAIN = "--src-tls-verify=false", "--dest-tls-verify=false"


@dataclass(frozen=True, slots=True)
class Published:
    """A public repository with one image, tagged v1."""

    client: Any
    name: str
    image: Image


@pytest.fixture
def published(homeport: Homeport) -> Published:
    client = homeport.client("ecr-public")
    name, image = new_public(client), random_image(layers=2, layer_bytes=100_000)
    put(client, name, image, "v1")
    return Published(client, name, image)


@pytest.fixture
def address(published: Published, homeport: Homeport) -> str:
    """The repository's address on the single host."""
    return f"{homeport.host}/{path_of(published.client, published.name)}"


@pytest.fixture
def family(published: Published, homeport: Homeport, sandbox: Sandbox) -> str:
    """Its address on the public host, which the sandbox's programs reach through the server as their HTTP proxy."""
    sandbox.environment["HTTP_PROXY"] = sandbox.environment["http_proxy"] = homeport.url
    return f"public.ecr.localhost/{alias_of(published.client)}/{published.name}"


@pytest.fixture
def without_login(sandbox: Sandbox) -> Sandbox:
    """A sandbox in which nobody is logged in anywhere."""
    sandbox.auth_file.write_text("{}")
    return sandbox


@needs("skopeo", "skopeo")
def test_skopeo_pulls_from_the_single_host_without_a_login(
    without_login: Sandbox, published: Published, address: str
) -> None:
    layout = without_login.folder / "back"

    without_login.run("skopeo", "copy", FROM_PLAIN, f"docker://{address}:v1", f"oci:{layout}:v1")

    assert read_layout(layout) == bytes_of(published.image)


@needs("skopeo", "skopeo")
def test_skopeo_pulls_from_the_public_host_without_a_login(
    without_login: Sandbox, published: Published, family: str
) -> None:
    layout = without_login.folder / "back"

    without_login.run("skopeo", "copy", FROM_PLAIN, f"docker://{family}:v1", f"oci:{layout}:v1")

    assert read_layout(layout) == bytes_of(published.image)


@needs("skopeo", "skopeo")
def test_skopeo_pushes_to_the_public_host_after_a_login_only(
    without_login: Sandbox, published: Published, family: str
) -> None:
    image = random_image()
    write_layout(without_login.folder / "there", {"v2": image})
    copy = ("skopeo", "copy", TO_PLAIN, f"oci:{without_login.folder}/there:v2", f"docker://{family}:v2")
    login = ("skopeo", "login", PLAIN, "--username", "AWS", "--password-stdin", family.partition("/")[0])

    with pytest.raises(ProgramFailed, match=r"(?i)unauthorized|authentication required"):
        without_login.run(*copy)
    without_login.run(*login, stdin=password_of(published.client))
    without_login.run(*copy)

    tags = published.client.describe_image_tags(repositoryName=published.name)["imageTagDetails"]
    assert [(each["imageTag"], each["imageDetail"]["imageDigest"]) for each in tags] == [
        ("v1", published.image.digest),
        ("v2", image.digest),
    ]


@needs("skopeo", "skopeo")
def test_skopeo_pushes_to_the_single_host_with_the_password_for_public_images(
    without_login: Sandbox, published: Published, address: str, homeport: Homeport
) -> None:
    image = random_image()
    write_layout(without_login.folder / "there", {"v2": image})
    login = ("skopeo", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)

    without_login.run(*login, stdin=password_of(published.client))
    without_login.run(
        "skopeo", "copy", TO_PLAIN, f"oci:{without_login.folder}/there:v2", f"docker://{address}:v2"
    )

    shown = published.client.describe_images(repositoryName=published.name, imageIds=[{"imageTag": "v2"}])
    assert shown["imageDetails"][0]["imageDigest"] == image.digest


@needs("podman", "podman")
@needs_root("podman's image store needs root or a user namespace")
@pytest.mark.parametrize("host", ["single", "public"])
def test_podman_pulls_without_a_login(
    without_login: Sandbox, published: Published, request: pytest.FixtureRequest, host: str
) -> None:
    where = request.getfixturevalue("address" if host == "single" else "family")
    layout = without_login.folder / "saved"

    without_login.run("podman", "pull", PLAIN, f"{where}:v1")
    without_login.run("podman", "save", "--format", "oci-dir", "--output", layout, f"{where}:v1")

    saved = read_layout(layout)
    assert [files_of(layer.data) for layer in published.image.layers] == [
        files_of(saved[each["digest"]]) for each in _layers(saved)
    ]


def _layers(saved: dict[str, bytes]) -> list[dict[str, Any]]:
    documents = [json.loads(data) for data in saved.values() if data[:1] == b"{"]
    (layers,) = [each["layers"] for each in documents if "layers" in each]
    return list(layers)


@needs("docker", "docker.io or docker-cli")
@needs("dockerd", "docker.io")
@needs_root("a docker engine of the tests' own needs root")
def test_docker_pulls_after_a_login(
    without_login: Sandbox, published: Published, address: str, homeport: Homeport, docker_host: str
) -> None:
    without_login.environment["DOCKER_HOST"] = docker_host
    login = ("docker", "login", "--username", "AWS", "--password-stdin", homeport.host)

    without_login.run(*login, stdin=password_of(published.client))
    done = without_login.run("docker", "pull", f"{address}:v1")

    assert published.image.digest in done.out


@needs("containerd", "containerd")
@needs("ctr", "containerd")
@needs_root("containerd needs root")
def test_containerd_pulls_from_the_single_host_without_a_login(
    without_login: Sandbox, published: Published, address: str, containerd_address: str
) -> None:
    ctr = ("ctr", "--address", containerd_address, "--namespace", f"public-{published.name[-12:]}")

    without_login.run(*ctr, "content", "fetch", "--plain-http", f"{address}:v1")

    assert published.image.digest in without_login.run(*ctr, "content", "ls", "--quiet").out


@pytest.fixture
def engine(homeport: Homeport) -> Iterator[str]:
    """Address of a docker engine that reaches the public host through the server as its HTTP proxy."""
    with Sandbox() as place:
        place.environment["HTTP_PROXY"] = place.environment["http_proxy"] = homeport.url
        address = f"unix://{place.folder}/docker.sock"
        daemon = Background(
            [
                "dockerd",
                *("--data-root", place.folder / "data"),
                *("--exec-root", place.folder / "exec"),
                *("--pidfile", place.folder / "docker.pid"),
                *("--host", address),
                *("--storage-driver", "vfs"),
                *("--insecure-registry", "public.ecr.localhost"),
                "--iptables=false",
                "--ip6tables=false",
                "--bridge=none",
            ],
            place.environment,
            place.folder,
        )
        try:
            daemon.wait_for(lambda line: True if "API listen on" in line else None, "a listening API")
            yield address
        finally:
            daemon.stop()


@needs("docker", "docker.io or docker-cli")
@needs("dockerd", "docker.io")
@needs_root("a docker engine of the tests' own needs root")
def test_docker_pulls_from_the_public_host_without_a_login_and_pushes_after_one(
    sandbox: Sandbox, published: Published, engine: str
) -> None:
    sandbox.environment["DOCKER_HOST"] = engine
    where = f"public.ecr.localhost/{alias_of(published.client)}/{published.name}"

    pulled = sandbox.run("docker", "pull", f"{where}:v1")
    sandbox.run("docker", "tag", f"{where}:v1", f"{where}:v2")
    refused = sandbox.refused("docker", "push", f"{where}:v2")
    sandbox.run(
        "docker", "login", "--username", "AWS", "--password-stdin", "public.ecr.localhost",
        stdin=password_of(published.client),
    )  # fmt: skip
    sandbox.run("docker", "push", f"{where}:v2")

    assert published.image.digest in pulled.out
    assert "no basic auth credentials" in refused or "unauthorized" in refused.lower()
    tags = published.client.describe_image_tags(repositoryName=published.name)["imageTagDetails"]
    assert [each["imageTag"] for each in tags] == ["v1", "v2"]


@needs("aws", "awscli")
@needs("skopeo", "skopeo")
def test_the_password_of_the_aws_command_logs_in(
    without_login: Sandbox, published: Published, address: str, homeport: Homeport
) -> None:
    without_login.environment |= homeport.credentials.environment() | {"AWS_ENDPOINT_URL": homeport.url}
    login = ("skopeo", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)

    issued = without_login.run("aws", "ecr-public", "get-login-password").out.strip()
    logged_in = without_login.run(*login, stdin=issued)
    tags = without_login.run("skopeo", "list-tags", PLAIN, f"docker://{address}").out

    assert "Login Succeeded" in logged_in.out
    assert json.loads(tags)["Tags"] == ["v1"]
