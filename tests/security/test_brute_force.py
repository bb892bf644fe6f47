"""Case A18 over the network: who guesses credentials is told to wait, and whoever has good ones never notices."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from homeport.config import Settings
from tests.api.federation import Tenant, trusting
from tests.api.issued import password
from tests.api.signing import Signer, query_call
from tests.harness.issuer import Issuer, SigningKey, signed
from tests.harness.server import Homeport, LogRecord
from tests.oci.conftest import self_signed

SETTING = "HOMEPORT_AUTHENTICATION_THROTTLING"
BURST = 4
SLOW = {SETTING: f"{BURST}/600"}  # nobody earns another failure while a test runs


@pytest.fixture(scope="module")
def guarded() -> Iterator[Homeport]:
    """A server that takes few failures. Each test comes from addresses of its own."""
    with Homeport(environment=SLOW) as server:
        yield server
        server.terminate()
        assert server.defects == []


@pytest.fixture
def address() -> str:
    """An address of this host that no other test uses."""
    number = uuid.uuid4().int
    return f"127.{number % 200 + 20}.{number // 200 % 250 + 1}.{number // 50_000 % 250 + 1}"


def basic(password: str, user: str = "AWS") -> str:
    """A Basic header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def send(
    server: Homeport, source: str, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request from an address of this host; return status, headers and body."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(
        place.hostname or "", place.port, timeout=20, source_address=(source, 0)
    )
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask(
    server: Homeport, source: str, path: str, authorization: str, host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """GET a path of the registry."""
    proof = {"Authorization": authorization} if authorization else {}
    return send(server, source, "GET", path, {"Host": host or urlsplit(server.url).netloc, **proof})


def api(server: Homeport, source: str, signer: Signer) -> tuple[int, str, str]:
    """DescribeRepositories; return status and the error's code and message."""
    headers = {
        "host": urlsplit(server.url).netloc,
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
    }
    status, _, body = send(server, source, "POST", "/", signer.sign("POST", headers, b"{}"), b"{}")
    found = json.loads(body)
    return status, found.get("__type", ""), found.get("message", "")


def throttled(server: Homeport, source: str) -> list[LogRecord]:
    """What the log says about pauses that this source began before now."""
    marker = f"/v2/{uuid.uuid4().hex}/tags/list"  # its line comes after all that happened before
    ask(server, "127.0.0.1", marker, "")
    server.wait_for_log(lambda record: True if record.get("path") == marker else None, "the marker")
    return [
        record
        for record in server.log
        if record.get("event") == "authentication_throttled" and record.get("source") == source
    ]


def test_a18_wrong_registry_passwords_are_told_to_wait_and_the_right_one_passes(
    guarded: Homeport, address: str
) -> None:
    guesses = [
        basic(f"guess-{number}") for number in range(BURST + 2)
    ]  # of the user AWS, whom everybody names
    answers = [ask(guarded, address, "/v2/", guess) for guess in guesses]
    good = ask(guarded, address, "/v2/", basic(guarded.password()))[0]
    again = ask(guarded, address, "/v2/", basic("guess"))[0]

    assert [status for status, _, _ in answers] == [401] * BURST + [429] * 2
    _, headers, body = answers[-1]
    assert json.loads(body)["errors"] == [{"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}]
    assert 1 <= int(headers["retry-after"]) <= 600
    assert "www-authenticate" not in headers
    assert (good, again) == (200, 429)


def test_a18_others_behind_another_address_are_told_that_their_password_is_wrong(
    guarded: Homeport, address: str
) -> None:
    other = f"{address.rpartition('.')[0]}.254"
    for number in range(BURST + 1):
        ask(guarded, address, "/v2/", basic("x", f"{address}-{number}"))

    assert ask(guarded, address, "/v2/", basic("x", address))[0] == 429
    assert ask(guarded, other, "/v2/", basic("x", address))[0] == 401


def test_a18_a_user_guessed_at_from_many_addresses_is_protected_too(guarded: Homeport) -> None:
    name = f"victim-{uuid.uuid4().hex}"

    found = [
        ask(guarded, f"127.8.0.{number + 1}", "/v2/x/tags/list", basic("guess", name))[0]
        for number in range(BURST + 2)
    ]

    assert found == [401] * BURST + [429] * 2


def test_a18_no_credentials_and_expired_ones_are_no_attempts(guarded: Homeport, address: str) -> None:
    old = password(guarded, guarded.credentials, age=timedelta(hours=13))
    for _ in range(BURST * 3):
        assert ask(guarded, address, "/v2/", "")[0] == 401
        assert ask(guarded, address, "/v2/", basic(old))[0] == 403

    for _ in range(BURST):
        assert ask(guarded, address, "/v2/", basic("guess", address))[0] == 401
    assert throttled(guarded, address) == []


@pytest.mark.parametrize("path", ["/token/", "/v2/"])
def test_a18_the_public_host_and_its_token_endpoint_count_too(
    guarded: Homeport, address: str, path: str
) -> None:
    host = "public.ecr.localhost"

    found = [
        ask(guarded, address, path, basic("guess", f"{address}-{number}"), host)
        for number in range(BURST + 1)
    ]

    assert [status for status, _, _ in found] == [401] * BURST + [429]
    assert "retry-after" in found[-1][1]
    assert ask(guarded, address, "/token/", basic(guarded.password()), host)[0] == 200


def test_a18_one_wrong_password_is_one_attempt_although_two_kinds_are_tried(
    guarded: Homeport, address: str
) -> None:
    found = [ask(guarded, address, "/v2/", basic("x", f"{address}{number}"))[0] for number in range(BURST)]

    assert found == [401] * BURST


@pytest.mark.parametrize("kind", ["unknown key", "wrong secret"])
def test_a18_bad_signatures_are_told_to_wait_and_good_ones_pass(
    guarded: Homeport, address: str, kind: str
) -> None:
    who = guarded.account()
    good = Signer.of(who)
    bad = (
        Signer("AKIA" + uuid.uuid4().hex[:16].upper(), "x" * 40, who.region)
        if kind == "unknown key"
        else Signer(who.access_key_id, "x" * 40, who.region)
    )
    code = "UnrecognizedClientException" if kind == "unknown key" else "InvalidSignatureException"

    found = [api(guarded, address, bad) for _ in range(BURST + 2)]

    assert [name for _, name, _ in found] == [code] * BURST + ["ThrottlingException"] * 2
    assert found[-1] == (400, "ThrottlingException", "Rate exceeded")
    assert api(guarded, address, good)[0] == 200


def test_a18_a_key_guessed_at_still_works_for_its_owner_on_every_service(guarded: Homeport) -> None:
    who = guarded.account()
    bad = Signer(who.access_key_id, "x" * 40, who.region, "sts")

    answers = [query_call(guarded.url, {"Action": "GetCallerIdentity"}, bad) for _ in range(BURST + 1)]

    assert answers[-1].status == 400
    assert b"<Code>SignatureDoesNotMatch</Code>" in answers[0].body
    assert b"<Code>Throttling</Code>" in answers[-1].body
    assert b"<Message>Rate exceeded</Message>" in answers[-1].body
    assert guarded.client("sts", credentials=who).get_caller_identity()["Account"] == who.account_id
    again = api(guarded, "127.6.6.6", Signer(who.access_key_id, "y" * 40, who.region))
    assert again[1] == "ThrottlingException"


def test_a18_every_pause_leaves_an_event_that_holds_no_secret(guarded: Homeport, address: str) -> None:
    who = guarded.account()
    for _ in range(BURST + 3):
        api(guarded, address, Signer(who.access_key_id, "x" * 40, who.region))
    typo = "password-typed-as-the-name"
    user = f"{typo}-{uuid.uuid4().hex}"
    for number in range(BURST + 1):
        ask(guarded, f"127.7.0.{number + 1}", "/v2/", basic("guessed-password", user))

    (event,) = throttled(guarded, address)
    assert event["by"] == "source"
    assert event["principal"] == f"key:{who.access_key_id}"
    assert event["seconds"] == 600
    assert event["level"] == "warning"
    (of_user,) = throttled(guarded, f"127.7.0.{BURST + 1}")
    assert of_user["by"] == "principal"
    assert of_user["principal"].startswith("registry:")
    assert not [line for line in guarded.output if typo in line or "guessed-password" in line]


def test_a18_bad_web_identity_tokens_are_told_to_wait_and_good_ones_pass(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        Issuer(*self_signed(tmp_path_factory.mktemp("issuer"))) as issuer,
        trusting(issuer, **SLOW) as house,
    ):
        tenant = Tenant(house, issuer)
        forger = SigningKey(kid=issuer.key.kid)
        forged = signed(forger, issuer.claims(tenant.path))

        found = [tenant.refusal(forged) for _ in range(BURST + 2)]

        assert [code for code, _ in found] == ["InvalidIdentityToken"] * BURST + ["Throttling"] * 2
        assert found[-1][1] == "Rate exceeded"
        assert tenant.outcome() == "done"


def test_a18_it_is_on_by_default_and_the_operator_sees_a_count() -> None:
    usual = Settings.model_fields["authentication_throttling"].default
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free_port = taken.getsockname()[1]
    options = ["--metrics-port", str(free_port)]
    with Homeport(environment={SETTING: usual}, options=options) as server:
        found = [ask(server, "127.0.0.1", "/v2/", basic("guess", f"u{number}"))[0] for number in range(25)]
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()

    refused_, throttled_ = found.count(401), found.count(429)
    assert (refused_ + throttled_, refused_ >= 20, throttled_ >= 1) == (25, True, True)
    name = "homeport_authentication_failures_total"
    assert f'{name}{{outcome="refused"}} {refused_:.1f}' in lines
    assert f'{name}{{outcome="throttled"}} {throttled_:.1f}' in lines


def test_a18_switched_off_every_failure_is_answered_as_such(homeport: Homeport) -> None:
    found = {ask(homeport, "127.0.0.1", "/v2/", basic("guess"))[0] for _ in range(40)}

    assert found == {401}


def test_a18_a_role_session_with_a_forged_token_counts_as_its_key(guarded: Homeport, address: str) -> None:
    who = guarded.account()
    sts: Any = guarded.client("sts", credentials=who)
    keys = sts.get_session_token()["Credentials"]
    forged = Signer(
        keys["AccessKeyId"], keys["SecretAccessKey"], who.region, "ecr", keys["SessionToken"][:-4]
    )

    found = [api(guarded, address, forged)[1] for _ in range(BURST + 1)]

    assert found == ["UnrecognizedClientException"] * BURST + ["ThrottlingException"]
