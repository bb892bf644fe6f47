"""Small images, indexes and artifacts as values: exact bytes with their digests.

Layers are real gzipped tars, so that container engines can unpack them. Content is random unless a
seed is given, so no two tests share a blob by accident. Also reads and writes the OCI image layout,
the format in which programs exchange images on disk (OCI image specification, image-layout.md).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def sha256(data: bytes) -> str:
    """The digest of some bytes, as registries write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with their media type."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return sha256(self.data)

    @property
    def size(self) -> int:
        return len(self.data)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How a manifest refers to these bytes."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size} | more

    def json(self) -> dict[str, Any]:
        """The content of a manifest or configuration."""
        document: dict[str, Any] = json.loads(self.data)
        return document

    @property
    def text(self) -> str:
        """The bytes as text, as PutImage takes a manifest."""
        return self.data.decode()


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with the blobs that it names. An artifact is one too."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]
    platform: str = "linux/amd64"

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What must be in the repository before the manifest, without repetitions."""
        return tuple({blob.digest: blob for blob in (*self.layers, self.config)}.values())


@dataclass(frozen=True, slots=True)
class Index:
    """A multi-platform manifest with its images."""

    manifest: Blob
    images: tuple[Image, ...]

    @property
    def digest(self) -> str:
        return self.manifest.digest


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar with the given files, the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def files_of(packed: bytes) -> dict[str, bytes]:
    """The regular files in a tar, gzipped or not, by their name without a leading `./`."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is not None:
                with content:
                    found[entry.name.removeprefix("./")] = content.read()
    return found


def image_of(
    files: Sequence[Mapping[str, bytes]],
    *,
    platform: str = "linux/amd64",
    docker: bool = False,
    annotations: Mapping[str, str] | None = None,
    subject: Blob | None = None,
) -> Image:
    """An image whose layers hold the given files.

    Args:
        files: one mapping of file name to content per layer.
        platform: operating system and architecture, such as `linux/arm64`.
        docker: Docker schema 2 media types instead of OCI ones.
        annotations: of the manifest.
        subject: the manifest that this one is about (OCI 1.1 `subject`).
    """
    tars = [tar_of(layer) for layer in files]
    system, architecture = platform.split("/")
    config = _json_blob(
        DOCKER_CONFIG if docker else OCI_CONFIG,
        {
            "architecture": architecture,
            "os": system,
            "created": "2026-01-01T00:00:00Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "test"} for _ in tars],
        },
    )
    layer_type = DOCKER_LAYER if docker else OCI_LAYER
    layers = tuple(Blob(layer_type, gzip.compress(tar, 1, mtime=0)) for tar in tars)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    if annotations is not None:
        manifest["annotations"] = dict(annotations)
    if subject is not None:
        manifest["subject"] = subject.descriptor()
    return Image(_json_blob(str(manifest["mediaType"]), manifest), config, layers, platform)


def random_image(
    *,
    layers: int = 1,
    layer_bytes: int = 2000,
    seed: int | None = None,
    platform: str = "linux/amd64",
    docker: bool = False,
    annotations: Mapping[str, str] | None = None,
    subject: Blob | None = None,
) -> Image:
    """An image of random files that no other test has.

    Args:
        layers: how many layers.
        layer_bytes: random bytes in each, so about its compressed size.
        seed: makes the same image again; None makes a new one each time.
        platform, docker, annotations, subject: as for `image_of`.
    """
    source = random.Random(seed) if seed is not None else random.SystemRandom()
    files = [{f"layer-{number}.bin": source.randbytes(layer_bytes)} for number in range(layers)]
    return image_of(files, platform=platform, docker=docker, annotations=annotations, subject=subject)


def index_of(
    images: Sequence[Image], *, docker: bool = False, annotations: Mapping[str, str] | None = None
) -> Index:
    """A multi-platform manifest over the given images (a Docker manifest list if `docker`)."""
    entries = []
    for image in images:
        system, architecture = image.platform.split("/")
        platform = {"os": system, "architecture": architecture}
        entries.append(image.manifest.descriptor(platform=platform))
    kind = DOCKER_LIST if docker else OCI_INDEX
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    if annotations is not None:
        document["annotations"] = dict(annotations)
    return Index(_json_blob(kind, document), tuple(images))


def random_index(platforms: Sequence[str] = ("linux/amd64", "linux/arm64"), *, docker: bool = False) -> Index:
    """A multi-platform manifest over new random images."""
    return index_of([random_image(platform=name, docker=docker) for name in platforms], docker=docker)


def artifact(
    payload: bytes,
    *,
    artifact_type: str,
    subject: Blob | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An OCI 1.1 artifact with one payload: a signature, a bill of materials, anything but an image.

    Args:
        payload: the bytes of its only layer.
        artifact_type: value of `artifactType`, such as `application/spdx+json`.
        subject: the manifest that it is about.
        annotations: of the manifest.
    """
    config = Blob(OCI_EMPTY, b"{}")
    layer = Blob(artifact_type, payload)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    if annotations is not None:
        document["annotations"] = dict(annotations)
    return Image(_json_blob(OCI_MANIFEST, document), config, (layer,))


def write_layout(folder: Path, named: Mapping[str, Image | Index]) -> Path:
    """Write an OCI image layout.

    Args:
        folder: where; made if missing.
        named: what each reference name in the layout's index stands for.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, content in named.items():
        for blob in everything(content).values():
            (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
        entries.append(content.manifest.descriptor(annotations={"org.opencontainers.image.ref.name": name}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return folder


def write_layout_archive(path: Path, named: Mapping[str, Image | Index]) -> Path:
    """Write an OCI image layout as one uncompressed tar file at `path`."""
    folder = write_layout(path.with_suffix(".layout"), named)
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=".")
    return path


def write_directory(folder: Path, image: Image) -> Path:
    """Write the `dir:` format of containers/image: flat, and open to any media type."""
    folder.mkdir(parents=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(image.manifest.data)
    for blob in image.blobs:
        (folder / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
    return folder


def read_directory(folder: Path) -> dict[str, bytes]:
    """The blobs and the manifest of a `dir:` folder, by the digest that their bytes have."""
    paths = [path for path in sorted(folder.iterdir()) if path.name != "version"]
    return {sha256(data): data for data in (path.read_bytes() for path in paths)}


def read_layout(folder: Path) -> dict[str, bytes]:
    """The blobs of an OCI image layout by digest, each checked against its name."""
    found = {}
    for path in sorted((folder / "blobs" / "sha256").iterdir()):
        data = path.read_bytes()
        assert sha256(data) == f"sha256:{path.name}", f"{path} does not hold the bytes of its name"
        found[sha256(data)] = data
    return found


def everything(content: Image | Index) -> dict[str, Blob]:
    """Every manifest and blob of an image or index by digest, parts before what names them."""
    if isinstance(content, Image):
        parts = {blob.digest: blob for blob in content.blobs}
    else:
        parts = {digest: blob for image in content.images for digest, blob in everything(image).items()}
    return parts | {content.digest: content.manifest}


def bytes_of(content: Image | Index) -> dict[str, bytes]:
    """Like `everything`, without media types: what a layout or a pull of it must contain."""
    return {digest: blob.data for digest, blob in everything(content).items()}


def _json_blob(media_type: str, document: Mapping[str, Any]) -> Blob:
    return Blob(media_type, json.dumps(document, separators=(",", ":")).encode())
