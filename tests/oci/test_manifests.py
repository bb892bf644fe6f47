"""Manifests and tags as the OCI distribution specification 1.1 describes them ("Pulling manifests", "Push")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    Image,
    artifact,
    index_of,
    random_image,
    random_index,
    sha256,
)
from tests.harness.oci import OciClient
from tests.oci.raw import Site

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
ORAS = "application/vnd.cncf.oras.artifact.manifest.v1+json"


def odd(media_type: str, document: dict[str, Any]) -> Blob:
    """A manifest written in a way that no serialiser would choose, to prove that the bytes stay as they are."""
    return Blob(media_type, b" \n" + json.dumps(document, indent=3).encode() + b"\n\n ")


def schema1(layer: str, *, signed: bool) -> Blob:
    document: dict[str, Any] = {
        "schemaVersion": 1,
        "name": "old/image",
        "tag": "v1",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": layer}],
        "history": [{"v1Compatibility": "{}"}],
    }
    if signed:
        document["signatures"] = [{"header": {}, "signature": "x", "protected": "y"}]
    return odd(SCHEMA1_SIGNED if signed else SCHEMA1, document)


def every_kind(oci: OciClient, repository: str) -> dict[str, Blob]:
    """One manifest of each kind, with everything it needs pushed."""
    image, docker = random_image(), random_image(docker=True)
    index, docker_list = random_index(), random_index(docker=True)
    signature = artifact(
        b"signature", artifact_type="application/vnd.example.signature", subject=image.manifest
    )
    bare = artifact(b"bare", artifact_type="application/vnd.example+json; version=0.2")
    for each in (image, docker, signature, bare):
        for blob in each.blobs:
            oci.push_blob(repository, blob.data)
    for several in (index, docker_list):
        for child in several.images:
            oci.push(repository, child)
    layer = image.layers[0]
    old = {
        "mediaType": ORAS,
        "artifactType": "application/vnd.example.sbom",
        "blobs": [layer.descriptor()],
        "subject": image.manifest.descriptor(),
    }
    return {
        "oci": odd(OCI_MANIFEST, image.manifest.json()),
        "docker": odd(DOCKER_MANIFEST, docker.manifest.json()),
        "index": odd(OCI_INDEX, index.manifest.json()),
        "list": odd(DOCKER_LIST, docker_list.manifest.json()),
        "artifact": odd(OCI_MANIFEST, signature.manifest.json()),
        "bare": odd(OCI_MANIFEST, bare.manifest.json()),
        "oras": odd(ORAS, old),
        "schema1": schema1(layer.digest, signed=False),
        "signed": schema1(layer.digest, signed=True),
        "empty index": odd(OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
    }


KINDS = ["oci", "docker", "index", "list", "artifact", "bare", "oras", "schema1", "signed", "empty index"]


@pytest.mark.parametrize("by", ["tag", "digest", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_manifest_is_kept_byte_for_byte(
    site: Site, oci: OciClient, repository: str, kind: str, by: str
) -> None:
    manifest = every_kind(oci, repository)[kind]
    digest = manifest.digest if by != "sha512" else f"sha512:{hashlib.sha512(manifest.data).hexdigest()}"
    reference = "v1.0_x-Y" if by == "tag" else digest
    path = f"/v2/{repository}/manifests/{reference}"

    put = site.ask("PUT", path, {"Content-Type": manifest.media_type}, manifest.data)
    assert put.status == 201, put
    assert put.headers["docker-content-digest"] == digest
    assert put.headers["location"] == f"/v2/{repository}/manifests/{digest}"
    subject = manifest.json().get("subject")
    assert put.headers.get("oci-subject") == (subject["digest"] if subject else None)
    for named in {path, put.headers["location"]}:
        for method in ("GET", "HEAD"):
            got = site.ask(method, named, {"Accept": manifest.media_type})
            assert got.status == 200
            assert got.headers["content-type"] == manifest.media_type
            assert got.headers["docker-content-digest"] == digest
            assert got.headers["content-length"] == str(manifest.size)
            assert got.body == (manifest.data if method == "GET" else b"")

    assert site.ask("DELETE", path).status == 202

    for named in {path, put.headers["location"]}:
        site.ask("GET", named).refused(404, "MANIFEST_UNKNOWN")
        site.ask("DELETE", named).refused(404, "MANIFEST_UNKNOWN")


def test_the_type_may_come_from_the_document_or_the_header_alone(
    site: Site, oci: OciClient, repository: str
) -> None:
    image = random_image()
    for blob in image.blobs:
        oci.push_blob(repository, blob.data)
    unstated = {key: value for key, value in image.manifest.json().items() if key != "mediaType"}

    stated = site.ask("PUT", f"/v2/{repository}/manifests/a", {}, image.manifest.data)
    announced = site.ask(
        "PUT",
        f"/v2/{repository}/manifests/b",
        {"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"},
        json.dumps(unstated).encode(),
    )

    assert (stated.status, announced.status) == (201, 201)
    for tag in "ab":
        assert site.ask("GET", f"/v2/{repository}/manifests/{tag}").headers["content-type"] == OCI_MANIFEST


def test_a_manifest_may_come_in_chunks(site: Site, oci: OciClient, repository: str) -> None:
    image = random_image()
    for blob in image.blobs:
        oci.push_blob(repository, blob.data)
    data = image.manifest.data

    with site.line() as line:
        path = f"/v2/{repository}/manifests/v1"
        assert (
            line.ask_chunked("PUT", path, [data[:5], data[5:]], {"Content-Type": OCI_MANIFEST}).status == 201
        )
        line.send_head(
            "PUT",
            path,
            {"Content-Type": OCI_MANIFEST, "Content-Length": str(len(data)), "Expect": "100-continue"},
        )
        assert line.answer().status == 100
        line.send(data)
        assert line.answer().status == 201
        assert line.ask("GET", path).body == data


def test_a_tag_moves_and_the_former_image_stays_by_digest(oci: OciClient, repository: str) -> None:
    first, second = random_image(), random_image()

    oci.push(repository, first, "latest")
    oci.push(repository, second, "latest")

    assert oci.pull_manifest(repository, "latest").digest == second.digest
    assert oci.pull_manifest(repository, first.digest).digest == first.digest
    assert oci.tags(repository) == ["latest"]


def test_pushing_the_same_again_changes_nothing_and_succeeds(oci: OciClient, repository: str) -> None:
    image = random_image()

    for _ in range(2):
        oci.push(repository, image, "v1")
        oci.push(repository, image)

    assert oci.tags(repository) == ["v1"]


def test_a_client_that_has_the_manifest_is_told_so(site: Site, oci: OciClient, repository: str) -> None:
    digest = oci.push(repository, random_image(), "v1")

    for method in ("GET", "HEAD"):
        answer = site.ask(method, f"/v2/{repository}/manifests/v1", {"If-None-Match": f'"{digest}"'})
        assert answer.status == 304
        assert answer.headers["docker-content-digest"] == digest


@pytest.mark.parametrize(
    "accept", ["", OCI_INDEX, f"{DOCKER_LIST}, {OCI_INDEX};q=0.5", "*/*", "application/*"]
)
def test_an_index_is_served_to_whoever_takes_it(
    site: Site, oci: OciClient, repository: str, accept: str
) -> None:
    oci.push(repository, random_index(), "v1")

    assert site.ask("GET", f"/v2/{repository}/manifests/v1", {"Accept": accept}).status == 200


def test_nothing_is_converted_for_a_client_that_knows_only_other_types(
    site: Site, oci: OciClient, repository: str
) -> None:
    index = random_index()
    oci.push(repository, index, "v1")

    for method in ("GET", "HEAD"):
        by_tag = site.ask(method, f"/v2/{repository}/manifests/v1", {"Accept": DOCKER_MANIFEST})
        assert by_tag.status == 404
    by_digest = site.ask("GET", f"/v2/{repository}/manifests/{index.digest}", {"Accept": DOCKER_MANIFEST})
    assert by_digest.body == index.manifest.data


def test_what_an_image_needs_must_be_there_first(site: Site, repository: str) -> None:
    image, index = random_image(), random_index()

    answer = site.ask("PUT", f"/v2/{repository}/manifests/v1", {}, image.manifest.data)
    answer.refused(400, "MANIFEST_BLOB_UNKNOWN")
    assert image.layers[0].digest in answer.json()["errors"][0]["message"]
    answer = site.ask("PUT", f"/v2/{repository}/manifests/v1", {}, index.manifest.data)
    answer.refused(400, "MANIFEST_BLOB_UNKNOWN")
    assert index.images[0].digest in answer.json()["errors"][0]["message"]

    assert site.ask("GET", f"/v2/{repository}/tags/list").json()["tags"] == []


def test_a_child_cannot_go_before_its_index(site: Site, oci: OciClient, repository: str) -> None:
    index = random_index()
    oci.push(repository, index, "v1")
    child = f"/v2/{repository}/manifests/{index.images[0].digest}"

    answer = site.ask("DELETE", child).refused(405, "UNSUPPORTED")
    text = f"Requested image referenced by manifest list: [{index.digest}]"
    assert answer.json()["errors"][0]["message"] == text

    assert site.ask("DELETE", f"/v2/{repository}/manifests/{index.digest}").status == 202
    assert site.ask("DELETE", child).status == 202


def test_deleting_one_of_two_tags_keeps_the_image(oci: OciClient, repository: str) -> None:
    image = random_image()
    oci.push(repository, image, "a")
    oci.push(repository, image, "b")

    oci.delete(repository, "a").expect(202)

    assert oci.tags(repository) == ["b"]
    assert oci.pull_manifest(repository, "b").digest == image.digest


def test_an_immutable_tag_stays_where_it_is(
    homeport: Any, site: Site, oci: OciClient, repository: str
) -> None:
    homeport.client().put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    first, second = random_image(), random_image()
    oci.push(repository, first, "v1")
    oci.push(repository, second)

    answer = site.ask("PUT", f"/v2/{repository}/manifests/v1", {}, second.manifest.data)

    answer.refused(400, "TAG_INVALID")
    text = (
        f"The image tag 'v1' already exists in the '{repository}' repository and cannot be overwritten "
        "because the tag is immutable."
    )
    assert answer.json()["errors"][0]["message"] == text
    oci.push(repository, first, "v1")
    assert oci.pull_manifest(repository, "v1").digest == first.digest


# --- Referrers ---


def described(image: Image, artifact_type: str, **more: Any) -> dict[str, Any]:
    return image.manifest.descriptor(artifactType=artifact_type, **more)


def test_referrers_are_listed_also_before_their_subject(site: Site, oci: OciClient, repository: str) -> None:
    subject = random_image()
    signature = artifact(
        b"s", artifact_type="application/x.sig", subject=subject.manifest, annotations={"a": "é\n"}
    )
    plain = random_image(subject=subject.manifest)
    path = f"/v2/{repository}/referrers/{subject.digest}"
    empty = site.ask("GET", path)
    assert empty.status == 200
    assert empty.headers["content-type"] == OCI_INDEX
    assert empty.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

    for each in (signature, plain):
        for blob in each.blobs:
            oci.push_blob(repository, blob.data)
        answer = oci.put_manifest(repository, each.digest, each.manifest.data, OCI_MANIFEST).expect(201)
        assert answer.header("OCI-Subject") == subject.digest
    expected = [
        described(signature, "application/x.sig", annotations={"a": "é\n"}),
        described(plain, "application/vnd.oci.image.config.v1+json"),
    ]
    for _ in range(2):
        listed = site.ask("GET", path).json()["manifests"]
        assert sorted(listed, key=str) == sorted(expected, key=str)
        oci.push(repository, subject, "v1")

    oci.delete(repository, signature.digest).expect(202)
    assert [each["digest"] for each in oci.referrers(repository, subject.digest)] == [plain.digest]


def test_referrers_can_be_filtered_by_type(site: Site, oci: OciClient, repository: str) -> None:
    subject = random_image()
    for number in range(6):
        oci.push(
            repository,
            artifact(
                b"%d" % number, artifact_type=f"application/x.{'ab'[number % 2]}", subject=subject.manifest
            ),
        )
    path = f"/v2/{repository}/referrers/{subject.digest}"

    some = site.ask("GET", f"{path}?artifactType=application/x.a")
    none = site.ask("GET", f"{path}?artifactType=application%2Fx.c")

    assert [each["artifactType"] for each in some.json()["manifests"]] == ["application/x.a"] * 3
    assert none.json()["manifests"] == []
    assert (some.headers["oci-filters-applied"], none.headers["oci-filters-applied"]) == ("artifactType",) * 2
    assert "oci-filters-applied" not in site.ask("GET", path).headers


def test_many_referrers_are_paged_and_each_comes_once(oci: OciClient, site: Site, repository: str) -> None:
    subject = random_image()
    notes = {"text": "n" * 100_000}
    made = [
        artifact(
            b"same",
            artifact_type="application/x.a",
            subject=subject.manifest,
            annotations=notes | {"n": str(n)},
        )
        for n in range(60)
    ]
    for blob in made[0].blobs:
        oci.push_blob(repository, blob.data)
    for each in made:
        oci.push_manifest(repository, each.manifest)

    first = site.ask("GET", f"/v2/{repository}/referrers/{subject.digest}")
    assert len(first.body) <= 4 * 1024 * 1024
    assert first.headers["link"].endswith('; rel="next"')
    for wanted in (None, "application/x.a"):
        listed = oci.referrers(repository, subject.digest, wanted)
        assert sorted(each["digest"] for each in listed) == sorted(each.digest for each in made)
        assert all(len(each["annotations"]["text"]) == 100_000 for each in listed)
    assert oci.referrers(repository, subject.digest, "application/x.b") == []


def test_referrers_of_what_is_no_digest_are_refused(site: Site, repository: str) -> None:
    for reference in ("v1", "sha256:abc", "md5:" + "0" * 32):
        site.ask("GET", f"/v2/{repository}/referrers/{reference}").refused(400, "DIGEST_INVALID")


# --- Lists ---


@pytest.fixture
def tagged(oci: OciClient, repository: str) -> list[str]:
    """Tags of one image in the repository, in the order in which they are to be listed."""
    image = random_image()
    oci.push(repository, image, "T0")
    names = [f"t{number}" for number in range(25)] + ["_x", "A", "a.b", "a-b", "Z"]
    for name in names:
        oci.push_manifest(repository, image.manifest, name)
    return sorted([*names, "T0"])


def test_tags_come_in_order_all_at_once(site: Site, repository: str, tagged: list[str]) -> None:
    for query in ("", "?n=1000", "?n=2147483647", "?n=9223372036854775807", "?last="):
        answer = site.ask("GET", f"/v2/{repository}/tags/list{query}")

        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"name": repository, "tags": tagged}
        assert "link" not in answer.headers


@pytest.mark.parametrize("count", [1, 2, 7, 30, 31])
def test_following_links_gives_every_tag_exactly_once(
    site: Site, repository: str, tagged: list[str], count: int
) -> None:
    found: list[str] = []
    page = f"/v2/{repository}/tags/list?n={count}"
    while page:
        answer = site.ask("GET", page)
        assert len(answer.json()["tags"]) <= count
        found += answer.json()["tags"]
        page = answer.headers.get("link", "").partition(">")[0].lstrip("<")

    assert found == tagged


def test_listing_goes_on_after_a_tag_that_is_gone(site: Site, repository: str, tagged: list[str]) -> None:
    for last in ("t10x", "t", "a.a", "zzz", "%C3%A9", "0", "%00", "%20", "-"):
        answer = site.ask("GET", f"/v2/{repository}/tags/list?last={last}")
        assert answer.status == 200
    after = site.ask("GET", f"/v2/{repository}/tags/list?n=3&last=t1x").json()["tags"]
    assert after == ["t2", "t20", "t21"]


def test_a_page_of_nothing_is_empty(site: Site, repository: str, tagged: list[str]) -> None:
    answer = site.ask("GET", f"/v2/{repository}/tags/list?n=0")

    assert answer.json() == {"name": repository, "tags": []}
    assert "link" not in answer.headers


@pytest.mark.parametrize("count", ["-1", "abc", "", "1.5", "0x10", "1e3", "%D9%A1", "1" * 30, "+1"])
@pytest.mark.parametrize("path", ["_catalog", "{repository}/tags/list"])
def test_a_count_that_is_no_number_is_refused(site: Site, repository: str, path: str, count: str) -> None:
    answer = site.ask("GET", f"/v2/{path.format(repository=repository)}?n={count}")

    answer.refused(400, "UNSUPPORTED")


def test_the_catalog_gives_every_repository_exactly_once(
    site: Site, new_repository: Callable[[], str]
) -> None:
    made = {new_repository() for _ in range(5)}
    whole = site.ask("GET", "/v2/_catalog?n=1000").json()["repositories"]
    assert made <= set(whole)

    found: list[str] = []
    page = "/v2/_catalog?n=2"
    while page:
        answer = site.ask("GET", page)
        found += answer.json()["repositories"]
        page = answer.headers.get("link", "").partition(">")[0].lstrip("<")

    assert found == sorted(found)
    assert len(found) == len(set(found))
    assert made <= set(found)
    assert site.ask("GET", "/v2/_catalog?last=zzzzz").json()["repositories"] == []
    assert site.ask("GET", "/v2/_catalog?n=0").json()["repositories"] == []


def test_an_index_may_hold_an_index(oci: OciClient, repository: str) -> None:
    inner = random_index()
    outer = index_of(inner.images)
    document = outer.manifest.json() | {"manifests": [inner.manifest.descriptor()]}
    oci.push(repository, inner)
    nested = Blob(OCI_INDEX, json.dumps(document).encode())

    oci.push_manifest(repository, nested, "nested")

    assert oci.pull_manifest(repository, "nested").data == nested.data
    assert sha256(nested.data) == nested.digest
    assert OCI_EMPTY  # the empty descriptor is a blob like any other
