"""Simulation as pure functions: where statements stand, the keys they ask for, and that decisions are the real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.evaluate import Ask, Caller, evaluate
from homeport.access.policies import parse_identity_policy
from homeport.iam.simulate import Place, Scenario, Source, decide, read, read_resource_policy
from homeport.kernel.errors import InvalidEntityInput

BOB = Caller("123456789012", "arn:aws:iam::123456789012:user/bob", "AIDA", "user")
ACTIONS = ["ecr:PutImage", "ecr:BatchGetImage", "iam:GetUser"]
RESOURCES = ["*", "arn:aws:ecr:us-east-1:123456789012:repository/app", "arn:aws:iam::123456789012:user/bob"]


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(effect: str, action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def scenario(*sources: Source, boundary: Source | None = None) -> Scenario:
    bounded = (boundary,) if boundary is not None else None
    return Scenario(BOB, sources, bounded, None, (), {}, frozenset(), BOB.account)


statements = st.builds(
    statement,
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from([*ACTIONS, "ecr:*", "*"]),
    st.sampled_from([*RESOURCES, "arn:aws:ecr:*:*:repository/*"]),
)
policies = st.builds(lambda found: document(*found), st.lists(statements, min_size=1, max_size=4))


def offset(text: str, place: Place) -> int:
    """The offset of a line and column that count from one."""
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: place.line - 1]) + place.column - 1


@given(policies, st.sampled_from([None, 1, 4]), st.booleans())
def test_the_places_of_statements_cut_them_out_of_the_text(
    found: dict[str, Any], indent: int | None, first: bool
) -> None:
    ordered = found if first else dict(reversed(found.items()))
    text = json.dumps(ordered, indent=indent)

    parts = read(text, "p", "none").parts

    cut = [text[offset(text, part.start) - 1 : offset(text, part.end)] for part in parts]
    assert [json.loads(each) for each in cut] == found["Statement"]


@given(st.lists(policies, min_size=1, max_size=3), st.none() | policies)
def test_a_simulation_decides_as_a_request_is_decided(
    found: list[dict[str, Any]], bounded: dict[str, Any] | None
) -> None:
    texts = [json.dumps(each) for each in found]
    boundary = json.dumps(bounded) if bounded is not None else None
    asked = scenario(
        *(read(text, str(index), "none") for index, text in enumerate(texts)),
        boundary=read(boundary, "b", "none") if boundary is not None else None,
    )

    for action in ACTIONS:
        for resource in RESOURCES:
            real = evaluate(
                BOB,
                Ask(action, resource, {}),
                resource_account=BOB.account,
                identity=[parse_identity_policy(text) for text in texts],
                boundary=[parse_identity_policy(boundary)] if boundary is not None else None,
            )
            outcome = decide(asked, action, resource)
            assert (outcome.verdict == "allowed") is real.allowed
            assert (outcome.verdict == "explicitDeny") is ("explicit deny" in real.reason)
            assert bool(outcome.matched) is (outcome.verdict != "implicitDeny")
            assert {part.allows for _, part in outcome.matched} <= {outcome.verdict == "allowed"}


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2012-10-17", ("aws:PrincipalTag/Team", "ecr:ResourceTag/Team", "aws:username", "aws:SourceIp")),
        ("2008-10-17", ("ecr:ResourceTag/Team", "aws:SourceIp")),
    ],
)
def test_keys_of_conditions_and_variables_are_found(version: str, keys: tuple[str, ...]) -> None:
    found = document(
        statement(
            "Allow",
            "ecr:*",
            "arn:aws:ecr:*:*:repository/${aws:username}/${*}",
            Condition={
                "StringEquals": {"ecr:ResourceTag/Team": "${aws:PrincipalTag/Team, 'none'}"},
                "IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
            },
        )
    )

    (part,) = read(json.dumps({**found, "Version": version}), "p", "none").parts

    assert sorted(part.keys) == sorted(keys)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Statement": 1}', '{"Statement": []}', "{" * 100])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(InvalidEntityInput):
        read(text, "p", "none")
    with pytest.raises(InvalidEntityInput):
        read_resource_policy(text)
