"""What a secret may look like, and where its staging labels are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidInput, LimitExceeded, SecretNotFound, ValidationError
from homeport.secrets import rules
from homeport.secrets.model import CURRENT, PREVIOUS, Value

IDS = st.sampled_from(["v1", "v2", "v3", "v4"])
LABELS = st.lists(st.sampled_from([CURRENT, PREVIOUS, "AWSPENDING", "mine"]), min_size=1, max_size=3)


def after(steps: Sequence[tuple[str, list[str]]]) -> dict[str, tuple[str, ...]]:
    """The labels after each version of `steps` got its own."""
    held: dict[str, tuple[str, ...]] = {}
    for version_id, labels in steps:
        held = rules.attach(held, version_id, labels)
    return held


def test_the_first_version_is_current_whatever_its_labels() -> None:
    assert rules.attach({}, "v1", ["AWSPENDING"]) == {"v1": ("AWSPENDING", CURRENT)}


def test_the_version_that_was_current_becomes_the_previous() -> None:
    assert after([("v1", [CURRENT]), ("v2", [CURRENT])]) == {"v1": (PREVIOUS,), "v2": (CURRENT,)}


def test_a_version_without_labels_is_gone() -> None:
    assert "v1" not in after([("v1", [CURRENT]), ("v2", [CURRENT]), ("v3", [CURRENT])])


def test_going_back_swaps_the_two_labels() -> None:
    held = after([("v1", [CURRENT]), ("v2", [CURRENT])])

    assert rules.move(held, CURRENT, "v2", "v1") == {"v1": (CURRENT,), "v2": (PREVIOUS,)}


def test_a_label_can_be_taken_away_but_not_the_one_that_everybody_needs() -> None:
    held = after([("v1", [CURRENT]), ("v2", [CURRENT])])

    assert rules.move(held, PREVIOUS, "v1", None) == {"v2": (CURRENT,)}
    with pytest.raises(InvalidInput, match="can't be completely removed"):
        rules.move(held, CURRENT, "v2", None)


@pytest.mark.parametrize(
    ("source", "destination", "error"),
    [
        (None, "v1", InvalidInput),
        ("v1", "v2", InvalidInput),
        ("v9", None, SecretNotFound),
        ("v2", "v9", SecretNotFound),
    ],
)
def test_a_label_moves_only_from_where_it_is_to_what_exists(
    source: str | None, destination: str | None, error: type[Exception]
) -> None:
    held = after([("v1", [CURRENT]), ("v2", [CURRENT])])

    with pytest.raises(error):
        rules.move(held, CURRENT, source, destination)


def test_a_secret_has_at_most_twenty_labels() -> None:
    held = rules.attach({}, "v1", [CURRENT, *(f"label-{number}" for number in range(19))])

    with pytest.raises(LimitExceeded):
        rules.attach(held, "v2", ["one-more"])


@given(st.lists(st.tuples(IDS, LABELS), min_size=1, max_size=12))
def test_each_label_is_in_one_place_and_one_version_is_current(steps: list[tuple[str, list[str]]]) -> None:
    held = after(steps)

    labels = [label for stages in held.values() for label in stages]
    assert len(labels) == len(set(labels))
    assert labels.count(CURRENT) == 1
    assert all(held.values())


@pytest.mark.parametrize("name", ["a", "team/db_1+x=.@-!", "x" * 512])
def test_a_legal_name_is_taken(name: str) -> None:
    rules.check_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\n", "x" * 513, "a*"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        rules.check_name(name)


@given(st.from_regex(r"[A-Za-z0-9/_+=.@-]{1,512}", fullmatch=True))
def test_a_new_arn_tells_its_parts_again(name: str) -> None:
    arn = rules.new_arn("eu-central-1", "111122223333", name)

    assert rules.parts_of_arn(arn) == ("eu-central-1", "111122223333", arn.rpartition(":")[2])
    assert arn[:-7] == rules.bare_arn("eu-central-1", "111122223333", name)


@pytest.mark.parametrize(
    "text", ["", "arn:aws:ecr:r1:111122223333:secret:x", "arn:aws:secretsmanager:r1:1:secret:x"]
)
def test_what_is_no_arn_of_a_secret_has_no_parts(text: str) -> None:
    assert rules.parts_of_arn(text) is None


def test_the_recovery_window_is_thirty_days_unless_said_otherwise() -> None:
    assert rules.recovery_window(None, force=False) == timedelta(days=30)
    assert rules.recovery_window(7, force=False) == timedelta(days=7)
    assert rules.recovery_window(None, force=True) is None


def test_a_value_does_not_show_itself() -> None:
    assert "hunter2" not in repr(Value(b"hunter2", binary=False))
