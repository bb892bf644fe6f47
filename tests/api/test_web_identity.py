"""AssumeRoleWithWebIdentity: CI systems and clusters come with a token of their own issuer and no AWS credentials."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.federation import ACTION, Tenant, trusting
from tests.api.roles import Session, assume, document, name_of, new_role, outcome, root, statement, trust
from tests.harness.issuer import DISCOVERY, KEYS, Issuer, SigningKey, signed
from tests.harness.server import Homeport
from tests.oci.conftest import self_signed

DENIED = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
ECR = policy("ecr:*")


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
    """A provider and a role that trusts everybody whom it vouches for."""
    return Tenant(house, issuer)


# --- What one gets ---


def test_a_good_token_becomes_a_session_of_the_role(tenant: Tenant) -> None:
    answer = tenant.call(tenant.token())

    session = Session(tenant.house, answer)
    arn = session.client("sts").get_caller_identity()["Arn"]
    assert arn == answer["AssumedRoleUser"]["Arn"]
    assert arn.endswith(f":assumed-role/{name_of(tenant.role)}/run")
    assert answer["SubjectFromWebIdentityToken"] == "repo:octo/app:ref:refs/heads/main"
    assert answer["Audience"] == "sts.amazonaws.com"
    assert answer["Provider"] == tenant.provider
    name = f"web/{uuid.uuid4().hex}"
    session.client().create_repository(repositoryName=name)
    assert session.registry().request("GET", f"/v2/{name}/tags/list").status == 200


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_each_usual_algorithm_works(house: Homeport, issuer: Issuer, algorithm: str) -> None:
    tenant = Tenant(house, issuer)
    issuer.rotate(algorithm)

    try:
        assert tenant.outcome() == "done"
    finally:
        issuer.rotate()


def test_session_policies_and_durations_count_as_with_other_roles(tenant: Tenant) -> None:
    narrowed = json.dumps(policy("ecr:DescribeRegistry"))

    answer = tenant.call(tenant.token(), Policy=narrowed, DurationSeconds=900)
    ecr = Session(tenant.house, answer).client()

    ecr.describe_registry()
    assert refused(ecr.describe_repositories)[0] == "AccessDeniedException"
    assert tenant.refusal(tenant.token(), DurationSeconds=3601)[0] == "ValidationError"
    assert tenant.refusal(tenant.token(), Policy="{}")[0] == "MalformedPolicyDocument"


def test_a_web_session_takes_on_a_further_role(tenant: Tenant) -> None:
    middle = Session(tenant.house, tenant.call(tenant.token())).client("sts")
    last = new_role(tenant.house, trust(tenant.role))

    taken = assume(tenant.house, last, by=middle)

    assert taken.client("sts").get_caller_identity()["Arn"].endswith("/work")


def test_keys_that_the_operator_pinned_need_no_connection(house: Homeport, issuer: Issuer) -> None:
    tenant = Tenant(house, issuer)
    pinned = SigningKey()
    text = json.dumps({"keys": [pinned.public()]})
    done = house.here("provider", "pin", f"https://{tenant.url}", "-", stdin=text)
    assert done.code == 0, str(done)
    before = len(issuer.asked)

    tenant.call(signed(pinned, issuer.claims(tenant.path)))

    assert tenant.outcome() == "InvalidIdentityToken"  # the issuer's own key is not the pinned one
    assert len(issuer.asked) == before


# --- Which tokens are refused ---


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "somebody-else"}, "InvalidIdentityToken"),
        ({"aud": None}, "InvalidIdentityToken"),
        ({"aud": []}, "InvalidIdentityToken"),
        ({"aud": ["x", "sts.amazonaws.com"]}, "done"),
        ({"azp": "other-client", "aud": "anything"}, "done"),
        ({"azp": "unknown-client"}, "InvalidIdentityToken"),
        ({"azp": 5}, "IDPRejectedClaim"),
        ({"sub": None}, "InvalidIdentityToken"),
        ({"sub": 7}, "InvalidIdentityToken"),
        ({"sub": "x" * 256}, "IDPRejectedClaim"),
        ({"iss": None}, "InvalidIdentityToken"),
        ({"iss": "https://nobody.example.com"}, "InvalidIdentityToken"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"exp": int(time.time()) - 1}, "ExpiredTokenException"),
        ({"exp": "tomorrow"}, "IDPRejectedClaim"),
        ({"exp": True}, "IDPRejectedClaim"),
        ({"exp": 10**400}, "IDPRejectedClaim"),
        ({"iat": None}, "InvalidIdentityToken"),
        ({"iat": int(time.time()) + 3600}, "IDPRejectedClaim"),
        ({"nbf": int(time.time()) + 3600}, "IDPRejectedClaim"),
        ({"nbf": None}, "done"),
        ({"https://aws.amazon.com/tags": "x"}, "IDPRejectedClaim"),
        ({"https://aws.amazon.com/source_identity": "a b"}, "IDPRejectedClaim"),
    ],
)
def test_claims_that_are_not_for_us_or_not_for_now_are_refused(
    tenant: Tenant, claims: dict[str, Any], code: str
) -> None:
    assert tenant.outcome(**claims) == code


def test_the_refusals_say_what_aws_says(tenant: Tenant) -> None:
    past = int(time.time()) - 60

    assert tenant.refusal(tenant.token(aud="x")) == ("InvalidIdentityToken", "Incorrect token audience")
    assert tenant.refusal(tenant.token(iss="https://nobody.example.com")) == (
        "InvalidIdentityToken",
        "No OpenIDConnect provider found in your account for https://nobody.example.com",
    )
    assert tenant.refusal(tenant.token(exp=past))[1].startswith("Token expired: current date/time ")


@pytest.mark.parametrize("token", ["x" * 20, "a.b.c", "e30.e30.", "....", "e30.e30.e30.e30", "\u00e9" * 9])
def test_what_is_no_token_is_refused(tenant: Tenant, token: str) -> None:
    assert tenant.refusal(token)[0] == "InvalidIdentityToken"


def test_a_token_of_another_accounts_provider_is_not_one_here(tenant: Tenant) -> None:
    other = tenant.house.account()
    role = new_role(tenant.house, document(statement({"Federated": tenant.provider}, ACTION)), owner=other)

    assert tenant.refusal(tenant.token(), RoleArn=role)[0] == "InvalidIdentityToken"


# --- Whom a role trusts ---


def test_a_role_that_trusts_somebody_else_looks_like_one_that_does_not_exist(tenant: Tenant) -> None:
    who = tenant.house.credentials
    others = [
        new_role(tenant.house, text)
        for text in (
            trust(root(who)),
            document(statement({"Federated": f"{tenant.provider}x"}, ACTION)),
            document(statement({"AWS": "*"}, ACTION)),
            document(
                statement({"Federated": tenant.provider}, ACTION),
                statement({"AWS": "*"}, "sts:*", effect="Deny"),
            ),
        )
    ]

    for role in (*others, f"arn:aws:iam::{who.account_id}:role/nothing"):
        assert tenant.refusal(tenant.token(), RoleArn=role) == DENIED


def test_a_subject_decides_what_a_role_trusts(house: Homeport, issuer: Issuer) -> None:
    prefix = Tenant(house, issuer)
    url = prefix.url
    condition = {
        "StringEquals": {f"{url}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{url}:sub": "repo:octo/*:ref:refs/heads/main"},
    }
    text = document(statement({"Federated": prefix.provider}, ACTION, Condition=condition))
    role = new_role(house, text, ECR)

    def trusted(**claims: Any) -> str:
        return outcome(prefix.call, token=prefix.token(**claims), RoleArn=role)

    assert trusted() == "done"
    assert trusted(sub="repo:octo/app:ref:refs/heads/other") == "AccessDenied"
    assert trusted(sub="repo:evil/app:ref:refs/heads/main") == "AccessDenied"
    assert trusted(aud="other-client") == "AccessDenied"
    assert trusted(azp="other-client", aud="sts.amazonaws.com") == "AccessDenied"


def test_any_claim_can_be_a_condition_and_lists_have_several_values(house: Homeport, issuer: Issuer) -> None:
    tenant = Tenant(house, issuer)
    condition = {
        "StringEquals": {f"{tenant.url}:environment": "production"},
        "ForAnyValue:StringEquals": {f"{tenant.url}:amr": ["mfa"]},
        "Bool": {f"{tenant.url}:email_verified": "true"},
    }
    tenant.house.client("iam").update_assume_role_policy(
        RoleName=name_of(tenant.role),
        PolicyDocument=document(statement({"Federated": tenant.provider}, ACTION, Condition=condition)),
    )
    good = {"environment": "production", "amr": ["pwd", "mfa"], "email_verified": True}

    assert tenant.outcome(**good) == "done"
    assert tenant.outcome(**good | {"environment": "test"}) == "AccessDenied"
    assert tenant.outcome(**good | {"amr": ["pwd"]}) == "AccessDenied"
    assert tenant.outcome(**good | {"email_verified": False}) == "AccessDenied"
    assert tenant.outcome(**good | {"environment": {"nested": 1}}) == "AccessDenied"


def test_tags_in_the_token_become_session_tags_when_the_role_allows_it(
    house: Homeport, issuer: Issuer
) -> None:
    tenant = Tenant(house, issuer)
    tags = {
        "https://aws.amazon.com/tags": {"principal_tags": {"team": ["red"]}, "transitive_tag_keys": ["team"]}
    }
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ecr:DescribeRegistry",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}},
            }
        ],
    }
    both = document(statement({"Federated": tenant.provider}, ACTION, "sts:TagSession"))
    role = new_role(house, both, rights)

    refusal = tenant.refusal(tenant.token(**tags))
    tagged = Session(house, tenant.call(tenant.token(**tags), RoleArn=role)).client()
    untagged = Session(house, tenant.call(tenant.token(), RoleArn=role)).client()

    assert refusal == DENIED
    assert tagged.describe_registry()
    assert refused(untagged.describe_registry)[0] == "AccessDeniedException"


def test_policies_can_ask_who_federated_a_session(house: Homeport, issuer: Issuer, tenant: Tenant) -> None:
    repository = f"web/{uuid.uuid4().hex}"
    house.client().create_repository(repositoryName=repository)
    session = Session(house, tenant.call(tenant.token(environment="production")))
    iam, ecr = house.client("iam"), session.client()

    def only(**condition: Any) -> str:
        rights = policy("ecr:ListImages")
        rights["Statement"][0]["Condition"] = {"StringEquals": condition}
        iam.put_role_policy(
            RoleName=name_of(tenant.role), PolicyName="rights", PolicyDocument=json.dumps(rights)
        )
        return outcome(ecr.list_images, repositoryName=repository)

    assert only(**{"aws:FederatedProvider": tenant.provider}) == "done"
    assert only(**{"aws:FederatedProvider": f"{tenant.provider}x"}) == "AccessDeniedException"
    assert only(**{f"{tenant.url}:environment": "production"}) == "done"
    assert only(**{f"{tenant.url}:environment": "test"}) == "AccessDeniedException"


# --- What changes takes effect at once ---


def test_a_removed_provider_and_a_changed_trust_end_the_sessions(tenant: Tenant) -> None:
    iam = tenant.house.client("iam")
    first, second = (Session(tenant.house, tenant.call(tenant.token())).client("sts") for _ in range(2))

    before = first.get_caller_identity()["Account"]
    condition = {"StringEquals": {f"{tenant.url}:sub": "repo:octo/app:ref:refs/heads/release"}}
    text = document(statement({"Federated": tenant.provider}, ACTION, Condition=condition))
    iam.update_assume_role_policy(RoleName=name_of(tenant.role), PolicyDocument=text)
    changed = refused(first.get_caller_identity)[0]
    iam.update_assume_role_policy(
        RoleName=name_of(tenant.role),
        PolicyDocument=document(statement({"Federated": tenant.provider}, ACTION)),
    )
    again = second.get_caller_identity()["Account"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=tenant.provider)

    assert before == again == tenant.house.credentials.account_id
    assert changed == "InvalidClientTokenId"
    assert refused(second.get_caller_identity)[0] == "InvalidClientTokenId"


# --- Discovery ---


def test_a_new_key_of_the_issuer_is_found_when_the_first_token_of_it_comes(
    house: Homeport, issuer: Issuer
) -> None:
    tenant = Tenant(house, issuer)
    issuer.rotate()
    try:
        assert tenant.outcome() == "done"
        keys = [path for path in issuer.asked if path == f"{tenant.path}{KEYS}"]
        assert tenant.outcome() == "done"
        assert [path for path in issuer.asked if path == f"{tenant.path}{KEYS}"] == keys
    finally:
        issuer.rotate()


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        (DISCOVERY, (500, {}, b"")),
        (DISCOVERY, (200, {}, b"[]")),
        (DISCOVERY, (200, {}, b'{"issuer": "https://other.example.com", "jwks_uri": "https://x/"}')),
        (DISCOVERY, (302, {"Location": "/elsewhere"}, b"")),
        (KEYS, (404, {}, b"")),
        (KEYS, (200, {}, b"<html>")),
        (KEYS, (200, {}, b" " * 300_000)),
    ],
)
def test_an_issuer_that_gives_no_keys_is_a_communication_error(
    house: Homeport, issuer: Issuer, where: str, answer: Any
) -> None:
    tenant = Tenant(house, issuer)
    issuer.broken[f"{tenant.path}{where}"] = answer

    code, message = tenant.refusal(tenant.token())

    assert code == "IDPCommunicationError"
    assert message.startswith(f"The keys of {tenant.url} cannot be fetched")
