"""Manifests and referrers over HTTP. OCI distribution-spec 1.1, "Pulling manifests", "Push", "Listing referrers"."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from homeport.images import service as images
from homeport.images import store as image_store
from homeport.images.model import Image, Retention
from homeport.images.service import Push
from homeport.kernel import limits, media
from homeport.kernel.digests import Digest
from homeport.kernel.errors import ImageNotFound
from homeport.kernel.names import Tag
from homeport.oci import paths
from homeport.oci.paths import Route
from homeport.oci.visit import Visit
from homeport.registry import service as registries
from homeport.wire.answer import Answer

_PAGE_BYTES = limits.REFERRERS_PAGE_BYTES // 2  # may be exceeded by one entry, which is shorter than this
_SCANNED = 5_000  # referrers looked at in one request, also when the filter matches none of them
_NO_PAGE = "default-src 'none'; sandbox"  # clients choose the media type, also one that browsers run
_PRIVATE = "private, max-age=0, must-revalidate"
_ANY = re.compile(r"(?:^|[\s,])(?:\*/\*|application/\*)")


@lru_cache(maxsize=4096)  # only what is well formed is kept, so at most 135 characters each
def _reference(text: str) -> Digest | Tag:
    """A reference with a colon is a digest, anything else a tag."""
    return Digest(text) if ":" in text else Tag(text)


def _acceptable(accept: list[str], media_type: str) -> bool:
    """Whether the client takes this type; no Accept at all takes everything."""
    joined = ",".join(accept)
    return not joined or media_type in joined or _ANY.search(joined) is not None


async def get(visit: Visit, route: Route) -> Answer:
    """GET or HEAD of a manifest by tag or digest: the exact bytes that were pushed."""
    request = visit.exchange.request
    head = request.method == "HEAD"
    repository = await visit.repository("HeadManifest" if head else "GetManifest", route.repository)
    reference = _reference(route.reference)
    found = await images.manifest(visit.region.db, repository, reference)
    # By tag the client may know only older types (case M14): then there is nothing for it, and no conversion.
    if isinstance(reference, Tag) and not _acceptable(request.headers.getall("Accept", []), found.media_type):
        raise ImageNotFound(
            f"The image is stored as {found.media_type}, which the Accept header of the request does not name"
        )
    etag = f'"{found.digest}"'
    headers = {
        "Content-Type": found.media_type,
        "Docker-Content-Digest": found.digest,
        "ETag": etag,
        "Cache-Control": _PRIVATE,
        "Content-Security-Policy": _NO_PAGE,
    }
    if etag in request.headers.get("If-None-Match", ""):
        return Answer(status=304, headers=headers)
    if head:
        headers["Content-Length"] = str(len(found.body))
        return Answer(headers=headers)
    region = visit.region
    if region.pulls.is_due(found.pulled_at, visit.now) and await registries.counts_pulls(
        region.db, repository.account, visit.principal.caller.arn
    ):
        region.pulls.note(found.image_id, found.pulled_at, visit.now)
    return Answer(body=found.body, headers=headers)


async def put(visit: Visit, route: Route) -> Answer:
    """PUT of a manifest by tag or digest."""
    repository = await visit.pushed("PutManifest", route.repository)
    reference = _reference(route.reference)
    request = visit.exchange.request
    visit.refuse_encodings()
    body = await visit.exchange.small_body(limits.MANIFEST_BYTES)
    push = Push(
        body=body,
        media_type=request.headers.get("Content-Type"),
        tag=reference if isinstance(reference, Tag) else None,
        digest=reference if isinstance(reference, Digest) else None,
    )
    image = (await images.put(visit.region.db, visit.now, repository, push, visit.region.room)).image
    headers = {
        "Location": paths.manifest_path(visit.name_of(repository), image.digest),
        "Docker-Content-Digest": image.digest,
    }
    if image.subject is not None:
        headers["OCI-Subject"] = image.subject
    return Answer(status=201, headers=headers)


async def delete(visit: Visit, route: Route) -> Answer:
    """DELETE of a tag or of an image by digest."""
    repository = await visit.repository("DeleteManifest", route.repository)
    region = visit.region
    kept = await registries.image_recovery(region.db, repository.account)
    keep = Retention.starting(region.lifecycle_clock.now(), kept, visit.principal.caller.arn)
    await images.delete_one(region.db, visit.now, repository, _reference(route.reference), keep)
    return Answer(status=202)


async def referrers(visit: Visit, route: Route) -> Answer:
    """GET of the referrers of a digest, as an image index, filtered by `artifactType` and paged."""
    repository = await visit.repository("ListReferrers", route.repository)
    subject = Digest(route.reference)
    query = paths.query(visit.exchange.raw_query)
    wanted, after = query.get("artifactType"), query.get("last", "")
    listed: list[str] = []
    size, scanned, more = 0, 0, True
    while more and size < _PAGE_BYTES and len(listed) < limits.PAGE_MAX and scanned < _SCANNED:
        page = await image_store.referrers(
            visit.region.db, repository.id, subject, after, limits.REFERRERS_PAGE
        )
        more = len(page) == limits.REFERRERS_PAGE
        scanned += len(page)
        for image in page:
            after = image.digest
            if wanted is None or image.artifact_type == wanted:
                listed.append(json.dumps(descriptor(image)))
                size += len(listed[-1])
            if size >= _PAGE_BYTES:
                more = True
                break
    headers = {"Content-Type": media.OCI_INDEX}
    if wanted is not None:
        headers["OCI-Filters-Applied"] = "artifactType"
    if more and after:
        extra = {"artifactType": wanted} if wanted is not None else {}
        path = f"/v2/{visit.name_of(repository)}/referrers/{subject}"
        headers["Link"] = paths.next_link(path, last=after, **extra)
    index = f'{{"schemaVersion": 2, "mediaType": "{media.OCI_INDEX}", "manifests": [{", ".join(listed)}]}}'
    return Answer(body=index.encode(), headers=headers)


def descriptor(image: Image) -> dict[str, Any]:
    """Return the descriptor of a referrer, with its artifact type and annotations.

    Annotations too long for a page are left out: the manifest has them.
    """
    entry: dict[str, Any] = {
        "mediaType": image.media_type,
        "digest": image.digest,
        "size": image.manifest_size,
    }
    if image.artifact_type is not None:
        entry["artifactType"] = image.artifact_type
    if image.annotations is not None and len(image.annotations) < _PAGE_BYTES:
        entry["annotations"] = json.loads(image.annotations)
    return entry
