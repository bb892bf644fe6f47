"""STS: who am I? The question that every AWS tool asks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import refused
from tests.api.signing import Signer, call, query_call
from tests.harness.oci import OciClient
from tests.harness.server import Credentials, Homeport


def test_callers_learn_who_they_are(
    homeport: Homeport, stranger: Credentials, neighbour: Credentials
) -> None:
    for who in (homeport.credentials, stranger, neighbour):
        identity = homeport.client("sts", credentials=who).get_caller_identity()

        assert identity["Account"] == who.account_id
        assert identity["Arn"] == who.user_arn
        assert identity["UserId"].startswith("AIDA")


def test_an_explicit_deny_does_not_hide_who_one_is(homeport: Homeport) -> None:
    denied = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    who = homeport.user("denied-everything", denied)

    identity = homeport.client("sts", credentials=who).get_caller_identity()

    assert identity["Arn"] == who.user_arn


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"aws_secret_access_key": "x" * 40}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIA" + "B" * 16}, "InvalidClientTokenId"),
        ({"region_name": "eu-west-9"}, "SignatureDoesNotMatch"),
        ({"aws_session_token": "made-up"}, "InvalidClientTokenId"),
    ],
)
def test_callers_who_cannot_prove_it_learn_nothing(
    homeport: Homeport, wrong: dict[str, Any], code: str
) -> None:
    sts: Any = homeport.client("sts", **wrong)

    assert refused(sts.get_caller_identity)[0] == code


def test_a_signature_for_ecr_is_not_one_for_sts(homeport: Homeport) -> None:
    answer = query_call(homeport.url, {"Action": "GetCallerIdentity"}, Signer.of(homeport.credentials))

    assert answer.status == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body


def test_other_operations_of_sts_are_invalid_actions(homeport: Homeport) -> None:
    sts: Any = homeport.client("sts")

    assert refused(sts.get_federation_token, Name="me")[0] == "InvalidAction"
    assert refused(sts.decode_authorization_message, EncodedMessage="x")[0] == "InvalidAction"


def test_an_answer_of_sts_has_the_shape_that_other_tools_parse(homeport: Homeport) -> None:
    signer = Signer.of(homeport.credentials, "sts")

    answer = query_call(homeport.url, {"Action": "GetCallerIdentity"}, signer).expect(200)

    text = answer.body.decode()
    assert '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">' in text
    assert f"<Arn>{homeport.credentials.user_arn}</Arn>" in text
    assert f"<RequestId>{answer.header('x-amzn-RequestId')}</RequestId>" in text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_presigned_address_says_who_made_it(homeport: Homeport, method: str) -> None:
    address = homeport.client("sts").generate_presigned_url("get_caller_identity", HttpMethod=method)
    path = address.removeprefix(homeport.url)

    answer = OciClient(homeport.url).request(method, path)
    changed = OciClient(homeport.url).request(method, path.replace("Expires=3600", "Expires=3601"))

    assert f"<Arn>{homeport.credentials.user_arn}</Arn>".encode() in answer.expect(200).body
    assert changed.status == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in changed.body


def test_words_of_a_client_do_not_become_operations_in_the_log(
    fresh_homeport: Callable[..., Homeport],
) -> None:
    server = fresh_homeport()

    answer = query_call(server.url, {"Action": "InventedByClient"}, None)
    server.terminate()

    by_id = {record.get("id"): record for record in server.log}
    assert b"<Code>MissingAuthenticationToken</Code>" in answer.body
    assert by_id[answer.header("x-amzn-RequestId")]["operation"] == "-"


def test_a_signature_for_sts_does_not_open_ecr(homeport: Homeport) -> None:
    answer = call(homeport.url, "DescribeRegistry", {}, Signer.of(homeport.credentials, "sts"))

    assert answer.json()["__type"] == "InvalidSignatureException"
