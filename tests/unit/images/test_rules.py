"""Which manifests may enter. Security cases M2, M3, M8, M11, M14; ECR facts, accepted manifest types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from homeport.images.rules import read_manifest
from homeport.kernel import limits, media
from homeport.kernel.errors import ManifestInvalid, TooLarge

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def descriptor(number: int = 1, media_type: str = LAYER, size: int = 10, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{number:064x}", "size": size, **more}


def image(**members: Any) -> dict[str, Any]:
    config = descriptor(0, "application/vnd.oci.image.config.v1+json")
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": config,
        "layers": [descriptor()],
    }
    return {name: value for name, value in {**document, **members}.items() if value is not ...}


def index(**members: Any) -> dict[str, Any]:
    child = descriptor(7, media.OCI_MANIFEST)
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [child]}
    return {name: value for name, value in {**document, **members}.items() if value is not ...}


def body(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def refusal(document: object, content_type: str | None = None) -> str:
    with pytest.raises(ManifestInvalid) as refused:
        read_manifest(body(document), content_type)
    assert refused.value.message.startswith(
        "Invalid parameter at 'ImageManifest' failed to satisfy constraint: '"
    )
    return refused.value.message


@pytest.mark.parametrize("media_type", sorted(media.IMAGES))
def test_docker_and_oci_images_are_accepted(media_type: str) -> None:
    manifest = read_manifest(body(image(mediaType=media_type)), media_type)

    assert manifest.media_type == media_type
    assert len(manifest.blobs) == 2


@pytest.mark.parametrize("media_type", sorted(media.INDEXES))
def test_docker_lists_and_oci_indexes_are_accepted(media_type: str) -> None:
    manifest = read_manifest(body(index(mediaType=media_type)), media_type)

    assert (manifest.media_type, len(manifest.children)) == (media_type, 1)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, media.DOCKER_SCHEMA1),
        ({"schemaVersion": 1, "fsLayers": [], "signatures": []}, media.DOCKER_SCHEMA1_SIGNED),
    ],
)
def test_schema_1_is_known_by_its_members_and_takes_its_sizes_from_the_store(
    document: dict[str, Any], expected: str
) -> None:
    document["fsLayers"] = [{"blobSum": f"sha256:{1:064x}"}]

    manifest = read_manifest(body(document), None)

    assert manifest.media_type == expected
    assert [item.size for item in manifest.blobs] == [-1]


def test_the_former_oras_artifact_manifest_is_accepted() -> None:
    document = {
        "mediaType": media.ORAS_ARTIFACT,
        "artifactType": "example/sbom",
        "blobs": [descriptor()],
        "subject": descriptor(5, media.OCI_MANIFEST),
    }

    manifest = read_manifest(body(document), None)

    assert manifest.artifact_type == "example/sbom"
    assert manifest.subject == f"sha256:{5:064x}"
    assert len(manifest.blobs) == 1


def test_an_artifact_type_may_have_parameters() -> None:
    document = image(artifactType="application/vnd.example;version=0.2")

    assert read_manifest(body(document), None).artifact_type == "application/vnd.example;version=0.2"


def test_a_content_type_with_parameters_is_the_type_without_them() -> None:
    manifest = read_manifest(body(image()), f"{media.OCI_MANIFEST}; charset=utf-8")

    assert manifest.media_type == media.OCI_MANIFEST


def test_an_image_without_a_media_type_has_the_announced_one() -> None:
    assert read_manifest(body(image(mediaType=...)), media.OCI_MANIFEST).media_type == media.OCI_MANIFEST
    assert "imageManifestMediaType is required" in refusal(image(mediaType=...))


# M3, M14: one type, stated in one way


@pytest.mark.parametrize(
    "members", [("layers",), ("config",), ("config", "layers"), ("blobs",), ("fsLayers",)]
)
@pytest.mark.parametrize(
    "media_type", [*sorted(media.IMAGES | media.INDEXES | media.SCHEMA1), media.ORAS_ARTIFACT, "a/b"]
)
def test_a_document_that_is_image_and_index_at_once_is_refused(
    members: tuple[str, ...], media_type: str
) -> None:
    both: dict[str, Any] = {"config": descriptor(0), "layers": [], "blobs": [], "fsLayers": []}
    schema_version = 1 if media_type in media.SCHEMA1 else 2
    document = index(
        mediaType=media_type, schemaVersion=schema_version, **{name: both[name] for name in members}
    )

    assert "both layers and manifests" in refusal(document)
    assert "both layers and manifests" in refusal({**document, "mediaType": None}, media_type)


@pytest.mark.parametrize(
    ("document", "announced"),
    [
        (image(), media.OCI_INDEX),
        (image(), media.DOCKER_MANIFEST),
        (index(), media.OCI_MANIFEST),
        (image(), "application/json"),
        (image(), media.OCI_MANIFEST.upper()),
    ],
)
def test_a_type_that_does_not_agree_with_the_content_type_is_refused(
    document: dict[str, Any], announced: str
) -> None:
    assert "does not agree with Content-Type" in refusal(document, announced)


@pytest.mark.parametrize("media_type", sorted(media.IMAGES))
def test_an_index_under_the_type_of_an_image_is_refused_and_the_reverse(media_type: str) -> None:
    assert "needs the members config and layers" in refusal(index(mediaType=...), media_type)
    assert "needs the member manifests" in refusal(image(mediaType=...), media.OCI_INDEX)


def test_a_member_in_another_case_is_refused_because_many_readers_would_take_it() -> None:
    assert "written in another case" in refusal(index(Layers=[]))
    assert "written in another case" in refusal(image(MediaType=media.OCI_INDEX))
    assert read_manifest(body(image(annotations={"a": "1", "A": "2"})), None).annotations == {
        "a": "1",
        "A": "2",
    }


# M2: hostile JSON


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"7",
        b"{",
        b"{}x",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{'a': 1}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\x01"}',
    ],
)
def test_what_is_no_plain_json_object_is_refused(hostile: bytes) -> None:
    assert "Invalid JSON syntax" in refusal(hostile, media.OCI_MANIFEST)


@pytest.mark.parametrize("key", ["mediaType", "config", "layers", "schemaVersion", "annotations"])
def test_a_key_that_comes_twice_is_refused_at_any_level(key: str) -> None:
    once = json.dumps(image(annotations={}))
    twice = f'{{"{key}": {json.dumps(image(annotations={})[key])}, {once[1:]}'.encode()
    inside = once.replace('"digest":', '"size": 10, "digest":').encode()

    assert "appears twice" in refusal(twice)
    assert "appears twice" in refusal(inside)


def test_nesting_is_bounded_even_where_json_could_take_it() -> None:
    deep: object = 1
    for _ in range(limits.MANIFEST_DEPTH):
        deep = [deep]

    assert "Nested deeper" in refusal(image(x=deep))


@pytest.mark.parametrize("text", ["\ud800", "caf\u00e9/x", "a/\x00", "a/b\r\nX: y", "a" * 256])
def test_a_media_type_that_cannot_be_stored_or_sent_is_refused(text: str) -> None:
    refusal(image(artifactType=text))
    refusal(image(mediaType=text))
    refusal(image(config=descriptor(0, text)))
    refusal(image(layers=[descriptor(1, text)]))


@pytest.mark.parametrize("size", [-1, -(2**63), 2**63, 10**30, 1.0, "10", None, True, [], {}])
def test_a_size_that_is_no_byte_count_is_refused(size: Any) -> None:
    assert "needs a size" in refusal(image(layers=[descriptor(size=size)]))


def test_a_size_that_only_a_float_can_hold_is_refused() -> None:
    assert "needs a size" in refusal(body(image()).replace(b'"size": 10', b'"size": 1e400'))


@pytest.mark.parametrize(
    "digest", [None, 7, "", "sha256:", "md5:" + "a" * 32, "sha256:" + "A" * 64, [], "sha256:../x"]
)
def test_a_reference_by_anything_but_a_digest_is_refused(digest: Any) -> None:
    broken = {**descriptor(), "digest": digest}

    assert "layers[0] needs a digest" in refusal(image(layers=[broken]))
    assert "config needs a digest" in refusal(image(config=broken))
    assert "subject needs a digest" in refusal(image(subject=broken))
    assert "manifests[0] needs a digest" in refusal(index(manifests=[broken]))
    refusal({"schemaVersion": 1, "fsLayers": [{"blobSum": digest}]})


@pytest.mark.parametrize(
    "members",
    [
        {"layers": {}},
        {"layers": "x"},
        {"layers": [[]]},
        {"layers": [None]},
        {"config": []},
        {"config": None},
        {"config": ...},
        {"layers": ...},
        {"schemaVersion": 1},
        {"schemaVersion": "2"},
        {"schemaVersion": ...},
        {"annotations": []},
        {"annotations": {"a": 1}},
        {"artifactType": 7},
        {"mediaType": ["a/b"]},
        {"mediaType": "no-slash"},
        {"subject": "sha256:" + "a" * 64},
    ],
)
def test_a_member_of_another_shape_is_refused(members: dict[str, Any]) -> None:
    refusal(image(**members))


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 1},
        {"schemaVersion": 1, "fsLayers": {}},
        {"schemaVersion": 1, "fsLayers": ["x"]},
        {"schemaVersion": 1, "fsLayers": [{}]},
        {"schemaVersion": 2, "mediaType": media.DOCKER_SCHEMA1, "fsLayers": []},
    ],
)
def test_a_broken_schema_1_manifest_is_refused(document: dict[str, Any]) -> None:
    refusal(document)


def test_json_that_is_no_manifest_at_all_is_refused() -> None:
    assert "neither an image manifest nor an index" in refusal({"hello": "world"}, "application/json")


# M1, M8, M11: bounds


def test_four_mebibytes_are_taken_and_not_one_byte_more() -> None:
    bare = len(body(image(annotations={"x": ""})))
    filled = image(annotations={"x": "<" * (limits.MANIFEST_BYTES - bare)})

    assert read_manifest(body(filled), None).annotations == filled["annotations"]
    with pytest.raises(TooLarge):
        read_manifest(body(filled) + b" ", None)


def test_an_index_has_a_bounded_number_of_children_and_an_image_of_layers() -> None:
    children = [descriptor(number) for number in range(limits.INDEX_CHILDREN)]
    layers = [descriptor(number) for number in range(limits.MANIFEST_LAYERS)]

    assert len(read_manifest(body(index(manifests=children)), None).children) == limits.INDEX_CHILDREN
    assert len(read_manifest(body(image(layers=layers)), None).blobs) == limits.MANIFEST_LAYERS + 1
    assert "more than" in refusal(index(manifests=[*children, descriptor(5000)]))
    assert "more than" in refusal(image(layers=[*layers, descriptor(5000)]))
    refusal(
        {"schemaVersion": 1, "fsLayers": [{"blobSum": f"sha256:{1:064x}"}] * (limits.MANIFEST_LAYERS + 1)}
    )


def test_urls_of_foreign_layers_are_opaque_and_only_such_layers_may_be_elsewhere() -> None:
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    urls = ["http://169.254.169.254/latest"]
    document = image(layers=[descriptor(1, foreign, urls=urls), descriptor(2, urls=urls)])

    manifest = read_manifest(body(document), None)

    assert [item.foreign for item in manifest.blobs] == [False, True, False]
