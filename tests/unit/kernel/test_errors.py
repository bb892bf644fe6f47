"""The vocabulary of failures is complete, drawn as it is, and every word of it is known to both fronts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from homeport.aws import faults as aws
from homeport.kernel import errors
from homeport.kernel.errors import HomeportError
from homeport.oci import faults as oci

BASES = (
    errors.InvalidInput,
    errors.NotFound,
    errors.Conflict,
    errors.Unauthenticated,
    errors.Unavailable,
)


def below(kind: type[HomeportError]) -> Iterator[type[HomeportError]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


EVERY = [kind for kind in below(HomeportError) if kind.__module__ == errors.__name__]


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: dict[str, set[str]] = {}
    base = ""
    for line in (errors.__doc__ or "").split("    HomeportError\n")[1].splitlines():
        branch, words = "─ " in line, re.findall(r"\w+", line)
        if branch:
            base, *words = words
            drawn[base] = set()
        drawn[base].update(words)

    real = {
        kind.__name__: {child.__name__ for child in below(kind) if child in EVERY}
        for kind in HomeportError.__subclasses__()
    }

    assert drawn == {name: children for name, children in real.items() if hasattr(errors, name)}


def test_the_tree_is_three_levels_deep_at_most_so_that_a_front_can_reason_about_it() -> None:
    for kind in EVERY:
        assert len(kind.__mro__) - len(HomeportError.__mro__) <= 2


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("table", [aws.FAULTS, oci.FAULTS], ids=["aws", "oci"])
def test_both_fronts_have_an_answer_for_every_failure(kind: type[HomeportError], table: object) -> None:
    assert isinstance(table, dict)

    nearest = next((known for known in kind.__mro__ if known in table), None)

    assert nearest is kind or nearest in (*BASES, *(base for base in kind.__mro__[1:2] if base in BASES))


@pytest.mark.parametrize(
    "make",
    [
        lambda: errors.InvalidParameter("place", "must be so"),
        lambda: errors.RangeInvalid("wrong place", 7),
        lambda: errors.RepositoryNotFound("a/b", "111122223333"),
        lambda: errors.RepositoryPolicyNotFound("a/b", "111122223333"),
        lambda: errors.RepositoryAlreadyExists("a/b", "111122223333"),
        lambda: errors.RepositoryNotEmpty("a/b", "111122223333"),
        lambda: errors.ImageTagAlreadyExists("v1", "a/b"),
        lambda: errors.InvalidLayerPart("wrong part", "111122223333", "a/b", "id", 4),
        lambda: errors.AuthorizationTokenExpired(),
        lambda: errors.TooLarge("too much"),
    ],
)
def test_a_failure_carries_one_sentence_that_a_client_may_read(make: Callable[[], HomeportError]) -> None:
    error = make()

    assert error.message
    assert str(error) == error.message
    assert "\n" not in error.message


def test_the_sentences_are_those_of_ecr() -> None:
    assert errors.RepositoryNotFound("x", "111122223333").message == (
        "The repository with name 'x' does not exist in the registry with id '111122223333'"
    )
    assert errors.RepositoryAlreadyExists("x", "111122223333").message == (
        "The repository with name 'x' already exists in the registry with id '111122223333'"
    )
    assert errors.RepositoryNotEmpty("x", "111122223333").message == (
        "The repository with name 'x' in registry with id '111122223333' cannot be deleted because it still "
        "contains images"
    )
    assert errors.ImageTagAlreadyExists("v1", "shop/cart").message == (
        "The image tag 'v1' already exists in the 'shop/cart' repository and cannot be overwritten because the "
        "tag is immutable."
    )
