"""Use cases of images. `PutImage` and `PUT /v2/.../manifests/...` both end in `put`, so one rule serves both.

Callers have authorised already. Orders: architecture.md section 4, "Push of a manifest" and "Delete".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from homeport.blobs.port import StorageClass
from homeport.collection import store as collection
from homeport.database.engine import Database, Reader, Transaction
from homeport.images import archive, pins_store, recycle_store, rules, store
from homeport.images.headroom import Headroom
from homeport.images.model import (
    Failure,
    FailureCode,
    Image,
    ImageId,
    Manifest,
    Retention,
    Status,
    StoredManifest,
)
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import (
    DigestInvalid,
    HomeportError,
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    ImageNotFound,
    ImageReferencedByManifestList,
    ImageTagAlreadyExists,
    ImageTagPinned,
    InvalidInput,
    LayersNotFound,
    LimitExceeded,
    ManifestInvalid,
    ReferencedImagesNotFound,
    TagInvalid,
    Unavailable,
)
from homeport.kernel.names import Tag
from homeport.repositories import rules as repository_rules
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository

_SHOWN = 20  # of a long list, in a message
_REFUSALS: Mapping[FailureCode, type[HomeportError]] = {
    FailureCode.REFERENCED: ImageReferencedByManifestList,
    FailureCode.PINNED: ImageTagPinned,
}


@dataclass(frozen=True, slots=True)
class Push:
    """One manifest on its way in: its exact bytes and what the client said about them."""

    body: bytes
    media_type: str | None
    tag: Tag | None = None
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """The outcome of a push; `changed` is false when digest and tag were there already."""

    image: Image
    changed: bool


async def put(
    db: Database, now: datetime, repository: Repository, push: Push, room: Headroom | None = None
) -> Pushed:
    """Store a manifest and let its tag name it, in one transaction.

    Errors: ManifestInvalid, TooLarge, ImageDigestDoesNotMatch, LayersNotFound, ReferencedImagesNotFound,
    ImageTagAlreadyExists, LimitExceeded, RepositoryNotFound.
    """
    room = room if room is not None else Headroom()
    manifest = rules.read_manifest(push.body, push.media_type)
    digest = digest_of(push.body, push.digest.algorithm if push.digest else "sha256")
    if push.digest is not None and push.digest != digest:
        raise ImageDigestDoesNotMatch(
            f"The image digest '{push.digest}' does not match the digest '{digest}' of the image manifest"
        )

    async def work(tx: Transaction) -> Pushed:
        # Read again: settings, or the repository itself, may have changed since the request was authorised.
        now_here = await repositories.get(tx, repository.account, repository.name, public=repository.public)
        image = await store.by_digest(tx, now_here.id, digest)
        new = changed = image is None
        if image is None:
            references = await check_references(tx, now_here, manifest)
            await room.require(tx, now_here)
            image = await store.add(tx, now_here.id, digest, manifest, push.body, references.size, now)
            await archive.warm_up(tx, references.cold, now)
            await recycle_store.forget(tx, now_here.id, digest)
        elif image.status is not Status.ACTIVE:
            await archive.restore_at_once(tx, now_here, image, now)
            changed = True
        if push.tag is not None:
            most = room.quotas.tags_per_image
            changed = await give_tag(tx, now_here, push.tag, image, now, most, new=new) or changed
        return Pushed(image, changed)

    try:
        return await db.write(work)
    except Unavailable:
        room.forget(repository.id)  # other writes that it counted may be undone with this one
        raise


async def put_new(
    db: Database, now: datetime, repository: Repository, push: Push, room: Headroom | None = None
) -> Image:
    """`put` as PutImage wants it. Errors: those of `put`, and ImageAlreadyExists when nothing changed."""
    pushed = await put(db, now, repository, push, room)
    if not pushed.changed:
        raise ImageAlreadyExists(
            f"Image with digest '{pushed.image.digest}' and tag '{push.tag or 'null'}' already exists in the "
            f"repository with name '{repository.name}' in registry with id '{repository.account}'"
        )
    return pushed.image


@dataclass(frozen=True, slots=True)
class References:
    """What an image refers to, all of it present: its size in bytes, and the blobs that lie in the archive."""

    size: int
    cold: tuple[str, ...] = ()


async def check_references(tx: Transaction, repository: Repository, manifest: Manifest) -> References:
    """Return what the image refers to once all of it is proven present in this repository.

    Errors: LayersNotFound, ReferencedImagesNotFound, ManifestInvalid for a size that is not that of the bytes.
    """
    missing: list[str] = []
    wanted = {item.digest for item in manifest.blobs}
    stored = await store.blobs_here(tx, repository.id, wanted) if wanted else {}
    for item in manifest.blobs:
        if item.digest not in stored:
            if not item.foreign:
                missing.append(item.digest)
            continue
        size = stored[item.digest][0]
        if item.size not in (size, -1):
            raise ManifestInvalid(
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "
                f"'The size of {item.digest} is {size}, not {item.size}'"
            )
    if missing:
        raise LayersNotFound(_required("Layers", missing, repository))
    largest = 0
    wanted = {child.digest for child in manifest.children}
    children = await store.by_digests(tx, repository.id, wanted) if wanted else {}
    for child in manifest.children:
        found = children.get(child.digest)
        if found is None or found.status is not Status.ACTIVE:
            missing.append(child.digest)
        elif child.size != found.manifest_size:
            raise ManifestInvalid(
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "
                f"'The size of {child.digest} is {found.manifest_size}, not {child.size}'"
            )
        else:
            largest = max(largest, found.size)
    if missing:
        raise ReferencedImagesNotFound(_required("Images", missing, repository))
    cold = tuple(digest for digest, (_, where) in stored.items() if where is StorageClass.ARCHIVE)
    return References(largest if manifest.children else sum(size for size, _ in stored.values()), cold)


def _required(kind: str, digests: Sequence[str], repository: Repository) -> str:
    shown = ", ".join(digests[:_SHOWN])
    return (
        f"{kind} with digests '[{shown}]' required for pushing image into repository with name "
        f"'{repository.name}' in the registry with id '{repository.account}' do not exist"
    )


async def give_tag(
    tx: Transaction,
    repository: Repository,
    tag: Tag,
    image: Image,
    now: datetime,
    most: int,
    *,
    new: bool = False,
) -> bool:
    """Let `tag` name `image`, which has at most `most`; return whether that changed anything.

    `new`: the image was just added and has none. Errors: ImageTagAlreadyExists, LimitExceeded.
    """
    named = await store.by_tag(tx, repository.id, tag)
    if named is not None and named.id == image.id:
        return False
    if named is not None and not repository_rules.tag_may_move(repository.settings, tag):
        raise ImageTagAlreadyExists(tag, repository.name)
    if (0 if new else await store.count_tags(tx, image.id)) >= most:
        raise LimitExceeded(f"An image can have at most {most} tags")
    if named is None:
        await store.add_tag(tx, repository.id, tag, image.id, now)
    else:
        await store.put_tag(tx, repository.id, tag, image.id, now)
    return True


async def manifest(db: Reader, repository: Repository, reference: Digest | Tag) -> StoredManifest:
    """Return the manifest that a digest or tag names. Errors: ImageNotFound."""
    find = store.manifest_by_digest if isinstance(reference, Digest) else store.manifest_by_tag
    found = await find(db, repository.id, reference)
    if found is None:
        raise ImageNotFound("Requested image not found")
    return found


async def resolve(
    db: Reader, repository: Repository, wanted: ImageId, *, active: bool = False
) -> Image | Failure:
    """Return the image that `wanted` names, or why there is none. `active`: only one that can be pulled."""
    if wanted.digest is None and wanted.tag is None:
        return Failure(
            wanted, FailureCode.MISSING, "Invalid request parameters: both tag and digest cannot be null"
        )
    try:
        digest = Digest(wanted.digest) if wanted.digest is not None else None
    except DigestInvalid:
        return Failure(
            wanted,
            FailureCode.INVALID_DIGEST,
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        )
    try:
        tag = Tag(wanted.tag) if wanted.tag is not None else None
    except TagInvalid:
        return Failure(
            wanted,
            FailureCode.INVALID_TAG,
            "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'",
        )
    image: Image | None = None
    if tag is not None:
        image = await store.by_tag(db, repository.id, tag)
        if image is not None and digest is not None and image.digest != digest:
            return Failure(
                wanted, FailureCode.TAG_DOES_NOT_MATCH, "The image tag does not match the image digest"
            )
    elif digest is not None:
        image = await store.by_digest(db, repository.id, digest)
    if image is None or (active and image.status is not Status.ACTIVE):
        return Failure(wanted, FailureCode.NOT_FOUND, "Requested image not found")
    return image


def not_found(repository: Repository, wanted: ImageId) -> ImageNotFound:
    """Return the error for an image that a repository does not have."""
    return ImageNotFound(
        f"The image with imageId {wanted} does not exist within the repository with name "
        f"'{repository.name}' in the registry with id '{repository.account}'"
    )


async def describe(db: Reader, repository: Repository, wanted: Sequence[ImageId]) -> list[Image]:
    """Return the named images, each once.

    Errors: ImageNotFound for the first that cannot be found, InvalidInput for one without tag and digest.
    """
    found: dict[int, Image] = {}
    for item in wanted:
        image = await resolve(db, repository, item)
        if isinstance(image, Failure) and image.code is FailureCode.MISSING:
            raise InvalidInput(image.reason)
        if isinstance(image, Failure):
            raise not_found(repository, item)
        found[image.id] = image
    return list(found.values())


async def delete(
    db: Database,
    now: datetime,
    repository: Repository,
    wanted: Sequence[ImageId],
    keep: Retention | None = None,
) -> tuple[list[ImageId], list[Failure]]:
    """Remove images by digest or tag; return every (digest, tag) that went, and what could not go.

    Removing the last tag of an image removes the image, as ECR does. With `keep` images can be restored, tags that were
    not the last cannot. ECR User Guide, delete_image.
    """

    async def work(tx: Transaction) -> tuple[list[ImageId], list[Failure]]:
        gone: list[ImageId] = []
        failures: list[Failure] = []
        for item in wanted:
            image = await resolve(tx, repository, item)
            if isinstance(image, Failure):
                failures.append(image)
                continue
            tags = await store.tags_of(tx, image.id)
            only_tag = item.tag is not None and len(tags) > 1
            failure = await _hindrance(tx, repository, image, item.tag if only_tag else None)
            if failure is not None:
                failures.append(replace(failure, image=item))
            elif only_tag and item.tag is not None:
                await store.remove_tag(tx, repository.id, item.tag)
                gone.append(ImageId(image.digest, item.tag))
            else:
                await _remove(tx, now, repository, image, tags, keep)
                gone.extend([ImageId(image.digest, tag) for tag in tags] or [ImageId(image.digest)])
        return gone, failures

    return await db.write(work)


async def remove_image(
    tx: Transaction, now: datetime, repository: Repository, image: Image, keep: Retention | None
) -> Failure | None:
    """Remove an image with all its tags, within a unit of work; return why it cannot go, None once it went.

    With `keep` it can be restored for as long as that says.
    """
    failure = await _hindrance(tx, repository, image, None)
    if failure is None:
        await _remove(tx, now, repository, image, await store.tags_of(tx, image.id), keep)
    return failure


async def _hindrance(
    tx: Transaction, repository: Repository, image: Image, only_tag: str | None
) -> Failure | None:
    """Return why an image, or only one tag of it, cannot be removed; None when it can."""
    pinned = await pins_store.of_image(tx, image.id)
    if only_tag is not None:
        pinned = [only_tag] if only_tag in pinned else []
    if pinned:
        reason = f"Requested image protected by pinned tags: [{', '.join(pinned[:_SHOWN])}]; unpin them first"
        return Failure(ImageId(image.digest), FailureCode.PINNED, reason)
    if only_tag is not None:
        return None
    parents = await store.parents(tx, repository.id, image.digest)
    if parents:
        reason = f"Requested image referenced by manifest list: [{', '.join(parents)}]"
        return Failure(ImageId(image.digest), FailureCode.REFERENCED, reason)
    return None


async def _remove(
    tx: Transaction,
    now: datetime,
    repository: Repository,
    image: Image,
    tags: list[str],
    keep: Retention | None,
) -> None:
    released = await archive.standard_blobs(tx, image.id)
    if keep is not None:  # then its blobs are reviewed when it leaves the bin
        await recycle_store.keep(tx, repository.id, image, tags, now, keep)
    else:
        await collection.release_image(tx, repository.id, image.id, now)
    await store.remove(tx, image.id)
    await archive.release(tx, released, now)


async def delete_one(
    db: Database,
    now: datetime,
    repository: Repository,
    reference: Digest | Tag,
    keep: Retention | None = None,
) -> None:
    """`delete` of one image or tag. Errors: ImageNotFound, ImageReferencedByManifestList, ImageTagPinned."""
    wanted = ImageId(digest=reference) if isinstance(reference, Digest) else ImageId(tag=reference)
    _, failures = await delete(db, now, repository, [wanted], keep)
    for failure in failures:
        raise _REFUSALS.get(failure.code, ImageNotFound)(failure.reason)
