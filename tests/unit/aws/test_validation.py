"""The texts that users meet when a parameter is wrong, and that judging never takes long."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from homeport.aws.patterns import matcher
from homeport.aws.protocol import error_json, load_services
from homeport.aws.validation import enum_order, listed_kind, validate, validation_error_kind
from homeport.kernel.errors import InvalidParameter

NAME_EXPRESSION = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
SCANNING_FILTER = r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$"


def ecr(name: str) -> OperationModel:
    return load_services()["ecr"].operations[name]


@pytest.mark.parametrize(
    ("name", "params", "parameter", "constraint"),
    [
        ("CreateRepository", {}, "repositoryName", "Member must not be null"),
        (
            "CreateRepository",
            {"repositoryName": "a"},
            "repositoryName",
            "must have length greater than or equal to 2",
        ),
        (
            "CreateRepository",
            {"repositoryName": "a" * 257},
            "repositoryName",
            "must have length less than or equal to 256",
        ),
        (
            "CreateRepository",
            {"repositoryName": "Bad_Name!"},
            "repositoryName",
            f"must satisfy regular expression '{NAME_EXPRESSION}'",
        ),
        (
            "CreateRepository",
            {"repositoryName": "shop\n"},
            "repositoryName",
            f"must satisfy regular expression '{NAME_EXPRESSION}'",
        ),
        (
            "CreateRepository",
            {"repositoryName": "shop", "imageTagMutability": "WRONG"},
            "imageTagMutability",
            "Member must satisfy enum value set: "
            "[IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]",
        ),
        (
            "CreateRepository",
            {"repositoryName": "shop", "tags": [{"Key": "a", "Value": "b"}, {"Key": "a"}]},
            "tags.2.member.Value",
            "Member must not be null",
        ),
        (
            "CreateRepository",
            {"repositoryName": "shop", "encryptionConfiguration": {}},
            "encryptionConfiguration.encryptionType",
            "Member must not be null",
        ),
        (
            "DescribeRepositories",
            {"maxResults": 1001},
            "maxResults",
            "Member must have value less than or equal to 1000",
        ),
        (
            "DescribeRepositories",
            {"maxResults": 0},
            "maxResults",
            "Member must have value greater than or equal to 1",
        ),
        (
            "DescribeRepositories",
            {"registryId": "\u0660" * 12},
            "registryId",
            "Member must satisfy regular expression pattern: [0-9]{12}",
        ),
        (
            "DescribeRepositories",
            {"repositoryNames": ["shop", "Shop"]},
            "repositoryName",
            f"must satisfy regular expression '{NAME_EXPRESSION}'",
        ),
        (
            "GetAuthorizationToken",
            {"registryIds": ["1" * 12, "123"]},
            "registryIds",
            "Member must satisfy constraint: [Member must satisfy regular expression pattern: [0-9]{12}]",
        ),
        (
            "BatchGetImage",
            {"repositoryName": "shop", "imageIds": []},
            "imageIds",
            "Member must have length greater than or equal to 1",
        ),
        (
            "BatchDeleteImage",
            {"repositoryName": "shop", "imageIds": [{}] * 101},
            "imageIds",
            "Member must have length less than or equal to 100",
        ),
        (
            "BatchGetImage",
            {"repositoryName": "shop", "imageIds": [{"imageTag": ""}]},
            "imageIds.1.member.imageTag",
            "Member must have length greater than or equal to 1",
        ),
        (
            "GetDownloadUrlForLayer",
            {"repositoryName": "shop", "layerDigest": "sha256"},
            "layerDigest",
            "Member must satisfy regular expression pattern: [a-zA-Z0-9-_+.]+:[a-fA-F0-9]+",
        ),
        (
            "ListImages",
            {"repositoryName": "shop", "filter": {"tagStatus": "tagged"}},
            "filter.tagStatus",
            "Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]",
        ),
    ],
)
def test_a_broken_constraint_is_named_as_ecr_names_it(
    name: str, params: dict[str, Any], parameter: str, constraint: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        validate(ecr(name), params)

    assert refused.value.parameter == parameter
    assert refused.value.message == (
        f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'"
    )


def test_the_first_violation_in_the_order_of_the_model_is_reported() -> None:
    params = {"maxResults": 0, "repositoryNames": [], "registryId": "x"}

    with pytest.raises(InvalidParameter) as refused:
        validate(ecr("DescribeRepositories"), params)

    assert refused.value.parameter == "registryId"


def test_boto_shows_the_text_unchanged() -> None:
    operation = ecr("DescribeImages")
    with pytest.raises(InvalidParameter) as refused:
        validate(operation, {"repositoryName": "shop", "maxResults": 1001})

    body = error_json(validation_error_kind(operation), refused.value.message)

    response = {"status_code": 400, "headers": {}, "body": body}
    assert operation.output_shape is not None
    assert create_parser("json").parse(response, operation.output_shape)["Error"] == {
        "Code": "InvalidParameterException",
        "Message": "Invalid parameter at 'maxResults' failed to satisfy constraint: "
        "'Member must have value less than or equal to 1000'",
    }


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("DescribeRepositories", {"maxResults": 1000, "repositoryNames": ["a0", "a/b_c/d__e/f---g.h"]}),
        ("DescribeRepositories", {"repositoryNames": ["a" * 256] * 100, "registryId": "1" * 12}),
        ("BatchGetImage", {"repositoryName": "shop", "imageIds": [{"imageTag": "t" * 300}] * 100}),
        ("SetRepositoryPolicy", {"repositoryName": "shop", "policyText": "", "force": False}),
    ],
)
def test_values_at_their_limits_are_accepted(name: str, params: dict[str, Any]) -> None:
    validate(ecr(name), params)


@pytest.mark.parametrize(
    ("service", "name", "kind"),
    [
        ("ecr", "CreateRepository", "InvalidParameterException"),
        ("ecr", "StartImageScan", "InvalidParameterException"),
        ("ecr", "DeleteSigningConfiguration", "ValidationException"),
        ("ecr-public", "GetRegistryCatalogData", "InvalidParameterException"),
        ("sts", "AssumeRole", "ValidationError"),
    ],
)
def test_bad_input_is_answered_with_an_exception_that_the_client_knows(
    service: str, name: str, kind: str
) -> None:
    assert validation_error_kind(load_services()[service].operations[name]) == kind


@pytest.mark.parametrize(
    ("name", "kind", "answered"),
    [
        ("TagResource", "TooManyTagsException", "TooManyTagsException"),
        ("CreateRepositoryCreationTemplate", "TooManyTagsException", "InvalidParameterException"),
        ("UpdateRepositoryCreationTemplate", "InvalidTagParameterException", "InvalidParameterException"),
        ("DeleteSigningConfiguration", "InvalidParameterException", "ValidationException"),
        ("DescribeRegistry", "ThrottlingException", "ThrottlingException"),
    ],
)
def test_bad_input_has_a_name_that_the_operation_lists(name: str, kind: str, answered: str) -> None:
    assert listed_kind(load_services()["ecr"].operations[name], kind) == answered


@pytest.mark.parametrize(
    "seen",
    [
        ["IMMUTABLE", "MUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"],
        ["OPTIONAL", "OFF", "ON"],
        ["Domain", "EmailAddress"],
        ["Tail", "None"],
    ],
)
def test_enumerations_are_listed_in_the_order_seen_in_answers_of_aws(seen: list[str]) -> None:
    assert enum_order(sorted(seen)) == seen
    assert enum_order(sorted(seen, reverse=True)) == seen


# --- Patterns --------------------


def patterned_shapes() -> Iterator[tuple[str, Shape]]:
    for service in load_services().values():
        model = next(iter(service.operations.values())).service_model
        for name in model.shape_names:
            shape = model.shape_for(name)
            if "pattern" in shape.metadata:
                yield f"{service.name}-{name}", shape


PATTERNED = dict(patterned_shapes())
UNITS = [
    *("a", "0", "A", "*", "-", "_", ".", "/", ":", "+", "=", " ", "é"),
    *(
        "a-",
        "a.",
        "a_",
        "a__",
        "a--",
        "-a",
        "a/",
        "/a",
        "a/a",
        "*-",
        "a*",
        "aa-aa/",
        "a._-/",
        ":secret:",
        "-aws",
    ),
]
STARTS = [
    "",
    "arn:aws",
    "arn:aws:secretsmanager:",
    "arn:aws:secretsmanager:a:secret:ecr-pullthroughcache/",
    "arn:aws:iam::000000000000:role/",
    "arn:aws:signer:",
    "arn:aws:signer:a:000000000000:/signing-profiles/",
    "arn:aws:kms:",
]


@pytest.mark.parametrize("name", PATTERNED)
def test_no_text_makes_a_pattern_slow(name: str) -> None:
    shape = PATTERNED[name]
    matches = matcher(shape.metadata["pattern"])
    longest = min(shape.metadata.get("max", 4096), 4096)
    slowest = 0.0

    for start in STARTS:
        for unit in UNITS:
            for end in ("", "!", "\n", "/", "-"):
                text = (start + unit * longest)[: longest - len(end)] + end
                began = time.process_time()
                matches(text)
                slowest = max(slowest, time.process_time() - began)

    assert slowest < 0.1


@given(st.text("a0*._-/!", max_size=9))
def test_the_replaced_filter_expression_accepts_the_same_texts(text: str) -> None:
    assert matcher(SCANNING_FILTER)(text) == bool(re.fullmatch(SCANNING_FILTER, text))


def test_the_replaced_filter_expression_is_one_of_the_model() -> None:
    assert PATTERNED["ecr-ScanningRepositoryFilterValue"].metadata["pattern"] == SCANNING_FILTER


@pytest.mark.parametrize(
    ("text", "legal"), [("team", True), ("Käse 1:/=+-@_.", True), ("", False), ("a!", False), ("a\n", False)]
)
def test_a_session_tag_key_may_hold_any_letter_but_few_marks(text: str, legal: bool) -> None:
    assert matcher(PATTERNED["sts-tagKeyType"].metadata["pattern"])(text) is legal
