"""Blobs over HTTP: HEAD, GET with ranges, DELETE. OCI distribution-spec 1.1, "Pulling blobs"; RFC 9110 section 14."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from aiohttp import web

from homeport.blobs.port import BlobError, BlobReader
from homeport.kernel.digests import Digest
from homeport.kernel.errors import BlobUnknown, Unavailable, UnsupportedOperation
from homeport.oci.paths import Route
from homeport.oci.visit import Visit
from homeport.region import Region
from homeport.telemetry import log
from homeport.uploads import service as uploads
from homeport.uploads import store as upload_store
from homeport.uploads.model import Blob
from homeport.wire import download
from homeport.wire.answer import Answer
from homeport.wire.exchange import Exchange

_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)
_INLINE_BYTES = 64 * 1024  # up to here one read and one write cost less than a thread


class Unsatisfiable(Exception):
    """The range lies outside the blob."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (first, count) of a single satisfiable range, None for the whole blob.

    More than one range, or another unit, is answered with the whole (RFC 9110 allows it; case B14).
    Errors: Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        count = min(int(last), size)
        if not count:
            raise Unsatisfiable
        return size - count, count
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    end = min(int(last), size - 1) if last else size - 1
    return start, end - start + 1


_digest = lru_cache(maxsize=4096)(Digest)  # only what is well formed is kept, so at most 135 characters each


async def _find(visit: Visit, operation: str, route: Route) -> Blob:
    repository = await visit.repository(operation, route.repository)
    digest = _digest(route.reference)
    found = await uploads.blob(visit.region.db, repository, digest)
    if found is None or found.archived:
        raise BlobUnknown(f"The blob {digest} does not exist in the repository with name '{repository.name}'")
    return found


async def head(visit: Visit, route: Route) -> web.StreamResponse:
    """HEAD of a blob."""
    found = await _find(visit, "HeadBlob", route)
    return await stream(visit.region, visit.exchange, found)


async def get(visit: Visit, route: Route) -> web.StreamResponse:
    """GET of a blob, whole or one range."""
    found = await _find(visit, "GetBlob", route)
    return await stream(visit.region, visit.exchange, found)


async def delete(visit: Visit, route: Route) -> web.StreamResponse:
    """DELETE of a blob: refused as ECR refuses it; blobs go when no image needs them."""
    await _find(visit, "DeleteBlob", route)
    raise UnsupportedOperation("Layers are removed when no image refers to them; delete the image instead")


async def by_token(region: Region, exchange: Exchange) -> web.StreamResponse:
    """GET /layers/<token>: a layer by the sealed address that GetDownloadUrlForLayer gave out."""
    exchange.operation = "DownloadLayer"
    token = exchange.raw_path.removeprefix("/layers/")
    grant = region.downloads.read(token, region.clock.now())
    found = await upload_store.find_blob(region.db, grant.repository_id, grant.digest)
    if found is None or found.archived:
        raise BlobUnknown("The layer does not exist any more")
    return await stream(region, exchange, found)


@lru_cache(maxsize=1024)
def _head_headers(blob: Blob) -> Mapping[str, str]:
    return MappingProxyType({**_headers(blob), "Content-Length": str(blob.size)})


def _headers(blob: Blob) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": blob.digest,
        "ETag": f'"{blob.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
    }


async def stream(region: Region, exchange: Exchange, blob: Blob) -> web.StreamResponse:
    """Answer `exchange` with the bytes of `blob`. Errors: Unavailable when the stored bytes are not as recorded."""
    request = exchange.request
    if request.method == "HEAD":
        return Answer(headers=_head_headers(blob))
    headers = _headers(blob)
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Answer(status=304, headers=headers)
    asked = request.headers.get("Range")
    if request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        asked = None  # the client has a part of something else (RFC 9110, section 13.1.5)
    try:
        part = byte_range(asked, blob.size)
    except Unsatisfiable:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{blob.size}"})
    first, count = part if part is not None else (0, blob.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{blob.size}"
    headers["Content-Length"] = str(count)
    status = 206 if part is not None else 200
    reader = await asyncio.get_running_loop().run_in_executor(None, _open, region, blob)
    try:
        if count <= _INLINE_BYTES:
            return Answer(status=status, body=reader.read(first, count), headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = count
        await download.send(request, response, reader, first, count, region.download_mode, region.threads)
        return response
    finally:
        reader.close()


def _open(region: Region, blob: Blob) -> BlobReader:
    try:
        reader = region.blobs.reader(blob.storage_key)
    except BlobError as error:
        log.error("blob_damaged", digest=blob.digest, storage_key=blob.storage_key, kind=type(error).__name__)
        raise Unavailable("The bytes of this blob cannot be read; the operator has been told") from error
    if reader.size != blob.size:  # never a wrong byte: better no answer than a truncated layer
        reader.close()
        log.error("blob_damaged", digest=blob.digest, storage_key=blob.storage_key, kind="size")
        raise Unavailable("The bytes of this blob cannot be read; the operator has been told")
    return reader
