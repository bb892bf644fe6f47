"""What the benchmark sends: blobs of random bytes that no server has seen before, and an image for skopeo.

Every payload of one size shares its bytes but for the last sixteen, so a fresh one costs a copied hash state
instead of a pass over a gibibyte. The same bytes lie ready in 32 KiB chunk frames, as Go clients send them,
so that one sendfile call sends a chunked body. Image layout: the `dir:` transport of containers/image.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 32 * 1024
FRAME_HEAD = b"%x\r\n" % CHUNK
FRAME = len(FRAME_HEAD) + CHUNK + 2
LAST_CHUNK = b"0\r\n\r\n"
TAIL = 16
BLOCK = 4 * 1024 * 1024
MEBIBYTE = 1024 * 1024

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Payload:
    """One blob: `size` bytes, of which all but the last chunk lie in the files of its source."""

    size: int
    digest: str
    last: bytes


class Source:
    """Random bytes in a file, plain and framed, from which payloads of up to `size` bytes are cut."""

    def __init__(self, folder: Path, size: int) -> None:
        """Write the two files (each a little over `size` bytes, a multiple of 4 MiB) to `folder`."""
        self.plain = folder / "source.plain"
        self.framed = folder / "source.framed"
        self._states: dict[int, tuple[hashlib._Hash, bytes]] = {}
        with self.plain.open("wb") as plain, self.framed.open("wb") as framed:
            for _ in range(size // BLOCK):
                block = os.urandom(BLOCK)
                plain.write(block)
                chunks = (block[at : at + CHUNK] for at in range(0, BLOCK, CHUNK))
                framed.write(b"".join(FRAME_HEAD + chunk + b"\r\n" for chunk in chunks))

    def payload(self, size: int) -> Payload:
        """Return a payload of `size` bytes (a multiple of 32 KiB) that differs from all others."""
        if size not in self._states:
            self._states[size] = self._hashed_prefix(size)
        state, prefix = self._states[size]
        tail = os.urandom(TAIL)
        fresh = state.copy()
        fresh.update(tail)
        return Payload(size, f"sha256:{fresh.hexdigest()}", prefix + tail)

    def _hashed_prefix(self, size: int) -> tuple[hashlib._Hash, bytes]:
        """Return the hash state before the tail, and the bytes of the last chunk before the tail."""
        state = hashlib.sha256()
        with self.plain.open("rb") as plain:
            for block in _blocks(plain, size - CHUNK):
                state.update(block)
            prefix = plain.read(CHUNK - TAIL)
        state.update(prefix)
        return state, prefix


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the `dir:` layout that skopeo reads, with its size on the wire."""

    folder: Path
    size: int
    manifest_digest: str


def write_image(folder: Path, layers: int, size: int) -> Image:
    """Write an image of incompressible layers to `folder`.

    Layers are real gzip-compressed tar archives, stored without compression since random bytes have none.
    `size` is the sum of the layers in bytes, but for the few of their framing.
    """
    folder.mkdir()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    descriptors, plain_digests = [], []
    for number in range(layers):
        archive = _archive(f"layer-{number}", os.urandom(size // layers))
        plain_digests.append(f"sha256:{hashlib.sha256(archive).hexdigest()}")
        packed = gzip.compress(archive, compresslevel=0, mtime=0)
        descriptors.append(_stored(folder, packed, LAYER_TYPE))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": plain_digests},
    }
    body = manifest(_stored(folder, json.dumps(config).encode(), CONFIG_TYPE), descriptors)
    (folder / "manifest.json").write_bytes(body)
    total = len(body) + sum(path.stat().st_size for path in folder.iterdir() if len(path.name) == 64)
    return Image(folder, total, f"sha256:{hashlib.sha256(body).hexdigest()}")


def manifest(config: dict[str, object], layers: list[dict[str, object]]) -> bytes:
    """Return an OCI image manifest (image-spec 1.1) of the given descriptors."""
    fields = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    return json.dumps(fields).encode()


def descriptor(body: bytes, media_type: str) -> dict[str, object]:
    """Return the descriptor of some bytes."""
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(body)}


def _stored(folder: Path, body: bytes, media_type: str) -> dict[str, object]:
    """Write a blob under its digest and return its descriptor."""
    described = descriptor(body, media_type)
    (folder / str(described["digest"]).partition(":")[2]).write_bytes(body)
    return described


def _archive(name: str, body: bytes) -> bytes:
    """Return a tar archive that holds one file."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return target.getvalue()


def _blocks(file: io.BufferedReader, size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file in blocks."""
    while size:
        block = file.read(min(BLOCK, size))
        size -= len(block)
        yield block
