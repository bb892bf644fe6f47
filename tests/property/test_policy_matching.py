"""Rules of the policy language that hold for every text, pattern and combination of policies."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.access.evaluate import Ask, Caller, CallerKind, evaluate
from homeport.access.patterns import Glob, tokens_of
from homeport.access.policies import (
    Policy,
    parse_identity_policy,
    parse_registry_policy,
    parse_repository_policy,
)
from homeport.kernel.errors import InvalidParameter

HOME, AWAY = "111122223333", "444455556666"
REPOSITORY = f"arn:aws:ecr:eu-west-1:{HOME}:repository/a/b"


def glob(pattern: str) -> Glob:
    return Glob.of(tokens_of(pattern, variables=False))


def obvious(pattern: str, text: str) -> bool:
    """The meaning of wildcards, as plain as it can be said, and exponential."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return obvious(pattern[1:], text) or (bool(text) and obvious(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and obvious(pattern[1:], text[1:])


@settings(max_examples=1_000)
@given(st.text("ab:*?", max_size=9), st.text("ab:", max_size=11))
def test_the_matcher_agrees_with_the_obvious_one(pattern: str, text: str) -> None:
    assert glob(pattern).matches(text) is obvious(pattern, text)


@given(st.text("ab*?", max_size=12), st.lists(st.text("ab", max_size=4), min_size=12, max_size=12))
def test_a_text_made_from_the_pattern_is_matched(pattern: str, fillings: list[str]) -> None:
    text = "".join(
        filling if character == "*" else (filling + "a")[0] if character == "?" else character
        for character, filling in zip(pattern, fillings, strict=False)
    )

    assert glob(pattern).matches(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a*" * 5_000 + "b", "a" * 20_000),
        ("*a" * 5_000 + "b*", "a" * 20_000),
        ("*a?" * 3_000 + "b*", "a" * 20_000),
        ("*" + "a?" * 5_000 + "b*", "a" * 20_000),
        ("*" + "a" * 9_000 + "b*", "a" * 20_000),
        ("?*" * 5_000, "a" * 4_999),
    ],
)
def test_a_hostile_pattern_of_the_largest_size_costs_milliseconds(pattern: str, text: str) -> None:
    compiled = glob(pattern)

    started = time.process_time()
    matched = compiled.matches(text)
    spent = time.process_time() - started

    assert not matched
    assert spent < 3  # about 0.05 s; a matcher that goes back would need hours or more


# Texts that look like policies, often slightly wrong.
_names = st.sampled_from(
    ["*", "ecr:*", "ecr:Get?", REPOSITORY, "arn:aws:ecr:a:b:repository/${aws:username}", "${", "", HOME]
)
_operators = st.sampled_from(
    [
        "StringLike",
        "ForAllValues:ArnLike",
        "Null",
        "DateLessThan",
        "NumericEqualsIfExists",
        "IpAddress",
        "Foo",
    ]
)
_keys = st.sampled_from(["aws:SourceIp", "aws:CurrentTime", "ecr:ResourceTag/x", "aws:nothing", "x"])
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _names
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_principals = st.just("*") | st.dictionaries(st.sampled_from(["AWS", "Service", "Federated"]), _values)
_sound = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Action": st.sampled_from(["*", "ecr:*", ["ecr:Get?", "ecr:PutImage"]]),
        "Resource": st.sampled_from(["*", REPOSITORY, "arn:aws:ecr:a:b:repository/${aws:username}"]),
    },
    optional={
        "Sid": st.sampled_from(["a", "b"]),
        "Condition": st.sampled_from([{"Bool": {"aws:SecureTransport": False}}, {"Null": {"sts:x": "true"}}]),
    },
)
_flaws = st.fixed_dictionaries(
    {},
    optional={
        "Effect": st.just("Maybe"),
        "Sid": _values,
        "Action": _names | st.lists(_names) | _values,
        "NotAction": _names,
        "Resource": _names | st.lists(_names) | _values,
        "NotResource": _names,
        "Principal": _principals | _values,
        "NotPrincipal": _principals,
        "Condition": st.dictionaries(_operators, st.dictionaries(_keys, _values, max_size=2), max_size=2),
    },
)
_statements = st.builds(
    lambda sound, named, flaws: {**sound, **named, **flaws},
    _sound,
    st.sampled_from([{}, {"Principal": "*"}, {"Principal": {"AWS": [HOME, "*"]}}]),
    st.just({}) | _flaws,
)
_documents = st.fixed_dictionaries(
    {"Statement": _statements | st.lists(_statements, max_size=3) | _values},
    optional={"Version": st.sampled_from(["2012-10-17", "2012-10-17", "2008-10-17", "1"]), "Id": st.text()},
)
_texts = (
    _documents.map(json.dumps) | _values.map(json.dumps) | st.text() | st.text('{}[]":,\\aStatement0.eE-+')
)


@given(_texts)
def test_any_text_is_a_policy_or_a_refusal(text: str) -> None:
    for parse in (parse_identity_policy, parse_repository_policy, parse_registry_policy):
        try:
            policy = parse(text)
        except InvalidParameter:
            continue
        assert policy.allows or policy.denies


@pytest.mark.parametrize(
    "text",
    ["[" * 10_000, '{"a":' * 2_000, '{"Statement":' + "9" * 9_000 + "}", "\x00", "\ud800", '"\\ud800"'],
)
def test_a_text_made_to_break_the_parser_is_refused(text: str) -> None:
    for parse in (parse_identity_policy, parse_repository_policy, parse_registry_policy):
        with pytest.raises(InvalidParameter):
            parse(text)


# Decisions over every combination of callers and policies.
_CALLERS: list[tuple[CallerKind, str]] = [
    ("anonymous", ""),
    ("root", "arn:aws:iam::{}:root"),
    ("user", "arn:aws:iam::{}:user/bob"),
    ("assumed-role", "arn:aws:sts::{}:assumed-role/ci/run"),
    ("federated", "arn:aws:sts::{}:federated-user/fay"),
    ("service", "codebuild.amazonaws.com"),
]
_callers = st.builds(
    lambda account, kind: Caller(account, kind[1].format(account), "ID", kind[0]),
    st.sampled_from([HOME, AWAY]),
    st.sampled_from(_CALLERS),
)
_named = st.sampled_from(
    ["*", HOME, AWAY]
    + [
        f"arn:aws:{rest}"
        for account in (HOME, AWAY)
        for rest in (
            f"iam::{account}:user/bob",
            f"iam::{account}:role/path/ci",
            f"sts::{account}:assumed-role/ci/run",
            f"sts::{account}:federated-user/fay",
        )
    ]
)
_targets = st.sampled_from(["*", REPOSITORY, "arn:aws:ecr:*:*:repository/b*", "arn:aws:ecr:*/b"])
_actions = st.sampled_from(["*", "ecr:BatchGetImage", "ecr:batch*", "ecr:Put*"])
_conditions = st.sampled_from(
    [
        {},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"StringNotEquals": {"aws:username": "bob"}},
        {"Null": {"aws:PrincipalTag/x": "true"}},
    ]
)


def _policy(effect: str, action: str, target: str, condition: object, names: list[str] | None) -> Policy:
    body = {"Effect": effect, "Action": action, "Resource": target, "Condition": condition}
    if names is None:
        return parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": body}))
    body["Principal"] = {"AWS": names}
    return parse_registry_policy(json.dumps({"Version": "2012-10-17", "Statement": body}))


_effects = st.sampled_from(["Allow", "Allow", "Deny"])
_own = st.builds(_policy, _effects, _actions, _targets, _conditions, st.none())
_shared = st.builds(
    _policy, _effects, _actions, _targets, _conditions, st.lists(_named, min_size=1, max_size=3)
)
_own_deny = st.builds(_policy, st.just("Deny"), _actions, _targets, _conditions, st.none())
_shared_deny = st.builds(
    _policy, st.just("Deny"), _actions, _targets, _conditions, st.lists(_named, min_size=1, max_size=3)
)
_own_lists = st.lists(_own, max_size=3)
_asks = st.builds(
    Ask,
    st.sampled_from(["ecr:BatchGetImage", "ecr:PutImage"]),
    st.just(REPOSITORY),
    st.sampled_from([{}, {"aws:SourceIp": "10.1.1.1"}, {"aws:SourceIp": "203.0.113.1"}]),
)


@given(
    caller=_callers,
    ask=_asks,
    identity=_own_lists,
    resource=st.lists(_shared, max_size=3),
    session=st.none() | _own_lists,
    boundary=st.none() | _own_lists,
    own_deny=_own_deny,
    shared_deny=_shared_deny,
    place=st.sampled_from(["identity", "resource", "session", "boundary"]),
)
def test_one_more_deny_never_turns_a_refusal_into_an_allow(
    caller: Caller,
    ask: Ask,
    identity: list[Policy],
    resource: list[Policy],
    session: list[Policy] | None,
    boundary: list[Policy] | None,
    own_deny: Policy,
    shared_deny: Policy,
    place: str,
) -> None:
    before = evaluate(
        caller,
        ask,
        resource_account=HOME,
        identity=identity,
        resource=resource,
        session=session,
        boundary=boundary,
    )

    after = evaluate(
        caller,
        ask,
        resource_account=HOME,
        identity=[*identity, own_deny] if place == "identity" else identity,
        resource=[*resource, shared_deny] if place == "resource" else resource,
        session=[*session, own_deny] if place == "session" and session is not None else session,
        boundary=[*boundary, own_deny] if place == "boundary" and boundary is not None else boundary,
    )

    assert before.allowed or not after.allowed


@given(caller=_callers, ask=_asks, identity=_own_lists, session=_own_lists, boundary=_own_lists)
def test_without_resource_policies_only_the_own_account_gets_in_and_limits_only_take_away(
    caller: Caller, ask: Ask, identity: list[Policy], session: list[Policy], boundary: list[Policy]
) -> None:
    plain = evaluate(caller, ask, resource_account=HOME, identity=identity)
    limited = evaluate(
        caller, ask, resource_account=HOME, identity=identity, session=session, boundary=boundary
    )

    at_home = caller.account == HOME and caller.kind not in ("anonymous", "service")
    assert at_home or not plain.allowed
    assert plain.allowed or not limited.allowed
