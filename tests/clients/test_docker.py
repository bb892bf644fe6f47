"""The docker engine, with the docker command line that people type."""

from __future__ import annotations

import json
import random
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.images import DOCKER_LIST, files_of, random_image, random_index, tar_of
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs, needs_root
from tests.harness.server import Credentials, Homeport

pytestmark = [
    pytest.mark.clients,
    needs("docker", "docker.io or docker-cli"),
    needs("dockerd", "docker.io"),
    needs_root("a docker engine of the tests' own needs root"),
    pytest.mark.timeout(180),
]

PULL_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": "*",
        }
    ],
}


@pytest.fixture
def docker(sandbox: Sandbox, docker_host: str) -> Sandbox:
    """A sandbox whose docker command speaks to the tests' own engine; not logged in anywhere."""
    sandbox.environment["DOCKER_HOST"] = docker_host
    return sandbox


def login(docker: Sandbox, homeport: Homeport, who: Credentials | None = None) -> None:
    command = ("docker", "login", "--username", "AWS", "--password-stdin", homeport.host)
    done = docker.run(*command, stdin=homeport.password(who))
    assert "Login Succeeded" in done.out


def imported(docker: Sandbox, name: str, files: dict[str, bytes]) -> str:
    """Make an image of the files, without a network, called `name`; returns its id."""
    packed = docker.folder / "files.tar"
    packed.write_bytes(tar_of(files))
    return docker.run("docker", "import", packed, name).out.strip()


def image_id(docker: Sandbox, name: str) -> str:
    return docker.run("docker", "image", "inspect", "--format", "{{.Id}}", name).out.strip()


def content(docker: Sandbox, name: str) -> dict[str, bytes]:
    """Every file in every layer of an image that the engine has."""
    saved = docker.folder / "saved.tar"
    docker.run("docker", "save", "--output", saved, name)
    found: dict[str, bytes] = {}
    with tarfile.open(saved) as archive:
        index = archive.extractfile("manifest.json")
        assert index is not None
        for layer in json.load(index)[0]["Layers"]:
            packed = archive.extractfile(layer)
            assert packed is not None
            found |= files_of(packed.read())
    return found


def forget(docker: Sandbox, *names: str) -> None:
    docker.run("docker", "rmi", "--force", *names)
    gone = docker.refused("docker", "image", "inspect", names[0])
    assert "No such image" in gone


def pushed_digest(said: str) -> str:
    found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
    assert found is not None, said
    return found.group(1)


def test_an_image_that_docker_pushes_comes_back_with_the_same_id_and_files(
    docker: Sandbox, homeport: Homeport, repository: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    files = {"etc/motd": b"hello", "opt/data.bin": random.randbytes(12_000_000)}
    login(docker, homeport)
    made = imported(docker, name, files)

    docker.run("docker", "push", name)
    forget(docker, name)
    docker.run("docker", "pull", name)

    assert image_id(docker, name) == made
    assert content(docker, name) == files


def test_an_image_of_several_layers_can_be_pulled_by_its_digest(
    docker: Sandbox, homeport: Homeport, repository: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    files = {f"part-{number}": random.randbytes(40_000) for number in range(5)}
    context = docker.folder / "context"
    context.mkdir()
    for part, data in files.items():
        (context / part).write_bytes(data)
    copies = "\n".join(f"COPY {part} /" for part in files)
    (context / "Dockerfile").write_text(f"FROM scratch\n{copies}\n")
    docker.environment["DOCKER_BUILDKIT"] = "0"
    docker.run("docker", "build", "--tag", name, context)
    made = image_id(docker, name)
    login(docker, homeport)

    digest = pushed_digest(docker.run("docker", "push", name).out)
    forget(docker, made)
    by_digest = f"{homeport.host}/{repository}@{digest}"
    docker.run("docker", "pull", by_digest)

    assert image_id(docker, by_digest) == made
    assert content(docker, by_digest) == files


def test_pushing_the_same_image_again_uploads_nothing(
    docker: Sandbox, homeport: Homeport, repository: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    login(docker, homeport)
    imported(docker, name, {"data": random.randbytes(5000)})
    first = docker.run("docker", "push", name).out

    again = docker.run("docker", "push", name).out

    assert "Pushed" in first
    assert "Layer already exists" in again
    assert pushed_digest(again) == pushed_digest(first)


@pytest.mark.usefixtures("mounting")
def test_docker_mounts_a_layer_that_another_repository_has(
    docker: Sandbox, homeport: Homeport, new_repository: Callable[[], str]
) -> None:
    source, target = new_repository(), new_repository()
    first, second = f"{homeport.host}/{source}:v1", f"{homeport.host}/{target}:v1"
    files = {"data": random.randbytes(200_000)}
    login(docker, homeport)
    made = imported(docker, first, files)
    docker.run("docker", "tag", first, second)
    docker.run("docker", "push", first)

    said = docker.run("docker", "push", second).out
    forget(docker, made)
    docker.run("docker", "pull", second)

    sent = homeport.requests_of_push(target)
    assert f"Mounted from {source}" in said
    assert ("POST", 201) in sent
    assert sent.count(("PATCH", 202)) == 1, f"more than the configuration was uploaded: {sent}"
    assert content(docker, second) == files


def test_a_multi_platform_image_made_by_docker_manifest_keeps_its_platforms(
    docker: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    base = f"{homeport.host}/{repository}"
    login(docker, homeport)
    for architecture in ("amd64", "arm64"):
        imported(docker, f"{base}:{architecture}", {"architecture": random.randbytes(50)})
        docker.run("docker", "push", f"{base}:{architecture}")

    make = ("docker", "manifest", "create", "--insecure")
    docker.run(*make, f"{base}:all", f"{base}:amd64", f"{base}:arm64")
    docker.run("docker", "manifest", "annotate", "--arch", "arm64", f"{base}:all", f"{base}:arm64")
    said = docker.run("docker", "manifest", "push", "--insecure", f"{base}:all").out

    stored = oci.pull_manifest(repository, "all")
    platforms = {entry["platform"]["architecture"] for entry in stored.json()["manifests"]}
    assert stored.digest in said
    assert stored.media_type == DOCKER_LIST
    assert platforms == {"amd64", "arm64"}


@pytest.mark.parametrize("docker_types", [True, False], ids=["docker-types", "oci-types"])
def test_docker_pulls_its_own_platform_out_of_an_index(
    docker: Sandbox, homeport: Homeport, repository: str, oci: OciClient, docker_types: bool
) -> None:
    index = random_index(docker=docker_types)
    oci.push(repository, index, "all")
    name = f"{homeport.host}/{repository}:all"
    login(docker, homeport)

    for image in index.images:
        docker.run("docker", "pull", "--platform", image.platform, name)

        assert image_id(docker, name) == image.config.digest
        assert content(docker, name) == files_of(image.layers[0].data)


def test_docker_pulls_an_oci_image_that_another_client_pushed(
    docker: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(layers=3, layer_bytes=50_000)
    oci.push(repository, image, "v1")
    name = f"{homeport.host}/{repository}:v1"
    login(docker, homeport)

    said = docker.run("docker", "pull", name).out

    expected: dict[str, bytes] = {}
    for layer in image.layers:
        expected |= files_of(layer.data)
    assert f"Digest: {image.digest}" in said
    assert content(docker, name) == expected


def test_docker_login_refuses_a_wrong_password_and_stores_nothing(
    docker: Sandbox, homeport: Homeport
) -> None:
    said = docker.refused("docker", "login", "-u", "AWS", "--password-stdin", homeport.host, stdin="wrong")

    assert "401" in said or "unauthorized" in said.lower()
    assert not (Path(docker.environment["DOCKER_CONFIG"]) / "config.json").exists()


def test_docker_without_a_login_can_neither_push_nor_pull(
    docker: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "there")
    name = f"{homeport.host}/{repository}:new"
    imported(docker, name, {"data": b"1"})

    pushing = docker.refused("docker", "push", name)
    pulling = docker.refused("docker", "pull", f"{homeport.host}/{repository}:there")

    assert "no basic auth credentials" in pushing
    assert "no basic auth credentials" in pulling
    assert oci.tags(repository) == ["there"]


def test_a_user_who_may_only_pull_is_told_which_permission_a_push_needs(
    docker: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    reader = homeport.user(f"reader-{random.getrandbits(60):x}", PULL_ONLY)
    image = random_image()
    oci.push(repository, image, "there")
    login(docker, homeport, reader)
    name = f"{homeport.host}/{repository}:new"
    imported(docker, name, {"data": random.randbytes(100)})

    docker.run("docker", "pull", f"{homeport.host}/{repository}:there")
    said = docker.refused("docker", "push", name)

    assert "denied" in said
    assert reader.user_arn in said
    assert "is not authorized to perform: ecr:" in said
    assert oci.tags(repository) == ["there"]


def test_a_frozen_tag_refuses_a_different_image_and_docker_says_why(
    docker: Sandbox, homeport: Homeport, new_repository: Callable[[], str], oci: OciClient
) -> None:
    repository = new_repository()
    homeport.client().put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    name = f"{homeport.host}/{repository}:v1"
    login(docker, homeport)
    imported(docker, name, {"data": b"first" + random.randbytes(30)})
    digest = pushed_digest(docker.run("docker", "push", name).out)
    imported(docker, name, {"data": b"second" + random.randbytes(30)})

    said = docker.refused("docker", "push", name)

    assert "cannot be overwritten because the tag is immutable" in said
    assert oci.pull_manifest(repository, "v1").digest == digest
