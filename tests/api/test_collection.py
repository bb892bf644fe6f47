"""Space is freed by itself and by command, and a client never notices."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.faults.history import database, stored
from tests.harness.images import Image, bytes_of, random_image
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

REPOSITORY = "team/app"
DAY = 86_400


def collected(record: dict[str, Any]) -> dict[str, Any] | None:
    return record if record.get("event") == "collected" else None


def serve(fresh_homeport: Callable[..., Homeport], delay: int, *options: str) -> tuple[Homeport, OciClient]:
    """A server with an empty repository, which collects nothing by itself."""
    settings = {"HOMEPORT_COLLECTION_DELAY": str(delay), "HOMEPORT_COLLECTION_INTERVAL": "0"}
    server = fresh_homeport(environment=settings, options=options)
    server.client().create_repository(repositoryName=REPOSITORY)
    return server, OciClient(server.url, "AWS", server.password())


def a_day_later(server: Homeport) -> OciClient:
    """Start the server again as if a day had passed; now it collects by itself."""
    server.terminate()
    doubt_longer(server.data, DAY)
    server.environment["HOMEPORT_COLLECTION_INTERVAL"] = "1"
    server.start()
    return OciClient(server.url, "AWS", server.password())


def pushed(oci: OciClient, tag: str) -> Image:
    image = random_image()
    oci.push(REPOSITORY, image, tag)
    return image


def gc(server: Homeport, *words: str, code: int = 0) -> dict[str, Any]:
    done = server.command("gc", "--json", *words)
    assert done.code == code, str(done)
    answer: dict[str, Any] = json.loads(done.out)
    return answer


def test_a_server_lets_go_of_a_deleted_image_by_itself_and_counts_it(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server, oci = serve(fresh_homeport, DAY, "--metrics-port", str(port))
    kept, gone = pushed(oci, "kept"), pushed(oci, "gone")

    oci.delete(REPOSITORY, gone.digest).expect(202)
    oci = a_day_later(server)
    server.wait_for_log(collected, "the collection")

    for blob in gone.blobs:
        oci.get_blob(REPOSITORY, blob.digest).expect(404)
    assert oci.pull(REPOSITORY, "kept") == bytes_of(kept)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    size = sum(len(blob.data) for blob in gone.blobs)
    assert float(lines["homeport_collected_blobs_total"]) == len(gone.blobs)
    assert float(lines["homeport_collection_unreclaimed_bytes"]) == size
    assert float(lines["homeport_collection_backlog"]) == 0
    assert server.defects == []


def test_the_command_tells_what_would_go_and_then_frees_it(fresh_homeport: Callable[..., Homeport]) -> None:
    server, oci = serve(fresh_homeport, DAY)
    kept, gone = pushed(oci, "kept"), pushed(oci, "gone")
    oci.delete(REPOSITORY, gone.digest).expect(202)
    size = sum(len(blob.data) for blob in gone.blobs)

    assert gc(server, "--dry-run")["blobs"] == 0  # the delay protects it
    would = gc(server, "--dry-run", "--now", code=3)
    assert (would["blobs"], would["bytes"], would["freedBytes"]) == (len(gone.blobs), size, 0)
    oci.get_blob(REPOSITORY, gone.blobs[0].digest).expect(200)

    done = gc(server, "--now")
    assert (done["blobs"], done["bytes"], done["freedBytes"]) == (len(gone.blobs), size, size)
    assert len(stored(server.data, "data")) == len(kept.blobs)
    assert gc(server, "--now")["blobs"] == 0
    assert oci.pull(REPOSITORY, "kept") == bytes_of(kept)


def test_the_command_says_in_words_what_it_did(fresh_homeport: Callable[..., Homeport]) -> None:
    server, oci = serve(fresh_homeport, 0)
    gone = pushed(oci, "gone")
    oci.delete(REPOSITORY, gone.digest).expect(202)

    would = server.command("gc", "--dry-run")
    done = server.command("gc")

    assert (would.code, done.code) == (3, 0)
    assert f"{len(gone.blobs)} blobs with" in would.out
    assert "would be let go" in would.out
    assert "were let go" in done.out
    assert "within the hour" in done.out
    assert len(stored(server.data, "data")) == len(gone.blobs)  # readers may have their addresses


def test_a_layer_without_manifest_can_be_used_within_the_delay(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server, oci = serve(fresh_homeport, DAY)
    image = random_image()
    for blob in image.blobs:
        oci.push_blob(REPOSITORY, blob.data)
    digests = [blob.digest for blob in image.blobs]

    assert gc(server)["blobs"] == 0
    answer = server.client().batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=digests)

    assert {layer["layerAvailability"] for layer in answer["layers"]} == {"AVAILABLE"}
    oci.push_manifest(REPOSITORY, image.manifest, "late")
    assert gc(server, "--now")["blobs"] == 0
    assert oci.pull(REPOSITORY, "late") == bytes_of(image)


def test_a_client_that_asks_keeps_a_layer_that_was_about_to_go(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server, oci = serve(fresh_homeport, DAY)
    image = pushed(oci, "v1")
    oci.delete(REPOSITORY, image.digest).expect(202)
    server.terminate()
    doubt_longer(server.data, DAY)
    server.start()
    oci = OciClient(server.url, "AWS", server.password())
    assert gc(server, "--dry-run", code=3)["blobs"] == len(image.blobs)

    for blob in image.blobs:
        oci.request("HEAD", f"/v2/{REPOSITORY}/blobs/{blob.digest}").expect(200)

    assert gc(server)["blobs"] == 0
    oci.push_manifest(REPOSITORY, image.manifest, "v1")
    assert oci.pull(REPOSITORY, "v1") == bytes_of(image)


def test_the_api_says_that_a_collected_layer_must_be_pushed_again(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server, oci = serve(fresh_homeport, 0)
    image = pushed(oci, "v1")
    oci.delete(REPOSITORY, image.digest).expect(202)
    assert gc(server, "--now")["freedBlobs"] == len(image.blobs)
    ecr, digests = server.client(), [blob.digest for blob in image.blobs]

    answer = ecr.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=digests)
    with pytest.raises(ClientError, match="LayersNotFound"):
        ecr.put_image(repositoryName=REPOSITORY, imageManifest=image.manifest.data.decode(), imageTag="v1")

    assert {layer["layerAvailability"] for layer in answer["layers"]} == {"UNAVAILABLE"}
    oci.push(REPOSITORY, image, "v1")
    assert oci.pull(REPOSITORY, "v1") == bytes_of(image)


def test_the_space_of_a_deleted_repository_is_freed(fresh_homeport: Callable[..., Homeport]) -> None:
    server, oci = serve(fresh_homeport, DAY)
    pushed(oci, "v1")
    server.client().delete_repository(repositoryName=REPOSITORY, force=True)

    gc(server, "--now")

    assert stored(server.data, "data") == set()


def doubt_longer(data: Path, seconds: int) -> None:
    """Let what waits for its review do so for that much longer."""
    with database(data) as connection:
        connection.execute(
            "UPDATE repository_blob SET review_since = review_since - ?", (seconds * 1_000_000,)
        )
    connection.close()
