"""What the rules of a policy make of one image, in words for people. Pure."""

from __future__ import annotations

from bisect import bisect_left

from homeport.kernel.clock import from_micros
from homeport.lifecycle.model import Action, Candidate, CountType, Rule, TagSelection, Verdict
from homeport.lifecycle.selection import DAY, Shelf, Sight, moment_of

_DOES = {
    Action.EXPIRE: "The rule expires it.",
    Action.TRANSITION: "The rule archives it.",
    Action.UNTAG: "The rule takes tags away from it.",
}
_SINCE = {
    CountType.SINCE_PUSHED: "Its age counts from",
    CountType.SINCE_PULLED: "It was last wanted on",
    CountType.SINCE_TRANSITIONED: "It was archived on",
    CountType.SINCE_TAGGED: "Its tags count from",
}


def unselected(rule: Rule, image: Candidate) -> str:
    """Return why `rule` does not look at `image`."""
    if (rule.storage_class == "archive") != image.archived:
        return f"It is {'' if image.archived else 'not '}archived, and the rule looks at the others."
    if rule.tags is TagSelection.UNTAGGED:
        return "It has tags, and the rule selects images without."
    if rule.tags is TagSelection.TAGGED and not image.tags:
        return "It has no tags."
    what = " or one of them is excepted" if rule.excepted else ""
    return f"Its tags are not what the rule selects{what}."


def referrer(image: Candidate, action: Action | None) -> str:
    """Return what becomes of a referrer; `action` is what the rule does to it together with its subject."""
    if action is not None:
        return f"It refers to {image.subject}, which the rule expires, and goes with it."
    return f"It refers to {image.subject}, which is in the repository: it goes when that goes."


def measure(rule: Rule, shelf: Shelf, found: Sight, place: int, now: int) -> str:
    """Return how the image at `place`, which the rule sees, stands to what the rule counts."""
    if rule.count is None:
        return "The rule selects it."
    if rule.count is CountType.IMAGES:
        rank = len(found.places) - bisect_left(found.places, place)
        return (
            f"It is number {rank} of the {len(found.places)} images that the rule selects, the newest first; "
            f"the rule leaves {rule.number}."
        )
    since, limit = _day(moment_of(rule, shelf, found, place)), _day(now - rule.number * DAY)
    return f"{_SINCE[rule.count]} {since}; the rule looks for what is before {limit}."


def _day(moment: int) -> str:
    # A policy may ask for more days than there were; nothing here is older than 1970.
    return from_micros(max(moment, 0)).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def conclusion(rule: Rule, image: Candidate, verdict: Verdict, by: int | None) -> str:
    """Return what follows from the measure; `by` is the priority of the rule that came first or protects it."""
    match verdict:
        case Verdict.ACTED_ON:
            return _DOES[rule.action]
        case Verdict.ALREADY:
            return f"Rule {by} acts on it already."
        case Verdict.CLAIMED:
            return f"Rule {by} comes first and selects it as well, so this one leaves it alone."
        case Verdict.PINNED:
            return "It is protected: one of its tags is pinned."
        case Verdict.SHIELDED:
            return f"Rule {by} retains it."
        case Verdict.LISTED:
            return "An index of the repository names it, so it stays until that is gone."
        case Verdict.RETAINED:
            return "No rule acts on it."
        case Verdict.NOT_SELECTED:
            return "The rule does not retain it."
        case _ if image.archived and rule.action is Action.EXPIRE:
            return "It stays: an archived image does so for 90 days at least."
    return "It stays, and later rules leave it alone."
