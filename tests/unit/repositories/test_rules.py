"""When a tag may move, and which filters and resource tags a repository takes. ECR facts: tag immutability."""

from __future__ import annotations

import pytest

from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter, InvalidTagParameter, TooManyTags
from homeport.repositories.model import Settings, TagMutability, repository_arn
from homeport.repositories.rules import check_mutability, check_tags, tag_may_move

MUTABLE, IMMUTABLE = TagMutability.MUTABLE, TagMutability.IMMUTABLE
IMMUTABLE_EXCEPT = TagMutability.IMMUTABLE_WITH_EXCLUSION
MUTABLE_EXCEPT = TagMutability.MUTABLE_WITH_EXCLUSION


@pytest.mark.parametrize(
    ("mode", "tag", "may_move"),
    [
        (MUTABLE, "latest", True),
        (MUTABLE, "v1", True),
        (IMMUTABLE, "latest", False),
        (IMMUTABLE, "v1", False),
        (IMMUTABLE_EXCEPT, "latest", True),
        (IMMUTABLE_EXCEPT, "dev-7", True),
        (IMMUTABLE_EXCEPT, "v1", False),
        (MUTABLE_EXCEPT, "latest", False),
        (MUTABLE_EXCEPT, "dev-7", False),
        (MUTABLE_EXCEPT, "v1", True),
    ],
)
def test_the_exclusion_filters_turn_the_rule_round_for_the_tags_that_they_match(
    mode: TagMutability, tag: str, may_move: bool
) -> None:
    # Filters that a mode without exclusion may have kept by accident must not matter.
    settings = Settings(tag_mutability=mode, mutability_filters=("latest", "dev-*"))

    assert tag_may_move(settings, tag) is may_move


def test_a_filter_matches_the_whole_tag_only() -> None:
    settings = Settings(tag_mutability=IMMUTABLE_EXCEPT, mutability_filters=("dev",))

    assert tag_may_move(settings, "dev")
    assert not tag_may_move(settings, "dev-7")
    assert not tag_may_move(settings, "my-dev")
    assert not tag_may_move(settings, "Dev")


@pytest.mark.parametrize("mode", [IMMUTABLE_EXCEPT, MUTABLE_EXCEPT])
@pytest.mark.parametrize("filters", [None, [], ()])
def test_an_exclusion_without_filters_is_refused_in_the_words_of_ecr(
    mode: TagMutability, filters: list[str] | None
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_mutability(mode, filters)

    assert refused.value.message == (
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
        f"'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {mode.value}'"
    )


@pytest.mark.parametrize("mode", [MUTABLE, IMMUTABLE])
def test_filters_without_an_exclusion_are_refused(mode: TagMutability) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_mutability(mode, ["dev-*"])

    assert f"must be null when imageTagMutability is set as {mode.value}" in refused.value.message
    assert check_mutability(mode, None) == check_mutability(mode, []) == ()


@pytest.mark.parametrize("wrong", ["", "a" * 129, "a b", "a/b", "a?", "[a-z]", "ä", "a\n", "a\x00"])
def test_a_filter_that_could_match_no_tag_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidParameter):
        check_mutability(IMMUTABLE_EXCEPT, ["fine", wrong])


def test_one_to_five_filters_are_kept_in_their_order() -> None:
    five = ["dev-*", "*", "a" * 128, "*_*.*-*", "0"]

    assert check_mutability(MUTABLE_EXCEPT, five) == tuple(five)
    assert check_mutability(MUTABLE_EXCEPT, five[:1]) == ("dev-*",)
    with pytest.raises(InvalidParameter):
        check_mutability(MUTABLE_EXCEPT, [*five, "six"])


def test_new_resource_tags_are_merged_into_those_that_are_there() -> None:
    present = {"team": "shop", "cost": "1"}

    together = check_tags(present, {"cost": "2", "Team": "cart"})

    assert together == {"team": "shop", "cost": "2", "Team": "cart"}
    assert present == {"team": "shop", "cost": "1"}


@pytest.mark.parametrize("key", ["k", "a" * 128, "über/Teams:1 =+-@._", "日本"])
@pytest.mark.parametrize("value", ["", "v" * 256, "a b_.:/=+-@", "ü"])
def test_a_resource_tag_may_hold_letters_of_any_language(key: str, value: str) -> None:
    assert check_tags({}, {key: value}) == {key: value}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "v"),
        ("k" * 129, "v"),
        ("k", "v" * 257),
        ("k<", "v"),
        ("k", "v\x00"),
        ("k", "v;"),
        ("k\ud800", "v"),
        ("aws:team", "v"),
        ("AWS:team", "v"),
        ("\u202ek", "v"),
    ],
)
def test_a_malformed_resource_tag_is_refused(key: str, value: str) -> None:
    with pytest.raises(InvalidTagParameter):
        check_tags({}, {key: value})


def test_a_repository_takes_fifty_resource_tags_and_not_one_more() -> None:
    fifty = {f"k{number}": "v" for number in range(limits.RESOURCE_TAGS)}

    assert check_tags(fifty, {"k0": "changed"})["k0"] == "changed"
    with pytest.raises(TooManyTags):
        check_tags(fifty, {"one-more": "v"})


def test_a_repository_has_the_resource_name_that_policies_expect() -> None:
    assert repository_arn("eu-west-1", "111122223333", "a/b") == (
        "arn:aws:ecr:eu-west-1:111122223333:repository/a/b"
    )
