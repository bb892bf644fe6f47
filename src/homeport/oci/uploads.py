"""Uploads over HTTP: start, append, finish, status, cancel, mount. OCI distribution-spec 1.1, "Pushing blobs"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from homeport.kernel.digests import Digest
from homeport.kernel.errors import (
    DigestInvalid,
    NameInvalid,
    RangeInvalid,
    RequestTimeout,
    TooLarge,
    UploadNotFound,
)
from homeport.kernel.names import RepositoryName
from homeport.oci import paths
from homeport.oci.paths import Route
from homeport.oci.visit import Visit
from homeport.registry import service as registries
from homeport.repositories.model import Repository
from homeport.uploads import service as uploads
from homeport.uploads.model import Blob, Upload
from homeport.uploads.receiving import Receiving
from homeport.wire.answer import Answer
from homeport.wire.body import Disconnected, receive

_UPLOAD_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?", re.ASCII)


async def start(visit: Visit, route: Route) -> Answer:
    """POST: mount a blob (where the registry has that enabled), take a whole blob, or open an upload."""
    query = paths.query(visit.exchange.raw_query)
    if "mount" in query:
        return await _mount(visit, route, query)
    if "digest" in query:
        repository = await visit.pushed("FinishWholeUpload", route.repository)
        digest = Digest(query["digest"])
        visit.refuse_encodings()
        upload = await uploads.start(visit.region.db, visit.now, visit.place(repository))
        return await _finish(visit, repository, upload, digest)
    repository = await visit.pushed("StartUpload", route.repository)
    upload = await uploads.start(visit.region.db, visit.now, visit.place(repository))
    return _accepted(visit, repository, upload, 202)


async def _mount(visit: Visit, route: Route, query: Mapping[str, str]) -> Answer:
    repository = await visit.pushed("MountBlob", route.repository)
    digest = Digest(query["mount"])
    blob: Blob | None = None
    enabled = repository.public or await registries.mounts_blobs(visit.region.db, visit.account)
    if enabled:
        blob = await uploads.blob(visit.region.db, repository, digest)
        if blob is not None:
            blob = await uploads.claim(visit.region.db, visit.now, repository, blob)
        if blob is not None and not blob.at_hand:
            blob = None
    if enabled and blob is None and query.get("from"):
        try:
            source = await visit.readable("MountBlobSource", RepositoryName(query["from"]))
        except NameInvalid:
            source = None
        if source is not None and source.encrypted_like(repository):
            blob = await uploads.mount(visit.region.db, visit.now, repository, source, digest)
    if blob is not None:
        return _created(visit, repository, blob.digest)
    upload = await uploads.start(visit.region.db, visit.now, visit.place(repository))
    return _accepted(visit, repository, upload, 202)


async def append(visit: Visit, route: Route) -> Answer:
    """PATCH: the next bytes of an upload, of any length, chunked or not."""
    repository = await visit.repository("AppendUpload", route.repository)
    upload = await _find(visit, repository, route)
    visit.refuse_encodings()
    expected = _expected(visit, upload)
    region = visit.region
    try:
        most = uploads.layer_bytes(repository, region.quotas)
        async with region.uploads.receive(region.db, upload, most) as received:
            try:
                await _receive(visit, received, expected)
            except (Disconnected, RequestTimeout):
                # What came is good; the client asks for the status and goes on from there.
                if received.size and expected is None:
                    await uploads.advance(region.db, region.clock.now(), received)
                raise
            upload = await uploads.advance(region.db, region.clock.now(), received)
    except TooLarge:
        await uploads.cancel(region.db, region.uploads, visit.now, upload)
        raise
    return _accepted(visit, repository, upload, 202)


async def finish(visit: Visit, route: Route) -> Answer:
    """PUT: the last bytes, if any, and the digest of the whole."""
    repository = await visit.repository("FinishUpload", route.repository)
    upload = await _find(visit, repository, route)
    text = paths.query(visit.exchange.raw_query).get("digest")
    if text is None:
        raise DigestInvalid("The query parameter digest is required")
    digest = Digest(text)
    visit.refuse_encodings()
    return await _finish(visit, repository, upload, digest)


async def _finish(visit: Visit, repository: Repository, upload: Upload, digest: Digest) -> Answer:
    region = visit.region
    expected = _expected(visit, upload)
    try:
        most = uploads.layer_bytes(repository, region.quotas)
        async with region.uploads.receive(region.db, upload, most) as received:
            if visit.exchange.request.can_read_body or expected is not None:
                try:
                    await _receive(visit, received, expected)
                except (Disconnected, RequestTimeout):
                    received.give_back()  # nothing of it is acknowledged, so it must not take room
                    raise
            now = region.clock.now()
            await uploads.finish(region.db, region.uploads, now, visit.place(repository), received, digest)
    except TooLarge:
        await uploads.cancel(region.db, region.uploads, visit.now, upload)
        raise
    return _created(visit, repository, digest)


async def status(visit: Visit, route: Route) -> Answer:
    """GET: how far the upload is."""
    repository = await visit.repository("GetUpload", route.repository)
    return _accepted(visit, repository, await _find(visit, repository, route), 204)


async def cancel(visit: Visit, route: Route) -> Answer:
    """DELETE: give the upload up."""
    repository = await visit.repository("CancelUpload", route.repository)
    upload = await _find(visit, repository, route)
    await uploads.cancel(visit.region.db, visit.region.uploads, visit.now, upload)
    return Answer(status=204)


async def _find(visit: Visit, repository: Repository, route: Route) -> Upload:
    if not _UPLOAD_ID.fullmatch(route.reference):
        raise UploadNotFound("There is no such upload in this repository")
    return await uploads.find(visit.region.db, visit.place(repository), route.reference)


def _expected(visit: Visit, upload: Upload) -> int | None:
    """Return how many bytes Content-Range announces, None without it. Errors: RangeInvalid."""
    header = visit.exchange.request.headers.get("Content-Range")
    if header is None:
        return None
    match = _CONTENT_RANGE.fullmatch(header.strip())
    first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
    length = visit.exchange.request.content_length
    if first != upload.offset or last < first or length not in (None, last - first + 1):
        visit.exchange.request.protocol.close()
        raise RangeInvalid(
            f"Content-Range {header[:64]!r} does not continue the upload at byte {upload.offset}",
            upload.offset,
        )
    return last - first + 1


async def _receive(visit: Visit, received: Receiving, expected: int | None) -> None:
    coming = visit.exchange.request.content_length or 0
    if received.offset + coming > received.limit:  # refused before the first byte, not after the last
        visit.exchange.request.protocol.close()
        raise TooLarge(f"The layer exceeds the limit of {received.limit} bytes")
    await receive(visit.exchange.request, received.write, visit.region.threads)
    if expected is not None and received.size != expected:
        raise RangeInvalid(
            f"Content-Range announced {expected} bytes and {received.size} came", received.upload.offset
        )


def _accepted(visit: Visit, repository: Repository, upload: Upload, status: int) -> Answer:
    headers = {
        "Location": paths.upload_path(visit.name_of(repository), upload.id),
        "Range": f"0-{max(upload.offset - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }
    return Answer(status=status, headers=headers)


def _created(visit: Visit, repository: Repository, digest: str) -> Answer:
    headers = {
        "Location": paths.blob_path(visit.name_of(repository), digest),
        "Docker-Content-Digest": digest,
    }
    return Answer(status=201, headers=headers)
