"""Damage is found in the background, nobody is given the damaged bytes, and pushing the layer again heals it."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from botocore.exceptions import ClientError

from tests.harness.images import Blob, bytes_of, random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport, LogRecord

pytestmark = [pytest.mark.slow]

REPOSITORY = "team/app"
AT_ONCE = ["--scrub-days", "0.00001"]
"""Everything is old enough to be read again, a few times a second."""

Start = Callable[..., Homeport]


def file_of(server: Homeport, digest: str) -> Path:
    with closing(apsw.Connection(str(server.data / "homeport.db"))) as connection:
        row = connection.execute("SELECT storage_key FROM blob WHERE digest = ?", (digest,)).fetchone()
    assert row is not None
    return server.data / "blobs" / str(row[0])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def event(name: str, digest: str) -> Callable[[LogRecord], LogRecord | None]:
    return lambda record: record if (record.get("event"), record.get("digest")) == (name, digest) else None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_damage_is_found_kept_from_clients_and_healed_by_a_push(
    fresh_homeport: Start, damage: Callable[[Path], None]
) -> None:
    port = free_port()
    server = fresh_homeport(options=[*AT_ONCE, "--metrics-port", str(port)])
    ecr = server.client()
    ecr.create_repository(repositoryName=REPOSITORY)
    client = OciClient(server.url, "AWS", server.password())
    image = random_image(layer_bytes=100_000)
    client.push(REPOSITORY, image, "v1")
    layer = image.layers[0]
    address = ecr.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=layer.digest)[
        "downloadUrl"
    ]

    damage(file_of(server, layer.digest))
    server.wait_for_log(event("blob_marked_damaged", layer.digest), "the mark")

    answer = client.get_blob(REPOSITORY, layer.digest).expect(404)
    assert answer.error_codes == ["BLOB_UNKNOWN"]
    assert "push it again" in answer.json()["errors"][0]["message"]
    client.request("HEAD", f"/v2/{REPOSITORY}/blobs/{layer.digest}").expect(404)
    client.request("GET", address, headers={"Authorization": ""}).expect(404)
    (known,) = ecr.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=[layer.digest])[
        "layers"
    ]
    assert known["layerAvailability"] == "UNAVAILABLE"
    with pytest.raises(ClientError, match="damaged"):
        ecr.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=layer.digest)
    another = Blob(
        image.manifest.media_type, json.dumps(image.manifest.json() | {"annotations": {}}).encode()
    )
    refused = client.put_manifest(REPOSITORY, "v2", another.data, another.media_type).expect(400)
    assert refused.error_codes == ["MANIFEST_BLOB_UNKNOWN"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        metrics = page.read().decode()
    assert 'homeport_blobs_marked_damaged_total{kind="' in metrics
    assert client.pull_blob(REPOSITORY, image.config.digest) == image.config.data

    client.push_blob(REPOSITORY, layer.data)

    assert client.pull(REPOSITORY, "v1") == bytes_of(image)
    client.push_manifest(REPOSITORY, another, "v2")
    assert server.command("fsck", "--digests").code == 0


def test_a_restarted_server_remembers_what_is_damaged(fresh_homeport: Start) -> None:
    server = fresh_homeport(options=AT_ONCE)
    server.client().create_repository(repositoryName=REPOSITORY)
    image = random_image()
    OciClient(server.url, "AWS", server.password()).push(REPOSITORY, image, "v1")
    flip(file_of(server, image.layers[0].digest))
    server.wait_for_log(event("blob_marked_damaged", image.layers[0].digest), "the mark")

    server.options = ["--scrub-days", "0"]
    server.restart()

    client = OciClient(server.url, "AWS", server.password())
    client.get_blob(REPOSITORY, image.layers[0].digest).expect(404)
    done = server.command("fsck")
    assert (done.code, "marked as damaged" in done.out) == (3, True)


def test_whole_bytes_are_read_again_and_again_without_a_word(fresh_homeport: Start) -> None:
    port = free_port()
    server = fresh_homeport(options=[*AT_ONCE, "--metrics-port", str(port)])
    server.client().create_repository(repositoryName=REPOSITORY)
    client = OciClient(server.url, "AWS", server.password())
    image = random_image()
    client.push(REPOSITORY, image, "v1")

    def scrubbed() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            lines = page.read().decode().splitlines()
        return float(
            next(line.split()[1] for line in lines if line.startswith("homeport_scrubbed_blobs_total "))
        )

    pause = threading.Event()
    for _ in range(400):
        if scrubbed() >= 4:
            break
        pause.wait(0.05)

    assert scrubbed() >= 4
    assert client.pull(REPOSITORY, "v1") == bytes_of(image)
    assert server.defects == []
