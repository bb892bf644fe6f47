"""Manifests: any bytes become a value or a domain error, and what is read is what the document says."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.images.model import Manifest
from homeport.images.rules import read_manifest
from homeport.kernel import limits, media
from homeport.kernel.errors import HomeportError, ManifestInvalid, TooLarge

TYPES = [
    *sorted(media.IMAGES | media.INDEXES | media.SCHEMA1),
    media.ORAS_ARTIFACT,
    "application/x+json",
    "x",
    "",
]
digests = st.integers(0, 5).map(lambda number: f"sha256:{number:064x}")
media_types = st.sampled_from(
    [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ]
)
descriptors = st.fixed_dictionaries(
    {"mediaType": media_types, "digest": digests, "size": st.integers(0, 2**40)},
    optional={"annotations": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)},
)
extras: dict[str, st.SearchStrategy[Any]] = {
    "annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    "artifactType": st.just("application/vnd.example.sbom+json"),
    "subject": descriptors,
    "x-unknown": st.integers(),
}
images = st.fixed_dictionaries(
    {
        "schemaVersion": st.just(2),
        "mediaType": st.sampled_from(sorted(media.IMAGES)),
        "config": descriptors,
        "layers": st.lists(descriptors, max_size=4),
    },
    optional=extras,
)
indexes = st.fixed_dictionaries(
    {
        "schemaVersion": st.just(2),
        "mediaType": st.sampled_from(sorted(media.INDEXES)),
        "manifests": st.lists(descriptors, max_size=4),
    },
    optional=extras,
)
schema1 = st.fixed_dictionaries(
    {
        "schemaVersion": st.just(1),
        "mediaType": st.sampled_from(sorted(media.SCHEMA1)),
        "fsLayers": st.lists(st.fixed_dictionaries({"blobSum": digests}), max_size=4),
    }
)
documents = images | indexes | schema1
anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | digests
    | st.sampled_from(["\ud800", "\x00", "a" * 300, 2**63, 10**400, -1, 1.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def body_of(document: object) -> bytes:
    return json.dumps(document).encode()


def read(body: bytes, content_type: str | None) -> Manifest | None:
    try:
        return read_manifest(body, content_type)
    except (ManifestInvalid, TooLarge) as refused:
        refused.message.encode()  # must be fit for a response
        return None


@given(images)
def test_an_image_manifest_is_read_as_it_is_written(document: dict[str, Any]) -> None:
    manifest = read_manifest(body_of(document), document["mediaType"])

    listed = [document["config"], *document["layers"]]
    assert [(item.media_type, item.digest, item.size) for item in manifest.blobs] == [
        (item["mediaType"], item["digest"], item["size"]) for item in listed
    ]
    assert manifest.media_type == document["mediaType"]
    assert manifest.artifact_type == document.get("artifactType", document["config"]["mediaType"])
    assert manifest.subject == document.get("subject", {}).get("digest")
    assert manifest.annotations == document.get("annotations")
    assert manifest.children == ()


@given(indexes)
def test_an_index_is_read_as_it_is_written(document: dict[str, Any]) -> None:
    manifest = read_manifest(body_of(document), None)

    assert [item.digest for item in manifest.children] == [item["digest"] for item in document["manifests"]]
    assert manifest.blobs == ()
    assert manifest.artifact_type == document.get("artifactType")


@settings(max_examples=300)
@given(
    st.binary(max_size=80) | st.text('{}[]":,0123ntfalse\\u ', max_size=40).map(str.encode),
    st.sampled_from(TYPES),
)
def test_any_bytes_are_a_manifest_or_a_domain_error(body: bytes, content_type: str) -> None:
    read(body, content_type)
    read(body, None)


@settings(max_examples=300)
@given(anything, st.sampled_from(TYPES) | st.text(max_size=12))
def test_any_json_is_a_manifest_or_a_domain_error(document: object, content_type: str) -> None:
    read(body_of(document), content_type)


@settings(max_examples=1_000)
@given(documents, st.data())
def test_a_valid_manifest_with_any_member_replaced_is_read_or_refused(
    document: dict[str, Any], data: st.DataObject
) -> None:
    place: Any = document
    while True:
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(anything)

    manifest = read(body_of(document), None)

    if manifest is not None:
        for item in (*manifest.blobs, *manifest.children):
            assert -1 <= item.size < 2**63
            item.media_type.encode("ascii")  # it becomes a column and a header
        for text in (manifest.media_type, manifest.artifact_type or ""):
            text.encode("ascii")
        assert not (manifest.blobs and manifest.children)


@settings(max_examples=500)
@given(documents, st.data())
def test_a_valid_manifest_with_damaged_bytes_is_read_or_refused(
    document: dict[str, Any], data: st.DataObject
) -> None:
    body = bytearray(body_of(document))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    read(bytes(body), data.draw(st.sampled_from(TYPES)))


@given(documents, st.sampled_from(TYPES[:-1]))
def test_no_document_is_read_as_another_type_than_it_states(document: dict[str, Any], announced: str) -> None:
    manifest = read(body_of(document), announced)

    if manifest is not None:
        assert announced == manifest.media_type == document["mediaType"]


@given(st.integers(1, 100_000), st.sampled_from(["[", '{"a":']))
def test_any_depth_is_read_within_the_bound_and_refused_beyond_it(depth: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    nested = opening * depth + "1" + closing * depth
    body = f'{{"schemaVersion":2,"mediaType":"{media.OCI_INDEX}","manifests":[],"x":{nested}}}'.encode()

    manifest = read(body, None)

    # The document, its values, and each level of the nested one, down to the number in the middle.
    assert (manifest is not None) is (depth + 2 <= limits.MANIFEST_DEPTH)


@given(documents, st.data())
def test_a_member_written_twice_in_any_case_is_refused(document: dict[str, Any], data: st.DataObject) -> None:
    known = data.draw(st.sampled_from(sorted(set(document) - {"x-unknown"})))
    again = data.draw(st.sampled_from([known, known.upper(), known.title(), known.replace("s", "\u017f")]))
    twice = body_of(document)[:-1] + f", {json.dumps(again)}: {json.dumps(document[known])}}}".encode()

    assert read(twice, None) is None


def test_the_only_failures_are_those_that_the_fronts_expect() -> None:
    assert issubclass(ManifestInvalid, HomeportError)
    assert issubclass(TooLarge, HomeportError)
