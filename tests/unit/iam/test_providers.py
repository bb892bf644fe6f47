"""Addresses of identity providers and keys that are pinned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.iam.providers import address_of, check_jwks
from homeport.kernel.errors import InvalidEntityInput

RSA = {"kty": "RSA", "kid": "1", "n": "x", "e": "AQAB"}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://token.actions.githubusercontent.com", "token.actions.githubusercontent.com"),
        ("https://gitlab.example.com/", "gitlab.example.com"),
        ("https://Oidc.EKS.us-east-1.amazonaws.com/id/ABC", "oidc.eks.us-east-1.amazonaws.com/id/ABC"),
        ("https://localhost:8443/realms/a", "localhost:8443/realms/a"),
    ],
)
def test_the_address_is_the_url_without_its_scheme_and_last_slash(url: str, address: str) -> None:
    assert address_of(url) == address


@given(st.text(max_size=300))
def test_an_address_is_read_or_refused_and_stays_as_it_was_read(text: str) -> None:
    try:
        address = address_of(f"https://{text}")
    except InvalidEntityInput:
        return
    assert address_of(f"https://{address}") == address
    assert not set(address) & set("?#\\ \n")


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        "x",
        [RSA, "x"],
        [{"kty": "oct", "k": "x"}],
        [{"kty": "OKP"}],
        [{}],
        [RSA | {"d": "x"}],
        [RSA] * 101,
    ],
)
def test_only_a_set_of_public_keys_can_be_pinned(keys: Any) -> None:
    with pytest.raises(InvalidEntityInput):
        check_jwks(json.dumps({"keys": keys}))


def test_a_key_set_is_kept_without_what_does_not_belong_to_it() -> None:
    assert json.loads(check_jwks(json.dumps({"keys": [RSA], "other": 1}))) == {"keys": [RSA]}


@pytest.mark.parametrize("text", ["", "[" * 100_000, " " * 300_000])
def test_a_hostile_text_is_no_key_set(text: str) -> None:
    with pytest.raises(InvalidEntityInput):
        check_jwks(text)
