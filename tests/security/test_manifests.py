"""Section 2 of the security cases: manifests. One function for each case, named after its id."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    Image,
    artifact,
    random_image,
    random_index,
    sha256,
)
from tests.harness.oci import OciClient
from tests.harness.server import Homeport
from tests.oci.raw import Answer, Site
from tests.security.conftest import Memory, compact

MIB = 1024 * 1024


def put(site: Site, repository: str, body: bytes, kind: str = OCI_MANIFEST, reference: str = "v1") -> Answer:
    return site.ask("PUT", f"/v2/{repository}/manifests/{reference}", {"Content-Type": kind}, body)


def nothing_stored(site: Site, repository: str, body: bytes) -> None:
    assert site.ask("GET", f"/v2/{repository}/tags/list").json()["tags"] == []
    assert site.ask("HEAD", f"/v2/{repository}/manifests/{sha256(body)}").status == 404


def with_blobs(oci: OciClient, repository: str, image: Image) -> dict[str, Any]:
    """The manifest of an image whose blobs are in the repository."""
    for blob in image.blobs:
        oci.push_blob(repository, blob.data)
    return image.manifest.json()


def test_m1_a_manifest_beyond_the_limit_is_cut_off(site: Site, repository: str, memory: Memory) -> None:
    path = f"/v2/{repository}/manifests/v1"
    for announced in (4 * MIB + 1, 10 * 1024**3, 2**63 - 1):
        with site.line() as line:
            line.send_head("PUT", path, {"Content-Type": OCI_MANIFEST, "Content-Length": str(announced)})
            line.answer().refused(413, "SIZE_INVALID")
            assert announced < 2**63 - 1 or line.ended()
    with site.line() as line:
        line.send_head("PUT", path, {"Content-Type": OCI_MANIFEST, "Transfer-Encoding": "chunked"})
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                line.send(b"100000\r\n" + b" " * MIB + b"\r\n")
                if not line.silent(0):
                    break
        line.answer().refused(413, "SIZE_INVALID")

    nothing_stored(site, repository, b"")
    assert memory.growth < 48


def test_m1_a_manifest_of_just_the_limit_is_taken(site: Site, oci: OciClient, repository: str) -> None:
    document = with_blobs(oci, repository, random_image())
    body = compact(document)
    body += b" " * (4 * MIB - len(body))

    assert put(site, repository, body).status == 201
    assert site.ask("GET", f"/v2/{repository}/manifests/v1").body == body


LONE = '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[],%s}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"2",
        b"{",
        b"{}",
        b"{}{}",
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"schemaVersion":2}',
        b'{"schemaVersion":2,"\xff":1}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * (4 * MIB - 1),
        b'{"schemaVersion":NaN}',
        b'{"schemaVersion":2,"x":Infinity}',
        b'{"schemaVersion":2,"x":-Infinity}',
        b'{"schemaVersion":' + b"9" * 1_000_000 + b"}",
        b'{"schemaVersion":1e999999999}',
        b'{"schemaVersion":2.0000000000000001,"layers":[]}',
        b'{"schemaVersion":"2"}',
        b'{"schemaVersion":true}',
        b"{'schemaVersion':2}",
        b'{"schemaVersion":2,}',
        b'{"schemaVersion":2/*comment*/}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_m2_what_is_not_a_sound_document_is_refused(
    site: Site, repository: str, memory: Memory, body: bytes
) -> None:
    began = time.monotonic()

    for kind in (OCI_MANIFEST, OCI_INDEX, "application/vnd.docker.distribution.manifest.v1+json"):
        put(site, repository, body, kind).refused(400, "MANIFEST_INVALID")

    assert time.monotonic() - began < 5
    assert memory.growth < 128
    nothing_stored(site, repository, body)


def test_m2_a_key_that_comes_twice_is_refused(site: Site, oci: OciClient, repository: str) -> None:
    text = compact(with_blobs(oci, repository, random_image())).decode()

    for twice in (
        f'"mediaType":"{OCI_INDEX}"',
        f'"mediaType":"{OCI_MANIFEST}"',
        '"layers":[]',
        '"config":{}',
        '"schemaVersion":2',
        '"annotations":{"a":"b","a":"c"}',
        '"annotations":{},"annotations":{}',
        '"subject":null,"subject":null',
        '"\\u006cayers":[]',
    ):
        put(site, repository, f"{text[:-1]},{twice}}}".encode()).refused(400, "MANIFEST_INVALID")
    index = '{"schemaVersion":2,"manifests":[],"manifests":[]}'
    put(site, repository, index.encode(), OCI_INDEX).refused(400, "MANIFEST_INVALID")

    nothing_stored(site, repository, text.encode())


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("schemaVersion", 1),
        ("schemaVersion", None),
        ("mediaType", 5),
        ("mediaType", "no-slash"),
        ("mediaType", "a/" + "b" * 300),
        ("mediaType", "text/html\r\nX-Injected: 1"),
        ("artifactType", 7),
        ("artifactType", "a" * 256),
        ("artifactType", "a/\ud800"),
        ("artifactType", "a/\0b"),
        ("config", None),
        ("config", []),
        ("config", "sha256:x"),
        ("layers", {}),
        ("layers", ["x"]),
        ("layers", [{"mediaType": "a/b", "digest": 5, "size": 1}]),
        ("layers", [{"mediaType": "a/b", "digest": ["x"], "size": 1}]),
        ("layers", [{"mediaType": "a/\ud800", "digest": "sha256:" + "0" * 64, "size": 1}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": -1}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 2**63}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1.5}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": True}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": "1"}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64}]),
        ("layers", [{"digest": "sha256:" + "0" * 64, "size": 1}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:../../x", "size": 1}]),
        ("layers", [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1}] * 4097),
        ("subject", {"digest": "x"}),
        ("subject", "sha256:" + "0" * 64),
        ("subject", {"mediaType": "a/b", "digest": "sha256:" + "0" * 63, "size": 1}),
        ("annotations", []),
        ("annotations", {"a": 1}),
        ("annotations", {"a": None}),
        ("annotations", {"a": {"b": "c"}}),
    ],
)
def test_m2_a_member_of_the_wrong_kind_is_refused(
    site: Site, oci: OciClient, repository: str, member: str, value: object
) -> None:
    document = with_blobs(oci, repository, random_image()) | {member: value}
    body = compact(document)

    answer = put(site, repository, body)

    answer.refused(400, "MANIFEST_INVALID")
    assert "x-injected" not in answer.headers
    nothing_stored(site, repository, body)


def test_m2_odd_but_legal_text_is_kept(site: Site, oci: OciClient, repository: str) -> None:
    document = with_blobs(oci, repository, random_image())
    body = (
        json.dumps(
            document
            | {"annotations": {"\ud800": "\udfff", "\0": "\x1b[31m", "": "é"}, "unknown": [1e400, 10**4000]}
        )
        .replace("Infinity", "1e400")
        .encode()
    )

    answer = put(site, repository, body)

    assert answer.status in (201, 400), answer
    if answer.status == 201:
        assert site.ask("GET", f"/v2/{repository}/manifests/v1").body == body
        assert site.ask("GET", f"/v2/{repository}/referrers/{sha256(body)}").status == 200


def test_m3_a_document_has_one_type(site: Site, oci: OciClient, repository: str) -> None:
    index = random_index()
    for child in index.images:
        oci.push(repository, child)
    image = with_blobs(oci, repository, random_image())
    both = image | {"manifests": index.manifest.json()["manifests"]}
    bare = {key: value for key, value in both.items() if key != "mediaType"}

    for document, kind in (
        (both, OCI_MANIFEST),
        (both | {"mediaType": OCI_INDEX}, OCI_INDEX),
        (bare, OCI_MANIFEST),
        (bare, OCI_INDEX),
        (bare, DOCKER_LIST),
        (image, OCI_INDEX),
        (image, DOCKER_MANIFEST),
        (image | {"mediaType": OCI_INDEX}, OCI_MANIFEST),
        (image | {"mediaType": OCI_INDEX}, OCI_INDEX),
        (index.manifest.json(), OCI_MANIFEST),
        (index.manifest.json() | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST),
        ({key: value for key, value in image.items() if key != "config"}, OCI_MANIFEST),
        ({**image, "Layers": []}, OCI_MANIFEST),
        ({**image, "Manifests": index.manifest.json()["manifests"]}, OCI_MANIFEST),
        ({**image, "MediaType": OCI_INDEX}, OCI_MANIFEST),
        (image, f"{OCI_MANIFEST}, {OCI_INDEX}"),
    ):
        put(site, repository, compact(document), kind).refused(400, "MANIFEST_INVALID")

    assert site.ask("GET", f"/v2/{repository}/tags/list").json()["tags"] == []


def test_m4_a_push_by_digest_must_be_of_that_digest(site: Site, oci: OciClient, repository: str) -> None:
    body = compact(with_blobs(oci, repository, random_image()))
    other = sha256(body + b" ")

    put(site, repository, body, reference=other).refused(400, "DIGEST_INVALID")
    put(site, repository, body, reference="sha512:" + "0" * 128).refused(400, "DIGEST_INVALID")

    for digest in (other, sha256(body), "sha512:" + "0" * 128):
        assert site.ask("GET", f"/v2/{repository}/manifests/{digest}").status == 404


def test_m5_addresses_in_a_manifest_are_never_fetched_nor_sent_to(
    site: Site, oci: OciClient, repository: str
) -> None:
    document = with_blobs(oci, repository, random_image())
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0.3)
        url = f"http://user:secret@127.0.0.1:{inner.getsockname()[1]}/layer"
        foreign = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": sha256(b"elsewhere"),
            "size": 9,
            "urls": [url, "file:///etc/passwd", "http://169.254.169.254/latest/meta-data"],
        }
        body = compact(document | {"layers": [*document["layers"], foreign]})

        assert put(site, repository, body).status == 201
        answer = site.ask("GET", f"/v2/{repository}/blobs/{foreign['digest']}").refused(404, "BLOB_UNKNOWN")

        assert "location" not in answer.headers
        assert b"secret" not in answer.body
        assert site.ask("GET", f"/v2/{repository}/manifests/v1").body == body
        with pytest.raises(TimeoutError):
            inner.accept()


def test_m5_an_address_does_not_stand_in_for_an_ordinary_layer(
    site: Site, oci: OciClient, repository: str
) -> None:
    document = with_blobs(oci, repository, random_image())
    layer = document["layers"][0] | {
        "digest": sha256(b"elsewhere"),
        "size": 9,
        "urls": ["http://127.0.0.1/x"],
    }

    put(site, repository, compact(document | {"layers": [layer]})).refused(400, "MANIFEST_BLOB_UNKNOWN")


def test_m6_a_blob_of_another_repository_is_as_unknown_as_any(
    site: Site, oci: OciClient, new_repository: Callable[[], str]
) -> None:
    here, there = new_repository(), new_repository()
    document = with_blobs(oci, here, random_image())
    elsewhere = Blob("application/vnd.oci.image.layer.v1.tar", b"only there" + there.encode())
    nowhere = Blob("application/vnd.oci.image.layer.v1.tar", b"nowhere" + there.encode())
    oci.push_blob(there, elsewhere.data)

    texts = []
    for blob in (elsewhere, nowhere):
        answer = put(site, here, compact(document | {"layers": [blob.descriptor()]}))
        answer.refused(400, "MANIFEST_BLOB_UNKNOWN")
        texts.append(answer.body.replace(blob.digest.encode(), b"DIGEST"))
    wrong_size = elsewhere.descriptor() | {"size": 1}
    answer = put(site, here, compact(document | {"layers": [wrong_size]})).refused(
        400, "MANIFEST_BLOB_UNKNOWN"
    )
    texts.append(answer.body.replace(elsewhere.digest.encode(), b"DIGEST"))

    assert len(set(texts)) == 1
    child = random_image()
    oci.push(there, child)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.manifest.descriptor()]}
    put(site, here, compact(index), OCI_INDEX).refused(400, "MANIFEST_BLOB_UNKNOWN")


def test_m7_a_wrong_size_is_refused(site: Site, oci: OciClient, repository: str) -> None:
    document = with_blobs(oci, repository, random_image())
    child = random_image()
    oci.push(repository, child)

    for size in (0, document["config"]["size"] + 1, 2**63 - 1):
        changed = document | {"config": document["config"] | {"size": size}}
        put(site, repository, compact(changed)).refused(400, "MANIFEST_INVALID")
    index = {"schemaVersion": 2, "manifests": [child.manifest.descriptor() | {"size": 1}]}
    put(site, repository, compact(index), OCI_INDEX).refused(400, "MANIFEST_INVALID")

    assert site.ask("GET", f"/v2/{repository}/tags/list").json()["tags"] == []


def test_m8_an_index_has_a_bounded_width(site: Site, oci: OciClient, repository: str) -> None:
    child = random_image()
    oci.push(repository, child)
    entry = child.manifest.descriptor()

    for count, status in ((1000, 201), (1001, 400), (10_000, 400)):
        body = compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * count})
        assert put(site, repository, body, OCI_INDEX, f"w{count}").status == status
    absent = [entry | {"digest": sha256(b"%d" % number)} for number in range(1000)]
    body = compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": absent})
    answer = put(site, repository, body, OCI_INDEX).refused(400, "MANIFEST_BLOB_UNKNOWN")

    assert len(answer.body) < 4096
    assert oci.tags(repository) == ["w1000"]


def test_m8_a_deep_nest_of_indexes_is_walked_by_nobody(oci: OciClient, repository: str) -> None:
    image = random_image()
    oci.push(repository, image)
    below = image.manifest
    chain = [below]
    for _ in range(40):
        below = Blob(
            OCI_INDEX,
            compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [below.descriptor()]}),
        )
        oci.push_manifest(repository, below)
        chain.append(below)

    began = time.monotonic()
    assert oci.pull_manifest(repository, below.digest).data == below.data
    for manifest in reversed(chain):
        oci.delete(repository, manifest.digest).expect(202)

    assert time.monotonic() - began < 5


def test_m9_a_subject_that_is_not_there_grants_nothing(
    site: Site, oci: OciClient, new_repository: Callable[[], str]
) -> None:
    here, there = new_repository(), new_repository()
    secret = random_image()
    oci.push(there, secret)
    about = artifact(b"about", artifact_type="application/x.note", subject=secret.manifest)

    oci.push(here, about)

    assert site.ask("GET", f"/v2/{here}/manifests/{secret.digest}").status == 404
    assert site.ask("GET", f"/v2/{here}/blobs/{secret.layers[0].digest}").status == 404
    assert [each["digest"] for each in oci.referrers(here, secret.digest)] == [about.digest]
    assert oci.referrers(there, secret.digest) == []
    # A document cannot hold its own digest; the nearest to a self reference is a subject that refers back.
    back = artifact(b"back", artifact_type="application/x.note", subject=about.manifest)
    oci.push(here, back)
    oci.delete(here, about.digest).expect(202)
    assert [each["digest"] for each in oci.referrers(here, about.digest)] == [back.digest]


@pytest.mark.slow
def test_m10_a_hundred_thousand_referrers_come_in_bounded_pages(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()
    server.client().create_repository(repositoryName="many/referrers")
    subject = "sha256:" + "5" * 64
    server.terminate()
    with contextlib.closing(sqlite3.connect(server.data / "homeport.db")) as db, db:
        db.executemany(
            "INSERT INTO image (repository_id, digest, media_type, artifact_type, subject, annotations, size,"
            " manifest, manifest_size, pushed_at, status)"
            " SELECT id, ?, ?, 'application/x.a', ?, ?, 2, x'7b7d', 2, 1, 'ACTIVE'"
            " FROM repository",
            (
                (sha256(b"%d" % number), OCI_MANIFEST, subject, json.dumps({"note": "n" * 200}))
                for number in range(100_000)
            ),
        )
    server.start()
    site = Site.of(server.url, server.password())
    path = f"/v2/many/referrers/referrers/{subject}"
    memory = Memory(server.pid)

    found: list[str] = []
    page = path
    for _ in range(5):
        answer = site.ask("GET", page)
        assert answer.status == 200
        assert len(answer.body) <= 4 * MIB
        found += [each["digest"] for each in answer.json()["manifests"]]
        page = answer.headers["link"].partition(">")[0].lstrip("<")
    longest, requests = 0.0, 0
    page = path + "?artifactType=application/x.b"
    while page:
        began = time.monotonic()
        none = site.ask("GET", page)
        assert none.json()["manifests"] == []
        longest, requests = max(longest, time.monotonic() - began), requests + 1
        page = none.headers.get("link", "").partition(">")[0].lstrip("<")

    assert found == sorted(set(found))
    assert len(found) >= 1000
    assert 10 < requests < 100, "a filter that matches nothing must not read everything in one request"
    assert longest < 2
    assert memory.growth < 64


def test_m11_annotations_are_kept_verbatim_and_never_shown_whole(
    site: Site, oci: OciClient, repository: str, memory: Memory
) -> None:
    nasty = {"a": "<script>alert(1)</script>\x1b[31m\0\r\n" + "\u202e=cmd|'/c'!A1" + "x" * MIB}
    subject = random_image()
    notes = [
        artifact(
            b"n",
            artifact_type="application/x.note",
            subject=subject.manifest,
            annotations=nasty | {"n": str(n)},
        )
        for n in range(3)
    ]
    largest = artifact(
        b"n",
        artifact_type="application/x.note",
        subject=subject.manifest,
        annotations={"a": "é" * (1024 * 680)},
    )
    for each in [*notes, largest]:
        oci.push(repository, each, f"t{each.digest[7:12]}")
        assert oci.pull_manifest(repository, each.digest).data == each.manifest.data

    listed = oci.referrers(repository, subject.digest)
    answer = site.ask("GET", f"/v2/{repository}/referrers/{subject.digest}")

    assert {each["digest"] for each in listed} == {each.digest for each in [*notes, largest]}
    assert len(answer.body) <= 4 * MIB
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"\x1b" not in answer.body
    assert b"\0" not in answer.body
    assert memory.growth < 96


@pytest.mark.parametrize("kind", ["text/html", "application/xhtml+xml", "image/svg+xml", "text/javascript"])
def test_m11_a_manifest_is_no_page_for_a_browser(
    site: Site, oci: OciClient, repository: str, kind: str
) -> None:
    document = with_blobs(oci, repository, random_image()) | {
        "annotations": {"a": "<script>alert(1)</script>"}
    }
    del document["mediaType"]

    answer = put(site, repository, compact(document), kind)

    if answer.status == 201:
        got = site.ask("GET", f"/v2/{repository}/manifests/v1")
        assert got.headers["content-type"] == kind
        assert "sandbox" in got.headers["content-security-policy"]
        assert got.headers["x-content-type-options"] == "nosniff"
    else:
        answer.refused(400, "MANIFEST_INVALID")


def test_m14_a_manifest_keeps_the_type_it_was_pushed_with(
    site: Site, oci: OciClient, repository: str
) -> None:
    document = with_blobs(oci, repository, random_image())
    del document["mediaType"]
    body = compact(document)
    assert put(site, repository, body, OCI_MANIFEST, "oci").status == 201

    put(site, repository, body, DOCKER_MANIFEST, "docker")
    put(site, repository, body, OCI_INDEX, "index").refused(400, "MANIFEST_INVALID")

    for reference in ("oci", sha256(body)):
        for accept in (OCI_MANIFEST, f"{DOCKER_MANIFEST}, {OCI_MANIFEST}", "*/*", ""):
            answer = site.ask("GET", f"/v2/{repository}/manifests/{reference}", {"Accept": accept})
            assert answer.headers["content-type"] == OCI_MANIFEST
            assert answer.body == body
    site.ask("GET", f"/v2/{repository}/manifests/oci", {"Accept": DOCKER_MANIFEST}).refused(
        404, "MANIFEST_UNKNOWN"
    )
    site.ask("GET", f"/v2/{repository}/manifests/oci", {"Accept": OCI_INDEX}).refused(404, "MANIFEST_UNKNOWN")
