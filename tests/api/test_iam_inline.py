"""Inline policies of IAM users over boto3: kept as put, refused in IAM's words, bounded, and in force at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.calls import policy, refused
from tests.api.iam import fresh, new_user
from tests.harness.server import Homeport

ALLOW_LISTING = policy("ecr:DescribeRepositories")


@pytest.fixture
def user(iam: Any) -> str:
    """A user of the API's own, without rights."""
    name = fresh()
    iam.create_user(UserName=name)
    return name


def test_an_inline_policy_is_answered_as_it_was_put(iam: Any, user: str) -> None:
    text = json.dumps(ALLOW_LISTING, indent=2)

    iam.put_user_policy(UserName=user, PolicyName="a+b=c,d.e@f-g", PolicyDocument=text)
    got = iam.get_user_policy(UserName=user, PolicyName="a+b=c,d.e@f-g")
    iam.put_user_policy(UserName=user, PolicyName="a+b=c,d.e@f-g", PolicyDocument=json.dumps(policy("ecr:*")))
    replaced = iam.get_user_policy(UserName=user, PolicyName="a+b=c,d.e@f-g")

    assert got["PolicyDocument"] == ALLOW_LISTING  # botocore decodes what IAM percent-encodes
    assert (got["UserName"], got["PolicyName"]) == (user, "a+b=c,d.e@f-g")
    assert replaced["PolicyDocument"] == policy("ecr:*")
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == ["a+b=c,d.e@f-g"]


@pytest.mark.parametrize("operation", ["get_user_policy", "delete_user_policy"])
def test_a_policy_that_a_user_does_not_have_is_not_found(iam: Any, user: str, operation: str) -> None:
    refusal = refused(getattr(iam, operation), UserName=user, PolicyName="none")

    assert refusal == ("NoSuchEntity", "The user policy with name none cannot be found.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "Syntax errors in policy."),
        ("[]", "Syntax errors in policy."),
        (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*"}]}',
            "Policy statement must contain actions.",
        ),
        (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*"}]}',
            "Policy statement must contain resources.",
        ),
        (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"repository/x"}]}',
            'Resource repository/x must be in ARN format or "*".',
        ),
        (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"everything","Resource":"*"}]}',
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
    ],
)
def test_a_document_that_is_no_policy_is_refused(iam: Any, user: str, text: str, expected: str) -> None:
    refusal = refused(iam.put_user_policy, UserName=user, PolicyName="p", PolicyDocument=text)

    assert refusal == ("MalformedPolicyDocument", expected)
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == []


def test_the_inline_policies_of_a_user_share_2048_characters_without_white_space(iam: Any, user: str) -> None:
    def sized(size: int) -> str:
        empty = policy("ecr:*", resource="arn:aws:ecr:*:*:repository/")
        text = json.dumps(empty, separators=(",", ":"))
        return text.replace("repository/", "repository/" + "x" * (size - len(text))).replace(",", ",   \n")

    iam.put_user_policy(UserName=user, PolicyName="a", PolicyDocument=sized(1048))
    iam.put_user_policy(UserName=user, PolicyName="b", PolicyDocument=sized(1000))
    code, message = refused(iam.put_user_policy, UserName=user, PolicyName="b", PolicyDocument=sized(1001))
    iam.put_user_policy(UserName=user, PolicyName="a", PolicyDocument=sized(1047))
    iam.put_user_policy(UserName=user, PolicyName="b", PolicyDocument=sized(1001))

    assert (code, message) == ("LimitExceeded", f"Maximum policy size of 2048 bytes exceeded for user {user}")


def test_an_inline_policy_counts_from_the_next_request_on(iam: Any, homeport: Homeport) -> None:
    name = fresh()
    ecr = new_user(homeport, None, "ecr", name)
    before, _ = refused(ecr.describe_repositories)

    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(ALLOW_LISTING))
    during = ecr.describe_repositories()
    iam.delete_user_policy(UserName=name, PolicyName="p")

    assert before == "AccessDeniedException"
    assert "repositories" in during
    assert refused(ecr.describe_repositories)[0] == "AccessDeniedException"
