"""What a policy text must look like to be accepted, and how each condition operator answers."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from homeport.access.conditions import compile_condition
from homeport.access.patterns import Glob, tokens_of
from homeport.access.policies import (
    compiled_identity_policy,
    compiled_repository_policy,
    parse_identity_policy,
    parse_registry_policy,
    parse_repository_policy,
)
from homeport.kernel.errors import InvalidParameter

REPOSITORY_MESSAGE = (
    "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
)
REGISTRY_MESSAGE = (
    "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'"
)


class Context:
    """A request context made of the keyword's values."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self.values = values

    def get(self, key: str) -> tuple[str, ...] | None:
        return self.values.get(key)


def identity(**changes: object) -> str:
    statement: dict[str, object] = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
    return document(statement | changes)


def repository(**changes: object) -> str:
    statement: dict[str, object] = {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    return document(statement | changes)


def document(statement: Mapping[str, object]) -> str:
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": kept})


def holds(operator: str, policy_values: list[str], *present: str, missing: bool = False) -> bool:
    condition = compile_condition(operator, "aws:RequestTag/x", policy_values, variables=True)
    return condition.holds(Context({} if missing else {"aws:requesttag/x": present}))


@pytest.mark.parametrize(
    "text",
    [
        identity(),
        identity(Sid="Everything"),
        identity(Action=["ecr:Get*", "sts:AssumeRole"], Resource=["arn:aws:ecr:*:*:repository/a*"]),
        identity(Action=None, NotAction="iam:*"),
        identity(Resource=None, NotResource="arn:aws:ecr:eu-west-1:111122223333:repository/x"),
        identity(Resource="arn:aws:ecr:eu-west-1:*:repository/${aws:username}/*"),
        identity(Resource="arn:aws:ecr:eu-west-1:*:repository/${aws:PrincipalTag/team, 'all'}"),
        identity(Condition={"Bool": {"aws:SecureTransport": True}}),
        identity(Condition={"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}}),
        '{"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}',
    ],
)
def test_a_legal_identity_policy_is_accepted(text: str) -> None:
    assert len([*parse_identity_policy(text).allows, *parse_identity_policy(text).denies]) == 1


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": "111122223333"},
        {"AWS": ["arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/team/bob"]},
        {"AWS": "arn:aws:iam::111122223333:role/path/ci"},
        {"AWS": "arn:aws:sts::111122223333:assumed-role/ci/run-7"},
        {"Service": "codebuild.amazonaws.com"},
        {"Federated": "arn:aws:iam::111122223333:saml-provider/corp"},
    ],
)
def test_every_documented_principal_form_is_accepted_in_a_repository_policy(principal: object) -> None:
    assert parse_repository_policy(repository(Principal=principal)).allows


def test_the_replication_example_of_the_ecr_guide_is_a_legal_registry_policy() -> None:
    text = document(
        {
            "Sid": "FromBuild",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
            "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"],
            "Resource": "arn:aws:ecr:eu-central-1:111122223333:repository/prod/*",
        }
    )

    assert parse_registry_policy(text).allows[0].resources is not None


def test_a_sid_with_a_space_as_the_ecr_console_writes_it_is_accepted() -> None:
    assert parse_repository_policy(repository(Sid="new statement")).allows[0].sid == "new statement"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ("{}", "Statement is an object"),
        ('{"Version": "2012-10-18", "Statement": []}', "Version"),
        ('{"Version": ["2012-10-17"], "Statement": []}', "Version"),
        ('{"Statement": []}', "Statement is empty"),
        ('{"Statement": [1]}', "object"),
        ('{"Statement": {}, "Statement": {}}', "same member twice"),
        ('{"Statement": NaN}', "NaN"),
        ('{"statement": {}}', "unknown element 'statement'"),
        (identity(Effect="allow"), "Effect"),
        (identity(Effect=None), "Effect"),
        (identity(Action=None), "exactly one of Action and NotAction"),
        (identity(NotAction="ecr:*"), "exactly one of Action and NotAction"),
        (identity(Action=[]), "Action is empty"),
        (identity(Action=7), "not a string"),
        (identity(Action="PutImage"), "not an action"),
        (identity(Action="e*:PutImage"), "not an action"),
        (identity(Resource=None), "exactly one of Resource and NotResource"),
        (identity(NotResource="*"), "exactly one of Resource and NotResource"),
        (identity(Resource="prod/*"), "neither * nor an ARN"),
        (identity(Resource="arn:aws:ecr:${aws:RequestedRegion}:*:repository/x"), "fifth colon"),
        (identity(Resource="arn:aws:ecr:a:b:repository/${aws:username"), "not closed"),
        (identity(Resource="arn:aws:ecr:a:b:repository/${aws:nobody}"), "unknown condition key"),
        (identity(Resource="arn:aws:ecr:a:b:repository/${aws:username, x}"), "default"),
        (identity(Principal="*"), "unknown element 'Principal'"),
        (identity(Sid="has space"), "Sid"),
        (identity(Conditions={}), "unknown element 'Conditions'"),
        (identity(Condition=[]), "Condition is an object"),
        (identity(Condition={"StringEquals": {}}), "needs an object of keys"),
        (identity(Condition={"stringequals": {"aws:username": "x"}}), "unknown condition operator"),
        (identity(Condition={"StringMatches": {"aws:username": "x"}}), "unknown condition operator"),
        (identity(Condition={"ForSome:StringLike": {"aws:username": "x"}}), "unknown condition operator"),
        (identity(Condition={"NullIfExists": {"aws:username": "true"}}), "unknown condition operator"),
        (identity(Condition={"StringEquals": {"aws:SourcIp": "x"}}), "unknown condition key"),
        (identity(Condition={"StringEquals": {"s3:prefix": "x"}}), "unknown condition key"),
        (identity(Condition={"StringEquals": {"aws:RequestTag/": "x"}}), "unknown condition key"),
        (identity(Condition={"StringEquals": {"aws:userid": "x", "aws:UserId": "y"}}), "same key twice"),
        (identity(Condition={"StringEquals": {"aws:username": []}}), "no values"),
        (identity(Condition={"StringEquals": {"aws:username": None}}), "strings, numbers"),
        (identity(Condition={"NumericEquals": {"aws:username": "1e9"}}), "not a number"),
        (identity(Condition={"DateLessThan": {"aws:CurrentTime": "2026-02-30"}}), "not a date"),
        (identity(Condition={"Bool": {"aws:SecureTransport": "yes"}}), "not a boolean"),
        (identity(Condition={"BinaryEquals": {"sts:x": "?"}}), "not a base64 value"),
        (identity(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}), "not an IP address"),
        (identity(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:ecr"}}), "six parts"),
        ("[" * 100_000, "longer"),
        ('{"Statement":' + "[" * 5_000, "nested deeper"),
        (identity(Sid="a" * 20_000), "longer"),
    ],
)
def test_a_bad_identity_policy_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        parse_identity_policy(text)

    assert refusal.value.parameter == "PolicyDocument"
    assert reason in refusal.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (repository(Principal=None), "exactly one of Principal and NotPrincipal"),
        (repository(NotPrincipal="*"), "exactly one of Principal and NotPrincipal"),
        (repository(Principal=None, NotPrincipal={"AWS": "111122223333"}), "only with Effect Deny"),
        (repository(Principal={}), "object of AWS"),
        (repository(Principal="111122223333"), "object of AWS"),
        (repository(Principal={"AWS": []}), "AWS is empty"),
        (repository(Principal={"AWS": "1111222233334"}), "not a principal"),
        (repository(Principal={"AWS": "arn:aws:iam::111122223333:user/*"}), "not a principal"),
        (repository(Principal={"AWS": "arn:aws:iam::111122223333:group/x"}), "not a principal"),
        (repository(Principal={"AWS": "arn:aws:iam::111122223333:root/x"}), "not a principal"),
        (repository(Principal={"AWS": "arn:aws:sts::111122223333:assumed-role/ci"}), "not a principal"),
        (repository(Principal={"CanonicalUser": "79a5"}), "unknown element 'CanonicalUser'"),
        (repository(Principal={"Service": "*"}), "not a Service principal"),
        (repository(Action="s3:GetObject"), "not an action of this service"),
        (repository(Resource=5), "not a string"),
        (repository(Sid="a" * 10_300), "longer"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_repository_policy_is_refused_with_ecrs_words_and_the_reason_for_the_log(
    text: str, reason: str
) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        parse_repository_policy(text)

    assert refusal.value.message == REPOSITORY_MESSAGE
    assert any(reason in note for note in refusal.value.__notes__)


def test_a_registry_policy_without_a_resource_is_refused_with_ecrs_words() -> None:
    with pytest.raises(InvalidParameter) as refusal:
        parse_registry_policy(repository())

    assert refusal.value.message == REGISTRY_MESSAGE


def test_a_text_of_exactly_the_limit_is_accepted_and_one_more_character_is_not() -> None:
    text = repository()
    full = text + " " * (10_240 - len(text))

    assert parse_repository_policy(full).allows
    with pytest.raises(InvalidParameter):
        parse_repository_policy(full + " ")


def test_the_same_text_is_compiled_once() -> None:
    assert compiled_identity_policy(identity()) is compiled_identity_policy(identity())
    assert compiled_repository_policy(repository()) is compiled_repository_policy(repository())


@pytest.mark.parametrize(
    ("operator", "wanted", "present", "answer"),
    [
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", ["a"], "A", False),
        ("StringEquals", ["a*"], "ab", False),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringEqualsIgnoreCase", ["Prod"], "pROD", True),
        ("StringNotEqualsIgnoreCase", ["Prod"], "pROD", False),
        ("StringLike", ["a?c*"], "abcdef", True),
        ("StringLike", ["a?c*"], "ac", False),
        ("StringNotLike", ["a*"], "b", True),
        ("NumericEquals", ["10"], "10.0", True),
        ("NumericNotEquals", ["10"], "10.0", False),
        ("NumericLessThan", ["10"], "9.99", True),
        ("NumericLessThan", ["10"], "ten", False),
        ("NumericLessThanEquals", ["10"], "10", True),
        ("NumericGreaterThan", ["-1"], "0", True),
        ("NumericGreaterThanEquals", ["10"], "9", False),
        ("DateEquals", ["2026-01-02T03:04:05Z"], "1767323045", True),
        ("DateLessThan", ["2026"], "2025-12-31T23:59:59.999Z", True),
        ("DateGreaterThan", ["2026-01-01"], "2026-01-01T01:00:00+02:00", False),
        ("DateGreaterThanEquals", ["2026-01"], "2026-01-01T00:00Z", True),
        ("DateNotEquals", ["2026"], "2026-01-01", False),
        ("Bool", ["true"], "True", True),
        ("Bool", ["false"], "true", False),
        ("BinaryEquals", ["QQ=="], "QQ==", True),
        ("BinaryEquals", ["QQ=="], "Qg==", False),
        ("IpAddress", ["203.0.113.0/24"], "203.0.113.7", True),
        ("IpAddress", ["203.0.113.0/24"], "::ffff:203.0.113.7", True),
        ("IpAddress", ["::ffff:203.0.113.0/120"], "203.0.113.7", True),
        ("IpAddress", ["203.0.113.7"], "203.0.113.8", False),
        ("IpAddress", ["2001:db8::/32"], "2001:db8::1", True),
        ("IpAddress", ["::/0"], "203.0.113.8", False),
        ("IpAddress", ["0.0.0.0/0"], "unknown", False),
        ("NotIpAddress", ["203.0.113.0/24"], "::ffff:203.0.113.7", False),
        ("NotIpAddress", ["203.0.113.0/24"], "198.51.100.1", True),
        ("ArnLike", ["arn:aws:ecr:*:1:repository/a*"], "arn:aws:ecr:eu:1:repository/a/b", True),
        ("ArnEquals", ["arn:aws:ecr:*:1:repository/a*"], "arn:aws:ecr:eu:1:repository/a/b", True),
        ("ArnLike", ["arn:aws:x:*:1:f/*"], "arn:aws:x:eu:9:store/abc:1:f/doc", False),
        ("ArnLike", ["*"], "arn:aws:x:eu:9:store", True),
        ("ArnLike", ["*"], "not-an-arn", False),
        ("ArnNotLike", ["arn:aws:x:*:1:f/*"], "arn:aws:x:eu:1:f/doc", False),
        ("ArnNotEquals", ["arn:aws:x:*:1:f/*"], "arn:aws:x:eu:2:f/doc", True),
        ("Null", ["false"], "anything", True),
        ("Null", ["true"], "anything", False),
    ],
)
def test_an_operator_answers_as_iam_documents(
    operator: str, wanted: list[str], present: str, answer: bool
) -> None:
    assert holds(operator, wanted, present) is answer


@pytest.mark.parametrize(
    ("operator", "value", "answer"),
    [
        ("StringEquals", "a", False),
        ("StringEqualsIfExists", "a", True),
        ("StringNotEquals", "a", True),
        ("StringNotEqualsIfExists", "a", True),
        ("NotIpAddress", "10.0.0.1", True),
        ("NumericLessThan", "1", False),
        ("NumericNotEquals", "1", True),
        ("ArnNotLike", "arn:a:b:c:d:e", True),
        ("Bool", "false", False),
        ("BoolIfExists", "true", True),
        ("ForAllValues:StringEquals", "a", True),
        ("ForAllValues:StringNotEquals", "a", True),
        ("ForAnyValue:StringEquals", "a", False),
        ("ForAnyValue:StringNotEquals", "a", False),
        ("ForAnyValue:StringEqualsIfExists", "a", True),
        ("Null", "true", True),
        ("Null", "false", False),
    ],
)
def test_a_missing_key_answers_as_iam_documents_and_an_empty_list_is_missing(
    operator: str, value: str, answer: bool
) -> None:
    assert holds(operator, [value], missing=True) is answer
    assert holds(operator, [value]) is answer


@pytest.mark.parametrize(
    ("operator", "present", "answer"),
    [
        ("ForAllValues:StringLike", ("key1", "key2"), True),
        ("ForAllValues:StringLike", ("key1", "other"), False),
        ("ForAnyValue:StringLike", ("other", "key2"), True),
        ("ForAnyValue:StringLike", ("other",), False),
        ("ForAllValues:StringNotLike", ("other", "more"), True),
        ("ForAllValues:StringNotLike", ("other", "key2"), False),
        ("ForAnyValue:StringNotLike", ("other", "key2"), True),
        ("ForAnyValue:StringNotLike", ("key1",), False),
    ],
)
def test_set_operators_look_at_every_value_of_the_request(
    operator: str, present: tuple[str, ...], answer: bool
) -> None:
    assert holds(operator, ["key*"], *present) is answer


@pytest.mark.parametrize(
    ("value", "context", "text", "answer"),
    [
        ("home/${aws:username}/*", {"aws:username": ("bob",)}, "home/bob/x", True),
        ("home/${ AWS:UserName }/*", {"aws:username": ("bob",)}, "home/bob/x", True),
        ("home/${aws:username}/*", {}, "home//x", False),
        ("home/${aws:username}", {"aws:username": ("*",)}, "home/alice", False),
        ("home/${aws:username}", {"aws:username": ("*",)}, "home/*", True),
        ("${aws:PrincipalTag/team, 'all'}-*", {}, "all-x", True),
        ("${aws:PrincipalTag/team, 'all'}-*", {"aws:principaltag/team": ("red",)}, "all-x", False),
        ("${aws:PrincipalTag/team , '*'}", {}, "anything", False),
        ("${aws:TagKeys}", {"aws:tagkeys": ("a", "b")}, "a", False),
        ("${*}${?}${$}", {}, "*?$", True),
        ("${*}", {}, "anything", False),
        ("$x{y", {}, "$x{y", True),
    ],
)
def test_a_variable_becomes_the_plain_text_of_one_value(
    value: str, context: dict[str, tuple[str, ...]], text: str, answer: bool
) -> None:
    condition = compile_condition("StringLike", "sts:probe", [value], variables=True)

    assert condition.holds(Context({**context, "sts:probe": (text,)})) is answer


def test_a_variable_works_in_arn_and_case_blind_operators() -> None:
    context = Context(
        {"aws:username": ("Bob:x",), "sts:probe": ("arn:a:b:c:d:user/Bob:x",), "sts:name": ("bOB:X",)}
    )

    arn = compile_condition("ArnEquals", "sts:probe", ["arn:*:*:*:*:user/${aws:username}"], variables=True)
    folded = compile_condition("StringEqualsIgnoreCase", "sts:name", ["${aws:username}"], variables=True)

    assert arn.holds(context)
    assert folded.holds(context)


def test_the_older_language_version_has_no_variables() -> None:
    condition = compile_condition("StringEquals", "aws:userid", ["${aws:username}"], variables=False)

    assert condition.holds(Context({"aws:userid": ("${aws:username}",)}))


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("**", "abc", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab?d*", "xxabab-abcdxx", True),
        ("*ab*ba*", "xxabaxx", False),
        ("*a?*b*", "xxab", False),
        ("*a?*b*", "xxacb", True),
        ("a?b*c", "a\nb\nc", True),
        ("arn:aws:ecr:*:repository/x", "arn:aws:ecr:eu-west-1:111122223333:repository/x", True),
    ],
)
def test_wildcards_match_the_whole_text(pattern: str, text: str, answer: bool) -> None:
    assert Glob.of(tokens_of(pattern, variables=False)).matches(text) is answer
