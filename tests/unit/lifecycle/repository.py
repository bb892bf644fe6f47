"""Rules and images for the tests of what a policy decides, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from homeport.lifecycle.model import Action, Candidate, CountType, Decision, Rule, TagSeen, TagSelection

DAY = 24 * 3600 * 1_000_000
NOW = 20_000 * DAY
"""Some day in 2024, in microseconds since 1970."""


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(
    number: int,
    *tags: str,
    days: float = 0,
    tagged: float | None = None,
    pulled: float | None = None,
    archived: float | None = None,
    activated: float | None = None,
    listed: bool = False,
    listed_live: bool | None = None,
    subject: int | None = None,
    pinned: bool = False,
) -> Candidate:
    """An image that was pushed `days` ago; the other numbers are days ago as well. Its tags came when it was pushed."""

    def ago(past: float | None) -> int | None:
        return None if past is None else NOW - int(past * DAY)

    moment = NOW - int((days if tagged is None else tagged) * DAY)
    return Candidate(
        id=number,
        digest=digest(number),
        tags=tuple(TagSeen(tag, moment) for tag in tags),
        size=1000,
        pushed_at=NOW - int(days * DAY),
        pulled_at=ago(pulled),
        archived=archived is not None,
        archived_at=ago(archived),
        activated_at=ago(activated),
        listed=listed,
        listed_live=listed if listed_live is None else listed_live,
        subject=None if subject is None else digest(subject),
        pinned=pinned,
    )


def rule(
    priority: int,
    *patterns: str,
    more_than: int | None = None,
    days: int | None = None,
    since: CountType = CountType.SINCE_PUSHED,
    action: Action = Action.EXPIRE,
    tags: TagSelection | None = None,
    regex: str | None = None,
    excepted: Sequence[str] = (),
    archive: bool = False,
) -> Rule:
    """A rule on `patterns`; without them it looks at all images unless `tags` says otherwise."""
    tagged = TagSelection.TAGGED if patterns or regex else TagSelection.ANY
    count = CountType.IMAGES if more_than is not None else since if days is not None else None
    return Rule(
        priority=priority,
        description=None,
        tags=tags or tagged,
        prefixes=(),
        patterns=patterns,
        regex=regex,
        excepted=tuple(excepted),
        storage_class="archive" if archive else "standard",
        count=count,
        number=more_than or days or 0,
        action=action,
    )


def outcome(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    """The number of each image in order of execution, with the rule that asked for it."""
    return [(one.image.id, one.priority) for one in decisions]
