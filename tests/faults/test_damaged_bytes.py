"""Stored bytes that are not as recorded are never passed on as a whole, and the server goes on.

A flipped bit in a file of the right length cannot be seen without hashing every download, which the kernel sends
unseen; it is left to the client's own digest check, which every client makes, and to the scrub. What comes from an
object store passes through the server, which hashes it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import apsw
import pytest

from tests.faults.backends import backend
from tests.harness.images import Blob, Image, bytes_of, random_image, sha256
from tests.harness.oci import OciClient, Response
from tests.harness.server import Homeport, LogRecord

pytestmark = [pytest.mark.faults]

REPOSITORY = "team/app"
Start = Callable[..., Homeport]


def pushed(server: Homeport, layer_bytes: int) -> tuple[OciClient, Image]:
    server.client().create_repository(repositoryName=REPOSITORY)
    client = OciClient(server.url, "AWS", server.password())
    image = random_image(layer_bytes=layer_bytes)
    client.push(REPOSITORY, image, "v1")
    return client, image


def file_of(server: Homeport, digest: str) -> Path:
    with contextlib.closing(apsw.Connection(str(server.data / "homeport.db"))) as connection:
        row = connection.execute("SELECT storage_key FROM blob WHERE digest = ?", (digest,)).fetchone()
    assert row is not None
    return server.data / "blobs" / str(row[0])


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def link_elsewhere(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)


def assert_refused(answer: Response) -> None:
    answer.expect(503)
    assert answer.error_codes == ["UNAVAILABLE"]
    assert int(answer.header("Retry-After")) > 0
    assert str(Path("blobs")) + "/" not in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("damage", [cut, lengthen, Path.unlink, link_elsewhere])
@pytest.mark.parametrize("layer_bytes", [5_000, 3_000_000])
def test_a_file_that_is_not_as_recorded_is_refused_and_the_server_goes_on(
    fresh_homeport: Start, damage: Callable[[Path], None], layer_bytes: int
) -> None:
    server = fresh_homeport()
    client, image = pushed(server, layer_bytes)
    layer = image.layers[0].digest

    damage(file_of(server, layer))

    assert_refused(client.get_blob(REPOSITORY, layer))
    assert_refused(client.get_blob(REPOSITORY, layer, headers={"Range": "bytes=0-9"}))
    address = server.client().get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=layer)
    assert_refused(client.request("GET", address["downloadUrl"], headers={"Authorization": ""}))
    assert client.pull_manifest(REPOSITORY, "v1").digest == image.digest
    assert client.pull_blob(REPOSITORY, image.config.digest) == image.config.data
    told = [record for record in server.log if record.get("event") == "blob_damaged"]
    assert [record["digest"] for record in told] == [layer] * 3
    assert len(server.defects) == len(told)


def read_slowly(client: OciClient, digest: str, then: Callable[[], None]) -> tuple[int, bytes]:
    """Ask for a blob, read its head, run `then`, and return the announced length and what came in the end."""
    where = urlsplit(client.url)
    assert where.hostname is not None
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        raw.settimeout(5)
        raw.connect((where.hostname, where.port))
        head = f"GET /v2/{REPOSITORY}/blobs/{digest} HTTP/1.1\r\nHost: {where.netloc}\r\n"
        raw.sendall(f"{head}Authorization: {client.headers['Authorization']}\r\n\r\n".encode())
        with contextlib.closing(http.client.HTTPResponse(raw, method="GET")) as answer:
            answer.begin()
            assert answer.status == 200
            then()
            try:
                content = answer.read()
            except http.client.IncompleteRead as early:
                content = early.partial
            return int(answer.headers["Content-Length"]), content


@pytest.mark.parametrize("mode", ["sendfile", "copy"])
def test_a_file_that_is_cut_while_it_is_sent_ends_the_connection_early(
    fresh_homeport: Start, mode: str
) -> None:
    server = fresh_homeport(options=["--download-mode", mode])
    client, image = pushed(server, 30_000_000)
    layer = image.layers[0]
    path = file_of(server, layer.digest)

    length, content = read_slowly(client, layer.digest, lambda: cut(path))

    assert length == layer.size
    assert len(content) < length
    assert layer.data.startswith(content)
    client.request("GET", "/healthz").expect(200)
    assert server.defects == []


def test_a_device_that_fails_in_the_middle_ends_the_connection_and_adds_nothing_to_the_bytes(
    fresh_homeport: Start,
) -> None:
    server = fresh_homeport(environment={"HOMEPORT_BLOB_FAULTS": "read:3+:unavailable"})
    client, image = pushed(server, 8_000_000)
    layer = image.layers[0]

    length, content = read_slowly(client, layer.digest, lambda: None)

    assert len(content) < length
    assert layer.data.startswith(content)
    client.request("GET", "/healthz").expect(200)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_by_the_digest_check_that_every_client_makes(fresh_homeport: Start) -> None:
    server = fresh_homeport()
    client, image = pushed(server, 100_000)
    layer = image.layers[0]

    flip(file_of(server, layer.digest))

    answer = client.get_blob(REPOSITORY, layer.digest).expect(200)
    assert len(answer.body) == layer.size
    assert answer.header("Docker-Content-Digest") == layer.digest != sha256(answer.body)


@pytest.mark.parametrize("size", [20_000, 3_000_000])
def test_a_bit_that_flips_on_the_way_from_another_machine_never_ends_in_a_whole_answer(
    fresh_homeport: Start, size: int
) -> None:
    server = fresh_homeport(environment={"HOMEPORT_BLOB_FAULTS": "read:1:flip"})
    client, image = pushed(server, size)
    layer = image.layers[0]

    assert not whole_answer(client, layer)
    assert client.get_blob(REPOSITORY, layer.digest).expect(200).body == layer.data


def whole_answer(client: OciClient, blob: Blob) -> bool:
    """Whether a client got as many bytes as it was promised, whatever they are."""
    try:
        answer = client.get_blob(REPOSITORY, blob.digest).expect(200, 503)
    except (http.client.IncompleteRead, ConnectionError):
        return False
    return answer.status == 200


@pytest.mark.slow
def test_what_an_object_store_gives_in_the_place_of_a_blob_is_never_passed_on_and_is_found_and_healed() -> (
    None
):
    with backend("shared", 1) as place:
        [node] = place.cluster.nodes
        client, image = pushed(node, 3_000_000)
        small = random_image(layer_bytes=5_000)
        client.push(REPOSITORY, small, "small")
        blobs = [image.layers[0], small.layers[0]]
        wrong: list[Callable[[bytes], bytes]] = [
            lambda data: (
                data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
            ),
            lambda data: data[: len(data) // 2],
            lambda data: data + b"more",
            lambda data: bytes(len(data)),
        ]
        for blob in blobs:
            for damage in wrong:
                place.replace_object(place.key_of(blob.digest), damage(blob.data))
                assert not whole_answer(client, blob)
            assert client.pull_blob(REPOSITORY, image.config.digest) == image.config.data

        node.environment |= {"HOMEPORT_SCRUB_DAYS": "0.00001"}
        node.restart()
        client = OciClient(node.url, "AWS", node.password())
        marked: set[str] = set()

        def all_marked(record: LogRecord) -> bool | None:
            if record.get("event") == "blob_marked_damaged":
                marked.add(str(record["digest"]))
            return True if len(marked) == len(blobs) else None

        node.wait_for_log(all_marked, "the marks of both blobs")
        for blob in blobs:
            client.get_blob(REPOSITORY, blob.digest).expect(404)
            client.push_blob(REPOSITORY, blob.data)
        assert client.pull(REPOSITORY, "v1") == bytes_of(image)
        assert client.pull(REPOSITORY, "small") == bytes_of(small)
        told = [record for record in node.log if record.get("event") == "blob_damaged"]
        assert {record["kind"] for record in told} == {"digest", "size"}
        assert len(node.defects) == len(told) + len(marked)


def test_an_upload_whose_staged_bytes_were_lost_is_reported_as_gone_and_a_new_one_succeeds(
    fresh_homeport: Start,
) -> None:
    server = fresh_homeport()
    client, _ = pushed(server, 1_000)
    data = b"layer" * 50_000
    location = client.start_upload(REPOSITORY)
    client.request("PATCH", location, body=data[:100_000]).expect(202)

    for path in (server.data / "blobs" / "staging").glob("*/*"):
        path.unlink()

    answer = client.request("PATCH", location, body=data[100_000:]).expect(404)
    assert answer.error_codes == ["BLOB_UPLOAD_UNKNOWN"]
    answer = client.request("PUT", location, query={"digest": sha256(data)}).expect(404)
    assert answer.error_codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert client.pull_blob(REPOSITORY, client.push_blob(REPOSITORY, data)) == data
    assert server.defects == []
