"""A data folder without room: pushes are refused clearly, nothing is lost, and with room again they succeed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.harness.images import Blob, Image, bytes_of, random_image, sha256
from tests.harness.oci import OciClient, Response
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults]

REPOSITORY = "team/app"
MIB = 1024 * 1024


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 112 MiB: the server calls itself ready while more than 64 are free."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs Linux and root to mount a small volume")
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=112m", "tmpfs", volume], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small volume: {mounted.stderr.decode().strip()}")
    try:
        yield volume
    finally:
        subprocess.run(["umount", "--lazy", volume], check=True)


class Ballast:
    """A file that takes all room but some."""

    def __init__(self, volume: Path) -> None:
        self._path = volume / "ballast"

    def leave(self, room: int) -> None:
        """Grow so that `room` bytes are free, or fewer where the server writes meanwhile."""
        found = os.statvfs(self._path.parent)
        left = found.f_bavail * found.f_frsize - room
        with self._path.open("ab", buffering=0) as file:
            try:
                while left > 0:
                    left -= file.write(bytes(min(left, MIB)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def drop(self) -> None:
        self._path.unlink()


def assert_full(answer: Response) -> None:
    answer.expect(503)
    assert answer.error_codes == ["UNAVAILABLE"]
    assert "free" in answer.json()["errors"][0]["message"].lower()
    assert int(answer.header("Retry-After")) > 0


def free(volume: Path) -> int:
    found = os.statvfs(volume)
    return found.f_bavail * found.f_frsize


def large_manifest(image: Image, number: int) -> Blob:
    document = image.manifest.json() | {"annotations": {"number": str(number), "pad": "x" * 2 * MIB}}
    return Blob(image.manifest.media_type, json.dumps(document).encode())


def test_a_full_volume_refuses_layers_gives_the_room_back_and_recovers(small_volume: Path) -> None:
    with Homeport(data=small_volume / "data") as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = OciClient(server.url, "AWS", server.password())
        before, image = random_image(), random_image(layer_bytes=6 * MIB)
        layer = image.layers[0].data
        client.push(REPOSITORY, before, "before")
        client.request("GET", "/readyz").expect(200)
        ballast = Ballast(small_volume)
        begun = client.start_upload(REPOSITORY)
        client.request("PATCH", begun, body=layer[:MIB]).expect(202)
        api_upload = server.client().initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]
        part = layer[: 5 * MIB]

        ballast.leave(3 * MIB)
        room = free(small_volume)

        assert "free space" in client.request("GET", "/readyz").expect(503).json()["reason"]
        client.request("GET", "/healthz").expect(200)
        for headers in ({}, {"Content-Range": f"{MIB}-{len(layer) - 1}"}):
            assert_full(client.request("PATCH", begun, body=layer[MIB:], headers=headers))
        assert_full(client.request("PATCH", begun, body=iter([layer[MIB:]])))
        whole = client.start_upload(REPOSITORY)
        assert_full(client.request("PUT", whole, body=layer, query={"digest": sha256(layer)}))
        with pytest.raises(ClientError) as refused:
            server.client().upload_layer_part(
                repositoryName=REPOSITORY,
                uploadId=api_upload,
                partFirstByte=0,
                partLastByte=len(part) - 1,
                layerPartBlob=part,
            )
        assert refused.value.response["Error"]["Code"] == "ServerException"
        assert "free" in refused.value.response["Error"]["Message"].lower()
        # A refused upload must not keep the room that it was refused for.
        assert free(small_volume) > room - MIB
        assert client.pull(REPOSITORY, "before") == bytes_of(before)

        ballast.drop()

        client.request("GET", "/readyz").expect(200)
        assert client.request("GET", begun).expect(204).header("Range") == f"0-{MIB - 1}"
        client.request("PATCH", begun, body=layer[MIB:]).expect(202)
        client.request("PUT", begun, query={"digest": sha256(layer)}).expect(201)
        client.push(REPOSITORY, image, "after")
        assert client.pull(REPOSITORY, "after") == bytes_of(image)
        assert client.pull(REPOSITORY, "before") == bytes_of(before)
        assert server.defects == []


def test_a_volume_without_any_room_refuses_metadata_and_recovers(small_volume: Path) -> None:
    with Homeport(data=small_volume / "data") as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = OciClient(server.url, "AWS", server.password())
        image = random_image()
        client.push(REPOSITORY, image, "before")
        ballast = Ballast(small_volume)
        ballast.leave(0)

        acknowledged: list[tuple[str, Blob]] = []
        refused: Response | None = None
        for number in range(10):
            manifest = large_manifest(image, number)
            answer = client.put_manifest(REPOSITORY, f"large{number}", manifest.data, manifest.media_type)
            if answer.status == 201:
                acknowledged.append((f"large{number}", manifest))
            else:
                refused = answer
        assert refused is not None
        assert_full(refused)
        with pytest.raises(ClientError) as told:
            server.client().put_image(
                repositoryName=REPOSITORY, imageManifest=large_manifest(image, 99).text, imageTag="large99"
            )
        assert told.value.response["Error"]["Code"] == "ServerException"
        assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        client.request("GET", "/readyz").expect(503)
        assert client.pull(REPOSITORY, "before") == bytes_of(image)

        ballast.drop()
        last = large_manifest(image, 50)
        client.push_manifest(REPOSITORY, last, "last")
        server.restart()
        client = OciClient(server.url, "AWS", server.password())

        for tag, manifest in [*acknowledged, ("last", last)]:
            assert client.pull_manifest(REPOSITORY, tag).data == manifest.data
        assert client.get_manifest(REPOSITORY, "large99").status == 404
        assert client.pull(REPOSITORY, "before") == bytes_of(image)
        assert server.defects == []


@pytest.mark.parametrize("fault", ["write:1+:full", "write:1+:unavailable"])
def test_a_database_that_refuses_every_write_still_lets_clients_pull(fault: str) -> None:
    with Homeport() as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = OciClient(server.url, "AWS", server.password())
        image = random_image()
        client.push(REPOSITORY, image, "v1")
        server.terminate()
        server.environment["HOMEPORT_DATABASE_FAULTS"] = fault
        server.start()
        client = OciClient(server.url, "AWS", server.password())

        assert client.pull(REPOSITORY, "v1") == bytes_of(image)
        answer = client.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/").expect(503)
        assert answer.error_codes == ["UNAVAILABLE"]
        with pytest.raises(ClientError, match="ServerException"):
            server.client().create_repository(repositoryName="team/more")
        server.terminate()
        assert server.defects == []
