"""Short forms for what the API tests do again and again: refusals, layers by parts, images by PutImage."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness.images import Blob, Image, sha256
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport

MISSING = "sha256:" + "0" * 64
"""A digest that nothing has."""


def refused(call: Callable[..., object], **params: Any) -> tuple[str, str]:
    """Make a call that must fail; return the error's code and message."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def at_once(call: Callable[[Any], object], arguments: Iterable[Any]) -> list[str]:
    """Call with each argument, all at the same time; return `done` or the error's code for each, in order."""

    def outcome(argument: Any) -> str:
        try:
            call(argument)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"

    with ThreadPoolExecutor(max_workers=8) as threads:
        return list(threads.map(outcome, arguments))


def new_name(start: str = "api") -> str:
    """A repository name that nobody has used."""
    return f"{start}/{uuid.uuid4().hex}"


def unknown_repository(name: str, account: str) -> tuple[str, str]:
    """What every operation answers for a repository that does not exist."""
    text = f"The repository with name '{name}' does not exist in the registry with id '{account}'"
    return "RepositoryNotFoundException", text


def upload(ecr: Any, repository: str, data: bytes, **registry: str) -> str:
    """Push a layer in one part; return its digest."""
    begun = ecr.initiate_layer_upload(repositoryName=repository, **registry)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=begun,
        partFirstByte=0,
        partLastByte=len(data) - 1,
        layerPartBlob=data,
        **registry,
    )
    ecr.complete_layer_upload(
        repositoryName=repository, uploadId=begun, layerDigests=[sha256(data)], **registry
    )
    return sha256(data)


def put_manifest(ecr: Any, repository: str, manifest: Blob, tag: str | None = None, **more: str) -> str:
    """PutImage of a manifest whose parts are there; return the digest that the registry answers."""
    tagged = {"imageTag": tag} if tag is not None else {}
    answer = ecr.put_image(
        repositoryName=repository,
        imageManifest=manifest.text,
        imageManifestMediaType=manifest.media_type,
        **tagged,
        **more,
    )
    digest: str = answer["image"]["imageId"]["imageDigest"]
    return digest


def put(ecr: Any, repository: str, image: Image, *tags: str, **registry: str) -> str:
    """Push a whole image through the API and give it tags; return its digest."""
    for blob in image.blobs:
        known = ecr.batch_check_layer_availability(
            repositoryName=repository, layerDigests=[blob.digest], **registry
        )
        if known["layers"][0]["layerAvailability"] == "UNAVAILABLE":
            upload(ecr, repository, blob.data, **registry)
    for tag in tags or (None,):
        put_manifest(ecr, repository, image.manifest, tag, **registry)
    return image.digest


def policy(*actions: str, resource: str = "*", effect: str = "Allow") -> dict[str, Any]:
    """An identity policy with one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def at_registry(homeport: Homeport, who: Credentials, account: str | None = None) -> OciClient:
    """A bare OCI client of the registry of an account (by default the caller's own) by its own host name."""
    port = homeport.host.rpartition(":")[2]
    client = OciClient(homeport.url, password=homeport.password(who))
    client.headers["Host"] = f"{account or who.account_id}.dkr.ecr.{who.region}.localhost:{port}"
    return client


def document(*statements: dict[str, Any]) -> str:
    """A resource policy as text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
