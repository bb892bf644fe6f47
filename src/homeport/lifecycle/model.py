"""A lifecycle policy as values. Words: Amazon ECR User Guide, lifecycle_policy_parameters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TagSelection(StrEnum):
    """Which images a rule looks at, by their tags."""

    TAGGED = "tagged"
    UNTAGGED = "untagged"
    ANY = "any"


class CountType(StrEnum):
    """What a rule counts."""

    IMAGES = "imageCountMoreThan"
    SINCE_PUSHED = "sinceImagePushed"
    SINCE_PULLED = "sinceImagePulled"
    SINCE_TRANSITIONED = "sinceImageTransitioned"


class Action(StrEnum):
    """What happens to the images that a rule finds."""

    EXPIRE = "expire"
    TRANSITION = "transition"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; a lower `priority` comes first. `number` is a count of images, or of days."""

    priority: int
    description: str | None
    tags: TagSelection
    prefixes: tuple[str, ...]
    patterns: tuple[str, ...]
    storage_class: str
    count: CountType
    number: int
    action: Action


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """The policy of a repository, its text as it was put, and when it was evaluated last."""

    text: str
    evaluated_at: datetime | None


class PreviewStatus(StrEnum):
    """How far a preview is (botocore `ecr`, LifecyclePolicyPreviewStatus)."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a policy would do to a repository."""

    policy: str
    status: PreviewStatus
    started_at: datetime
