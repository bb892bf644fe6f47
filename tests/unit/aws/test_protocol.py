"""What a client of the AWS API sees of the wire: what botocore writes and what it reads."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from homeport.aws.protocol import SerializationError, error_json, load_services, parse_json, serialise_json
from homeport.aws.query import error_xml, parse_query, serialise_xml, validation_message
from homeport.aws.validation import violations

DIGEST = "sha256:" + "ab" * 32


def ecr(name: str) -> OperationModel:
    return load_services()["ecr"].operations[name]


def sts(name: str) -> OperationModel:
    return load_services()["sts"].operations[name]


def written_by_botocore(operation: OperationModel, params: dict[str, Any]) -> bytes:
    protocol = operation.service_model.metadata["protocol"]
    request = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    body: str | bytes | dict[str, Any] = request["body"]
    if isinstance(body, dict):
        return urlencode(body).encode()
    return body.encode() if isinstance(body, str) else body


def read_by_botocore(operation: OperationModel, body: bytes, status: int = 200) -> dict[str, Any]:
    protocol = operation.service_model.metadata["protocol"]
    response = {"status_code": status, "headers": {}, "body": body}
    assert operation.output_shape is not None
    parsed: dict[str, Any] = create_parser(protocol).parse(response, operation.output_shape)
    return parsed


def without_metadata(parsed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parsed.items() if name != "ResponseMetadata"}


# --- The services --------------------


def test_the_services_are_those_that_aws_clients_address() -> None:
    services = load_services()

    known = {name: (one.target_prefix, one.signing_name, one.protocol) for name, one in services.items()}
    assert known == {
        "ecr": ("AmazonEC2ContainerRegistry_V20150921", "ecr", "json"),
        "ecr-public": ("SpencerFrontendService", "ecr-public", "json"),
        "sts": (None, "sts", "query"),
        "iam": (None, "iam", "query"),
        "secretsmanager": ("secretsmanager", "secretsmanager", "json"),
        "homeport": ("Homeport_V20261101", "homeport", "json"),
    }
    assert {"CreateRepository", "BatchGetImage", "UploadLayerPart"} <= services["ecr"].operations.keys()


def test_the_models_are_loaded_once() -> None:
    assert load_services() is load_services()


def test_importing_the_protocol_loads_no_model() -> None:
    program = (
        "import homeport.aws.protocol as p, homeport.aws.query, homeport.aws.validation;"
        "print(p.load_services.cache_info().currsize)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}
    )

    assert printed.stdout.strip() == "0"


# --- Reading JSON --------------------


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("GetAuthorizationToken", {}),
        ("DescribeRepositories", {"repositoryNames": ["shop/cart", "shop/till"], "registryId": "1" * 12}),
        ("ListImages", {"repositoryName": "shop", "maxResults": 7, "filter": {"tagStatus": "TAGGED"}}),
        (
            "BatchGetImage",
            {"repositoryName": "shop", "imageIds": [{"imageTag": "v1"}, {"imageDigest": DIGEST}]},
        ),
        ("DeleteRepository", {"repositoryName": "shop", "force": True}),
        ("PutImage", {"repositoryName": "shop", "imageManifest": '{"layers": [{"a": "\\"[[{{"}]}'}),
        (
            "UploadLayerPart",
            {
                "repositoryName": "shop",
                "uploadId": "u",
                "partFirstByte": 0,
                "partLastByte": 4_999_999_999,
                "layerPartBlob": bytes(range(256)),
            },
        ),
        (
            "CreateRepository",
            {
                "repositoryName": "shop/cart",
                "tags": [{"Key": "team", "Value": "Käse 🧀"}],
                "imageTagMutability": "IMMUTABLE",
                "imageScanningConfiguration": {"scanOnPush": False},
            },
        ),
    ],
)
def test_a_request_of_botocore_is_read_as_the_parameters_the_user_gave(
    name: str, params: dict[str, Any]
) -> None:
    operation = ecr(name)

    assert parse_json(operation, written_by_botocore(operation, params)) == params


def test_an_empty_body_is_a_request_without_parameters() -> None:
    assert parse_json(ecr("DescribeRepositories"), b"") == {}


def test_unknown_members_and_nulls_are_ignored() -> None:
    body = b'{"repositoryName": "shop", "force": null, "novelty": {"x": [1, null]}}'

    assert parse_json(ecr("DeleteRepository"), body) == {"repositoryName": "shop"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "Expected an object as request body"),
        (b"null", "Expected an object as request body"),
        (b'{"repositoryName": 7}', "Expected a string at 'repositoryName'"),
        (b'{"repositoryName": ["a"]}', "Expected a string at 'repositoryName'"),
        (b'{"maxResults": true}', "Expected an integer of 32 bits at 'maxResults'"),
        (b'{"maxResults": 1.0}', "Expected an integer of 32 bits at 'maxResults'"),
        (b'{"maxResults": "1"}', "Expected an integer of 32 bits at 'maxResults'"),
        (b'{"maxResults": 2147483648}', "Expected an integer of 32 bits at 'maxResults'"),
        (b'{"imageIds": {}}', "Expected a list at 'imageIds'"),
        (b'{"imageIds": [{}, "v1"]}', "Expected an object at 'imageIds.2.member'"),
        (b'{"imageIds": [null]}', "Expected an object at 'imageIds.1.member'"),
        (b'{"imageIds": [{"imageTag": false}]}', "Expected a string at 'imageIds.1.member.imageTag'"),
        (b'{"filter": {"tagStatus": 1}}', "Expected a string at 'filter.tagStatus'"),
        (b'{"a": 1, "a": 1}', "The request body repeats a key within one object"),
        (b'{"x": [{"a": 1, "a": 2}]}', "The request body repeats a key within one object"),
        (b'{"x": NaN}', "The request body holds NaN, which is not a JSON number"),
        (b'{"x": -Infinity}', "The request body holds -Infinity, which is not a JSON number"),
        (b'{"x": 1e999}', "The request body holds a number that is out of range"),
        (b'{"x": "\\ud800"}', "The request body holds half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "The request body holds half of a surrogate pair"),
        (b'{"x": [["\\udc00\\ud800"]]}', "The request body holds half of a surrogate pair"),
        (b'{"x": "\xff"}', "The request body is not UTF-8"),
        (b'{"x": "\xed\xa0\x80"}', "The request body is not UTF-8"),
        (b"{", "The request body is not valid JSON"),
        (b"{} {}", "The request body is not valid JSON"),
        (b"\xef\xbb\xbf{}", "The request body is not valid JSON"),
        (b'{"x": ' + b"9" * 5000 + b"}", "The request body is not valid JSON"),
        (b'{"x": ' + b"[" * 32 + b"]" * 32 + b"}", "The request body is nested too deeply"),
        (b'{"x":' * 200_000, "The request body holds too many values"),
        (b'{"x": [' + b"0," * 70_000 + b"0]}", "The request body holds too many values"),
        (b'"' * 1_000_000 + b"," * 70_000, "The request body holds too many values"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(SerializationError) as refused:
        parse_json(ecr("DescribeImages"), body)

    assert refused.value.message == message


def test_a_body_at_the_depth_bound_is_read() -> None:
    body = b'{"x": ' + b"[" * 31 + b"]" * 31 + b"}"

    assert parse_json(ecr("DescribeImages"), body) == {}


def test_a_text_full_of_brackets_and_commas_counts_as_one_value() -> None:
    manifest = '[{"\\' * 100_000 + "," * 100_000

    params = parse_json(ecr("PutImage"), json.dumps({"imageManifest": manifest}).encode())

    assert params == {"imageManifest": manifest}


def test_a_surrogate_pair_is_one_character() -> None:
    params = parse_json(ecr("DescribeImages"), b'{"repositoryName": "\\ud83e\\uddc0"}')

    assert params == {"repositoryName": "🧀"}


@pytest.mark.parametrize(
    "blob", ['"QUJD\\n"', '"QUJ"', '"QQ="', '"QUJD=="', '"QUJD===="', '"=QQ="', '"Q-_D"', '"ä"', "[65]", "65"]
)
def test_a_layer_part_in_sloppy_base64_is_refused(blob: str) -> None:
    body = f'{{"layerPartBlob": {blob}}}'.encode()

    with pytest.raises(SerializationError, match="Expected a base64 string at 'layerPartBlob'"):
        parse_json(ecr("UploadLayerPart"), body)


# --- Writing JSON --------------------


def test_an_answer_is_read_by_botocore_as_what_the_handler_returned() -> None:
    created = datetime(2026, 1, 20, 10, 0, 0, 500_000, UTC)
    result = {
        "repository": {
            "repositoryName": "shop/cart",
            "registryId": "111122223333",
            "createdAt": created,
            "imageTagMutability": "MUTABLE",
            "imageScanningConfiguration": {"scanOnPush": False},
        }
    }
    operation = ecr("CreateRepository")

    body = serialise_json(operation, result)

    assert b'"createdAt":1768903200.5' in body
    assert without_metadata(read_by_botocore(operation, body)) == result


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (datetime(2026, 1, 20, 10, 0, 0, 123_999, UTC), b"1768903200.123"),
        (datetime(2026, 1, 20, 10, 0, 0, 999, UTC), b"1768903200"),
        (datetime(2026, 1, 20, 12, 0, 0, 0, timezone(timedelta(hours=2))), b"1768903200"),
    ],
)
def test_a_time_is_written_in_epoch_seconds_cut_to_milliseconds(moment: datetime, number: bytes) -> None:
    body = serialise_json(ecr("CreateRepository"), {"repository": {"createdAt": moment}})

    assert body == b'{"repository":{"createdAt":' + number + b"}}"


def test_members_without_a_value_are_left_out() -> None:
    body = serialise_json(ecr("ListImages"), {"imageIds": [{"imageTag": None}], "nextToken": None})

    assert body == b'{"imageIds":[{}]}'


@pytest.mark.parametrize(
    "result",
    [
        {"surprise": None},
        {"imageIds": [{"surprise": 1}]},
        {"imageIds": "abc"},
        {"imageIds": [None]},
        {"imageIds": [{"imageTag": 1}]},
        {"nextToken": b"bytes"},
        [],
    ],
)
def test_a_result_that_does_not_fit_the_output_is_caught(result: Any) -> None:
    with pytest.raises(TypeError):
        serialise_json(ecr("ListImages"), result)


@pytest.mark.parametrize("moment", [datetime(2026, 1, 20), 1768903200, "2026-01-20"])  # noqa: DTZ001
def test_a_time_without_a_zone_is_caught(moment: Any) -> None:
    with pytest.raises(TypeError):
        serialise_json(ecr("CreateRepository"), {"repository": {"createdAt": moment}})


def test_an_error_reaches_boto_with_its_name_and_message() -> None:
    operation = ecr("UploadLayerPart")
    body = error_json("InvalidLayerPartException", "Part out of “order”", {"lastValidByteReceived": 9})

    parsed = read_by_botocore(operation, body, status=400)

    assert parsed["Error"] == {"Code": "InvalidLayerPartException", "Message": "Part out of “order”"}
    assert json.loads(body)["lastValidByteReceived"] == 9


# --- The query protocol --------------------


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("GetCallerIdentity", {}),
        (
            "AssumeRole",
            {
                "RoleArn": "arn:aws:iam::111122223333:role/pull & push",
                "RoleSessionName": "ci=1+1",
                "DurationSeconds": 3600,
                "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/A"}, {"arn": "arn:aws:iam::aws:policy/B"}],
                "Tags": [{"Key": "Käse", "Value": ""}],
                "TransitiveTagKeys": [f"k{number}" for number in range(11)],
                "ProvidedContexts": [],
            },
        ),
    ],
)
def test_a_query_of_botocore_is_read_as_the_parameters_the_user_gave(
    name: str, params: dict[str, Any]
) -> None:
    request = parse_query(load_services()["sts"], written_by_botocore(sts(name), params))

    assert (request.action, request.version, request.operation) == (name, "2011-06-15", sts(name))
    assert request.params == params


def test_an_unknown_action_is_left_to_the_front() -> None:
    request = parse_query(load_services()["sts"], b"Action=MakeTea&Version=2011-06-15&Cup.1=x")

    assert (request.action, request.operation, request.params) == ("MakeTea", None, {})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (b"", "The parameter 'Action' is missing"),
        (b"Action=AssumeRole", "The parameter 'Version' is missing"),
        (b"Action=A&Version=1&Action=B", "The parameter 'Action' is repeated"),
        (b"Action.x=A&Version=1", "The parameter 'Action' is missing"),
        (b"Action=AssumeRole&Version=1&junk", "The request is not well form-encoded"),
        (b"Action=AssumeRole&Version=1&RoleArn=%zz", "The request is not well form-encoded"),
        (b"Action=AssumeRole&Version=1&RoleArn=%ff", "The request is not well form-encoded"),
        (b"Action=AssumeRole&Version=1&RoleArn=\xc3\xa4", "The request is not well form-encoded"),
        (b"Action=AssumeRole&Version=1&RoleArn.x=1", "Expected a single value at 'RoleArn'"),
        (b"Action=AssumeRole&Version=1&RoleArn=1&RoleArn.x=1", "Expected a single value at 'RoleArn'"),
        (
            b"Action=AssumeRole&Version=1&DurationSeconds=1e3",
            "Expected an integer of 32 bits at 'DurationSeconds'",
        ),
        (
            b"Action=AssumeRole&Version=1&DurationSeconds=99999999999",
            "Expected an integer of 32 bits at 'DurationSeconds'",
        ),
        (
            b"Action=AssumeRole&Version=1&Tags=x",
            "Expected a list at 'Tags', numbered from 1 without gaps",
        ),
        (
            b"Action=AssumeRole&Version=1&TransitiveTagKeys.member.2=x",
            "Expected a list at 'TransitiveTagKeys', numbered from 1 without gaps",
        ),
        (
            b"Action=AssumeRole&Version=1&TransitiveTagKeys.member.01=x",
            "Expected a list at 'TransitiveTagKeys', numbered from 1 without gaps",
        ),
        (b"Action=AssumeRole&Version=1&Tags.member.1=x", "Expected members below 'Tags.1.member'"),
        (b"Action=A&Version=1&" + b".".join([b"a"] * 30) + b"=1", "A parameter name is nested too deeply"),
        (
            b"Action=A&Version=1&" + b"&".join(b"a%d=1" % number for number in range(1000)),
            "The request is not well form-encoded",
        ),
        (b"Action=A&Version=1&a=" + b"x" * 300_000, "The request is larger than a query may be"),
    ],
)
def test_an_ambiguous_or_oversized_query_is_refused_with_the_reason(form: bytes, message: str) -> None:
    with pytest.raises(SerializationError) as refused:
        parse_query(load_services()["sts"], form)

    assert refused.value.message == message


def test_the_caller_identity_reaches_boto_with_its_request_id() -> None:
    result = {"UserId": "AIDA<&>", "Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/ä"}
    operation = sts("GetCallerIdentity")

    body = serialise_xml(load_services()["sts"], operation, result, "0b1c")

    assert body.startswith(
        b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    )
    parsed = read_by_botocore(operation, body)
    assert without_metadata(parsed) == result
    assert parsed["ResponseMetadata"]["RequestId"] == "0b1c"


def test_session_credentials_reach_boto_with_their_end() -> None:
    end = datetime(2026, 1, 20, 10, 0, 0, tzinfo=UTC)
    result = {
        "Credentials": {
            "AccessKeyId": "ASIA" + "A" * 16,
            "SecretAccessKey": "a/b+c",
            "SessionToken": "t",
            "Expiration": end,
        },
        "PackedPolicySize": 6,
    }
    operation = sts("AssumeRole")

    body = serialise_xml(load_services()["sts"], operation, result, "0b1c")

    assert b"<Expiration>2026-01-20T10:00:00Z</Expiration>" in body
    assert without_metadata(read_by_botocore(operation, body)) == result


@pytest.mark.parametrize("result", [{"Surprise": "x"}, {"Account": 1}, []])
def test_an_xml_result_that_does_not_fit_the_output_is_caught(result: Any) -> None:
    with pytest.raises(TypeError):
        serialise_xml(load_services()["sts"], sts("GetCallerIdentity"), result, "0b1c")


@pytest.mark.parametrize(("sender", "blamed"), [(True, "Sender"), (False, "Receiver")])
def test_a_query_error_survives_hostile_text(sender: bool, blamed: str) -> None:
    body = error_xml("ValidationError", "</Message>\x00\x1b & \ud800\uffff", "0b1c", sender)

    parsed = read_by_botocore(sts("AssumeRole"), body, status=400)

    assert parsed["Error"] == {
        "Code": "ValidationError",
        "Message": "</Message>\ufffd\ufffd & \ufffd\ufffd",
        "Type": blamed,
    }


def test_sts_lists_every_violation_and_keeps_secrets() -> None:
    params = {"RoleSessionName": "x", "DurationSeconds": 1}

    message = validation_message(violations(sts("AssumeRole"), params))

    assert message == (
        "3 validation errors detected: "
        "Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
        "Value 'x' at 'roleSessionName' failed to satisfy constraint: "
        "Member must have length greater than or equal to 2; "
        "Value '1' at 'durationSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 900"
    )
    token = validation_message(violations(sts("AssumeRoleWithWebIdentity"), {"WebIdentityToken": "abc"}))
    assert "Value at 'webIdentityToken'" in token
    assert "abc" not in token


def test_base64_of_a_full_part_is_read_whole() -> None:
    part = bytes(10_485_760)
    body = b'{"layerPartBlob":"' + base64.b64encode(part) + b'"}'

    assert parse_json(ecr("UploadLayerPart"), body) == {"layerPartBlob": part}
