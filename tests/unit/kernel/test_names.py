"""Which names may exist, and that asking costs no more than reading them."""

from __future__ import annotations

import time

import pytest

from homeport.kernel.errors import HomeportError, InvalidParameter, NameInvalid, TagInvalid
from homeport.kernel.names import AccountId, Region, RepositoryName, Tag


@pytest.mark.parametrize(
    "text",
    [
        "ab",
        "0x",
        "shop/cart",
        "a/b/c/d/e",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a-----b",
        "a.b_c__d-e--f",
        "1/2",
        "catalog",
        "blobs/uploads",
        "manifests/latest/manifests",
        "v2",
        "a" * 256,
        "/".join(["a"] * 128),
    ],
)
def test_every_form_of_a_repository_name_that_ecr_allows_is_a_name(text: str) -> None:
    assert RepositoryName(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a" * 257,
        "A/b",
        "shop/Cart",
        "/shop",
        "shop/",
        "shop//cart",
        ".",
        "..",
        "../etc",
        "a/../b",
        "a/./b",
        ".a",
        "a.",
        "a..b",
        "_a",
        "a_",
        "a___b",
        "-a",
        "a-",
        "a._b",
        "a.-b",
        "a-_b",
        "_catalog",
        "a\\b",
        "a\x00b",
        "a b",
        "ab\n",
        "\nab",
        "a%2fb",
        "a:b",
        "a@b",
        "a~b",
        "ä/b",
        "а/b",  # noqa: RUF001 - Cyrillic, looks like Latin
        "a/b\u202e",
        "a1\u0661",  # a digit, but not ASCII
    ],
)
def test_what_is_no_repository_name_is_refused_in_the_words_of_ecr(text: str) -> None:
    with pytest.raises(NameInvalid) as refused:
        RepositoryName(text)

    assert "'repositoryName' failed to satisfy constraint" in refused.value.message
    assert len(refused.value.message) < 300  # the name itself is not echoed


@pytest.mark.parametrize("text", ["v1", "1.0", "_x", "A", "latest", "sha256-ab.sig", "a" * 128, "a--..__"])
def test_every_form_of_a_tag_that_clients_use_is_a_tag(text: str) -> None:
    assert Tag(text) == text


@pytest.mark.parametrize(
    "text", ["", "-x", ".x", "a" * 129, "a/b", "a:b", "v1\n", "v 1", "v1\x00", "ü", "sha256:" + "a" * 64]
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(TagInvalid):
        Tag(text)


def test_an_account_is_twelve_ascii_digits() -> None:
    assert AccountId("012345678901") == "012345678901"

    for wrong in ("", "1" * 11, "1" * 13, "1" * 12 + "\n", "12345678901a", "\u0661" * 12, " " + "1" * 12):
        with pytest.raises(InvalidParameter):
            AccountId(wrong)


def test_a_region_is_a_label_of_two_to_twenty_five_characters() -> None:
    assert [Region(text) for text in ("eu-central-1", "aa", "a" * 25)] == ["eu-central-1", "aa", "a" * 25]

    for wrong in ("", "a", "a" * 26, "EU-central-1", "eu_central", "eu.central", "eu-central-1\n"):
        with pytest.raises(InvalidParameter):
            Region(wrong)


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 1_000_000 + "!",
        "a-" * 500_000,
        "a" + "-" * 1_000_000,
        "a_" * 500_000 + "!",
        "a." * 500_000,
        "/" * 1_000_000,
        "a/" * 500_000,
        ("a" * 126 + "-") * 2,  # 254 characters: short enough to reach the matcher
        "-".join(["a"] * 128) + "!",
    ],
)
@pytest.mark.parametrize("kind", [RepositoryName, Tag, AccountId, Region])
def test_a_hostile_name_costs_no_more_than_reading_it(kind: type[str], hostile: str) -> None:
    began = time.process_time()

    with pytest.raises(HomeportError):
        kind(hostile)

    assert time.process_time() - began < 0.5
