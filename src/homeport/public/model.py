"""A public registry as values. Words are those of ECR Public (botocore `ecr-public` model)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AliasStatus(StrEnum):
    """Whether an alias names its registry: only ACTIVE ones do."""

    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of a registry in the addresses of its images: `public.ecr.<suffix>/<alias>/<repository>`."""

    name: str
    account: str
    status: AliasStatus
    is_primary: bool
    """The one that answers show."""
    is_default: bool
    """The one that was made up with the registry."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a repository says about itself; `logo` is a PNG."""

    description: str | None = None
    about: str | None = None
    usage: str | None = None
    architectures: tuple[str, ...] = ()
    operating_systems: tuple[str, ...] = ()
    logo: bytes | None = None


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """A tag and the image that it names. Sizes in bytes."""

    tag: str
    tagged_at: datetime
    digest: str
    size: int
    pushed_at: datetime
    media_type: str
    artifact_type: str | None
