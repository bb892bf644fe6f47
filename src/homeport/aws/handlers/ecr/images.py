"""Images through the API. Amazon ECR API Reference; texts and semantics of ECR."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from homeport.aws.call import NEWEST, Answer, Call
from homeport.aws.handlers.ecr.passing import repository_for_push
from homeport.images import service as images
from homeport.images import store as image_store
from homeport.images.model import Failure, Image, ImageId, Retention, Status, TagStatus
from homeport.images.service import Push
from homeport.kernel import limits
from homeport.kernel.digests import Digest
from homeport.kernel.errors import DigestInvalid, InvalidInput, InvalidParameter, LimitExceeded, TooLarge
from homeport.kernel.names import Tag
from homeport.registry import service as registries
from homeport.repositories.model import Repository

_BATCH_BYTES = 32 * limits.MIB  # ours: manifests in one answer; the largest alone would be 400 MiB


def _asked(call: Call, member: str = "imageIds") -> list[ImageId]:
    return [ImageId(each.get("imageDigest"), each.get("imageTag")) for each in call.params.get(member) or []]


def _shown_id(image: ImageId) -> dict[str, str | None]:
    return {"imageDigest": image.digest, "imageTag": image.tag}


def _shown_failure(failure: Failure) -> dict[str, Any]:
    return {
        "imageId": _shown_id(failure.image),
        "failureCode": failure.code.value,
        "failureReason": failure.reason,
    }


async def put_image(call: Call) -> Answer:
    """PutImage: the same function as a push over /v2/."""
    repository = await repository_for_push(call)
    tag, digest = call.params.get("imageTag"), call.params.get("imageDigest")
    text: str = call.params["imageManifest"]
    try:
        wanted = Digest(digest) if digest is not None else None
    except DigestInvalid:
        raise InvalidParameter("imageDigest", "Member must be a sha256 or sha512 digest") from None
    push = Push(
        body=text.encode(),
        media_type=call.params.get("imageManifestMediaType"),
        tag=Tag(tag) if tag is not None else None,
        digest=wanted,
    )
    try:
        image = await images.put_new(call.region.db, call.now, repository, push, call.region.room)
    except TooLarge as error:  # few enough characters for the model, and too many bytes
        raise InvalidInput(error.message) from None
    return {
        "image": {
            "registryId": repository.account,
            "repositoryName": repository.name,
            "imageId": {"imageDigest": image.digest, "imageTag": tag},
            "imageManifest": text,
            "imageManifestMediaType": image.media_type,
        }
    }


async def batch_get_image(call: Call) -> Answer:
    """BatchGetImage: stored manifests as they are; `acceptedMediaTypes` never causes a conversion."""
    repository = await call.repository()
    db = call.region.db
    counted = await registries.counts_pulls(db, repository.account, call.principal.caller.arn)
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    size = 0
    for asked in _asked(call):
        image = await images.resolve(db, repository, asked, active=True)
        if isinstance(image, Failure):
            failures.append(_shown_failure(image))
            continue
        size += image.manifest_size
        if size > _BATCH_BYTES:
            raise LimitExceeded(
                f"The manifests asked for have more than {_BATCH_BYTES} bytes together; ask for fewer at once"
            )
        stored = await images.manifest(db, repository, image.digest)
        if counted:
            call.region.pulls.note(stored.image_id, stored.pulled_at, call.now)
        found.append(
            {
                "registryId": repository.account,
                "repositoryName": repository.name,
                "imageId": {"imageDigest": image.digest, "imageTag": asked.tag},
                "imageManifest": stored.body.decode(),
                "imageManifestMediaType": image.media_type,
            }
        )
    return {"images": found, "failures": failures}


async def batch_delete_image(call: Call) -> Answer:
    """BatchDeleteImage: by digest with all tags, or by tag."""
    repository = await call.repository()
    region = call.region
    kept = await registries.image_recovery(region.db, repository.account)
    keep = Retention.starting(region.lifecycle_clock.now(), kept, call.principal.caller.arn)
    gone, failures = await images.delete(region.db, call.now, repository, _asked(call), keep)
    return {
        "imageIds": [_shown_id(each) for each in gone],
        "failures": [_shown_failure(each) for each in failures],
    }


def _status(asked: str | None) -> Status | None:
    """Return the status that a filter wants, ACTIVE when it names none; None for any."""
    return None if asked == "ANY" else Status(asked or "ACTIVE")


def _filters(call: Call) -> tuple[TagStatus, Status | None]:
    """Return the tag status and the image status that are wanted."""
    asked = call.params.get("filter") or {}
    return TagStatus(asked.get("tagStatus") or "ANY"), _status(asked.get("imageStatus"))


async def list_images(call: Call) -> Answer:
    """ListImages: one entry per digest and tag, newest image first."""
    repository = await call.repository()
    tags, status = _filters(call)
    size = call.page_size(limits.PAGE_DEFAULT)
    before, tag = call.page_position() or (NEWEST, "")
    page = await image_store.pairs(call.region.db, repository.id, tags, before, tag, size + 1, status)
    more = call.next_token([page[size - 1][0], page[size - 1][2] or ""]) if len(page) > size else None
    return {
        "imageIds": [{"imageDigest": digest, "imageTag": name} for _, digest, name in page[:size]],
        "nextToken": more,
    }


async def describe_images(call: Call) -> Answer:
    """DescribeImages: one entry per image, newest first, or the named ones."""
    repository = await call.repository()
    db = call.region.db
    asked = _asked(call)
    if call.params.get("imageIds") is not None:
        call.refuse_paging("imageIds")
        found = await images.describe(db, repository, asked)
        return {"imageDetails": [await _detail(call, repository, image) for image in found]}
    tags, status = _filters(call)
    return await image_page(call, repository, tags, status, _detail)


Detail = Callable[[Call, Repository, Image], Awaitable[dict[str, Any]]]


async def image_page(
    call: Call, repository: Repository, tags: TagStatus, status: Status | None, detail: Detail
) -> Answer:
    """Return a page of DescribeImages, newest image first, each as `detail` shows it."""
    read = partial(image_store.images, call.region.db, repository.id, tags, status=status)
    page, more = await call.page(NEWEST, read, lambda image: image.id)
    return {
        "imageDetails": [await detail(call, repository, image) for image in page],
        "nextToken": more,
    }


async def common_detail(call: Call, repository: Repository, image: Image) -> dict[str, Any]:
    """Return what ECR and ECR Public both show of an image."""
    tags = await image_store.tags_of(call.region.db, image.id)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageDigest": image.digest,
        "imageTags": tags or None,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": image.artifact_type,
    }


async def _detail(call: Call, repository: Repository, image: Image) -> dict[str, Any]:
    return {
        **await common_detail(call, repository, image),
        "lastRecordedPullTime": image.pulled_at,
        "subjectManifestDigest": image.subject,
        "imageStatus": image.status.value,
        "lastArchivedAt": image.archived_at,
        "lastActivatedAt": image.activated_at,
    }


async def list_image_referrers(call: Call) -> Answer:
    """ListImageReferrers: signatures, attestations and other artifacts that name the image as their subject."""
    repository = await call.repository()
    asked = call.params.get("filter") or {}
    types = asked.get("artifactTypes") or []
    status = _status(asked.get("artifactStatus"))
    try:
        subject = Digest(call.params["subjectId"]["imageDigest"])
    except DigestInvalid:
        raise InvalidParameter("subjectId.imageDigest", "Member must be a sha256 or sha512 digest") from None
    size = call.page_size(20)
    position = call.page_position()
    after = str(position[0]) if position else ""
    found: list[Image] = []
    # Read on until the page is full, so that a filter does not make short pages.
    while len(found) <= size:
        page = await image_store.referrers(
            call.region.db, repository.id, subject, after, limits.PAGE_MAX, status
        )
        found.extend(image for image in page if not types or image.artifact_type in types)
        if len(page) < limits.PAGE_MAX:
            break
        after = page[-1].digest
    more = call.next_token([found[size - 1].digest]) if len(found) > size else None
    return {"referrers": [_referrer(image) for image in found[:size]], "nextToken": more}


def _referrer(image: Image) -> dict[str, Any]:
    return {
        "digest": image.digest,
        "mediaType": image.media_type,
        "artifactType": image.artifact_type,
        "size": image.manifest_size,
        "annotations": json.loads(image.annotations) if image.annotations else None,
        "artifactStatus": image.status.value,
    }
