"""Where the answer to a condition comes from: the caller, the resource, and only then the request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from homeport.access.context_keys import PolicyFault, known_key
from homeport.access.evaluate import Ask, Caller, evaluate
from homeport.access.policies import parse_identity_policy

HOME = "111122223333"
REPOSITORY = f"arn:aws:ecr:eu-west-1:{HOME}:repository/a"
BOB = Caller(HOME, f"arn:aws:iam::{HOME}:user/team/bob", "AIDABOB", "user")
CI = Caller(
    HOME,
    f"arn:aws:sts::{HOME}:assumed-role/ci/run",
    "AROACI:run",
    "assumed-role",
    f"arn:aws:iam::{HOME}:role/x/ci",
)


class Untouchable(Mapping[str, "str | tuple[str, ...]"]):
    """A request that nobody may look into."""

    def __getitem__(self, key: str) -> str:
        raise AssertionError(f"looked for {key}")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("looked into the request")

    def __len__(self) -> int:
        raise AssertionError("looked into the request")


def allowed(
    caller: Caller,
    key: str,
    value: str,
    *,
    context: Mapping[str, str | tuple[str, ...]] | None = None,
    tags: Mapping[str, str] | None = None,
    action: str = "ecr:PutImage",
) -> bool:
    """Whether a policy with one condition allows."""
    body = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {key: value}}}
    policy = parse_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": body}))
    ask = Ask(action, REPOSITORY, context if context is not None else {}, tags or {})
    return evaluate(caller, ask, resource_account=HOME, identity=(policy,)).allowed


@pytest.mark.parametrize(
    ("caller", "key", "value"),
    [
        (BOB, "aws:PrincipalArn", BOB.arn),
        (BOB, "aws:username", "bob"),
        (BOB, "aws:userid", "AIDABOB"),
        (BOB, "aws:PrincipalType", "User"),
        (CI, "aws:PrincipalArn", f"arn:aws:iam::{HOME}:role/x/ci"),
        (CI, "aws:PrincipalType", "AssumedRole"),
        (CI, "aws:userid", "AROACI:run"),
        (CI, "aws:ViaAWSService", "false"),
        (CI, "aws:ResourceAccount", HOME),
        (replace(CI, facts={"aws:principaltag/team": ("red",)}), "aws:PrincipalTag/Team", "red"),
        (replace(CI, facts={"ci.example.com:sub": ("me",)}), "ci.example.com:sub", "me"),
    ],
)
def test_what_the_caller_answers_needs_no_look_into_the_request(caller: Caller, key: str, value: str) -> None:
    assert allowed(caller, key, value, context=Untouchable())


def test_a_request_cannot_say_otherwise_than_its_caller() -> None:
    tagged = replace(BOB, facts={"aws:principaltag/team": ("blue",)})

    assert not allowed(tagged, "aws:PrincipalTag/team", "red", context={"aws:PrincipalTag/team": "red"})
    assert not allowed(CI, "aws:username", "bob", context={"aws:username": "bob"})


@pytest.mark.parametrize("key", ["aws:ResourceTag/Team", "ecr:ResourceTag/team"])
def test_tags_of_the_resource_answer_for_their_service_and_for_all(key: str) -> None:
    assert allowed(BOB, key, "red", context=Untouchable(), tags={"Team": "red"})
    assert not allowed(BOB, key, "red", tags={"Team": "blue"}, context={key: "red"})


def test_tags_answer_under_the_name_of_the_service_that_is_asked() -> None:
    tags = {"team": "red"}

    assert allowed(BOB, "iam:ResourceTag/team", "red", tags=tags, action="iam:GetUser")
    assert not allowed(BOB, "ecr:ResourceTag/team", "red", tags=tags, action="iam:GetUser")


@pytest.mark.parametrize(
    "key",
    [
        "token.actions.githubusercontent.com:sub",
        "oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud",
        "gitlab.example.com:namespace_path",
        "localhost:8443/realms/a:sub",
        "127.0.0.1:8443:sub",
        "ecr:ImageTag",
        "ecr:ImageDigest",
    ],
)
def test_claims_of_providers_and_our_own_keys_are_known(key: str) -> None:
    assert known_key(key) == key.lower()


@pytest.mark.parametrize(
    "key", ["aws:SourcIp", "ecr:ImageTags", "exr:ImageTag", "nothing:sub", "a.b", ":sub", "a..b:x"]
)
def test_a_misspelt_key_is_refused(key: str) -> None:
    with pytest.raises(PolicyFault):
        known_key(key)
