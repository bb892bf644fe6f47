"""containerd, through its command line ctr: what Kubernetes nodes pull with."""

from __future__ import annotations

import random
import tarfile

import pytest

from tests.harness.images import (
    Image,
    Index,
    bytes_of,
    random_image,
    random_index,
    sha256,
    write_layout_archive,
)
from tests.harness.oci import OciClient
from tests.harness.sandbox import Sandbox, needs, needs_root
from tests.harness.server import Homeport

pytestmark = [
    pytest.mark.clients,
    needs("containerd", "containerd"),
    needs("ctr", "containerd"),
    needs_root("containerd needs root"),
    pytest.mark.timeout(120),
]


class Ctr:
    """ctr in a namespace of one test, so that content of other tests is not there."""

    def __init__(self, sandbox: Sandbox, address: str, user: str) -> None:
        self.sandbox = sandbox
        self._command = ("ctr", "--address", address, "--namespace", f"test-{random.getrandbits(60):x}")
        self._login = ("--plain-http", "--user", user)

    def images(self, *words: str) -> str:
        return self.sandbox.run(*self._command, "images", *words).out

    def import_image(self, name: str, content: Image | Index) -> None:
        archive = write_layout_archive(self.sandbox.folder / "image.tar", {name: content})
        self.images("import", "--no-unpack", "--all-platforms", str(archive))

    def push(self, name: str) -> None:
        self.images("push", *self._login, name)

    def pull(self, name: str, *words: str) -> None:
        self.images("pull", *self._login, "--snapshotter", "native", *words, name)

    def fetch(self, name: str, *words: str) -> None:
        """Pull without unpacking."""
        self.sandbox.run(*self._command, "content", "fetch", *self._login, *words, name)

    def refused_pull(self, name: str) -> str:
        return self.sandbox.refused(*self._command, "images", "pull", *self._login, name)

    def forget(self, name: str) -> None:
        """Remove an image and wait until its content has gone too."""
        self.images("rm", "--sync", name)
        left = self.sandbox.run(*self._command, "content", "ls", "--quiet").out
        assert left.strip() == ""

    def content(self, name: str, *words: str) -> dict[str, bytes]:
        """Every blob of an image as containerd keeps it, by digest."""
        archive = self.sandbox.folder / "export.tar"
        self.images("export", *words, str(archive), name)
        found: dict[str, bytes] = {}
        with tarfile.open(archive) as packed:
            for entry in packed:
                if entry.isfile() and entry.name.startswith("blobs/sha256/"):
                    blob = packed.extractfile(entry)
                    assert blob is not None
                    data = blob.read()
                    assert sha256(data) == f"sha256:{entry.name.rpartition('/')[2]}"
                    found[sha256(data)] = data
        return found

    def target(self, name: str) -> str:
        """Digest that a name stands for."""
        for line in self.images("ls").splitlines()[1:]:
            words = line.split()
            if words[0] == name:
                return words[2]
        raise AssertionError(f"no image {name}")


@pytest.fixture
def ctr(sandbox: Sandbox, containerd_address: str, password: str) -> Ctr:
    """ctr with an empty store, authorised for the shared server."""
    return Ctr(sandbox, containerd_address, f"AWS:{password}")


def test_an_image_that_ctr_pushes_comes_back_unchanged(
    ctr: Ctr, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(layers=3, layer_bytes=400_000)
    name = f"{homeport.host}/{repository}:v1"
    ctr.import_image(name, image)

    ctr.push(name)
    ctr.forget(name)
    ctr.pull(name)

    assert ctr.target(name) == image.digest
    assert ctr.content(name) == bytes_of(image)
    assert oci.pull(repository, "v1") == bytes_of(image)


def test_a_multi_platform_image_is_pushed_and_pulled_whole(
    ctr: Ctr, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    name = f"{homeport.host}/{repository}:all"
    ctr.import_image(name, index)

    ctr.push(name)
    ctr.forget(name)
    ctr.fetch(name, "--all-platforms")

    assert oci.pull(repository, "all") == bytes_of(index)
    assert ctr.target(name) == index.digest
    assert ctr.content(name, "--all-platforms") == bytes_of(index)


def test_only_the_images_of_the_wanted_platform_are_downloaded(
    ctr: Ctr, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    index = random_index()
    oci.push(repository, index, "all")
    name = f"{homeport.host}/{repository}:all"

    ctr.pull(name, "--platform", "linux/arm64")

    found = ctr.content(name, "--platform", "linux/arm64")
    assert bytes_of(index.images[1]).items() <= found.items()
    assert index.images[0].layers[0].digest not in found


def test_an_image_with_docker_media_types_keeps_its_digest(
    ctr: Ctr, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image(docker=True)
    oci.push(repository, image, "v1")
    name = f"{homeport.host}/{repository}:v1"

    ctr.pull(name)

    assert ctr.target(name) == image.digest
    assert ctr.content(name) == bytes_of(image)


def test_an_image_is_pulled_by_digest_after_its_tag_moved_on(
    ctr: Ctr, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    old, new = random_image(), random_image()
    oci.push(repository, old, "latest")
    oci.push(repository, new, "latest")
    by_digest = f"{homeport.host}/{repository}@{old.digest}"

    ctr.pull(by_digest)

    assert ctr.content(by_digest) == bytes_of(old)


def test_an_unknown_image_is_reported_as_not_found(ctr: Ctr, homeport: Homeport, repository: str) -> None:
    said = ctr.refused_pull(f"{homeport.host}/{repository}:none")

    assert "not found" in said


def test_a_wrong_password_pulls_nothing(
    sandbox: Sandbox,
    containerd_address: str,
    homeport: Homeport,
    repository: str,
    oci: OciClient,
) -> None:
    oci.push(repository, random_image(), "v1")
    stranger = Ctr(sandbox, containerd_address, "AWS:wrong")

    said = stranger.refused_pull(f"{homeport.host}/{repository}:v1")

    assert "401" in said or "authorization failed" in said
