"""oras for Python: artifacts that are not images, and what refers to what."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.images import bytes_of, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

oras_client = pytest.importorskip("oras.client", reason="oras is not installed: install the package oras")
oras_oci = pytest.importorskip("oras.oci", reason="oras is not installed: install the package oras")

pytestmark = pytest.mark.clients


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and home: oras takes files from below the one and logins from the other."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def oras(work: Path, homeport: Homeport, password: str) -> Iterator[Any]:
    """An oras client that is logged in to the shared server."""
    client = oras_client.OrasClient(hostname=homeport.host, insecure=True, auth_backend="basic")
    login = work.parent / "login.json"
    client.login("AWS", password, hostname=homeport.host, config_path=str(login))
    yield client
    client.session.close()


def file_of(work: Path, name: str, size: int) -> bytes:
    data = random.randbytes(size)
    (work / name).write_bytes(data)
    return data


def test_files_pushed_as_an_artifact_come_back_byte_for_byte(
    oras: Any, work: Path, homeport: Homeport, repository: str
) -> None:
    target = f"{homeport.host}/{repository}:v1"
    files = {"model.bin": file_of(work, "model.bin", 300_000), "card.md": file_of(work, "card.md", 900)}

    oras.push(target, files=["model.bin:application/x-model", "card.md:text/markdown"])
    pulled = oras.pull(target, outdir=str(work / "back"))

    assert {Path(path).name: Path(path).read_bytes() for path in pulled} == files


def test_a_blob_uploaded_in_chunks_comes_back_byte_for_byte(
    oras: Any, work: Path, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    target = f"{homeport.host}/{repository}:v1"
    data = file_of(work, "big.bin", 2_500_000)

    oras.push(target, files=["big.bin:application/x-big"], do_chunked=True, chunk_size=1_000_000)

    assert oci.pull_blob(repository, sha256(data)) == data


def test_a_folder_is_pushed_as_one_layer_and_unpacked_again(
    oras: Any, work: Path, homeport: Homeport, repository: str
) -> None:
    target = f"{homeport.host}/{repository}:v1"
    (work / "chart").mkdir()
    data = file_of(work, "chart/values.yaml", 700)

    oras.push(target, files=["chart"])
    oras.pull(target, outdir=str(work / "back"))

    assert (work / "back" / "chart" / "values.yaml").read_bytes() == data


def test_what_is_attached_to_an_image_is_found_from_the_image(
    oras: Any, work: Path, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image, "v1")
    bom = file_of(work, "sbom.json", 400)
    subject = oras_oci.Subject(**image.manifest.descriptor())

    answer = oras.push(
        f"{homeport.host}/{repository}:sbom",
        files=["sbom.json:application/spdx+json"],
        manifest_annotations={"org.example.kind": "sbom"},
        subject=subject,
    )

    attached = oci.pull_manifest(repository, "sbom")
    found = oci.referrers(repository, image.digest)
    assert answer.headers["OCI-Subject"] == image.digest
    assert [entry["digest"] for entry in found] == [attached.digest]
    assert found[0]["annotations"] == {"org.example.kind": "sbom"}
    assert oci.pull_blob(repository, attached.json()["layers"][0]["digest"]) == bom


def test_oras_lists_every_tag(
    oras: Any, work: Path, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    image = random_image()
    oci.push(repository, image)
    tags = sorted(f"v{number}" for number in range(25))
    for tag in tags:
        oci.push_manifest(repository, image.manifest, tag)

    everything = oras.get_tags(f"{homeport.host}/{repository}")
    first = oras.get_tags(f"{homeport.host}/{repository}", N=10)

    assert sorted(everything) == tags
    assert len(first) == 10
    assert set(first) <= set(tags)


def test_deleting_a_tag_through_oras_removes_the_image_that_it_names(
    oras: Any, work: Path, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    gone, kept = random_image(), random_image()
    oci.push(repository, gone, "gone")
    oci.push(repository, kept, "kept")

    deleted = oras.delete_tag(f"{homeport.host}/{repository}", "gone")

    assert deleted is True
    assert oci.tags(repository) == ["kept"]
    assert oci.pull(repository, "kept") == bytes_of(kept)


def test_a_wrong_password_pushes_nothing(
    work: Path, homeport: Homeport, repository: str, oci: OciClient
) -> None:
    file_of(work, "data", 10)
    client = oras_client.OrasClient(hostname=homeport.host, insecure=True, auth_backend="basic")
    client.auth.set_basic_auth("AWS", "wrong")

    # Which words the error has is up to oras: it expects JSON where ECR answers 401 with plain text.
    with pytest.raises(ValueError):
        client.push(f"{homeport.host}/{repository}:v1", files=["data"])

    client.session.close()
    assert oci.tags(repository) == []
