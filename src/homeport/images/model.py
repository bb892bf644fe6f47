"""Images and manifests as values. Words: OCI image-spec for the document, ECR for the stored image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from homeport.kernel.digests import Digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to other bytes: media type, digest and size in bytes."""

    media_type: str
    digest: Digest
    size: int
    foreign: bool = False
    """Whether the bytes may live elsewhere (non-distributable layers): then they need not be here."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, read once. `blobs` are config and layers, `children` the images of an index."""

    media_type: str
    artifact_type: str | None
    subject: Digest | None
    annotations: Mapping[str, str] | None
    blobs: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]


class Status(StrEnum):
    """Whether an image can be pulled (botocore `ecr`, ImageStatus)."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    ACTIVATING = "ACTIVATING"
    """Its bytes are on their way back from the archive."""


@dataclass(frozen=True, slots=True)
class Image:
    """One stored image of a repository, without its bytes. Sizes in bytes."""

    id: int
    digest: Digest
    media_type: str
    artifact_type: str | None
    subject: str | None
    annotations: str | None
    size: int
    manifest_size: int
    pushed_at: datetime
    pulled_at: datetime | None
    status: Status
    archived_at: datetime | None
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """The bytes of an image's manifest, and what must be said with them."""

    image_id: int
    digest: Digest
    media_type: str
    body: bytes
    pulled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ImageId:
    """How a caller names an image: by digest, by tag, or by both (which then must agree)."""

    digest: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        """Return the form that ECR's messages use, with the word null for the absent half."""
        digest, tag = self.digest or "null", self.tag or "null"
        return f"{{imageDigest:'{digest}', imageTag:'{tag}'}}"


class FailureCode(StrEnum):
    """Why one image of a batch could not be served (botocore `ecr`, ImageFailureCode)."""

    INVALID_DIGEST = "InvalidImageDigest"
    INVALID_TAG = "InvalidImageTag"
    TAG_DOES_NOT_MATCH = "ImageTagDoesNotMatchDigest"
    NOT_FOUND = "ImageNotFound"
    MISSING = "MissingDigestAndTag"
    REFERENCED = "ImageReferencedByManifestList"
    PINNED = "ImageTagPinned"
    """Extension: a tag of the image is pinned."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One image of a batch that could not be served."""

    image: ImageId
    code: FailureCode
    reason: str


class TagStatus(StrEnum):
    """Which images a listing wants."""

    TAGGED = "TAGGED"
    UNTAGGED = "UNTAGGED"
    ANY = "ANY"


@dataclass(frozen=True, slots=True)
class PinnedTag:
    """Extension: a tag that keeps the image which it names from being deleted, and stays where it is itself."""

    tag: str
    digest: str | None
    """Of the image that the tag names now."""
    pinned_at: datetime
    pinned_by: str
    """ARN of who pinned it, or `command line`."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Extension: how long an image that is deleted can be restored, and who or what deletes it."""

    until: datetime
    by: str

    @classmethod
    def starting(cls, now: datetime, kept: timedelta | None, by: str) -> Retention | None:
        """Return that of an image which `by` deletes at `now`, None when the registry keeps none."""
        return cls(now + kept, by) if kept is not None else None


@dataclass(frozen=True, slots=True)
class DeletedImage:
    """Extension: an image that was deleted and can be restored until `recoverable_until`. Sizes in bytes."""

    id: int
    digest: Digest
    media_type: str
    size: int
    tags: tuple[str, ...]
    """Those that it had."""
    pushed_at: datetime
    pulled_at: datetime | None
    deleted_at: datetime
    deleted_by: str
    recoverable_until: datetime
