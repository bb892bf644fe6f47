"""What a policy decides. Amazon ECR User Guide, LifecyclePolicies and lifecycle_policy_examples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from homeport.lifecycle.model import Action, Candidate, CountType, Rule, TagSeen, TagSelection, Verdict
from homeport.lifecycle.rules import explain, plan
from tests.unit.lifecycle.repository import DAY, NOW, digest, image, outcome, rule

UNTAGGED = TagSelection.UNTAGGED


def gone(rules: Sequence[Rule], *images: Candidate) -> list[int]:
    """The numbers of the images that a policy acts on, oldest first."""
    return [one.image.id for one in plan(rules, images, NOW)]


def verdicts(rules: Sequence[Rule], number: int, *images: Candidate) -> list[Verdict]:
    return [reason.verdict for reason in explain(rules, images, NOW, number)]


def sentence(only: Rule, number: int, *images: Candidate) -> str:
    """What the only rule of a policy says of an image."""
    (reason,) = explain([only], images, NOW, number)
    return reason.sentence


# --- The examples of the user guide ---

BETA = (
    image(1, "beta-1", "prod-1", days=3),
    image(2, "beta-2", "prod-2", days=2),
    image(3, "beta-3", days=1),
)


def test_a_rule_keeps_the_later_ones_from_what_it_selects() -> None:
    assert outcome(plan([rule(1, "prod*", more_than=1), rule(2, "beta*", more_than=1)], BETA, NOW)) == [
        (1, 1)
    ]


def test_the_order_of_rules_decides_what_goes() -> None:
    rules = [rule(1, "beta*", more_than=1), rule(2, "prod*", more_than=1)]

    assert outcome(plan(rules, BETA, NOW)) == [(1, 1), (2, 1)]
    assert outcome(plan(rules[::-1], BETA, NOW)) == [(1, 1), (2, 1)], "priority, not position"


def test_a_list_selects_images_that_have_a_tag_for_each_entry() -> None:
    images = (
        image(1, "alpha-1", days=12),
        image(2, "beta-1", days=11),
        image(3, "alpha-2", "beta-2", days=10),
        image(4, "alpha-3", days=4),
        image(5, "beta-3", days=3),
        image(6, "alpha-4", "beta-4", days=2),
        image(7, "alphabeta", days=12),
    )

    assert gone([rule(1, "alpha*", "beta*", days=5)], *images) == [3]
    assert gone([rule(1, "alpha*", "*beta", days=5)], *images) == [7], "one tag may stand for both"


def test_an_untagged_image_of_exactly_the_age_is_claimed_and_kept() -> None:
    images = (
        image(1, "alpha-1", "beta-1", days=4),
        image(2, days=3),
        image(3, "alpha-2", days=2),
        image(4, "git-hash", days=1),
        image(5, days=1),
    )
    rules = [rule(1, "alpha*", more_than=1), rule(2, tags=UNTAGGED, days=1), rule(3, more_than=1)]

    assert outcome(plan(rules, images, NOW)) == [(1, 1), (2, 2), (4, 3)]


def test_images_that_were_marked_already_count_as_if_they_were_there() -> None:
    images = (image(1, "a", days=3), image(2, "b", days=2), image(3, "c", days=1))

    assert outcome(plan([rule(1, "c", days=0), rule(2, more_than=2)], images, NOW)) == [(1, 2), (3, 1)]


def test_a_star_in_a_prefix_is_a_star() -> None:
    def prefixed(*prefixes: str) -> Rule:
        return replace(rule(1, tags=TagSelection.TAGGED, days=1), prefixes=prefixes)

    assert gone([prefixed("v*")], image(1, "v1", days=9)) == []
    assert gone([prefixed("v", "v1")], image(1, "v1", days=9), image(2, "v2", days=9)) == [1]


def test_a_rule_sees_one_storage_class() -> None:
    hot, cold = image(1, "a", days=400), image(2, "a", days=400, archived=91)
    transitioned = rule(2, days=90, since=CountType.SINCE_TRANSITIONED, archive=True)

    assert outcome(plan([rule(1, days=1), transitioned], [hot, cold], NOW)) == [(1, 1), (2, 2)]
    assert gone([rule(1, more_than=1)], hot, cold) == []


# --- What is counted ---


def test_the_newest_images_stay_and_of_one_moment_those_with_the_higher_id() -> None:
    images = [image(number, "v", days=5) for number in (3, 1, 2)] + [image(0, "v", days=1)]

    assert gone([rule(1, "v*", more_than=2)], *images) == [1, 2]
    assert gone([rule(1, "v*", more_than=4)], *images) == []
    assert gone([rule(1, "v*", more_than=6)], *images) == []


def test_only_what_is_strictly_older_goes() -> None:
    edge = image(1, days=7)

    assert gone([rule(1, days=7)], edge) == []
    assert gone([rule(1, days=7)], replace(edge, pushed_at=edge.pushed_at - 1)) == [1]


def test_an_image_that_came_back_from_the_archive_is_as_young_as_its_return() -> None:
    images = (image(1, days=100, activated=1), image(2, days=50))

    assert gone([rule(1, days=10)], *images) == [2]
    assert gone([rule(1, more_than=1)], *images) == [2]


@pytest.mark.parametrize(
    ("pulled", "activated", "goes"),
    [(None, None, True), (5, None, False), (15, None, True), (None, 5, False), (15, 5, False), (5, 15, False),
     (15, 15, True)],
)  # fmt: skip
def test_a_pull_or_a_return_keeps_an_image_in_use(
    pulled: float | None, activated: float | None, goes: bool
) -> None:
    since_pulled = rule(1, days=10, since=CountType.SINCE_PULLED, action=Action.TRANSITION)
    old = image(1, days=400, pulled=pulled, activated=activated)

    assert bool(gone([since_pulled], old)) is goes
    assert bool(gone([replace(since_pulled, action=Action.EXPIRE)], old)) is goes, "extension"


def test_an_archived_image_stays_for_ninety_days_whatever_a_policy_says() -> None:
    short = rule(1, days=10, since=CountType.SINCE_TRANSITIONED, archive=True)

    assert gone([short], image(1, archived=90), image(2, archived=90.1, days=1)) == [2]


def test_the_oldest_goes_first_whichever_rule_asked() -> None:
    images = (
        image(1, "a", days=30),
        image(2, "b", days=40),
        image(3, days=50),
        image(4, days=20, archived=100),
        image(5, "a", days=100, activated=25),
    )
    rules = [
        rule(1, "a", days=1),
        rule(2, "b", days=1),
        rule(3, days=1),
        rule(4, days=90, since=CountType.SINCE_TRANSITIONED, archive=True),
    ]

    assert outcome(plan(rules, images, NOW)) == [(4, 4), (3, 3), (2, 2), (1, 1), (5, 1)]


def test_more_days_than_there_were_are_never_over() -> None:
    forever = rule(1, days=2**31 - 1)

    assert gone([forever], image(1, days=20_000)) == []
    assert "1970-01-01" in sentence(forever, 1, image(1, days=20_000))


# --- What stands in the way ---


def test_the_images_of_an_index_wait_for_it_and_are_counted_meanwhile() -> None:
    index, child, other = image(1, "multi", days=9), image(2, days=9, listed=True), image(3, days=8)
    everything = rule(1, days=7)

    assert gone([everything], index, child, other) == [1, 3]
    assert gone([everything], replace(child, listed=False, listed_live=False)) == [2], "in a later run"
    assert gone([rule(1, more_than=1)], child, other) == []
    assert gone([rule(1, more_than=1)], child, other, image(4, days=1)) == [3]


def test_the_images_of_an_archived_index_may_follow_it_and_are_not_deleted() -> None:
    child = image(1, days=9, listed=True, listed_live=False)

    assert gone([rule(1, days=7, action=Action.TRANSITION)], child) == [1]
    assert gone([rule(1, days=7)], child) == []
    assert gone([rule(1, days=7, action=Action.TRANSITION)], replace(child, listed_live=True)) == []


def test_referrers_go_right_after_their_subject_and_never_alone() -> None:
    images = (
        image(1, "a", days=30),
        image(2, "sig", days=10, subject=1),
        image(3, days=20, subject=1),
        image(4, days=5, subject=2),
        image(5, "b", days=25),
        image(6, days=300, subject=5),
        image(7, days=300, subject=99),
    )
    found = plan([rule(1, "a", days=1), rule(2, more_than=1)], images, NOW)

    assert outcome(found) == [(1, 1), (3, 1), (2, 1), (4, 1)]
    assert [one.follows for one in found] == [None, digest(1), digest(1), digest(2)]
    assert gone([rule(1, days=1)], *images[1:4], *images[5:]) == [], "what they refer to is on its way back"


def test_an_image_that_is_archived_takes_its_referrers_along_without_entries() -> None:
    images = (image(1, "a", days=30), image(2, days=10, subject=1))

    assert gone([rule(1, days=1, action=Action.TRANSITION)], *images) == [1]


def test_a_referrer_that_may_not_go_stays_with_what_refers_to_it() -> None:
    subject, signature, of_signature = (
        image(1, days=9),
        image(2, days=9, subject=1, pinned=True),
        image(3, days=9, subject=2),
    )

    assert gone([rule(1, days=1)], subject, signature, of_signature) == [1]
    assert gone([rule(1, days=1)], subject, replace(signature, pinned=False, listed=True), of_signature) == [
        1
    ]
    fresh = replace(signature, pinned=False, archived=True, archived_at=NOW - 10 * DAY)
    assert gone([rule(1, days=1)], subject, fresh, of_signature) == [1]
    assert gone([rule(1, days=1)], subject, replace(signature, pinned=False), of_signature) == [1, 2, 3]


@pytest.mark.parametrize("action", [Action.EXPIRE, Action.TRANSITION, Action.UNTAG])
def test_a_pinned_image_is_counted_and_left_alone(action: Action) -> None:
    images = (image(1, "v1", days=3, pinned=True), image(2, "v2", days=2), image(3, "v3", days=1))

    assert gone([rule(1, "v*", more_than=1, action=action)], *images) == [2]
    newest = image(4, "v4", pinned=True)
    assert gone([rule(1, "v*", more_than=1, action=action)], *images, newest) == [2, 3]


# --- Extensions ---


def test_what_a_rule_retains_is_safe_from_rules_of_any_priority() -> None:
    images = [image(number, f"v{number}", days=100 - number) for number in range(5)]
    retain = rule(9, "v*", more_than=2, action=Action.RETAIN)

    assert gone([rule(1, days=7), retain], *images) == [0, 1, 2]
    assert gone([rule(1, days=7), replace(retain, priority=0)], *images) == [0, 1, 2]
    everything = rule(9, "v*", action=Action.RETAIN)
    assert gone([rule(1, days=7), everything], *images, image(7, days=9)) == [7]
    young = rule(9, "v*", days=97, action=Action.RETAIN)
    assert gone([rule(1, days=7), young], *images) == [0, 1, 2]
    assert gone([retain], *images) == []


def test_a_rule_that_retains_claims_only_what_it_keeps() -> None:
    images = [image(number, "v1", "beta", days=100 - number) for number in range(4)]

    assert outcome(
        plan([rule(1, "v*", more_than=2, action=Action.RETAIN), rule(2, "beta", days=1)], images, NOW)
    ) == [(0, 2), (1, 2)]


def test_untagging_takes_the_tags_of_the_list_and_nothing_else() -> None:
    images = (image(1, "pr-1", "v1", "pr-2", days=9), image(2, "pr-3", days=1), image(3, "v2", days=9))
    found = plan([rule(1, "pr-*", days=7, action=Action.UNTAG), rule(2, days=7)], images, NOW)

    assert [(one.image.id, one.priority, one.action, one.tags) for one in found] == [
        (1, 1, Action.UNTAG, ("pr-1", "pr-2")),
        (3, 2, Action.EXPIRE, ()),
    ]


def test_untagging_by_age_of_the_tag_leaves_the_young_tags() -> None:
    moved = replace(
        image(1, days=100),
        tags=(TagSeen("pr-old", NOW - 9 * DAY), TagSeen("pr-new", NOW - 7 * DAY), TagSeen("v1", 0)),
    )
    by_tag = rule(1, "pr-*", days=7, since=CountType.SINCE_TAGGED, action=Action.UNTAG)

    (found,) = plan([by_tag], [moved], NOW)

    assert found.tags == ("pr-old",)
    assert gone([replace(by_tag, action=Action.EXPIRE)], moved) == [], "its newest tag of the list counts"


def test_a_tag_that_moved_lately_makes_an_old_image_young() -> None:
    images = (image(1, "dev", days=100, tagged=3), image(2, "dev-1", days=100, tagged=20), image(3, days=100))
    since_tagged = CountType.SINCE_TAGGED

    assert gone([rule(1, "dev*", days=10, since=since_tagged)], *images) == [2]
    assert gone([rule(1, days=10, since=since_tagged)], *images) == [2, 3], (
        "untagged ones count from their push"
    )
    assert gone([rule(1, tags=UNTAGGED, days=10, since=since_tagged)], *images) == [3]
    back = image(4, "dev", days=100, tagged=50, activated=2)
    assert gone([rule(1, "dev*", days=10, since=since_tagged)], back) == []


def test_an_expression_matches_whole_tags() -> None:
    images = [
        image(number, tag, days=9) for number, tag in enumerate(["v1.2.3", "v1.2.3-rc1", "xv1.2.3", "V1.2.3"])
    ]

    assert gone([rule(1, regex=r"v\d+\.\d+\.\d+", days=1)], *images) == [0]
    assert gone([rule(1, regex=r"(?i)^v[0-9.]+$", days=1)], *images) == [0, 3]
    assert gone([rule(1, regex="v1|v1.2.3|x", days=1)], *images) == [0], "no branch that is too short wins"


def test_an_exception_takes_images_out_of_sight_of_a_rule() -> None:
    images = (
        image(1, "dev-1", days=9),
        image(2, "dev-2", "keep", days=9),
        image(3, days=9),
        image(4, "x-1", days=9),
    )

    assert gone([rule(1, days=1, excepted=["ke*p", "x-*"])], *images) == [1, 3]
    assert gone([rule(1, "dev*", days=1, excepted=["keep"]), rule(2, days=1)], *images) == [1, 2, 3, 4]
    assert gone([rule(1, "dev*", more_than=1, excepted=["keep"])], *images) == []


# --- Explanations ---


def test_every_rule_says_why_an_image_goes_or_stays() -> None:
    images = (
        image(1, "beta-1", "prod-1", days=30),
        image(2, "beta-2", "prod-2", days=20),
        image(3, "beta-3", days=10),
        image(4, "v1", days=40),
        image(5, "beta-0", days=50, listed=True),
        image(6, "beta-00", days=60, pinned=True),
        image(7, days=9, subject=1),
    )
    rules = [
        rule(3, "beta*", more_than=2),
        rule(1, "prod*", more_than=1),
        rule(2, "v*", action=Action.RETAIN),
        rule(4, days=5),
    ]
    expected = {
        1: [Verdict.ACTED_ON, Verdict.NOT_SELECTED, Verdict.ALREADY, Verdict.ALREADY],
        2: [Verdict.KEPT, Verdict.NOT_SELECTED, Verdict.KEPT, Verdict.CLAIMED],
        3: [Verdict.NOT_SELECTED, Verdict.NOT_SELECTED, Verdict.KEPT, Verdict.CLAIMED],
        4: [Verdict.NOT_SELECTED, Verdict.RETAINED, Verdict.NOT_SELECTED, Verdict.SHIELDED],
        5: [Verdict.NOT_SELECTED, Verdict.NOT_SELECTED, Verdict.LISTED, Verdict.CLAIMED],
        6: [Verdict.NOT_SELECTED, Verdict.NOT_SELECTED, Verdict.PINNED, Verdict.CLAIMED],
        7: [Verdict.REFERRER] * 4,
    }

    assert {number: verdicts(rules, number, *images) for number in expected} == expected


def test_a_reason_names_numbers_and_days_that_people_can_check() -> None:
    images = [image(number, f"v{number}", days=30 - number) for number in range(10)]

    assert sentence(rule(1, "v*", more_than=4), 2, *images) == (
        "It is number 8 of the 10 images that the rule selects, the newest first; the rule leaves 4. "
        "The rule expires it."
    )
    assert sentence(rule(1, days=29, action=Action.TRANSITION), 0, *images) == (
        "Its age counts from 2024-09-04 00:00:00 UTC; the rule looks for what is before 2024-09-05 00:00:00 UTC. "
        "The rule archives it."
    )
    assert sentence(rule(1, regex="x", days=1), 0, *images) == "Its tags are not what the rule selects."
    assert (
        sentence(rule(1, tags=UNTAGGED, days=1), 0, *images)
        == "It has tags, and the rule selects images without."
    )
    assert sentence(rule(1, days=90, archive=True), 0, *images).startswith("It is not archived")
    assert "refers to" in sentence(rule(1, days=1), 50, *images, image(50, days=1, subject=0))
    assert "goes with it" in sentence(rule(1, days=1), 50, *images, image(50, days=1, subject=0))
    with pytest.raises(LookupError):
        explain([rule(1, days=1)], images, NOW, 77)


# --- Robustness ---


def test_neither_the_order_of_rules_nor_that_of_images_matters() -> None:
    dice = random.Random(7)
    images = [
        image(number, *dice.sample(["a", "b", "c"], 2), days=dice.randrange(20)) for number in range(200)
    ]
    rules = [rule(1, "a", more_than=9), rule(2, "b", days=3), rule(3, more_than=50)]
    expected = outcome(plan(rules, images, NOW))

    dice.shuffle(images)

    assert outcome(plan(rules[::-1], images, NOW)) == expected != []


def test_a_repository_without_images_and_a_policy_without_rules_decide_nothing() -> None:
    assert plan([rule(1, "a", days=1)], [], NOW) == plan([], [image(1, days=9)], NOW) == []
    assert explain([], [image(1)], NOW, 1) == []
