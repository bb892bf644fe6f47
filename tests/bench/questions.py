"""What the scale benchmark asks a registry: one place for each question, each time about something else.

A registry answers a question that it was just asked from memory; so each is asked about images and places in listings
that were not asked about before. Contract: Amazon ECR API Reference, OCI distribution-spec 1.1; tokens of pages are
made with the registry's own key, as the registry makes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from homeport.access.tokens import PageTokens
from homeport.folder import sealer
from tests.bench import filling
from tests.bench.filling import Filling
from tests.bench.material import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from tests.bench.rawclient import Answer, BenchmarkError, Connection, Endpoint, expect

PAGE = 100
_ENDS = ("first", "last")

Ask = Callable[[int], None]
"""Asks once, about the so-manieth thing of its kind, and checks the answer."""


class TimedConnection(Connection):
    """A connection that counts the seconds from sending a request to having its answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.seconds = 0.0

    def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request with a body in memory and return the whole answer."""
        began = time.perf_counter()
        try:
            return super().request(method, target, body, headers)
        finally:
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Question:
    """A row of the table."""

    title: str
    ask: Ask
    prepare: Ask | None = None
    """What must have happened before, and is not measured."""
    registry: bool = False
    """Whether it is about the registry, not about one repository."""


class Asker:
    """Knows what is in a registry, and asks about the images of one repository of it."""

    def __init__(
        self, data: Path, keys: Mapping[str, str], endpoint: Endpoint, held: Filling, where: str
    ) -> None:
        """`data`: the registry's folder. `keys`: what `homeport init` printed. `where`: PROBE or LARGE."""
        self._keys = keys
        self._endpoint = endpoint
        self._api = TimedConnection(Endpoint(endpoint.host, endpoint.port))
        self._oci = TimedConnection(endpoint)
        self._address = endpoint.address
        self._tokens = PageTokens(sealer(data))
        self._where = where
        self._names = held.names()
        self._images = held.ids_of(where)
        chance = random.Random(1)
        tagged = [number for number in range(len(self._images)) if not filling.is_signature(number)]
        self._numbers = chance.sample(tagged, min(len(tagged), 900))
        self._fresh = os.urandom(8).hex()
        self._pushed: list[tuple[str, int]] = []

    def connect(self) -> None:
        """Open new connections: a server closes those that nobody used for a while."""
        self.close()
        self._api = TimedConnection(Endpoint(self._endpoint.host, self._endpoint.port))
        self._oci = TimedConnection(self._endpoint)

    def seconds(self) -> float:
        """Return how long all answers since the last `connect` have taken together."""
        return self._api.seconds + self._oci.seconds

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._oci.close()

    def questions(self) -> list[Question]:
        """Return all questions, in the order of the table."""
        end = len(self._images) - PAGE - 50
        pages = (("first", 0), ("middle", end // 2), ("last", end))
        rows = [
            Question(f"DescribeRepositories, {at} page", self._repositories(at), registry=True)
            for at in _ENDS
        ]
        for operation in ("ListImages", "DescribeImages"):
            rows += [Question(f"{operation}, {name} page", self._page(operation, at)) for name, at in pages]
        return [
            *rows,
            Question("DescribeImages by tag", self._describe_tag),
            Question("DescribeImages by digest", self._describe_digest),
            *[Question(f"_catalog, {at} page", self._catalog(at), registry=True) for at in _ENDS],
            *[Question(f"tags/list, {name} page", self._tags(at)) for name, at in pages],
            Question("referrers of an image", self._referrers),
            Question("GET manifest by tag", self._manifest),
            Question("HEAD of a layer that all images share", self._shared_layer, prepare=self._change),
            Question("HEAD of a layer that is not there", self._no_layer),
            Question("push of a small image", self._push),
            Question("of it, the manifest", self._push_manifest, prepare=self._push_layers),
        ]

    def _number(self, turn: int) -> int:
        return self._numbers[turn % len(self._numbers)]

    # --- The ECR API ---

    def _call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(params).encode()
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"AmazonEC2ContainerRegistry_V20150921.{operation}",
        }
        request = AWSRequest("POST", f"http://{self._address}/", headers=headers, data=body)
        who = Credentials(self._keys["accessKeyId"], self._keys["secretAccessKey"])
        SigV4Auth(who, "ecr", self._keys["region"]).add_auth(request)
        answer = expect(self._api.request("POST", "/", body, dict(request.headers)), 200, operation)
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def _token(self, operation: str, params: Mapping[str, Any], position: Sequence[Any]) -> str:
        scope = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
        return self._tokens.issue(self._keys["userArn"], operation, scope, position)

    def _listed(self, operation: str, key: str, params: Mapping[str, Any], position: Sequence[Any]) -> None:
        token = self._token(operation, params, position)
        found = self._call(operation, {**params, "maxResults": PAGE, "nextToken": token})
        _require(len(found[key]) == PAGE, f"{operation}: {len(found[key])} entries")

    def _repositories(self, end: str) -> Ask:
        def ask(turn: int) -> None:
            position = [self._name(end, turn)]
            self._listed("DescribeRepositories", "repositories", {}, position)

        return ask

    def _name(self, end: str, turn: int) -> str:
        """Return a name after which there is a page of repositories, at that end of the registry."""
        return self._names[turn % 50] if end == "first" else self._names[-PAGE - 1 - turn % 50]

    def _page(self, operation: str, skipped: int) -> Ask:
        key = "imageIds" if operation == "ListImages" else "imageDetails"
        newest_first = self._images[::-1]

        def ask(turn: int) -> None:
            before = newest_first[skipped + turn % 50]
            position = [before, "~"] if operation == "ListImages" else [before]
            self._listed(operation, key, {"repositoryName": self._where}, position)

        return ask

    def _describe_tag(self, turn: int) -> None:
        number = self._number(turn)
        self._describe({"imageTag": filling.tag(number)}, number)

    def _describe_digest(self, turn: int) -> None:
        number = self._number(turn)
        self._describe({"imageDigest": self._digest(number)}, number)

    def _describe(self, wanted: Mapping[str, str], number: int) -> None:
        params = {"repositoryName": self._where, "imageIds": [wanted]}
        found = self._call("DescribeImages", params)["imageDetails"]
        _require(found[0]["imageDigest"] == self._digest(number), "DescribeImages: another image")

    def _digest(self, number: int) -> str:
        return f"sha256:{hashlib.sha256(filling.manifest(self._where, number)).hexdigest()}"

    # --- The registry API ---

    def _catalog(self, end: str) -> Ask:
        def ask(turn: int) -> None:
            answer = self._oci.request("GET", f"/v2/_catalog?n={PAGE}&last={self._name(end, turn)}")
            found = json.loads(expect(answer, 200, "catalog").body)["repositories"]
            _require(len(found) == PAGE, f"catalog: {len(found)} entries")

        return ask

    def _tags(self, skipped: int) -> Ask:
        tags = [filling.tag(n) for n in range(len(self._images)) if not filling.is_signature(n)]
        start = min(skipped, len(tags) - PAGE - 51)

        def ask(turn: int) -> None:
            after = tags[start + turn % 50]
            answer = self._oci.request("GET", f"/v2/{self._where}/tags/list?n={PAGE}&last={after}")
            found = json.loads(expect(answer, 200, "tags/list").body)["tags"]
            _require(len(found) == PAGE, f"tags/list: {len(found)} entries")

        return ask

    def _referrers(self, turn: int) -> None:
        subject = self._digest(self._number(turn) // 10 * 10 + 8)
        answer = expect(self._oci.request("GET", f"/v2/{self._where}/referrers/{subject}"), 200, "referrers")
        _require(len(json.loads(answer.body)["manifests"]) == 1, "referrers: not one")

    def _manifest(self, turn: int) -> None:
        number = self._number(turn)
        answer = self._oci.request("GET", f"/v2/{self._where}/manifests/{filling.tag(number)}")
        expect(answer, 200, "GET of a manifest")
        _require(answer.body == filling.manifest(self._where, number), "GET of a manifest: another one")

    def _change(self, _turn: int) -> None:
        """Commit something, so that memory does not know the answer to a question that was asked before."""
        self._oci.push_bytes(self._where, os.urandom(100))

    def _shared_layer(self, _turn: int) -> None:
        self._head(filling.base_layer(self._where), 200)

    def _no_layer(self, turn: int) -> None:
        self._head(filling.digest_of(f"none {turn} {self._fresh}"), 404)

    def _head(self, digest: str, status: int) -> None:
        expect(self._oci.request("HEAD", f"/v2/{self._where}/blobs/{digest}"), status, "HEAD of a layer")

    def _push(self, turn: int) -> None:
        self._push_layers(turn)
        self._push_manifest(turn)

    def _push_layers(self, turn: int) -> None:
        self._pushed = new_image(self._oci, self._where)

    def _push_manifest(self, turn: int) -> None:
        self._oci.push_manifest(self._where, f"new-{self._fresh}-{turn}", manifest_of(self._pushed))


def new_image(connection: Connection, repository: str) -> list[tuple[str, int]]:
    """Push a configuration and two layers that no registry has; return digest and size of each."""
    pushed = []
    for size in (1500, 4000, 4000):
        body = os.urandom(size)
        pushed.append((connection.push_bytes(repository, body), size))
    return pushed


def manifest_of(pushed: Sequence[tuple[str, int]]) -> bytes:
    """Return the manifest of an image of which the configuration and the layers are there."""
    parts = [{"mediaType": LAYER_TYPE, "digest": digest, "size": size} for digest, size in pushed]
    config = {**parts[0], "mediaType": CONFIG_TYPE}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": parts[1:]}
    ).encode()


def _require(fine: bool, what: str) -> None:
    if not fine:
        raise BenchmarkError(what)
