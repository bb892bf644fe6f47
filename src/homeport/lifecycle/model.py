"""Lifecycle policies, the images that they judge, and what they decide, as values.

Words: Amazon ECR User Guide, lifecycle_policy_parameters. What ECR does not have is marked "extension": a registry has
it once its account setting LIFECYCLE_EXTENSIONS is ENABLED (docs/how-to/lifecycle.md).
"""

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
    SINCE_TAGGED = "sinceTagged"
    """Extension: since the image last got one of the tags that the rule selects."""


class Action(StrEnum):
    """What happens to the images that a rule finds."""

    EXPIRE = "expire"
    TRANSITION = "transition"
    UNTAG = "untag"
    """Extension: the tags that the rule selects go, the image stays."""
    RETAIN = "retain"
    """Extension: no rule of the policy touches what this one would leave if it said `expire`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; a lower `priority` comes first. `number` is a count of images, or of days.

    A rule that retains may have no `count`: it retains all that it selects. `regex` (RE2, on the whole tag) and
    `excepted` (an image with a tag that matches one of these patterns is not selected) are extensions.
    """

    priority: int
    description: str | None
    tags: TagSelection
    prefixes: tuple[str, ...]
    patterns: tuple[str, ...]
    regex: str | None
    excepted: tuple[str, ...]
    storage_class: str
    count: CountType | None
    number: int
    action: Action


@dataclass(frozen=True, slots=True)
class TagSeen:
    """A tag of an image and when it last came to name it, in microseconds since 1970."""

    name: str
    tagged_at: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image as the rules see it. Moments in microseconds since 1970, sizes in bytes.

    `archived` is its storage class; images on their way back from the archive are no candidates. `listed` says that an
    index of the repository names it, `listed_live` that one does which is not archived. `subject` is set only while the
    image that it refers to is in the repository.
    """

    id: int
    digest: str
    tags: tuple[TagSeen, ...]
    size: int
    pushed_at: int
    pulled_at: int | None
    archived: bool
    archived_at: int | None
    activated_at: int | None
    listed: bool = False
    listed_live: bool = False
    subject: str | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one image: rule `priority` asked for `action`. `tags` are those that an untagging takes away."""

    image: Candidate
    priority: int
    action: Action
    tags: tuple[str, ...] = ()
    follows: str | None = None
    """Digest of the subject with which this referrer goes; None when the rule found the image itself."""


class Verdict(StrEnum):
    """What one rule says of one image, for who asks why."""

    NOT_SELECTED = "not selected"
    """Its tags or its storage class are not what the rule looks at, or a rule that retains does not keep it."""
    KEPT = "kept"
    """Selected, and not old or superfluous enough; lower rules may not act on it any more."""
    RETAINED = "retained"
    CLAIMED = "claimed by an earlier rule"
    LISTED = "an index needs it"
    REFERRER = "goes with its subject"
    PINNED = "a pinned tag protects it"
    SHIELDED = "retained by another rule"
    ACTED_ON = "acted on"
    ALREADY = "acted on by an earlier rule"


@dataclass(frozen=True, slots=True)
class Reason:
    """The verdict of one rule on one image, with a sentence for people."""

    rule: Rule
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """The policy of a repository, its text as it was put, and when it was evaluated last."""

    text: str
    evaluated_at: datetime | None


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The policy that acts on a repository: its own, or else that of the longest prefix of the registry.

    `prefix` is None for the repository's own, and "ROOT" for one that holds for the whole registry.
    """

    text: str
    prefix: str | None


@dataclass(frozen=True, slots=True)
class DefaultPolicy:
    """A policy that the repositories below `prefix` inherit; ROOT is the prefix of all. No `/` at the end."""

    prefix: str
    text: str
    updated_at: datetime


class PreviewStatus(StrEnum):
    """How far a preview is (botocore `ecr`, LifecyclePolicyPreviewStatus)."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


class PlanKind(StrEnum):
    """What a stored plan is for."""

    PREVIEW = "preview"
    RUN = "run"


class PlanStatus(StrEnum):
    """How far a stored plan is. A preview is never executed."""

    PLANNING = "planning"
    EXECUTING = "executing"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a plan comes to. Bytes are those of blobs that no other image of the repository needs."""

    examined: int = 0
    expiring: int = 0
    expiring_bytes: int = 0
    transitioning: int = 0
    transitioning_bytes: int = 0
    untagging: int = 0


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it was stored. `prefix` says whose policy it is, as in `EffectivePolicy`."""

    id: int
    repository_id: int
    kind: PlanKind
    policy: str
    prefix: str | None
    status: PlanStatus
    started_at: datetime
    ended_at: datetime | None
    totals: Totals
    error: str | None


class Outcome(StrEnum):
    """What became of an entry of a run."""

    DONE = "done"
    CHANGED = "changed since it was planned"
    GONE = "gone already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a stored plan, as it was when the plan was made. `tags` are the image's.

    `untagged` are the tags that an untagging takes away; `outcome` is None until the run comes to it.
    """

    position: int
    image_id: int
    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime
    storage_class: str
    size: int
    priority: int
    action: Action
    untagged: tuple[str, ...]
    fingerprint: str
    outcome: Outcome | None = None
