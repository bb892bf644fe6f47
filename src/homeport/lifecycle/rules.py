"""What a lifecycle policy decides. Pure: rules, images and a moment in, decisions out; no I/O, no clock.

Amazon ECR User Guide, LifecyclePolicies. All rules look at the repository as it is; they are then applied in order of
priority, and an image that an earlier rule selected by its tags is out of reach of the later ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from homeport.lifecycle import sentences
from homeport.lifecycle.model import (
    Action,
    Candidate,
    CountType,
    Decision,
    Reason,
    Rule,
    TagSelection,
    Verdict,
)
from homeport.lifecycle.selection import ARCHIVE_DAYS, DAY, Shelf, Sight, age_of, due, sight


def plan(rules: Sequence[Rule], images: Sequence[Candidate], now: int) -> list[Decision]:
    """Return what becomes of `images`, the whole repository, in the order of execution.

    The oldest come first, whichever rule found them, and an image is followed by the referrers that go with it. An
    image without a decision stays as it is. `now` in microseconds since 1970.
    """
    found: list[tuple[int, int, Decision]] = []
    for each in _applied(rules, images, now, whole=False):
        tags = _taken_away(each, now) if each.rule.action is Action.UNTAG else {}
        for place in each.acted_on:
            image = each.shelf.images[place]
            decision = Decision(image, each.rule.priority, each.rule.action, tags.get(place, ()))
            found.append((each.shelf.ages[place], image.id, decision))
    found.sort()  # no two have one id
    followers = _followers(images)
    decided: list[Decision] = []
    for _, _, decision in found:
        decided.append(decision)
        if decision.action is Action.EXPIRE and followers:
            decided.extend(_following(decision, followers, now))
    return decided


@dataclass(frozen=True, slots=True)
class _Applied:
    """One rule with what it found and the places of those images on which it acts."""

    rule: Rule
    shelf: Shelf
    seen: Sight
    due: Sequence[int]
    acted_on: Sequence[int]


class _Claims:
    """Which images of a shelf a rule may still act on."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.free = {place for place, image in enumerate(shelf.images) if not image.pinned}
        self._of = -1  # how many images were free when the next two were made
        self._open: Sequence[int] = ()
        self._closed: Sequence[int] = ()

    def look(self, rule: Rule) -> Sight:
        """Return what `rule` sees, as far as something can come of it.

        A rule that counts days decides of each image by itself, so it need not see what earlier rules have claimed;
        one that counts images must see all, but only if it sees an image that is free.
        """
        if rule.tags is not TagSelection.TAGGED:
            return sight(rule, self.shelf)
        self._divide()
        found = sight(rule, self.shelf, self._open)
        if rule.count is not CountType.IMAGES or not self._closed or self.free.isdisjoint(found.places):
            return found
        rest = sight(rule, self.shelf, self._closed)
        return Sight(sorted([*found.places, *rest.places]), sorted([*found.tags, *rest.tags]))

    def _divide(self) -> None:
        """Part the positions of the tags; not for each rule: those of images claimed since do no harm."""
        if self._of < 0 or len(self.free) < self._of * 0.75:
            self._of = len(self.free)
            owners = self.shelf.owners
            self._open = [at for at, place in enumerate(owners) if place in self.free]
            self._closed = [at for at, place in enumerate(owners) if place not in self.free]


def _applied(
    rules: Sequence[Rule], images: Sequence[Candidate], now: int, *, whole: bool
) -> Iterator[_Applied]:
    """Apply the rules in order of priority; with `whole` each shows all that it sees."""
    there = [image for image in images if image.subject is None]
    claims = {
        "standard": _Claims(Shelf(image for image in there if not image.archived)),
        "archive": _Claims(Shelf(image for image in there if image.archived)),
    }
    ordered = sorted(rules, key=lambda rule: rule.priority)
    retaining: dict[int, _Applied] = {}
    for rule in ordered:
        if rule.action is Action.RETAIN:
            claim = claims[rule.storage_class]
            seen = sight(rule, claim.shelf)
            superfluous = due(rule, claim.shelf, seen, now)
            retaining[rule.priority] = _Applied(rule, claim.shelf, seen, superfluous, ())
            claim.free.difference_update(set(seen.places).difference(superfluous))
    for rule in ordered:
        claim = claims[rule.storage_class]
        if rule.action is Action.RETAIN:
            yield retaining[rule.priority]
        elif claim.free or whole:
            seen = sight(rule, claim.shelf) if whole else claim.look(rule)
            old, free, stock = due(rule, claim.shelf, seen, now), claim.free, claim.shelf.images
            acted_on = [place for place in old if place in free and _may(rule, stock[place], now)]
            free.difference_update(seen.places)
            yield _Applied(rule, claim.shelf, seen, old, acted_on)


def _may(rule: Rule, image: Candidate, now: int) -> bool:
    """Whether nothing that is not of the policy stands in the way: an index, or the time an archived image stays."""
    match rule.action:
        case Action.EXPIRE:
            return not image.listed and _has_stayed(image, now)
        case Action.TRANSITION:
            return not image.listed_live and not image.archived
    return True


def _has_stayed(image: Candidate, now: int) -> bool:
    return not image.archived or age_of(image) < now - ARCHIVE_DAYS * DAY


def _taken_away(each: _Applied, now: int) -> dict[int, tuple[str, ...]]:
    """Return the tags that go from each image."""
    rule, shelf, acted_on = each.rule, each.shelf, set(each.acted_on)
    limit = now - rule.number * DAY
    tags: dict[int, tuple[str, ...]] = {}
    for at in each.seen.tags:
        place = shelf.owners[at]
        if place in acted_on and (rule.count is not CountType.SINCE_TAGGED or shelf.tagged_at[at] < limit):
            tags[place] = (*tags.get(place, ()), shelf.tags[at])
    return tags


def _followers(images: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Return the referrers of each subject, oldest first."""
    found: dict[str, list[Candidate]] = {}
    for image in images:
        if image.subject is not None:
            found.setdefault(image.subject, []).append(image)
    for each in found.values():
        each.sort(key=lambda image: (age_of(image), image.id))
    return found


def _following(first: Decision, followers: dict[str, list[Candidate]], now: int) -> Iterator[Decision]:
    """Yield the referrers that go with an image that expires, and theirs, each after what it refers to."""
    waiting = followers.get(first.image.digest, [])[::-1]
    while waiting:
        image = waiting.pop()
        if image.pinned or image.listed or not _has_stayed(image, now):
            continue
        yield Decision(image, first.priority, Action.EXPIRE, follows=image.subject)
        waiting += followers.get(image.digest, [])[::-1]


def explain(rules: Sequence[Rule], images: Sequence[Candidate], now: int, image_id: int) -> list[Reason]:
    """Return what each rule, in order of priority, says of one image of `images`.

    Errors: LookupError when it is none of them. `now` in microseconds since 1970.
    """
    image = next((each for each in images if each.id == image_id), None)
    if image is None:
        raise LookupError(f"no image has the id {image_id}")
    if image.subject is not None:
        return _of_referrer(rules, images, now, image)
    applied = list(_applied(rules, images, now, whole=True))
    view = _View(image, now)
    view.retained_by = next((each.rule.priority for each in applied if view.is_retained(each)), None)
    return [view.reason(each) for each in applied]


def _of_referrer(
    rules: Sequence[Rule], images: Sequence[Candidate], now: int, image: Candidate
) -> list[Reason]:
    taken = [one for one in plan(rules, images, now) if one.image.id == image.id]
    with_it = {one.priority: one.action for one in taken}
    return [
        Reason(rule, Verdict.REFERRER, sentences.referrer(image, with_it.get(rule.priority)))
        for rule in sorted(rules, key=lambda rule: rule.priority)
    ]


@dataclass(slots=True)
class _View:
    """One image while the rules are asked about it one after the other."""

    image: Candidate
    now: int
    retained_by: int | None = None
    claimed_by: int | None = None
    acted_on_by: int | None = None

    def _place(self, each: _Applied) -> int | None:
        """Where the image stands among those that the rule sees."""
        if self.image.archived != (each.rule.storage_class == "archive"):
            return None
        place = each.shelf.place_of(self.image)
        return place if _has(each.seen.places, place) else None

    def is_retained(self, each: _Applied) -> bool:
        """Whether this is a rule that retains it."""
        place = self._place(each)
        return each.rule.action is Action.RETAIN and place is not None and not _has(each.due, place)

    def reason(self, each: _Applied) -> Reason:
        """Return what the rule says; rules come in order of priority."""
        rule, place = each.rule, self._place(each)
        if place is None:
            return Reason(rule, Verdict.NOT_SELECTED, sentences.unselected(rule, self.image))
        verdict, by = self._verdict(each, place)
        said = sentences.measure(rule, each.shelf, each.seen, place, self.now)
        if verdict is Verdict.ACTED_ON:
            self.acted_on_by = rule.priority
        if rule.action is not Action.RETAIN and self.claimed_by is None:
            self.claimed_by = rule.priority
        return Reason(rule, verdict, f"{said} {sentences.conclusion(rule, self.image, verdict, by)}")

    def _verdict(self, each: _Applied, place: int) -> tuple[Verdict, int | None]:
        is_due = _has(each.due, place)
        if each.rule.action is Action.RETAIN:
            return Verdict.NOT_SELECTED if is_due else Verdict.RETAINED, None
        if _has(each.acted_on, place):
            return Verdict.ACTED_ON, None
        if self.acted_on_by is not None:
            return Verdict.ALREADY, self.acted_on_by
        if not is_due:
            return Verdict.KEPT, None
        if self.claimed_by is not None:
            return Verdict.CLAIMED, self.claimed_by
        if self.image.pinned:
            return Verdict.PINNED, None
        if self.retained_by is not None:
            return Verdict.SHIELDED, self.retained_by
        return (Verdict.LISTED if self.image.listed else Verdict.KEPT), None


def _has(places: Sequence[int], place: int) -> bool:
    """Whether `place` is in `places`, which are in order."""
    at = bisect_left(places, place)
    return at < len(places) and places[at] == place
