"""Layers through the API: availability, upload by parts, download addresses. Amazon ECR API Reference."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.ecr.passing import repository_for_push
from homeport.images import store as image_store
from homeport.kernel import limits
from homeport.kernel.digests import Digest
from homeport.kernel.errors import (
    DigestInvalid,
    InvalidLayer,
    InvalidLayerPart,
    InvalidParameter,
    LayerInaccessible,
    LayersNotFound,
    LimitExceeded,
    RangeInvalid,
    TooLarge,
    UploadNotFound,
)
from homeport.repositories.model import Repository
from homeport.uploads import service as uploads
from homeport.uploads.model import Blob, Upload
from homeport.uploads.service import Place


def _place(call: Call, repository: Repository) -> Place:
    return Place(repository, call.principal.arn)


def _digest(text: str, member: str) -> Digest:
    try:
        return Digest(text)
    except DigestInvalid:
        raise InvalidParameter(
            member, "Layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
        ) from None


async def batch_check_layer_availability(call: Call) -> Answer:
    """BatchCheckLayerAvailability: which of the digests the repository holds."""
    repository = await call.repository()
    layers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for text in call.params["layerDigests"]:
        try:
            digest = Digest(text)
        except DigestInvalid:
            code, reason = (
                ("InvalidLayerDigest", "Invalid layer digest")
                if text
                else (
                    "MissingLayerDigest",
                    "The layer digest is missing",
                )
            )
            failures.append({"layerDigest": text, "failureCode": code, "failureReason": reason})
            continue
        blob = await uploads.blob(call.region.db, repository, digest)
        if blob is not None:
            delay = call.region.collection_delay
            blob = await uploads.claim(call.region.db, call.now, repository, blob, delay)
        media_type = (
            await image_store.layer_media_type(call.region.db, repository.id, digest) if blob else None
        )
        layers.append(
            {
                "layerDigest": digest,
                "layerAvailability": _availability(repository, blob),
                "layerSize": blob.size if blob else None,
                "mediaType": media_type,
            }
        )
    return {"layers": layers, "failures": failures}


def _availability(repository: Repository, blob: Blob | None) -> str:
    # ECR Public knows no archive: then the layer is pushed again, and so is one whose stored bytes are damaged.
    if blob is None or blob.damaged or (blob.archived and repository.public):
        return "UNAVAILABLE"
    return "ARCHIVED" if blob.archived else "AVAILABLE"


async def initiate_layer_upload(call: Call) -> Answer:
    """InitiateLayerUpload."""
    repository = await repository_for_push(call)
    upload = await uploads.start(call.region.db, call.now, _place(call, repository))
    return {"uploadId": upload.id, "partSize": limits.LAYER_PART_SIZE}


async def upload_layer_part(call: Call) -> Answer:
    """UploadLayerPart: continues exactly after the last byte that was received."""
    repository = await call.repository()
    upload = await uploads.find(call.region.db, _place(call, repository), call.params["uploadId"])
    part: bytes = call.params["layerPartBlob"]
    first, last = call.params["partFirstByte"], call.params["partLastByte"]
    if first != upload.offset or last != first + len(part) - 1 or not part:
        raise _not_next(repository, upload)
    quotas = call.region.quotas
    most = quotas.public_layer_parts if repository.public else quotas.layer_parts
    if upload.parts >= most:
        raise LimitExceeded(f"An upload can have at most {most} layer parts")
    try:
        most = uploads.layer_bytes(repository, quotas)
        async with call.region.uploads.receive(call.region.db, upload, most) as received:
            await call.region.threads.run(lambda: received.write([part]))
            small = len(part) < quotas.layer_part_min_bytes
            await uploads.advance(call.region.db, call.now, received, small_part=small)
    except RangeInvalid:
        raise _not_next(repository, upload) from None
    except TooLarge as error:
        await uploads.cancel(call.region.db, call.region.uploads, call.now, upload)
        raise LimitExceeded(error.message) from error
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "uploadId": upload.id,
        "lastByteReceived": last,
    }


def _not_next(repository: Repository, upload: Upload) -> InvalidLayerPart:
    return InvalidLayerPart(
        f"The layer part does not continue the upload with id '{upload.id}' at byte {upload.offset}",
        repository.account,
        repository.name,
        upload.id,
        max(upload.offset - 1, 0),  # the model knows no smaller value
    )


async def complete_layer_upload(call: Call) -> Answer:
    """CompleteLayerUpload: the digest decides whether the bytes are what the client meant."""
    repository = await call.repository()
    digests = call.params["layerDigests"]
    digest = _digest(digests[0], "layerDigests")
    place = _place(call, repository)
    try:
        upload = await uploads.find(call.region.db, place, call.params["uploadId"])
    except UploadNotFound:
        # The answer to an earlier call may have been lost on its way: then the layer is there.
        known = await uploads.blob(call.region.db, repository, digest)
        if known is not None and known.at_hand:
            known = await uploads.claim(call.region.db, call.now, repository, known)
        if known is not None and known.at_hand:
            raise uploads.layer_exists(place, digest) from None
        raise
    try:
        await uploads.finish_parts(
            call.region.db, call.region.uploads, call.now, place, upload, digest, call.region.quotas
        )
    except DigestInvalid as error:
        raise InvalidLayer(error.message) from error
    except RangeInvalid:
        raise _not_next(repository, upload) from None
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "uploadId": upload.id,
        "layerDigest": digest,
    }


async def get_download_url_for_layer(call: Call) -> Answer:
    """GetDownloadUrlForLayer: an address that works without further credentials for a while."""
    repository = await call.repository()
    digest = _digest(call.params["layerDigest"], "layerDigest")
    found = await uploads.blob(call.region.db, repository, digest)
    if found is None:
        raise LayersNotFound(
            f"The layer with digest '{digest}' does not exist in the repository with name "
            f"'{repository.name}' in the registry with id '{repository.account}'"
        )
    if await image_store.layer_media_type(call.region.db, repository.id, digest) is None:
        raise LayerInaccessible(f"The layer with digest '{digest}' is not referenced by an image")
    if found.damaged:
        raise LayerInaccessible(
            f"The stored bytes of the layer with digest '{digest}' are damaged; push it again"
        )
    if found.archived:
        raise LayerInaccessible(
            f"The layer with digest '{digest}' is archived; restore an image that holds it"
        )
    token = call.region.downloads.issue(repository.id, digest, call.now, limits.DOWNLOAD_SECONDS)
    scheme = "https" if call.exchange.secure else "http"
    return {"downloadUrl": f"{scheme}://{call.exchange.host}/layers/{token}", "layerDigest": digest}
