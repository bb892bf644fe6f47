"""Tokens of other issuers under attack: cases A1, A2, A21, A22, A27, A28 and P9, over the network."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization

from tests.api.calls import policy, refused
from tests.api.federation import ACTION, Tenant, trusting
from tests.api.roles import Session, document, new_role, statement
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


# --- A22: whose word counts, and for what. No sign-in by redirect exists: tokens come with the request that uses them
# --- (AssumeRoleWithWebIdentity), so there is no state and no nonce to check; what remains is held here.


def test_a22_a_token_signed_by_one_provider_cannot_name_another_as_its_issuer(
    house: Homeport, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issuer mix-up, with the real key of a provider that the account trusts just as well."""
    with Issuer(*self_signed(tmp_path_factory.mktemp("other"))) as other:
        mine, theirs = Tenant(house, issuer), Tenant(house, other)
        mine.call(mine.token())
        assert theirs.refusal(theirs.token())[0] == "IDPCommunicationError"  # its certificate is not trusted
        kid = issuer.key.kid

        for key in (other.key, SigningKey(kid=kid), SigningKey("ES256", kid=kid)):
            forged = signed(key, issuer.claims(mine.path))
            assert mine.refusal(forged)[0] == "InvalidIdentityToken"
            assert theirs.refusal(forged)[0] == "InvalidIdentityToken"
        as_mine = signed(other.key, other.claims(theirs.path, iss=f"https://{mine.url}"), {"kid": kid})
        assert mine.refusal(as_mine)[0] == "InvalidIdentityToken"


def test_a22_with_pinned_keys_too_a_key_speaks_for_its_own_provider_alone(
    house: Homeport, issuer: Issuer
) -> None:
    """Two issuers of one host that differ in their path and in their keys, as realms do."""
    first, second = Tenant(house, issuer), Tenant(house, issuer)
    of_second = SigningKey()
    issuer.broken[f"{second.path}{KEYS}"] = (200, {}, json.dumps({"keys": [of_second.public()]}).encode())
    honest = signed(of_second, issuer.claims(second.path))
    first.call(first.token())
    second.call(honest)

    assert second.refusal(second.token())[0] == "InvalidIdentityToken"  # signed with the key of the first
    assert first.refusal(signed(of_second, issuer.claims(first.path)))[0] == "InvalidIdentityToken"


def test_a22_a_token_of_one_provider_opens_no_role_that_trusts_only_another(
    house: Homeport, issuer: Issuer
) -> None:
    first, second = Tenant(house, issuer), Tenant(house, issuer)

    assert first.outcome() == second.outcome() == "done"
    code, message = first.refusal(first.token(), RoleArn=second.role)

    assert code == "AccessDenied"
    assert message == "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def test_a22_a_provider_of_another_account_vouches_for_nobody_here(house: Homeport, issuer: Issuer) -> None:
    tenant = Tenant(house, issuer)
    stranger = house.account()
    theirs = new_role(
        house, document(statement({"Federated": tenant.provider}, ACTION)), policy("ecr:*"), owner=stranger
    )

    code, message = tenant.refusal(tenant.token(), RoleArn=theirs)

    assert code == "InvalidIdentityToken"
    assert message.startswith("No OpenIDConnect provider found in your account")


@pytest.mark.parametrize("named", ["https://evil.example", "", None, "https://127.0.0.1:1"])
def test_a22_a_discovery_document_of_another_issuer_is_not_believed(
    house: Homeport, issuer: Issuer, named: Any
) -> None:
    tenant = Tenant(house, issuer)
    described = {"issuer": named, "jwks_uri": f"{issuer.url}{tenant.path}{KEYS}"}
    issuer.broken[f"{tenant.path}{DISCOVERY}"] = (200, {}, json.dumps(described).encode())

    assert tenant.refusal(tenant.token())[0] == "IDPCommunicationError"


def trusted_when(tenant: Tenant, **conditions: Any) -> str:
    """A role that trusts the tenant's provider under these conditions: operator to key and value."""
    trust = document(statement({"Federated": tenant.provider}, ACTION, Condition=conditions))
    return new_role(tenant.house, trust, policy("ecr:*"))


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email_verified": True}, "done"),
        ({"email_verified": False}, "AccessDenied"),
        ({}, "AccessDenied"),
        ({"email_verified": "true"}, "AccessDenied"),
        ({"email_verified": 1}, "AccessDenied"),
        ({"email_verified": False, "Email_Verified": True}, "AccessDenied"),
    ],
)
def test_a22_an_address_counts_only_when_the_issuer_has_verified_it(
    tenant: Tenant, claims: dict[str, Any], expected: str
) -> None:
    address = "boss@example.com"
    role = trusted_when(tenant, StringEquals={f"{tenant.url}:email": address})

    try:
        tenant.call(tenant.token(email=address, **claims), RoleArn=role)
        found = "done"
    except ClientError as error:
        found = error.response["Error"]["Code"]

    assert found == expected


# --- P9: names of groups that another issuer brings ---


def test_p9_a_group_that_a_token_names_gives_nothing_of_the_local_group_of_that_name(tenant: Tenant) -> None:
    iam = tenant.house.client("iam")
    group = f"admins-{uuid.uuid4().hex[:8]}"
    arn = iam.create_group(GroupName=group)["Group"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    trust = document(statement({"Federated": tenant.provider}, ACTION))
    powerless = new_role(tenant.house, trust)
    names = [group, arn]

    token = tenant.token(groups=names, group=group, **{"cognito:groups": names, "aws:groups": names})
    session = Session(tenant.house, tenant.call(token, RoleArn=powerless))

    for service, operation in (("ecr", "describe_repositories"), ("iam", "list_users")):
        code, _ = refused(getattr(session.client(service), operation))
        assert code in ("AccessDeniedException", "AccessDenied")
    assert iam.get_group(GroupName=group)["Users"] == []


def test_p9_a_claim_is_a_condition_key_of_its_issuer_and_of_nobody_else(tenant: Tenant) -> None:
    group, other = f"team-{uuid.uuid4().hex[:8]}", Tenant(tenant.house, tenant.issuer)
    token = tenant.token(groups=[group], **{"aws:PrincipalTag/team": group, "aws:userid": group})

    def outcome(key: str) -> str:
        try:
            role = trusted_when(tenant, **{"ForAnyValue:StringEquals": {key: group}})
            tenant.call(token, RoleArn=role)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"

    assert outcome(f"{tenant.url}:groups") == "done"
    for key in (f"{other.url}:groups", "aws:PrincipalTag/team", "aws:userid"):
        assert outcome(key) == "AccessDenied"
    for key in ("groups", "aws:groups"):  # no policy can even ask for these
        assert outcome(key) == "MalformedPolicyDocument"


def test_p9_groups_of_a_token_decide_only_where_a_policy_asks_for_them(tenant: Tenant) -> None:
    group = f"team-{uuid.uuid4().hex[:8]}"
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ecr:DescribeRepositories",
                "Resource": "*",
                "Condition": {"ForAnyValue:StringEquals": {f"{tenant.url}:groups": group}},
            }
        ],
    }
    role = new_role(tenant.house, document(statement({"Federated": tenant.provider}, ACTION)), rights)

    member = Session(tenant.house, tenant.call(tenant.token(groups=[group]), RoleArn=role))
    guest = Session(tenant.house, tenant.call(tenant.token(groups=["guests"]), RoleArn=role))

    member.client().describe_repositories()
    assert refused(guest.client().describe_repositories)[0] == "AccessDeniedException"
