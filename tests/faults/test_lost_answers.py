"""The answer to a commit is lost on its way: what was committed happened once, and a client that repeats is told so.

The nodes reach PostgreSQL through a proxy that passes a commit on and then cuts the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.faults.history import History
from tests.harness import postgres
from tests.harness.cluster import Cluster
from tests.harness.images import Image, random_image, sha256
from tests.harness.oci import OciClient
from tests.harness.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(120)]

REPOSITORY = "team/app"


def is_commit(sent: bytes) -> bool:
    return b"COMMIT\0" in sent


@dataclass
class Place:
    cluster: Cluster
    proxy: Proxy
    history: History

    @property
    def client(self) -> OciClient:
        return self.cluster.oci(0)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    direct = urlsplit(postgres.shared().new_database())
    assert direct.port is not None
    with Proxy(direct.port) as proxy:
        through = direct._replace(netloc=f"{direct.username}@127.0.0.1:{proxy.port}").geturl()
        # Nothing else commits meanwhile.
        quiet = {"HOMEPORT_COLLECTION_INTERVAL": "0", "HOMEPORT_LIFECYCLE_INTERVAL": "0"}
        with Cluster(1, database=through, environment=quiet) as cluster:
            cluster.nodes[0].client().create_repository(repositoryName=REPOSITORY)
            yield Place(cluster, proxy, History(REPOSITORY))
            assert cluster.defects == []


def rows(place: Place, image: Image) -> list[int]:
    """How often the listing and the tags have an image."""
    ecr = place.cluster.nodes[0].client()
    found = ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    named = [tag for each in found for tag in each.get("imageTags", [])]
    return [sum(each["imageDigest"] == image.digest for each in found), len(named) - len(set(named))]


def test_each_commit_of_a_push_whose_answer_is_lost_is_looked_up_and_nobody_notices(place: Place) -> None:
    client, image = place.client, random_image(layer_bytes=100_000)
    layer = image.layers[0]
    cuts = place.proxy.cuts

    def cut() -> None:
        place.proxy.cut_when = is_commit

    cut()
    location = client.start_upload(REPOSITORY)
    cut()
    client.request("PATCH", location, body=layer.data).expect(202)
    cut()
    client.request("PUT", location, query={"digest": layer.digest}).expect(201)
    client.push_blob(REPOSITORY, image.config.data)
    cut()
    assert client.push_manifest(REPOSITORY, image.manifest, "looked-up") == image.digest

    assert place.proxy.cuts - cuts == 4
    place.history.acknowledge("looked-up", image)
    place.history.check(client)
    assert rows(place, image) == [1, 0]


def test_a_client_that_is_told_that_nothing_is_known_repeats_and_finds_what_it_did(place: Place) -> None:
    client, image = place.client, random_image(layer_bytes=100_000)
    layer, proxy = image.layers[0], place.proxy
    client.push_blob(REPOSITORY, image.config.data)
    location = client.start_upload(REPOSITORY)
    client.request("PATCH", location, body=layer.data).expect(202)

    def unknown(sent: bytes) -> bool:
        proxy.refusing = proxy.refusing or is_commit(sent)  # from the commit on nobody can be asked
        return is_commit(sent)

    try:
        proxy.cut_when = unknown
        answer = client.request("PUT", location, query={"digest": layer.digest})
        assert (answer.status, answer.error_codes) == (503, ["UNAVAILABLE"])
    finally:
        proxy.refusing = False
    # The upload has become a blob: so says its address, and a client that asks for the blob finds it.
    client.request("PUT", location, query={"digest": layer.digest}).expect(404)
    client.request("HEAD", f"/v2/{REPOSITORY}/blobs/{layer.digest}").expect(200)
    try:
        proxy.cut_when = unknown
        manifest = image.manifest
        client.put_manifest(REPOSITORY, "repeated", manifest.data, manifest.media_type).expect(503)
    finally:
        proxy.refusing = False
    assert client.push_manifest(REPOSITORY, image.manifest, "repeated") == image.digest

    place.history.acknowledge("repeated", image)
    place.history.check(client)
    assert rows(place, image) == [1, 0]
    assert client.pull_blob(REPOSITORY, sha256(layer.data)) == layer.data
