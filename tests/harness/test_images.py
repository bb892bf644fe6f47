"""The harness itself: its images must be what container programs take for images."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.harness.images import (
    artifact,
    bytes_of,
    files_of,
    image_of,
    random_image,
    random_index,
    read_directory,
    read_layout,
    sha256,
    tar_of,
    write_directory,
    write_layout,
)


def test_a_seed_makes_the_same_image_again_and_no_seed_a_new_one() -> None:
    assert random_image(seed=7) == random_image(seed=7)
    assert random_image().digest != random_image().digest


def test_an_image_names_its_layers_by_compressed_and_uncompressed_digest() -> None:
    files = {"a": b"1", "b/c": b"2"}

    image = image_of([files])

    manifest, config = image.manifest.json(), image.config.json()
    layer = image.layers[0]
    assert manifest["layers"] == [layer.descriptor()]
    assert manifest["config"] == image.config.descriptor()
    assert config["rootfs"]["diff_ids"] == [sha256(gzip.decompress(layer.data))]
    assert files_of(layer.data) == files_of(tar_of(files)) == files


def test_everything_in_an_index_is_written_and_read_back(tmp_path: Path) -> None:
    index = random_index()

    layout = write_layout(tmp_path / "layout", {"all": index})

    assert read_layout(layout) == bytes_of(index)
    assert len(bytes_of(index)) == 1 + 2 * 3


def test_an_image_is_written_as_a_directory_and_read_back(tmp_path: Path) -> None:
    image = random_image(layers=2, docker=True)

    assert read_directory(write_directory(tmp_path / "image", image)) == bytes_of(image)


def test_an_artifact_points_at_its_subject() -> None:
    image = random_image()

    signature = artifact(b"signed", artifact_type="application/x-signature", subject=image.manifest)

    assert signature.manifest.json()["subject"] == image.manifest.descriptor()
    assert signature.manifest.json()["artifactType"] == "application/x-signature"
