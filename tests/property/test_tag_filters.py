"""Exclusion filters of immutable tags: `*` stands for any run of characters, at any length, in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.repositories.model import Settings, TagMutability
from homeport.repositories.rules import check_mutability, matches, tag_may_move


def obvious(pattern: str, text: str) -> bool:
    """The meaning of a filter, as plain as it can be said, and exponential."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return obvious(pattern[1:], text) or (bool(text) and obvious(pattern, text[1:]))
    return bool(text) and pattern[0] == text[0] and obvious(pattern[1:], text[1:])


@settings(max_examples=2_000)
@given(st.text("ab*", max_size=9), st.text("ab", max_size=11))
def test_a_filter_agrees_with_the_obvious_meaning(pattern: str, text: str) -> None:
    assert matches(pattern, text) is obvious(pattern, text)


@given(st.text("ab.-*", max_size=12), st.lists(st.text("ab.-", max_size=4), min_size=12, max_size=12))
def test_a_tag_made_from_the_filter_is_matched(pattern: str, fillings: list[str]) -> None:
    text = "".join(
        filling if character == "*" else character
        for character, filling in zip(pattern, fillings, strict=False)
    )

    assert matches(pattern, text)


@given(st.text("ab.?[]+^$\\", max_size=6), st.text("ab.?[]+^$\\", max_size=6))
def test_no_other_character_means_more_than_itself(pattern: str, text: str) -> None:
    assert matches(pattern, text) is (pattern == text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 20_000 + "b", "a" * 40_000),
        ("*ab" * 5_000 + "*b*", "a" * 40_000),
        ("*" * 100_000, "a" * 100_000),
        ("a*" * 64, "a" * 127 + "b"),
    ],
)
def test_a_hostile_filter_costs_no_more_than_reading_it(pattern: str, text: str) -> None:
    began = time.process_time()

    matches(pattern, text)

    assert time.process_time() - began < 0.5


@given(
    st.sampled_from(TagMutability),
    st.none() | st.lists(st.text("ab*-_. /\n", max_size=5), max_size=7),
    st.text("ab-_.", min_size=1, max_size=5),
)
def test_any_filters_are_kept_as_given_or_refused_and_decide_as_documented(
    mode: TagMutability, filters: list[str] | None, tag: str
) -> None:
    try:
        kept = check_mutability(mode, filters)
    except InvalidParameter:
        return

    hit = any(obvious(pattern, tag) for pattern in kept)
    expected = {
        TagMutability.MUTABLE: True,
        TagMutability.IMMUTABLE: False,
        TagMutability.IMMUTABLE_WITH_EXCLUSION: hit,
        TagMutability.MUTABLE_WITH_EXCLUSION: not hit,
    }
    assert kept == tuple(filters or ())
    assert tag_may_move(Settings(tag_mutability=mode, mutability_filters=kept), tag) is expected[mode]
