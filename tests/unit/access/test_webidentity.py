"""Claims of web identities: whatever an issuer signs ends in an identity or in a domain error, never in a defect."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.keysets import read_key_set
from homeport.access.principals import Provider
from homeport.access.webidentity import identity_of, opened, proven
from homeport.kernel.errors import HomeportError, InvalidIdentityToken
from tests.harness.issuer import SigningKey, signed

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
URL = "ci.example.com/Realm"
PROVIDER = Provider("111122223333", URL, ("sts.amazonaws.com", "app"), None)
KEYS = [SigningKey(algorithm) for algorithm in ("RS256", "PS256", "ES256")]


def claims(**more: Any) -> dict[str, Any]:
    """Good claims, changed."""
    now = int(NOW.timestamp())
    usual = {"iss": f"https://{URL}", "aud": "app", "sub": "me", "iat": now, "exp": now + 60}
    return {**usual, **more}


def identity(**more: Any) -> Any:
    """Whom the claims are about."""
    return identity_of(PROVIDER, f"https://{URL}", claims(**more), NOW)


def test_claims_become_condition_keys_in_lower_case() -> None:
    found = identity(
        Environment="prod", amr=["a", "b"], run=7, trusted=True, nested={"a": 1}, none=None, empty=[]
    )

    assert dict(found.claims) == {
        "ci.example.com/realm:iss": (f"https://{URL}",),
        "ci.example.com/realm:aud": ("app",),
        "ci.example.com/realm:sub": ("me",),
        "ci.example.com/realm:iat": (str(int(NOW.timestamp())),),
        "ci.example.com/realm:exp": (str(int(NOW.timestamp()) + 60),),
        "ci.example.com/realm:environment": ("prod",),
        "ci.example.com/realm:amr": ("a", "b"),
        "ci.example.com/realm:run": ("7",),
        "ci.example.com/realm:trusted": ("true",),
    }


@pytest.mark.parametrize("verified", [None, False, "true", "false", 1, "yes", ["true"]])
@pytest.mark.parametrize("name", ["email", "Email", "EMAIL"])
def test_an_address_that_is_not_verified_is_no_condition_key(name: str, verified: Any) -> None:
    found = identity(**{name: "boss@example.com"}, email_verified=verified)

    assert "ci.example.com/realm:email" not in found.claims


def test_a_verified_address_is_a_condition_key() -> None:
    found = identity(email="me@example.com", email_verified=True)

    assert found.claims["ci.example.com/realm:email"] == ("me@example.com",)
    assert found.claims["ci.example.com/realm:email_verified"] == ("true",)


@pytest.mark.parametrize("first", [True, False])
def test_a_claim_in_other_case_does_not_stand_in_for_the_one_that_it_resembles(first: bool) -> None:
    forged = {"Sub": "admin", "SUB": "admin", "Groups": ["admin"], "Email_Verified": True}
    honest = {"groups": ["guests"], "email": "boss@example.com", "email_verified": False}

    found = identity(**(forged | honest if first else honest | forged))

    assert found.claims["ci.example.com/realm:sub"] == ("me",)
    assert found.claims["ci.example.com/realm:groups"] == ("guests",)
    assert "ci.example.com/realm:email" not in found.claims
    assert found.claims["ci.example.com/realm:email_verified"] == ("false",)


def test_the_authorised_party_counts_and_the_audience_is_kept_beside_it() -> None:
    found = identity(azp="app", aud=["x", "y"])

    assert found.audience == "app"
    assert found.claims["ci.example.com/realm:aud"] == ("app",)
    assert found.claims["ci.example.com/realm:oaud"] == ("x", "y")


def test_a_token_works_until_the_second_before_its_end() -> None:
    end = int(NOW.timestamp())

    with pytest.raises(HomeportError, match="Token expired"):
        identity(exp=end)
    assert identity(exp=end + 1).subject == "me"


def test_flattened_and_nested_tags_mean_the_same() -> None:
    nested = identity(
        **{
            "https://aws.amazon.com/tags": {
                "principal_tags": {"team": ["red"]},
                "transitive_tag_keys": ["team"],
            }
        }
    )
    flat = identity(
        **{
            "https://aws.amazon.com/tags/principal_tags/team": ["red"],
            "https://aws.amazon.com/tags/transitive_tag_keys": ["team"],
        }
    )

    assert nested.tags == flat.tags == (("team", "red"),)
    assert nested.transitive == flat.transitive == ("team",)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_names = st.sampled_from(
    [
        "iss",
        "aud",
        "azp",
        "sub",
        "exp",
        "iat",
        "nbf",
        "https://aws.amazon.com/tags",
        "https://aws.amazon.com/tags/principal_tags/a",
        "https://aws.amazon.com/tags/transitive_tag_keys",
        "https://aws.amazon.com/source_identity",
        "other",
    ]
)
_tags = st.fixed_dictionaries({}, optional={"principal_tags": _json, "transitive_tag_keys": _json})


@given(st.dictionaries(_names, _json | _tags, max_size=4))
def test_any_claims_are_an_identity_or_a_refusal(more: dict[str, Any]) -> None:
    try:
        found = identity(**more)
    except HomeportError:
        return
    assert found.audience in PROVIDER.client_ids
    assert found.subject


@given(
    st.text(alphabet=st.characters(max_codepoint=255), max_size=60)
    | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]*")
)
def test_any_text_is_a_token_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidIdentityToken):
        opened(text)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
@given(data=st.data())
def test_a_token_with_one_changed_character_is_never_proven(key: SigningKey, data: st.DataObject) -> None:
    [record] = read_key_set(json.dumps({"keys": [key.public()]}))
    token = signed(key, claims())
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("ABCDwxyz0189-_."))
    changed = token[:place] + character + token[place + 1 :]

    assert proven(token, record) == claims()
    if changed != token and not _same_bytes(token, changed):
        with pytest.raises(InvalidIdentityToken):
            proven(changed, record)


def _same_bytes(one: str, other: str) -> bool:
    """Whether the texts differ only in the spare bits of the signature's last character, which carry nothing."""

    def last(text: str) -> bytes:
        part = text.rpartition(".")[2]
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    return one.rpartition(".")[0] == other.rpartition(".")[0] and last(one) == last(other)
