"""The server is killed while images are deleted and restored: each is whole in the repository or whole in the bin."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.history import assert_sound, sweep
from tests.harness.images import Index, artifact, bytes_of, random_index
from tests.harness.oci import OciClient
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

REPOSITORY = "team/bin"


class Turns:
    """One client that deletes an index with all that belongs to it, restores it, and so on."""

    def __init__(self, index: Index, signature: str, tag: str) -> None:
        self.index, self.tag = index, tag
        ordered = [index.digest, signature, *(image.digest for image in index.images)]
        self.digests = set(ordered)
        self._wanted = [{"imageDigest": each} for each in ordered]
        self.acknowledged = 0

    def go_on(self, over: threading.Event, ecr: Any, extension: Any) -> None:
        while not over.is_set():
            try:
                ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=self._wanted)
                self.acknowledged += 1
                extension.restore_deleted_image(repositoryName=REPOSITORY, imageDigest=self.index.digest)
                self.acknowledged += 1
            except (BotoCoreError, ClientError):
                over.wait(0.02)


def test_a_crash_leaves_every_image_whole_in_the_repository_or_whole_in_the_bin() -> None:
    chance, over = random.Random(7), threading.Event()
    with Homeport() as server:
        server.client().put_account_setting(name="IMAGE_RECOVERY", value="ENABLED")
        server.client().create_repository(repositoryName=REPOSITORY)
        password, port = server.password(), int(server.host.rpartition(":")[2])
        oci = OciClient(server.url, "AWS", password)
        clients = []
        for number in range(3):
            index = random_index()
            oci.push(REPOSITORY, index, f"tag-{number}")
            signature = artifact(f"{number}".encode(), artifact_type="application/x", subject=index.manifest)
            clients.append(Turns(index, oci.push(REPOSITORY, signature), f"tag-{number}"))

        for _ in range(6):
            over.clear()
            ecr, extension = server.client(), server.client("homeport")
            threads = [
                threading.Thread(target=client.go_on, args=(over, ecr, extension)) for client in clients
            ]
            for thread in threads:
                thread.start()
            over.wait(chance.uniform(0.2, 0.6))
            server.kill()
            over.set()
            for thread in threads:
                thread.join()
            server.start(port)
            check(server, oci, clients)

        assert min(client.acknowledged for client in clients) > 5
        assert [record for record in server.log if record.get("level") in ("error", "critical")] == []
        server.terminate()
        sweep(server)
        assert_sound(server.data)


def check(server: Homeport, oci: OciClient, clients: list[Turns]) -> None:
    here = {
        each["imageDigest"]: each.get("imageTags")
        for each in server.client().describe_images(repositoryName=REPOSITORY)["imageDetails"]
    }
    bin_ = {
        each["imageDigest"]: each.get("imageTags")
        for each in server.client("homeport").list_deleted_images(repositoryName=REPOSITORY)["deletedImages"]
    }
    assert here.keys().isdisjoint(bin_)
    for client in clients:
        assert client.digests <= here.keys() or client.digests <= bin_.keys()
        assert (here | bin_)[client.index.digest] == [client.tag]
        if client.index.digest in here:
            assert oci.pull(REPOSITORY, client.tag) == bytes_of(client.index)
