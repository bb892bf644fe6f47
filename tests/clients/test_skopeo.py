"""skopeo: copies between a registry and image layouts on disk, without an engine."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from tests.harness.images import (
    bytes_of,
    random_image,
    random_index,
    read_directory,
    read_layout,
    write_directory,
    write_layout,
)
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.clients, needs("skopeo", "skopeo")]

FROM_PLAIN = "--src-tls-verify=false"
TO_PLAIN = "--dest-tls-verify=false"
PLAIN = "--tls-verify=false"


@pytest.fixture
def skopeo(sandbox: Sandbox, homeport: Homeport, password: str) -> Sandbox:
    """A sandbox in which skopeo is logged in to the shared server."""
    command = ("skopeo", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)
    done = sandbox.run(*command, stdin=password)
    assert "Login Succeeded" in done.out
    return sandbox


def test_an_image_goes_from_a_layout_to_the_registry_and_back_unchanged(
    skopeo: Sandbox, homeport: Homeport, repository: str
) -> None:
    image = random_image(layers=3, layer_bytes=300_000)
    write_layout(skopeo.folder / "there", {"v1": image})
    remote = f"docker://{homeport.host}/{repository}:v1"

    skopeo.run("skopeo", "copy", TO_PLAIN, f"oci:{skopeo.folder}/there:v1", remote)
    skopeo.run("skopeo", "copy", FROM_PLAIN, remote, f"oci:{skopeo.folder}/back:v1")

    assert read_layout(skopeo.folder / "back") == bytes_of(image)


@pytest.mark.parametrize("docker_types", [False, True], ids=["oci-types", "docker-types"])
def test_an_image_goes_from_a_directory_to_the_registry_and_back_unchanged(
    skopeo: Sandbox, homeport: Homeport, repository: str, docker_types: bool
) -> None:
    image = random_image(layers=2, layer_bytes=300_000, docker=docker_types)
    write_directory(skopeo.folder / "there", image)
    remote = f"docker://{homeport.host}/{repository}:v1"
    copy = ("skopeo", "copy", "--preserve-digests")

    skopeo.run(*copy, TO_PLAIN, f"dir:{skopeo.folder}/there", remote)
    skopeo.run(*copy, FROM_PLAIN, remote, f"dir:{skopeo.folder}/back")

    assert read_directory(skopeo.folder / "back") == bytes_of(image)


def test_a_multi_platform_image_is_copied_with_all_its_images(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index(("linux/amd64", "linux/arm64", "linux/s390x"))
    write_layout(skopeo.folder / "there", {"all": index})
    remote = f"docker://{homeport.host}/{repository}:all"

    skopeo.run("skopeo", "copy", "--all", TO_PLAIN, f"oci:{skopeo.folder}/there:all", remote)
    skopeo.run("skopeo", "copy", "--multi-arch", "all", FROM_PLAIN, remote, f"oci:{skopeo.folder}/back:all")

    assert read_layout(skopeo.folder / "back") == bytes_of(index)
    assert oci.pull(repository, "all") == bytes_of(index)


def test_one_platform_can_be_taken_out_of_a_multi_platform_image(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "all")
    remote = f"docker://{homeport.host}/{repository}:all"

    arm = ("--override-os", "linux", "--override-arch", "arm64")
    skopeo.run("skopeo", *arm, "copy", FROM_PLAIN, remote, f"oci:{skopeo.folder}/arm:v1")

    assert read_layout(skopeo.folder / "arm") == bytes_of(index.images[1])


def test_inspect_shows_what_was_pushed_without_pulling_it(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(layers=2)
    oci.push(repository, image, "v1")
    remote = f"docker://{homeport.host}/{repository}:v1"

    seen = json.loads(skopeo.run("skopeo", "inspect", PLAIN, remote).out)
    raw = skopeo.run("skopeo", "inspect", PLAIN, "--raw", remote).out
    config = skopeo.run("skopeo", "inspect", PLAIN, "--raw", "--config", remote).out

    assert seen["Digest"] == image.digest
    assert seen["Layers"] == [layer.digest for layer in image.layers]
    assert seen["RepoTags"] == ["v1"]
    assert raw.encode() == image.manifest.data
    assert config.encode() == image.config.data


def test_list_tags_names_every_tag_even_when_there_are_several_pages(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    tags = sorted(f"v{number}" for number in range(120))
    oci.push(repository, image)
    for tag in tags:
        oci.push_manifest(repository, image.manifest, tag)

    listed = skopeo.run("skopeo", "list-tags", PLAIN, f"docker://{homeport.host}/{repository}").out

    assert sorted(json.loads(listed)["Tags"]) == tags


def test_delete_removes_the_image_for_everybody(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    gone, kept = random_image(), random_image()
    oci.push(repository, gone, "gone")
    oci.push(repository, kept, "kept")

    skopeo.run("skopeo", "delete", PLAIN, f"docker://{homeport.host}/{repository}:gone")

    assert oci.tags(repository) == ["kept"]
    assert oci.get_manifest(repository, gone.digest).status == 404
    assert oci.pull(repository, "kept") == bytes_of(kept)


@pytest.mark.usefixtures("mounting")
def test_a_layer_that_another_repository_has_is_mounted_instead_of_uploaded(
    skopeo: Sandbox, homeport: Homeport, new_repository: Callable[[], str], oci: OciClient
) -> None:
    source, target = new_repository(), new_repository()
    image = random_image(layer_bytes=400_000)
    layout = f"oci:{write_layout(skopeo.folder / 'there', {'v1': image})}:v1"
    skopeo.run("skopeo", "copy", TO_PLAIN, layout, f"docker://{homeport.host}/{source}:v1")

    remote = f"docker://{homeport.host}/{target}:v1"
    said = skopeo.run("skopeo", "--debug", "copy", TO_PLAIN, layout, remote).err

    sent = homeport.requests_of_push(target)
    assert "... mount OK" in said
    assert ("POST", 201) in sent
    assert sent.count(("PATCH", 202)) == 1, f"more than the configuration was uploaded: {sent}"
    assert oci.pull(target, "v1") == bytes_of(image)


def test_a_whole_repository_can_be_synced_to_disk(
    skopeo: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    images = {f"v{number}": random_image() for number in range(3)}
    for tag, image in images.items():
        oci.push(repository, image, tag)

    source = f"{homeport.host}/{repository}"
    sync = ("skopeo", "sync", FROM_PLAIN, "--src", "docker", "--dest", "dir")
    skopeo.run(*sync, source, skopeo.folder / "all")

    name = repository.rpartition("/")[2]
    for tag, image in images.items():
        copied = (skopeo.folder / "all" / f"{name}:{tag}" / "manifest.json").read_bytes()
        assert copied == image.manifest.data


def test_a_wrong_password_is_refused_at_login(sandbox: Sandbox, homeport: Homeport) -> None:
    command = ("skopeo", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)

    said = sandbox.refused(*command, stdin="wrong")

    assert "invalid username/password" in said or "unauthorized" in said.lower()
    assert not sandbox.auth_file.exists()


def test_copying_to_a_repository_that_does_not_exist_says_so(skopeo: Sandbox, homeport: Homeport) -> None:
    layout = write_layout(skopeo.folder / "there", {"v1": random_image()})
    missing = f"nobody/{random.getrandbits(60):x}"

    remote = f"docker://{homeport.host}/{missing}:v1"
    said = skopeo.refused("skopeo", "copy", TO_PLAIN, f"oci:{layout}:v1", remote)

    assert f"The repository with name '{missing}' does not exist" in said
