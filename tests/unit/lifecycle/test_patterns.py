"""Patterns and expressions against many tags: what they mean, and that nobody can make them slow."""

from __future__ import annotations

import time

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.lifecycle.patterns import BadExpression, Expression, wildcards
from homeport.repositories.rules import matches


@settings(max_examples=500)
@given(st.text("ab*", max_size=9), st.lists(st.text("ab", max_size=9), max_size=8), st.data())
def test_patterns_mean_what_the_filters_of_immutable_tags_mean(
    pattern: str, tags: list[str], data: st.DataObject
) -> None:
    among = [at for at in range(len(tags)) if data.draw(st.booleans())]

    assert list(wildcards(tags, among, pattern, "\n".join(tags))) == [
        at for at in among if matches(pattern, tags[at])
    ]


@pytest.mark.parametrize(
    ("pattern", "tag", "expected"),
    [
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("a*b*b", "ab", False),
        ("a*b*b", "abb", True),
        ("*ab*ba*", "aba", False),
        ("*ab*bc*cd*", "abcd", False),
        ("*ab*bc*cd*", "xabxbccdx", True),
        ("*a*a*a*", "aa", False),
        ("*a*b*c*d", "abcd", True),
        ("*a*b*c*d", "abdc", False),
        ("*", "", True),
        ("", "a", False),
    ],
)
def test_no_character_of_a_tag_is_used_twice(pattern: str, tag: str, expected: bool) -> None:
    assert bool(wildcards([tag], range(1), pattern, "abcdx")) is expected


@pytest.mark.parametrize("pattern", [".", "a?", "[ab]", "(a)", "\\a", "^a$", "A"])
def test_no_character_but_the_star_means_more_than_itself(pattern: str) -> None:
    tags = ["a", pattern, "b", ""]

    assert list(wildcards(tags, range(4), pattern, "\n".join(tags))) == [1]


OPTIONS = re2.Options()
OPTIONS.log_errors = False
HOSTILE = ["a" * 128] * 20_000


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*b", "a*a*a*a*b", "*aa*aaa*ab*", "*" + "a" * 200 + "*b*", "*b*a*a*"]
)
def test_a_hostile_pattern_costs_a_glance_at_each_tag(pattern: str) -> None:
    began = time.process_time()

    assert list(wildcards(HOSTILE, range(len(HOSTILE)), pattern, "b" + HOSTILE[0])) == []

    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|aa)+b", "(a*)*b", "a?a?a?a?a?aaaaab|(.*.*.*)=", "(.*a){20}b"]
)
def test_a_hostile_expression_costs_a_glance_at_each_tag(pattern: str) -> None:
    began = time.process_time()

    assert list(Expression(pattern).matching(HOSTILE, range(len(HOSTILE)), "\n".join(HOSTILE))) == []

    assert time.process_time() - began < 1


PLAIN = [
    "a",
    "b",
    ".",
    "[^a]",
    "a*",
    "(?:b|ab)",
    "(a)",
    "^",
    "$",
    "|",
    "+",
    "?",
    "{2}",
    "A",
    "_",
    "[a-z_]+",
    "\n",
]
SPECIAL = [r"\b", r"\B", r"\s", r"\W", r"\A", r"\z", r"\C", r"\Qa", r"\E", r"\n", r"\D", "[[:space:]]"]
FLAGS = ["(?i)", "(?s)", "(?m)", "(?-m)", "(?i-m:A)", "(?P<x>b)", "(?U)"]
PARTS = st.sampled_from([*PLAIN, *PLAIN, *SPECIAL, *FLAGS])


@settings(max_examples=2_000)
@given(
    st.lists(PARTS, max_size=6).map("".join), st.lists(st.text("abA_", min_size=1, max_size=4), max_size=6)
)
def test_an_expression_means_for_many_tags_what_it_means_for_one(text: str, tags: list[str]) -> None:
    try:
        expression = Expression(text)
    except BadExpression:
        return

    alone = [at for at, tag in enumerate(tags) if re2.fullmatch(text, tag, OPTIONS) is not None]

    assert list(expression.matching(tags, range(len(tags)), "\n".join(tags))) == alone


def test_an_expression_that_cannot_be_small_costs_its_size_for_each_character() -> None:
    blow_up = Expression(".*a.{60}b.*")
    tags = [f"{number:0128b}".replace("0", "a").replace("1", "b") for number in range(1_000)]
    began = time.process_time()

    blow_up.matching(tags, range(len(tags)), "\n".join(tags))

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    ["(", "a**", "[b-a]", "(?=a)", r"(a)\1", "a{1001}", "((a{99}){99}){99}", "(x?){999}", "\u00e9", "\ud800"],
)
def test_what_is_no_expression_or_too_large_a_one_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadExpression, match=r"\w{3,}"):
        Expression(text)
