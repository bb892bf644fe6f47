"""Trust policies: who may take a role on, by name, by account, by provider, and across accounts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.evaluate import Ask, Caller, evaluate, trusted
from homeport.access.policies import Policy, parse_identity_policy
from homeport.access.principals import Principal
from homeport.access.trust import may_assume, parse_trust_policy
from homeport.kernel.errors import MalformedPolicyDocument

HOME, AWAY = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{HOME}:role/deploy"
PROVIDER = f"arn:aws:iam::{HOME}:oidc-provider/ci.example.com"
BOB = Caller(HOME, f"arn:aws:iam::{HOME}:user/bob", "AIDABOB", "user")
EVE = Caller(AWAY, f"arn:aws:iam::{AWAY}:user/eve", "AIDAEVE", "user")
SESSION = Caller(
    HOME,
    f"arn:aws:sts::{HOME}:assumed-role/ci/run",
    "AROACI:run",
    "assumed-role",
    f"arn:aws:iam::{HOME}:role/x/ci",
)
WEB = Caller(
    "",
    PROVIDER,
    "ci.example.com:me",
    "federated",
    facts={"aws:federatedprovider": (PROVIDER,), "ci.example.com:sub": ("me",)},
)
MAY = parse_identity_policy(
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}'
)


def policy(*statements: dict[str, Any]) -> Policy:
    """A trust policy."""
    usual = {"Effect": "Allow", "Action": "sts:*"}
    return parse_trust_policy(
        json.dumps({"Version": "2012-10-17", "Statement": [{**usual, **each} for each in statements]})
    )


def assumes(caller: Caller, trust: Policy, *identity: Policy, **context: str) -> bool:
    """Whether the caller may take the role on."""
    principal = Principal(caller, "AKIA", identity)
    return may_assume(principal, Ask("sts:AssumeRole", ROLE, context), trust, account=HOME)


def federates(trust: Policy, caller: Caller = WEB) -> bool:
    """Whether the trust policy lets a web identity in."""
    return trusted(caller, Ask("sts:AssumeRoleWithWebIdentity", ROLE, {}), trust, account=HOME)


def test_the_trust_policy_has_to_name_the_caller() -> None:
    other = policy({"Principal": {"AWS": f"arn:aws:iam::{HOME}:user/alice"}})

    assert not assumes(BOB, other, MAY)
    assert evaluate(
        BOB, Ask("sts:AssumeRole", ROLE, {}), resource_account=HOME, identity=(MAY,), resource=(other,)
    ).allowed


@pytest.mark.parametrize(
    ("caller", "principal", "alone", "with_rights"),
    [
        (BOB, BOB.arn, True, True),
        (BOB, HOME, False, True),
        (BOB, "*", True, True),
        (BOB, AWAY, False, False),
        (SESSION, f"arn:aws:iam::{HOME}:role/x/ci", True, True),
        (SESSION, SESSION.arn, True, True),
        (SESSION, HOME, False, True),
        (EVE, EVE.arn, False, True),
        (EVE, AWAY, False, True),
        (EVE, "*", False, True),
        (EVE, HOME, False, False),
    ],
)
def test_naming_somebody_is_enough_at_home_and_their_own_policies_decide_otherwise(
    caller: Caller, principal: str, alone: bool, with_rights: bool
) -> None:
    trust = policy({"Principal": {"AWS": principal}})

    assert assumes(caller, trust) is alone
    assert assumes(caller, trust, MAY) is with_rights


def test_a_session_policy_and_a_boundary_limit_taking_on_a_role() -> None:
    trust = policy({"Principal": {"AWS": HOME}})
    ask = Ask("sts:AssumeRole", ROLE, {})

    for limited in (
        Principal(BOB, "AKIA", (MAY,), session_policies=()),
        Principal(BOB, "AKIA", (MAY,), boundary=()),
    ):
        assert not may_assume(limited, ask, trust, account=HOME)


def test_a_web_identity_is_let_in_only_by_the_name_of_its_provider() -> None:
    assert federates(policy({"Principal": {"Federated": PROVIDER}}))
    for principal in (
        "*",
        {"AWS": "*"},
        {"AWS": HOME},
        {"Federated": f"{PROVIDER}/x"},
        {"Service": "ci.example.com"},
    ):
        assert not federates(policy({"Principal": principal}))


def test_claims_are_conditions_and_another_claim_does_not_meet_them() -> None:
    def trust(value: str) -> Policy:
        condition = {"StringEquals": {"ci.example.com:sub": value}}
        return policy({"Principal": {"Federated": PROVIDER}, "Condition": condition})

    assert federates(trust("me"))
    assert not federates(trust("you"))


@pytest.mark.parametrize(
    "deny",
    [
        {"Principal": "*"},
        {"Principal": {"Federated": PROVIDER}},
        {"NotPrincipal": {"Federated": f"{PROVIDER}/x"}},
        {"NotPrincipal": {"AWS": HOME}},
    ],
)
def test_a_deny_wins_over_the_name_of_the_provider(deny: dict[str, Any]) -> None:
    allow = {"Principal": {"Federated": PROVIDER}}

    assert not federates(policy(allow, {"Effect": "Deny", **deny}))


def test_a_deny_of_everybody_else_spares_the_provider() -> None:
    others = {"Effect": "Deny", "NotPrincipal": {"Federated": PROVIDER}}

    assert federates(policy({"Principal": {"Federated": PROVIDER}}, others))


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*", "Resource": "*"},
        {"Principal": "*", "Action": "ecr:PutImage"},
        {"Principal": "*", "Action": "*", "Resource": "*"},
        {},
        {"Principal": {"AWS": "arn:aws:iam::1:user/x"}},
        {"NotPrincipal": {"AWS": HOME}},
        {"Principal": "*", "Condition": {"StringEquals": {"aws:SourcIp": "x"}}},
    ],
)
def test_what_is_no_trust_policy_is_malformed(statement: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicyDocument):
        policy(statement)


@given(st.text(max_size=200))
def test_any_text_is_a_trust_policy_or_malformed(text: str) -> None:
    with pytest.raises(MalformedPolicyDocument):
        parse_trust_policy(text)


_principals = st.sampled_from(
    ["*", {"AWS": "*"}, {"AWS": HOME}, {"AWS": BOB.arn}, {"AWS": AWAY}, {"Federated": PROVIDER}]
)
_statements = st.lists(
    st.builds(
        lambda effect, principal, action: {"Effect": effect, "Principal": principal, "Action": action},
        st.sampled_from(["Allow", "Allow", "Deny"]),
        _principals,
        st.sampled_from(["sts:*", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession"]),
    ),
    min_size=1,
    max_size=4,
)


@given(
    caller=st.sampled_from([BOB, EVE, SESSION]),
    statements=_statements,
    rights=st.booleans(),
    deny=st.builds(lambda principal: {"Effect": "Deny", "Principal": principal}, _principals),
)
def test_a_role_is_never_taken_on_without_its_trust_and_a_deny_never_opens_it(
    caller: Caller, statements: list[dict[str, Any]], rights: bool, deny: dict[str, Any]
) -> None:
    identity = (MAY,) if rights else ()
    trust, ask = policy(*statements), Ask("sts:AssumeRole", ROLE, {})
    allowed = assumes(caller, trust, *identity)

    assert not allowed or trusted(caller, ask, trust, account=HOME)
    assert not allowed or caller.account == HOME or rights
    assert allowed or not assumes(caller, policy(*statements, deny), *identity)
    assert not federates(trust) or any(each["Principal"] == {"Federated": PROVIDER} for each in statements)
