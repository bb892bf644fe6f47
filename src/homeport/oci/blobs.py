"""Blobs over HTTP: HEAD, GET with ranges, DELETE. OCI distribution-spec 1.1, "Pulling blobs"; RFC 9110 section 14."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from types import MappingProxyType

from aiohttp import web

from homeport.blobs.port import BlobError, BlobMissing, BlobReader
from homeport.kernel.digests import Digest
from homeport.kernel.errors import BlobUnknown, Unavailable, UnsupportedOperation
from homeport.oci.paths import Route
from homeport.oci.visit import Visit
from homeport.region import Region
from homeport.repositories import store as repository_store
from homeport.telemetry import log
from homeport.uploads import service as uploads
from homeport.uploads import store as upload_store
from homeport.uploads.model import Blob
from homeport.wire import download
from homeport.wire.answer import Answer
from homeport.wire.exchange import Exchange
from homeport.wire.modes import DownloadMode

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
    if found is not None and operation == "HeadBlob":  # so asks a client that would otherwise push it
        delay = visit.region.collection_delay
        found = await uploads.claim(visit.region.db, visit.now, repository, found, delay)
    if found is None or found.archived:
        raise BlobUnknown(f"The blob {digest} does not exist in the repository with name '{repository.name}'")
    if found.damaged:  # unknown, so that a client which has it pushes it again
        raise BlobUnknown(
            f"The stored bytes of the blob {digest} in the repository with name '{repository.name}' are damaged; "
            "push it again"
        )
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
    found = None
    if await repository_store.by_id(region.db, grant.repository_id) is not None:
        found = await upload_store.find_blob(region.db, grant.repository_id, grant.digest)
    if found is None or not found.at_hand:
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
    if region.download_mode is DownloadMode.REDIRECT:
        elsewhere = _elsewhere(region, blob)
        if elsewhere is not None:
            return elsewhere
    headers["Content-Length"] = str(count)
    status = 206 if part is not None else 200
    reader = await _opened(region, blob)
    try:
        source = reader if part is not None or reader.fileno() is not None else Checked(reader, blob)
        if count <= _INLINE_BYTES:
            return Answer(
                status=status, body=await _small(region, blob, source, first, count), headers=headers
            )
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = count
        await download.send(request, response, source, first, count, region.download_mode, region.threads)
        return response
    finally:
        reader.close()


async def _opened(region: Region, blob: Blob) -> BlobReader:
    """Open the bytes of `blob`; where they are not, ask once more where they are: they may have moved since."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(None, _open, region, blob)
        except BlobMissing:
            known = await upload_store.stored_blob(region.db, blob.digest)
            if known is None:
                raise BlobUnknown("The blob does not exist any more") from None
            if known.storage_key == blob.storage_key:
                raise _damaged(blob, "BlobMissing") from None
            blob = known


def _damaged(blob: Blob, kind: str) -> Unavailable:
    log.error("blob_damaged", digest=blob.digest, storage_key=blob.storage_key, kind=kind)
    return Unavailable("The bytes of this blob cannot be read; the operator has been told")


class Checked:
    """A blob that is read once from its beginning, and whose last bytes come only when all have its digest.

    For bytes from another machine, which pass through here anyway: the kernel sends those of this one unseen.
    """

    def __init__(self, reader: BlobReader, blob: Blob) -> None:
        self._reader = reader
        self._blob = blob
        self._digest = Digest(blob.digest)
        self._running = hashlib.new(self._digest.algorithm)
        self._at = 0

    def fileno(self) -> int | None:
        """None: the bytes must be seen."""
        return None

    def read(self, offset: int, length: int) -> bytes:
        """Return the next bytes. Blocking. Errors: Unavailable, also when they are not those of the blob."""
        assert offset == self._at, "read from the beginning, once"
        try:
            piece = self._reader.read(offset, length)
        except BlobError as error:
            raise _damaged(self._blob, type(error).__name__) from error
        self._running.update(piece)
        self._at += len(piece)
        if self._at >= self._blob.size and self._running.hexdigest() != self._digest.hex:
            raise _damaged(self._blob, "digest")
        return piece


async def _small(region: Region, blob: Blob, reader: download.Source, first: int, count: int) -> bytes:
    if reader.fileno() is not None:
        return reader.read(first, count)
    try:  # from another machine
        return await region.threads.run(partial(reader.read, first, count))
    except BlobError as error:
        raise _damaged(blob, type(error).__name__) from error


def _elsewhere(region: Region, blob: Blob) -> Answer | None:
    """Send the client to where the bytes are, range and all; None when it cannot go there.

    The address works for whoever has it, so it is short-lived and no cache may keep it.
    """
    address = region.blobs.address(blob.storage_key)
    if address is None:
        return None
    headers = {"Location": address, "Docker-Content-Digest": blob.digest, "Cache-Control": "no-store"}
    return Answer(status=307, headers=headers)


def _open(region: Region, blob: Blob) -> BlobReader:
    try:
        reader = region.blobs.reader(blob.storage_key)
    except BlobMissing:
        raise
    except BlobError as error:
        raise _damaged(blob, type(error).__name__) from error
    if reader.size != blob.size:  # never a wrong byte: better no answer than a truncated layer
        reader.close()
        raise _damaged(blob, "size")
    return reader
