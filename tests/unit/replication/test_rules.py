"""Where images go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homeport.replication import rules
from homeport.replication.model import Destination, Rule

NORTH, WEST = Destination("eu-north-1", "111122223333"), Destination("us-west-2", "111122223333")
WORDS = st.text(alphabet="ab/", min_size=1, max_size=5)
PLACES = st.lists(st.builds(Destination, WORDS, WORDS), max_size=3).map(tuple)
RULES = st.lists(
    st.builds(
        Rule,
        PLACES,
        st.none() | st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        st.none() | st.booleans(),
    ),
    max_size=3,
).map(tuple)


@given(RULES)
def test_rules_survive_being_stored(wanted: tuple[Rule, ...]) -> None:
    assert rules.read(rules.text_of(wanted)) == wanted


def test_a_prefix_matches_the_beginning_of_a_name_and_not_a_whole_word() -> None:
    wanted = [Rule((NORTH,), ("app", "prod/"), None), Rule((WEST, NORTH), None, None)]

    assert rules.destinations_of(wanted, "apples") == [NORTH, WEST]
    assert rules.destinations_of(wanted, "pineapple") == [WEST, NORTH]


@given(RULES, WORDS)
def test_a_repository_has_a_destination_once_and_only_from_rules_about_it(
    wanted: tuple[Rule, ...], name: str
) -> None:
    found = rules.destinations_of(wanted, name)

    assert len(found) == len(set(found))
    for place in found:
        assert any(
            place in rule.destinations
            and (rule.prefixes is None or any(name.startswith(prefix) for prefix in rule.prefixes))
            for rule in wanted
        )
