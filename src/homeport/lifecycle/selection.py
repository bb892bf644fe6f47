"""Which images a rule sees, and which of them are too old or too many. Pure.

The images of one storage class stand on a `Shelf`, oldest first; everything else here speaks of their places on it, so
that lists of places are in order of age as they come.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from homeport.lifecycle.model import Action, Candidate, CountType, Rule, TagSelection
from homeport.lifecycle.patterns import Expression, wildcards

DAY = 24 * 3600 * 1_000_000
"""Microseconds."""
ARCHIVE_DAYS = 90
"""An archived image stays for so long at least (ECR User Guide, archive-image)."""


def age_of(image: Candidate) -> int:
    """Return the moment from which the age of an image counts: archived, back from the archive, or pushed."""
    if image.archived and image.archived_at is not None:
        return image.archived_at
    return image.pushed_at if image.activated_at is None else image.activated_at


def use_of(image: Candidate) -> int:
    """Return when an image was last wanted: pulled or brought back, or else pushed."""
    known = [moment for moment in (image.pulled_at, image.activated_at) if moment is not None]
    return max(known, default=image.pushed_at)


class Shelf:
    """The images of one storage class, oldest first (of one age, the lower id first).

    Images whose subject is in the repository are not among them: they go with it. Tags have positions of their own, in
    the order of their images.
    """

    def __init__(self, images: Iterable[Candidate]) -> None:
        found = sorted((age_of(image), image.id, image) for image in images)  # no two have one id
        self.images = [image for _, _, image in found]
        self.ages = [age for age, _, _ in found]

    def place_of(self, image: Candidate) -> int:
        """Return where `image`, one of `images`, stands."""
        place = bisect_left(self.ages, age_of(image))
        while self.images[place].id != image.id:
            place += 1
        return place

    @cached_property
    def text(self) -> str:
        """All tags, image after image, with line feeds between them: no tag holds one."""
        return "\n".join([tag.name for image in self.images for tag in image.tags])

    @cached_property
    def tags(self) -> list[str]:
        """The tags one by one: copies that lie side by side in memory, which halves the time to read them."""
        return self.text.split("\n") if self.text else []

    @cached_property
    def owners(self) -> list[int]:
        """For each of `tags` the place of its image."""
        return [place for place, image in enumerate(self.images) for _ in image.tags]

    @cached_property
    def tagged_at(self) -> list[int]:
        """For each of `tags` when it came to its image."""
        return [tag.tagged_at for image in self.images for tag in image.tags]

    @cached_property
    def untagged(self) -> list[int]:
        """Places of the images without a tag."""
        return [place for place, image in enumerate(self.images) if not image.tags]

    @cached_property
    def uses(self) -> list[int]:
        """For each image when it was last wanted."""
        return list(map(use_of, self.images))


@dataclass(frozen=True, slots=True)
class Sight:
    """The places that a rule sees, in order, and where it asks for them the positions of the tags that it selects."""

    places: Sequence[int]
    tags: Sequence[int]


def sight(rule: Rule, shelf: Shelf, among: Sequence[int] | None = None) -> Sight:
    """Return what `rule` sees of `shelf`, the one of its storage class.

    `among` are the positions of the tags to look at, when those of some images are enough.
    """
    if rule.tags is TagSelection.UNTAGGED:
        return Sight(shelf.untagged, ())
    if rule.tags is TagSelection.ANY:
        every_tag = range(len(shelf.tags)) if rule.count is CountType.SINCE_TAGGED else ()
        found = Sight(range(len(shelf.images)), every_tag)
    else:
        found = _tagged(rule, shelf, range(len(shelf.tags)) if among is None else among)
    return _without_excepted(rule, shelf, found) if rule.excepted and found.places else found


def _tagged(rule: Rule, shelf: Shelf, among: Sequence[int]) -> Sight:
    owners = shelf.owners
    if rule.regex is not None:
        hits = Expression(rule.regex).matching(shelf.tags, among, shelf.text)
        return Sight(list(dict.fromkeys([owners[at] for at in hits])), hits)
    if any("*" in prefix for prefix in rule.prefixes):
        return Sight((), ())  # in a prefix it means itself, and no tag holds one
    wants_hits = rule.action is Action.UNTAG or rule.count is CountType.SINCE_TAGGED
    entries = dict.fromkeys([*(prefix + "*" for prefix in rule.prefixes), *rule.patterns])
    found: set[int] = set()
    hits = among[:0]
    for number, entry in enumerate(entries):
        if number and len(hits) < len(among):
            # An image needs a tag for each entry, so only the images of the former entries go on.
            before = {owners[at] for at in hits}
            among = [at for at in among if owners[at] in before]
        hits = wildcards(shelf.tags, among, entry, shelf.text)
        if wants_hits:
            found.update(hits)
    seen = dict.fromkeys([owners[at] for at in hits])
    if wants_hits and len(entries) > 1:
        hits = [at for at in among if at in found and owners[at] in seen]
    return Sight(list(seen), hits)


def _without_excepted(rule: Rule, shelf: Shelf, found: Sight) -> Sight:
    owners, seen = shelf.owners, set(found.places)
    among = [at for at, place in enumerate(owners) if place in seen]
    for pattern in dict.fromkeys(rule.excepted):
        seen.difference_update([owners[at] for at in wildcards(shelf.tags, among, pattern, shelf.text)])
    return Sight(
        [place for place in found.places if place in seen], [at for at in found.tags if owners[at] in seen]
    )


def due(rule: Rule, shelf: Shelf, found: Sight, now: int) -> Sequence[int]:
    """Return those of the places that `rule` sees which are too old, or too many, for it.

    `now` in microseconds since 1970.
    """
    places, limit = found.places, now - rule.number * DAY
    match rule.count:
        case None:
            return ()
        case CountType.IMAGES:
            return places[: max(0, len(places) - rule.number)]
        case CountType.SINCE_PUSHED | CountType.SINCE_TRANSITIONED:
            return places[: bisect_left(places, bisect_left(shelf.ages, limit))]
        case CountType.SINCE_PULLED:
            uses = shelf.uses
            return [place for place in places if uses[place] < limit]
        case CountType.SINCE_TAGGED:
            tagged, ages = tagged_since(rule, shelf, found), shelf.ages
            return [place for place in places if tagged.get(place, ages[place]) < limit]


def tagged_since(rule: Rule, shelf: Shelf, found: Sight) -> dict[int, int]:
    """Return for each image with a tag that the rule selects when it last got one, or came back from the archive.

    A rule that takes tags away looks at each tag by itself, so there it is the first of them that counts.
    """
    pick = min if rule.action is Action.UNTAG else max
    moments: dict[int, int] = {}
    for at in found.tags:
        place, moment = shelf.owners[at], shelf.tagged_at[at]
        moments[place] = pick(moments.get(place, moment), moment)
    for place in moments:
        back = shelf.images[place].activated_at
        if back is not None:
            moments[place] = max(moments[place], back)
    return moments


def moment_of(rule: Rule, shelf: Shelf, found: Sight, place: int) -> int:
    """Return the moment from which `rule`, one that counts days, counts for the image at `place`."""
    match rule.count:
        case CountType.SINCE_PULLED:
            return shelf.uses[place]
        case CountType.SINCE_TAGGED:
            return tagged_since(rule, shelf, found).get(place, shelf.ages[place])
    return shelf.ages[place]
