"""Is this text a policy for users, groups and roles, and in which words is it refused?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.access.policies import parse_identity_policy
from homeport.iam import documents
from homeport.kernel.errors import InvalidParameter, MalformedPolicyDocument


def document(**statement: object) -> str:
    """A policy with one statement, which allows everything unless told otherwise."""
    full = {"Effect": "Allow", "Action": "*", "Resource": "*", **statement}
    kept = {name: value for name, value in full.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Syntax errors in policy."),
        ("{", "Syntax errors in policy."),
        ('"text"', "Syntax errors in policy."),
        (document(Action=None), "Policy statement must contain actions."),
        (document(Resource=None), "Policy statement must contain resources."),
        (document(Resource="a/b"), 'Resource a/b must be in ARN format or "*".'),
        (
            document(Action="all"),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (document(Effect="Perhaps"), "Syntax errors in policy: statement 1: Effect is Allow or Deny."),
        (
            document(Condition={"StringEquals": {"aws:SourcIp": "1"}}),
            "Syntax errors in policy: statement 1: unknown condition key 'aws:SourcIp'.",
        ),
    ],
)
def test_the_reason_is_told_in_the_words_of_iam_where_it_has_some(text: str, said: str) -> None:
    with pytest.raises(MalformedPolicyDocument) as caught:
        documents.check(text)

    assert caught.value.message == said


def test_white_space_does_not_count() -> None:
    text = document()

    assert documents.size(json.dumps(json.loads(text), indent=8)) == documents.size(text)
    assert documents.size(" \t\r\n") == 0


@given(st.text() | st.dictionaries(st.sampled_from(["Version", "Statement"]), st.text()).map(json.dumps))
def test_every_text_is_a_policy_or_refused_with_a_reason(text: str) -> None:
    try:
        parse_identity_policy(text)
        good = True
    except InvalidParameter:
        good = False

    if good:
        documents.check(text)
    else:
        with pytest.raises(MalformedPolicyDocument) as caught:
            documents.check(text)
        assert caught.value.message.endswith((".", "etc."))
