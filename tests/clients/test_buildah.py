"""buildah: builds images step by step and pushes them, without an engine."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.harness.images import files_of
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs, needs_root
from tests.harness.server import Homeport

pytestmark = [
    pytest.mark.clients,
    needs("buildah", "buildah"),
    needs_root("buildah's image store needs root or a user namespace"),
    pytest.mark.timeout(120),
]

PLAIN = "--tls-verify=false"


@pytest.fixture
def buildah(sandbox: Sandbox, homeport: Homeport) -> Sandbox:
    """A sandbox with an empty image store, in which buildah is logged in to the shared server."""
    sandbox.environment["BUILDAH_ISOLATION"] = "chroot"
    command = ("buildah", "login", PLAIN, "--username", "AWS", "--password-stdin", homeport.host)
    done = sandbox.run(*command, stdin=homeport.password())
    assert "Login Succeeded" in done.out
    return sandbox


def built(buildah: Sandbox, name: str, data: bytes, base: str = "scratch", file: str = "data.bin") -> str:
    """Commit an image `name` of one file on top of `base`; returns its id."""
    source = buildah.folder / file
    source.write_bytes(data)
    container = buildah.run("buildah", "from", PLAIN, base).out.strip()
    buildah.run("buildah", "copy", container, source, f"/{file}")
    buildah.run("buildah", "config", "--label", "made-by=test", container)
    image = buildah.run("buildah", "commit", container, name).out.strip()
    buildah.run("buildah", "rm", container)
    return image


def file_in(buildah: Sandbox, name: str, file: str) -> bytes:
    """The content of a file in a container made of an image that is already here."""
    container = buildah.run("buildah", "from", "--pull-never", name).out.strip()
    where = Path(buildah.run("buildah", "mount", container).out.strip())
    data = (where / file).read_bytes()
    buildah.run("buildah", "umount", container)
    buildah.run("buildah", "rm", container)
    return data


def test_an_image_built_from_scratch_is_pushed_and_pulled_with_its_content(
    buildah: Sandbox, homeport: Homeport, repository: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    data = random.randbytes(500_000)
    made = built(buildah, name, data)

    buildah.run("buildah", "push", PLAIN, name)
    buildah.run("buildah", "rmi", "--force", name)
    pulled = buildah.run("buildah", "pull", PLAIN, name).out.strip()

    assert pulled == made
    assert file_in(buildah, name, "data.bin") == data


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_buildah_pushes_both_manifest_formats_and_the_registry_holds_its_files(
    buildah: Sandbox, homeport: Homeport, repository: str, oci: OciClient, kind: str
) -> None:
    name = f"{homeport.host}/{repository}:v1"
    data = random.randbytes(9000)
    built(buildah, name, data)
    told = buildah.folder / "digest"

    buildah.run("buildah", "push", PLAIN, "--format", kind, "--digestfile", told, name)

    stored = oci.pull(repository, "v1")
    manifest = json.loads(stored[told.read_text()])
    files = [files_of(stored[layer["digest"]]) for layer in manifest["layers"]]
    config = json.loads(stored[manifest["config"]["digest"]])
    assert files == [{"data.bin": data}]
    assert config["config"]["Labels"]["made-by"] == "test"


def test_an_image_can_be_built_on_top_of_one_in_the_registry(
    buildah: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    base, derived = f"{homeport.host}/{repository}:base", f"{homeport.host}/{repository}:derived"
    below, above = random.randbytes(2000), random.randbytes(2000)
    built(buildah, base, below, file="below.bin")
    buildah.run("buildah", "push", PLAIN, base)
    buildah.run("buildah", "rmi", "--force", base)

    built(buildah, derived, above, base=base, file="above.bin")
    buildah.run("buildah", "push", PLAIN, derived)

    layers = oci.pull_manifest(repository, "derived").json()["layers"]
    assert [files_of(oci.pull_blob(repository, layer["digest"])) for layer in layers] == [
        {"below.bin": below},
        {"above.bin": above},
    ]


def test_a_manifest_list_of_two_architectures_is_pushed_with_its_images(
    buildah: Sandbox, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    remote = f"docker://{homeport.host}/{repository}:all"
    buildah.run("buildah", "manifest", "create", "listed")
    contents = {name: random.randbytes(400) for name in ("amd64", "arm64")}
    for name, data in contents.items():
        image = built(buildah, f"localhost/{name}:v1", data)
        buildah.run("buildah", "manifest", "add", "--arch", name, "--os", "linux", "listed", image)

    buildah.run("buildah", "manifest", "push", PLAIN, "--all", "listed", remote)

    stored = oci.pull(repository, "all")
    listed = oci.pull_manifest(repository, "all").json()["manifests"]
    found = {}
    for entry in listed:
        layer = json.loads(stored[entry["digest"]])["layers"][0]["digest"]
        found[entry["platform"]["architecture"]] = files_of(stored[layer])["data.bin"]
    assert found == contents
