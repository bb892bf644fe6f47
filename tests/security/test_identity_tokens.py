"""Tokens of other issuers under attack: cases A1, A2, A21, A27 and A28, over the network."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.api.federation import Tenant, trusting
from tests.harness.issuer import DISCOVERY, KEYS, Issuer, SigningKey, encoded, signed
from tests.harness.server import Homeport
from tests.oci.conftest import self_signed


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """An issuer that the server may reach. Each test takes a path of it for its own."""
    with Issuer(*self_signed(tmp_path_factory.mktemp("issuer"))) as running:
        yield running


@pytest.fixture(scope="module")
def house(issuer: Issuer) -> Iterator[Homeport]:
    """A server that trusts the issuer's certificate."""
    with trusting(issuer) as server:
        yield server


@pytest.fixture
def tenant(house: Homeport, issuer: Issuer) -> Tenant:
    """A provider and a role that trusts everybody whom it vouches for; its keys are known already."""
    made = Tenant(house, issuer)
    made.call(made.token())
    return made


def by_hand(claims: dict[str, Any], header: dict[str, Any], secret: bytes | None) -> str:
    """A token signed with a secret, or not at all."""
    data = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    signature = hmac.new(secret, data.encode(), hashlib.sha256).digest() if secret is not None else b""
    return f"{data}.{encoded(signature)}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "PS256", "ES256", "RS1", None, 5])
def test_a1_the_algorithm_comes_from_the_key_and_never_from_the_token(tenant: Tenant, algorithm: Any) -> None:
    issuer = tenant.issuer
    public = issuer.key.private.public_key()
    claims = issuer.claims(tenant.path)
    header = {"alg": algorithm, "kid": issuer.key.kid}
    secrets = [
        None,
        b"",
        json.dumps(issuer.key.public()).encode(),
        *(
            public.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
            for form in (serialization.Encoding.PEM, serialization.Encoding.DER)
        ),
    ]

    for secret in secrets:
        assert tenant.refusal(by_hand(claims, header, secret))[0] == "InvalidIdentityToken"
    if algorithm != "RS256":
        assert tenant.refusal(signed(issuer.key, claims, {"alg": algorithm}))[0] == "InvalidIdentityToken"


def test_a1_another_key_under_a_known_id_and_changed_bytes_are_refused(tenant: Tenant) -> None:
    forger = SigningKey(kid=tenant.issuer.key.kid)
    good = tenant.token()
    head, claims, signature = good.split(".")
    other = encoded(json.dumps(tenant.issuer.claims(tenant.path, sub="admin")).encode())

    for token in (
        signed(forger, tenant.issuer.claims(tenant.path)),
        f"{head}.{other}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature}=",
    ):
        assert tenant.refusal(token)[0] == "InvalidIdentityToken"


def test_a1_a_claim_that_comes_twice_is_refused(tenant: Tenant) -> None:
    key = tenant.issuer.key
    text = json.dumps(tenant.issuer.claims(tenant.path))[:-1] + ', "sub": "admin-too"}'
    data = f"{encoded(json.dumps({'alg': 'RS256', 'kid': key.kid}).encode())}.{encoded(text.encode())}"

    assert tenant.refusal(f"{data}.{encoded(key.signature(data.encode()))}")[0] == "InvalidIdentityToken"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a2_keys_that_a_token_brings_along_are_ignored(tenant: Tenant, name: str) -> None:
    forger = SigningKey(kid=tenant.issuer.key.kid)
    brought: dict[str, Any] = {
        "jwk": forger.public(),
        "jku": f"{tenant.issuer.url}/attack/keys",
        "x5u": f"{tenant.issuer.url}/attack/certificate",
        "x5c": [encoded(b"certificate")],
    }
    claims = tenant.issuer.claims(tenant.path)

    assert tenant.refusal(signed(forger, claims, {name: brought[name]}))[0] == "InvalidIdentityToken"
    assert not [path for path in tenant.issuer.asked if path.startswith("/attack")]


@pytest.mark.parametrize("where", [DISCOVERY, KEYS])
def test_a21_discovery_follows_no_redirect(house: Homeport, issuer: Issuer, where: str) -> None:
    tenant = Tenant(house, issuer)
    inside = f"{issuer.url}/inside"
    issuer.broken[f"{tenant.path}{where}"] = (302, {"Location": inside}, b"")

    assert tenant.refusal(tenant.token())[0] == "IDPCommunicationError"
    assert "/inside" not in issuer.asked


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/keys",
        "file:///etc/passwd",
        "https://[::1]:1/keys",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/keys",
        "https://user:secret@127.0.0.1:1/keys",
        "https://127.0.0.1:99999/keys",
        "gopher://127.0.0.1/keys",
        "",
        5,
    ],
)
def test_a21_a_key_set_at_a_forbidden_address_is_not_fetched(
    house: Homeport, issuer: Issuer, address: Any
) -> None:
    tenant = Tenant(house, issuer)
    described = {"issuer": f"https://{tenant.url}", "jwks_uri": address}
    issuer.broken[f"{tenant.path}{DISCOVERY}"] = (200, {}, json.dumps(described).encode())

    assert tenant.refusal(tenant.token())[0] == "IDPCommunicationError"


def test_a21_loopback_is_not_reached_unless_the_operator_lists_it(homeport: Homeport, issuer: Issuer) -> None:
    tenant = Tenant(homeport, issuer)
    before = list(issuer.asked)

    code, message = tenant.refusal(tenant.token())

    assert code == "IDPCommunicationError"
    assert message.endswith("its address is not one that this registry may connect to")
    assert issuer.asked == before


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["unknown"], "unknown": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"kid": 5},
    ],
)
def test_a27_extensions_that_we_do_not_know_are_refused(tenant: Tenant, header: dict[str, Any]) -> None:
    assert tenant.refusal(tenant.token(header=header))[0] == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "more",
    [
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"kty": "oct", "k": "c2VjcmV0"},
    ],
)
def test_a27_a_key_that_is_not_for_this_is_not_used(
    house: Homeport, issuer: Issuer, more: dict[str, Any]
) -> None:
    tenant = Tenant(house, issuer)
    keys = {"keys": [issuer.key.public(**more)]}
    issuer.broken[f"{tenant.path}{KEYS}"] = (200, {}, json.dumps(keys).encode())

    assert tenant.refusal(tenant.token())[0] == "InvalidIdentityToken"


def test_a27_a_key_that_is_too_short_is_not_used(house: Homeport, issuer: Issuer) -> None:
    tenant = Tenant(house, issuer)
    short = SigningKey(bits=1024)
    issuer.broken[f"{tenant.path}{KEYS}"] = (200, {}, json.dumps({"keys": [short.public()]}).encode())

    assert tenant.refusal(signed(short, issuer.claims(tenant.path)))[0] == "InvalidIdentityToken"


def test_a28_a_flood_of_unknown_keys_asks_the_issuer_at_most_once_a_minute(tenant: Tenant) -> None:
    path = f"{tenant.path}{KEYS}"
    before = tenant.issuer.asked.count(path)

    codes = {tenant.refusal(tenant.token(header={"kid": f"made-up-{number}"}))[0] for number in range(20)}

    assert codes == {"InvalidIdentityToken"}
    assert tenant.issuer.asked.count(path) - before <= 1
    assert tenant.outcome() == "done"


def test_a28_an_issuer_that_fails_does_not_lose_the_keys_that_are_known(tenant: Tenant) -> None:
    tenant.issuer.broken[f"{tenant.path}{DISCOVERY}"] = (500, {}, b"")

    tenant.refusal(tenant.token(header={"kid": "made-up"}))

    assert tenant.outcome() == "done"
