"""Refusals before an operation is reached: signatures, bodies, unknown operations; and the form of every error."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.calls import new_name, refused
from tests.api.signing import FORM, JSON, Signer, call, fault, query_call
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


@pytest.fixture
def signer(homeport: Homeport) -> Signer:
    """The administrator, signing by hand."""
    return Signer.of(homeport.credentials)


def changed(signer: Signer, **parts: Any) -> Signer:
    """The signer with some parts replaced."""
    own = {name: getattr(signer, name) for name in ("key_id", "secret", "region", "service")}
    return Signer(**{**own, **parts})


# --- Signatures ---


def test_a_call_signed_by_hand_is_answered(homeport: Homeport, signer: Signer, account: str) -> None:
    answer = call(homeport.url, "DescribeRegistry", {}, signer).expect(200)

    assert answer.json() == {"registryId": account, "replicationConfiguration": {"rules": []}}
    assert answer.header("Content-Type") == JSON
    uuid.UUID(answer.header("x-amzn-RequestId"))


def test_an_unsigned_call_is_refused(homeport: Homeport) -> None:
    answer = call(homeport.url, "DescribeRegistry", {}, None)

    assert fault(answer) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


def test_a_registry_password_does_not_open_the_api(homeport: Homeport) -> None:
    password = base64.b64encode(f"AWS:{homeport.password()}".encode()).decode()

    answer = call(homeport.url, "DescribeRegistry", {}, None, headers={"authorization": f"Basic {password}"})

    assert fault(answer)[0] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"secret": "x" * 40}, "InvalidSignatureException", "does not match the signature you provided"),
        ({"region": "eu-elsewhere-9"}, "InvalidSignatureException", "scoped to a valid region"),
        ({"service": "sts"}, "InvalidSignatureException", "scoped to correct service: 'ecr'"),
        ({"service": "ecr-public"}, "InvalidSignatureException", "scoped to correct service: 'ecr'"),
        ({"key_id": "AKIA" + "A" * 16}, "UnrecognizedClientException", "security token included in the requ"),
        ({"session_token": "made-up"}, "UnrecognizedClientException", "security token included in the reque"),
    ],
)
def test_a_signature_that_is_not_right_is_refused(
    homeport: Homeport, signer: Signer, wrong: dict[str, str], kind: str, words: str
) -> None:
    answer = call(homeport.url, "DescribeRegistry", {}, changed(signer, **wrong))

    assert fault(answer)[0] == kind
    assert words in fault(answer)[1]


def test_a_body_changed_after_signing_is_refused(homeport: Homeport, signer: Signer) -> None:
    signed = {"repositoryName": new_name()}
    sent = json.dumps({"repositoryName": new_name()}).encode()
    headers = {
        "host": homeport.host,
        "content-type": JSON,
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.CreateRepository",
    }
    headers = signer.sign("POST", headers, json.dumps(signed).encode())

    answer = OciClient(homeport.url).request("POST", "/", headers=headers, body=sent)

    assert fault(answer)[0] == "InvalidSignatureException"


@pytest.mark.parametrize("header", ["x-amz-target", "content-type", "host", "x-amz-date"])
def test_a_header_changed_after_signing_is_refused(homeport: Homeport, signer: Signer, header: str) -> None:
    headers = {
        "host": homeport.host,
        "content-type": JSON,
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry",
    }
    headers = signer.sign("POST", headers, b"{}")
    headers[header] = {
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
        "content-type": "application/json",
        "host": "localhost",
        "x-amz-date": (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ"),
    }[header]

    answer = OciClient(homeport.url).request("POST", "/", headers=headers, body=b"{}")

    assert fault(answer)[0] == "InvalidSignatureException"


@pytest.mark.parametrize("payload_hash", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64])
def test_the_body_must_be_covered_by_the_signature(
    homeport: Homeport, signer: Signer, payload_hash: str
) -> None:
    answer = call(homeport.url, "DescribeRegistry", {}, signer, payload_hash=payload_hash)

    assert fault(answer)[0] == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("minutes", "words"), [(-16, "Signature expired"), (16, "Signature not yet current")]
)
def test_a_clock_that_is_far_off_is_told_so(
    homeport: Homeport, signer: Signer, minutes: int, words: str
) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    answer = call(homeport.url, "DescribeRegistry", {}, signer, at=at)

    assert fault(answer)[0] == "InvalidSignatureException"
    assert fault(answer)[1].startswith(words)


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_a_little_off_is_no_matter(homeport: Homeport, signer: Signer, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    call(homeport.url, "DescribeRegistry", {}, signer, at=at).expect(200)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SignedHeaders=content-type;host;", "SignedHeaders=content-type;"),
        (";x-amz-target", ""),
        ("/aws4_request", "/aws4"),
        ("Signature=", "Sign="),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "),
    ],
)
def test_a_signature_that_is_malformed_or_leaves_out_a_header_is_incomplete(
    homeport: Homeport, signer: Signer, old: str, new: str
) -> None:
    headers = {
        "host": homeport.host,
        "content-type": JSON,
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry",
    }
    headers = signer.sign("POST", headers, b"{}")
    assert old in headers["authorization"]
    headers["authorization"] = headers["authorization"].replace(old, new)

    answer = OciClient(homeport.url).request("POST", "/", headers=headers, body=b"{}")

    assert fault(answer)[0] == "IncompleteSignatureException"


# --- Bodies ---


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"repositoryName":7}',
        b'{"repositoryName":"ab","repositoryName":"cd"}',
        b'{"repositoryNames":{}}',
        b'{"maxResults":true}',
        b'{"maxResults":1e400}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_cannot_be_read_is_a_serialization_error(
    homeport: Homeport, signer: Signer, body: bytes
) -> None:
    operation = "CreateRepository" if b'repositoryName"' in body else "DescribeRepositories"

    answer = call(homeport.url, operation, body, signer)

    assert fault(answer)[0] == "SerializationException"
    assert answer.status == 400


def test_unknown_members_and_nulls_are_ignored(homeport: Homeport, signer: Signer) -> None:
    params = {"repositoryName": new_name(), "tags": None, "somethingNew": {"a": [1]}}

    call(homeport.url, "CreateRepository", params, signer).expect(200)


def test_an_empty_body_equals_no_parameters(homeport: Homeport, signer: Signer) -> None:
    call(homeport.url, "DescribeRegistry", b"", signer).expect(200)


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("CreateRepository", {}, "'repositoryName' failed to satisfy constraint: 'Member must not be null'"),
        (
            "DescribeRepositories",
            {"maxResults": 0},
            "'maxResults' failed to satisfy constraint: 'Member must",
        ),
        ("DescribeRepositories", {"repositoryNames": []}, "greater than or equal to 1'"),
        (
            "DescribeRepositories",
            {"registryId": "12"},
            "'registryId' failed to satisfy constraint: 'Member m",
        ),
        (
            "ListImages",
            {"repositoryName": "ab", "filter": {"tagStatus": "SOME"}},
            "'filter.tagStatus' failed",
        ),
        ("BatchGetImage", {"repositoryName": "ab", "imageIds": [{}] * 101}, "less than or equal to 100'"),
    ],
)
def test_the_server_checks_what_a_client_may_leave_unchecked(
    homeport: Homeport, signer: Signer, operation: str, params: dict[str, Any], message: str
) -> None:
    answer = call(homeport.url, operation, params, signer)

    assert fault(answer)[0] == "InvalidParameterException"
    assert fault(answer)[1].startswith("Invalid parameter at '")
    assert message in fault(answer)[1]
    assert answer.status == 400


def test_a_body_over_the_limit_is_refused(homeport: Homeport, signer: Signer) -> None:
    answer = call(homeport.url, "DescribeRepositories", b" " * (2 * 1024 * 1024), signer)

    assert answer.status == 413
    assert fault(answer)[0] == "RequestEntityTooLargeException"


# --- Operations ---


def test_an_operation_that_nobody_knows_is_unknown(homeport: Homeport, signer: Signer) -> None:
    invented = call(homeport.url, "InventRepository", {}, signer)
    elsewhere = call(
        homeport.url, "DescribeRegistry", {}, signer, headers={"x-amz-target": "DynamoDB_20120810.ListTables"}
    )

    for answer in (invented, elsewhere):
        assert fault(answer)[0] == "UnknownOperationException"
        assert answer.header("x-amzn-ErrorType") == "UnknownOperationException"


def test_a_refusal_by_ecr_public_names_its_own_resources(homeport: Homeport, stranger: Credentials) -> None:
    public: Any = homeport.client("ecr-public", credentials=stranger)

    code, message = refused(public.describe_images, repositoryName="tools")

    assert code == "AccessDeniedException"
    assert f"arn:aws:ecr-public::{stranger.account_id}:repository/tools" in message


def test_a_path_without_anything_says_where_things_are(homeport: Homeport) -> None:
    answer = OciClient(homeport.url).request("GET", "/nothing/here")

    assert answer.status == 404
    assert "/v2/" in answer.json()["message"]


def test_errors_of_sts_are_xml(homeport: Homeport) -> None:
    unsigned = query_call(homeport.url, {"Action": "GetCallerIdentity"}, None)
    broken = OciClient(homeport.url).request("POST", "/", headers={"content-type": FORM}, body=b"Action=%zz")

    assert unsigned.status == 403
    assert unsigned.header("Content-Type") == "text/xml"
    assert b"<Code>MissingAuthenticationToken</Code>" in unsigned.body
    assert broken.status == 400
    assert b"<Code>MalformedInput</Code>" in broken.body
