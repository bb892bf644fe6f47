"""What a manifest must be to enter. Pure: bytes in, value out. OCI image-spec manifest.md and image-index.md.

Stricter than the specification where two readers could disagree (security cases M2, M3, M14): a document has one
type, stated in one way, and no key twice. Everything else is kept byte for byte and never interpreted.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from homeport.images.model import Descriptor, Manifest
from homeport.kernel import limits, media
from homeport.kernel.digests import Digest
from homeport.kernel.errors import DigestInvalid, ManifestInvalid, TooLarge

_MEMBERS = frozenset(
    {"schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests"}
) | {
    "fsLayers",
    "signatures",
    "subject",
    "annotations",
}
_FOLDED = {name.casefold(): name for name in _MEMBERS}
_PLACE = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "


def _refuse(why: str) -> NoReturn:
    raise ManifestInvalid(f"{_PLACE}'{why}'")


def read_manifest(body: bytes, content_type: str | None) -> Manifest:
    """Read and check the manifest `body`, announced as `content_type` (None when nobody announced it).

    Errors: ManifestInvalid with the reason, TooLarge over 4 MiB.
    """
    if len(body) > limits.MANIFEST_BYTES:
        raise TooLarge(f"{_PLACE}'Member must have length less than or equal to {limits.MANIFEST_BYTES}'")
    document = _load(body)
    announced = media.bare(content_type) if content_type else None
    media_type = _media_type(document, announced)
    is_index = "manifests" in document
    if is_index and not document.keys().isdisjoint(("layers", "config", "blobs", "fsLayers")):
        _refuse("A manifest cannot hold both layers and manifests")
    if media_type in media.SCHEMA1:
        return _schema1(document, media_type)
    if media_type in media.INDEXES and not is_index:
        _refuse("An index needs the member manifests")
    if media_type in media.IMAGES and (is_index or "config" not in document or "layers" not in document):
        _refuse("An image manifest needs the members config and layers")
    if media_type in media.IMAGES | media.INDEXES and document.get("schemaVersion") != 2:
        _refuse("schemaVersion must be 2")
    config = _descriptor(document["config"], "config") if "config" in document else None
    layers = _descriptors(document, "layers", limits.MANIFEST_LAYERS)
    blobs = _descriptors(document, "blobs", limits.MANIFEST_LAYERS)  # the former ORAS artifact manifest
    if not is_index and config is None and not blobs and media_type != media.ORAS_ARTIFACT:
        _refuse("The document is neither an image manifest nor an index")
    artifact_type = _text(document, "artifactType")
    return Manifest(
        media_type=media_type,
        artifact_type=artifact_type or (config.media_type if config else None),
        subject=_descriptor(document["subject"], "subject").digest if document.get("subject") else None,
        annotations=_annotations(document),
        blobs=((config,) if config else ()) + layers + blobs,
        children=_descriptors(document, "manifests", limits.INDEX_CHILDREN),
    )


def _load(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=lambda _: _refuse("Invalid JSON syntax"),
        )
    except (ValueError, RecursionError):
        _refuse("Invalid JSON syntax")
    if not isinstance(document, dict):
        _refuse("Invalid JSON syntax")
    for key in document:
        # Many readers take `Layers` for `layers`, and of both the last.
        if key not in _MEMBERS and key.casefold() in _FOLDED:
            _refuse(f"The member {_FOLDED[key.casefold()]} is written in another case")
    if _depth(document) > limits.MANIFEST_DEPTH:
        _refuse(f"Nested deeper than {limits.MANIFEST_DEPTH} levels")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    together = dict(pairs)
    if len(together) != len(pairs):
        _refuse("A key appears twice in one object")
    return together


def _depth(value: object) -> int:
    level: list[object] = [value]
    depth = 0
    while level and depth <= limits.MANIFEST_DEPTH:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level, depth = inner, depth + 1
    return depth


def _text(document: dict[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 255 or not _is_plain(value):
        _refuse(f"{key} must be a string of at most 255 printable ASCII characters")
    return value


def _is_plain(media_type: str) -> bool:
    """Whether `media_type` holds printable ASCII only (RFC 6838): it is stored, compared and sent as a header."""
    return media_type.isascii() and media_type.isprintable()


def _media_type(document: dict[str, Any], announced: str | None) -> str:
    stated = _text(document, "mediaType")
    if stated and announced and stated != announced:
        _refuse(f"mediaType {stated} does not agree with Content-Type {announced}")
    found = stated or announced
    if found is None:
        if document.get("schemaVersion") == 1:
            return media.DOCKER_SCHEMA1_SIGNED if "signatures" in document else media.DOCKER_SCHEMA1
        _refuse("The manifest has no mediaType, so imageManifestMediaType is required")
    if "/" not in found or len(found) > 255 or not _is_plain(found):
        _refuse("The media type is malformed")
    return found


def _descriptor(value: object, place: str) -> Descriptor:
    if not isinstance(value, dict):
        _refuse(f"{place} must be a descriptor")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or not 1 <= len(media_type) <= 255 or not _is_plain(media_type):
        _refuse(f"{place} needs a mediaType")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        _refuse(f"{place} needs a size of 0 or more")
    try:
        digest = Digest(value["digest"])
    except (KeyError, TypeError, DigestInvalid):
        _refuse(f"{place} needs a digest")
    foreign = ".foreign." in media_type or ".nondistributable." in media_type
    return Descriptor(media_type, digest, size, foreign)


def _descriptors(document: dict[str, Any], key: str, most: int) -> tuple[Descriptor, ...]:
    listed = document.get(key)
    if listed is None:
        return ()
    if not isinstance(listed, list):
        _refuse(f"{key} must be a list")
    if len(listed) > most:
        _refuse(f"{key} has more than {most} entries")
    return tuple(_descriptor(item, f"{key}[{place}]") for place, item in enumerate(listed))


def _annotations(document: dict[str, Any]) -> dict[str, str] | None:
    found = document.get("annotations")
    if found is None:
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        _refuse("annotations must map strings to strings")
    return found


def _schema1(document: dict[str, Any], media_type: str) -> Manifest:
    layers = document.get("fsLayers")
    if document.get("schemaVersion") != 1 or not isinstance(layers, list):
        _refuse("A schema 1 manifest needs schemaVersion 1 and fsLayers")
    if len(layers) > limits.MANIFEST_LAYERS:
        _refuse(f"fsLayers has more than {limits.MANIFEST_LAYERS} entries")
    try:
        # Schema 1 does not state sizes: -1 tells the caller to take the stored one.
        blobs = tuple(
            Descriptor("application/octet-stream", Digest(layer["blobSum"]), -1) for layer in layers
        )
    except (KeyError, TypeError, DigestInvalid):
        _refuse("Each of fsLayers needs a blobSum")
    return Manifest(media_type, None, None, None, blobs, ())
