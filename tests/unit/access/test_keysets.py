"""Keys of identity providers: which are taken, and when the issuer is asked again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.keysets import KeySets, read_key_set
from homeport.access.principals import Provider
from homeport.kernel.errors import IdpCommunication, InvalidIdentityToken
from homeport.outbound.client import Outbound, OutboundFailure
from tests.harness.issuer import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "issuer.example.com/realm"
RSA, EC = SigningKey(kid="rsa"), SigningKey("ES256", kid="ec")


class Network(Outbound):
    """An issuer without a network; counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        super().__init__()
        self.keys, self.fails, self.asked = list(keys), False, 0

    async def document(self, url: str) -> bytes:
        if self.fails:
            raise OutboundFailure("it could not be reached")
        if url == f"https://{URL}/.well-known/openid-configuration":
            self.asked += 1
            return json.dumps({"issuer": f"https://{URL}", "jwks_uri": "https://keys.example.com/"}).encode()
        assert url == "https://keys.example.com/"
        return json.dumps({"keys": self.keys}).encode()


def look(sets: KeySets, kid: str | None, seconds: float = 0, pinned: str | None = None) -> str:
    """The algorithm of the key, or the name of the error."""
    provider = Provider("111122223333", URL, ("client",), pinned)
    try:
        return asyncio.run(sets.key(provider, kid, NOW + timedelta(seconds=seconds))).algorithm
    except (InvalidIdentityToken, IdpCommunication) as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA.public(), "RS256"),
        (RSA.public(alg="RS512"), "RS512"),
        (RSA.public(alg="PS256"), "PS256"),
        (EC.public(), "ES256"),
        ({name: value for name, value in RSA.public().items() if name not in ("alg", "use")}, "RS256"),
        ({name: value for name, value in EC.public().items() if name not in ("alg", "kid")}, "ES256"),
    ],
)
def test_each_key_has_one_algorithm(key: dict[str, Any], algorithm: str) -> None:
    assert [record.algorithm for record in read_key_set(json.dumps({"keys": [key]}))] == [algorithm]


@pytest.mark.parametrize(
    "key",
    [
        RSA.public(alg="HS256"),
        RSA.public(alg="none"),
        RSA.public(alg="ES256"),
        RSA.public(alg=5),
        RSA.public(use="enc"),
        RSA.public(key_ops=["encrypt"]),
        RSA.public(d="AQAB"),
        RSA.public(e="AQ"),
        RSA.public(e="Ag"),
        RSA.public(n="AQAB"),
        RSA.public(n="A" * 5000),
        RSA.public(n=7),
        RSA.public(kid=7),
        SigningKey(bits=1024).public(),
        EC.public(alg="ES384"),
        EC.public(crv="secp256k1"),
        EC.public(x="AQAB"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AQAB"},
        {},
    ],
)
def test_a_key_that_could_mislead_is_left_out(key: dict[str, Any]) -> None:
    found = read_key_set(json.dumps({"keys": [key, RSA.public()]}))

    assert [record.kid for record in found] == ["rsa"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 5}', '{"keys": {}}', "[" * 100_000])
def test_what_is_no_key_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_key_set(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(["keys", "kty", "n", "e", "alg", "kid", "crv", "x", "y", "use", "RSA"]), each
            )
        ),
    )
)
def test_any_json_is_a_key_set_or_is_refused(found: object) -> None:
    try:
        read_key_set(json.dumps({"keys": [found, {"kty": "RSA", "n": found, "e": "AQAB"}]}))
        read_key_set(json.dumps(found))
    except ValueError:
        pass


def test_an_issuer_is_asked_once_for_keys_that_it_keeps() -> None:
    network = Network(RSA.public(), EC.public())
    sets = KeySets(network)

    assert [look(sets, "rsa"), look(sets, "ec", 10), look(sets, "rsa", 3599)] == ["RS256", "ES256", "RS256"]
    assert network.asked == 1
    look(sets, "rsa", 3601)
    assert network.asked == 2


def test_an_unknown_key_is_looked_for_at_most_once_a_minute() -> None:
    network = Network(RSA.public())
    sets = KeySets(network)
    look(sets, "rsa")
    network.keys.append(EC.public())

    assert look(sets, "ec", 59) == "InvalidIdentityToken"
    assert look(sets, "ec", 60) == "ES256"
    for second in range(61, 119):
        assert look(sets, "unknown", second) == "InvalidIdentityToken"
    assert network.asked == 2


def test_a_failed_look_forgets_nothing_for_a_day() -> None:
    network = Network(RSA.public())
    sets = KeySets(network)
    look(sets, "rsa")
    network.fails = True
    hour = 3600

    assert [look(sets, "rsa", 2 * hour), look(sets, "rsa", 2 * hour + 1), look(sets, "rsa", 23 * hour)] == [
        "RS256"
    ] * 3
    assert look(sets, "unknown", 23 * hour + 60) == "IdpCommunication"
    assert [look(sets, "rsa", 24 * hour), look(sets, "rsa", 24 * hour + 1)] == ["IdpCommunication"] * 2
    network.fails = False
    assert look(sets, "rsa", 25 * hour) == "RS256"


def test_a_token_without_a_key_id_is_for_the_only_key() -> None:
    assert look(KeySets(Network(RSA.public())), None) == "RS256"
    assert look(KeySets(Network(RSA.public(), EC.public())), None) == "InvalidIdentityToken"
    assert look(KeySets(Network()), None) == "InvalidIdentityToken"


def test_two_keys_of_one_id_are_no_key() -> None:
    other = SigningKey(kid="rsa")

    assert look(KeySets(Network(RSA.public(), other.public())), "rsa") == "InvalidIdentityToken"


def test_pinned_keys_are_the_only_ones() -> None:
    network = Network(EC.public())
    pinned = json.dumps({"keys": [RSA.public()]})

    assert look(KeySets(network), "rsa", pinned=pinned) == "RS256"
    assert look(KeySets(network), "ec", pinned=pinned) == "InvalidIdentityToken"
    assert look(KeySets(network), "rsa", pinned="broken") == "InvalidIdentityToken"
    assert network.asked == 0
