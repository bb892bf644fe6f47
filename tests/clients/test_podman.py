"""podman: an engine that keeps its images itself, without a daemon."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.harness.images import bytes_of, files_of, random_image, random_index, read_layout, tar_of
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs, needs_root
from tests.harness.server import Homeport

pytestmark = [
    pytest.mark.clients,
    needs("podman", "podman"),
    needs_root("podman's image store needs root or a user namespace"),
    pytest.mark.timeout(120),
]

PLAIN = "--tls-verify=false"


@pytest.fixture
def podman(sandbox: Sandbox, homeport: Homeport) -> Sandbox:
    """A sandbox with an empty image store, in which podman is logged in to the shared server."""
    command = ("podman", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)
    done = sandbox.run(*command, stdin=homeport.password())
    assert "Login Succeeded" in done.out
    return sandbox


def imported(podman: Sandbox, name: str, files: dict[str, bytes]) -> str:
    """Make an image of the files, without a network, called `name`; returns its id."""
    packed = podman.folder / "files.tar"
    packed.write_bytes(tar_of(files))
    return podman.run("podman", "import", packed, name).out.strip().removeprefix("sha256:")


def image_id(podman: Sandbox, name: str) -> str:
    return podman.run("podman", "image", "inspect", "--format", "{{.Id}}", name).out.strip()


def saved(podman: Sandbox, name: str, folder: str) -> Path:
    """The image as an OCI layout on disk."""
    where = podman.folder / folder
    podman.run("podman", "save", "--format", "oci-dir", "--output", where, name)
    return where


def layers_of(layout: Path) -> list[dict[str, bytes]]:
    blobs = read_layout(layout)
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(blobs[index["manifests"][0]["digest"]])
    return [files_of(blobs[layer["digest"]]) for layer in manifest["layers"]]


def test_an_image_that_podman_pushes_comes_back_with_the_same_id_and_files(
    podman: Sandbox, homeport: Homeport, repository: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    files = {"etc/motd": b"hello", "opt/data.bin": random.randbytes(6_000_000)}
    made = imported(podman, name, files)

    podman.run("podman", "push", PLAIN, name)
    podman.run("podman", "rmi", "--force", name)
    podman.run("podman", "pull", PLAIN, name)

    assert image_id(podman, name) == made
    assert layers_of(saved(podman, name, "back")) == [files]


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_podman_pushes_both_manifest_formats_and_learns_the_stored_digest(
    podman: Sandbox, homeport: Homeport, repository: str, oci: OciClient, kind: str
) -> None:
    name = f"{homeport.host}/{repository}:{kind}"
    imported(podman, name, {"data": random.randbytes(3000)})
    told = podman.folder / "digest"

    podman.run("podman", "push", PLAIN, "--format", kind, "--digestfile", told, name)

    stored = oci.pull_manifest(repository, kind)
    assert told.read_text() == stored.digest
    assert ("oci.image.manifest" if kind == "oci" else "docker.distribution.manifest.v2") in stored.media_type


def test_podman_pulls_an_image_by_digest(
    podman: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(layers=3)
    oci.push(repository, image)
    name = f"{homeport.host}/{repository}@{image.digest}"

    podman.run("podman", "pull", PLAIN, name)

    assert image_id(podman, name) == image.config.digest.removeprefix("sha256:")
    assert layers_of(saved(podman, name, "back")) == [files_of(layer.data) for layer in image.layers]


def test_a_manifest_list_that_podman_pushes_has_every_image_of_it(
    podman: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "source")
    base = f"{homeport.host}/{repository}"

    podman.run("podman", "manifest", "create", "listed")
    for image in index.images:
        podman.run("podman", "manifest", "add", PLAIN, "listed", f"docker://{base}@{image.digest}")
    podman.run("podman", "manifest", "push", PLAIN, "--all", "listed", f"docker://{base}:all")

    stored = oci.pull_manifest(repository, "all").json()
    listed = {entry["platform"]["architecture"]: entry["digest"] for entry in stored["manifests"]}
    assert listed == {"amd64": index.images[0].digest, "arm64": index.images[1].digest}
    assert bytes_of(index.images[1]).items() <= oci.pull(repository, "all").items()


def test_podman_pulls_the_platform_that_it_is_asked_for(
    podman: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "all")
    name = f"{homeport.host}/{repository}:all"

    podman.run("podman", "pull", PLAIN, "--platform", "linux/arm64", name)

    assert image_id(podman, name) == index.images[1].config.digest.removeprefix("sha256:")


def test_podman_without_a_login_can_neither_push_nor_pull(
    podman: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    oci.push(repository, random_image(), "there")
    imported(podman, f"{homeport.host}/{repository}:new", {"data": b"1"})
    podman.run("podman", "logout", homeport.host)

    pushing = podman.refused("podman", "push", PLAIN, f"{homeport.host}/{repository}:new")
    pulling = podman.refused("podman", "pull", PLAIN, f"{homeport.host}/{repository}:there")

    assert "authentication required" in pushing or "unauthorized" in pushing.lower()
    assert "authentication required" in pulling or "unauthorized" in pulling.lower()
    assert oci.tags(repository) == ["there"]
