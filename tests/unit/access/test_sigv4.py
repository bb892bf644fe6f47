"""Signature Version 4: botocore signs, we verify; then someone interferes and we refuse."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from homeport.access import sigv4
from homeport.access.sigv4 import MISMATCH, verify
from homeport.access.sigv4_claim import Claim, SigningRequest, read_claim
from homeport.kernel import errors

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
STAMP = "20260101T120000Z"
REGION = "eu-west-1"
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY = b'{"maxResults": 10}'
API_HEADERS = {
    "Host": "api.ecr.eu-west-1.amazonaws.com",
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
    "User-Agent": "Boto3/1.44",
}
SECOND = timedelta(seconds=1)


def signed(
    method: str = "POST",
    url: str = "https://api.ecr.eu-west-1.amazonaws.com/",
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
    *,
    token: str | None = None,
    expires: int | None = None,
    context: dict[str, object] | None = None,
) -> SigningRequest:
    """A request signed by botocore at NOW, as a server would see it."""
    request = AWSRequest(method, url, headers=dict(API_HEADERS if headers is None else headers), data=body)
    request.context.update(context or {})
    credentials = Credentials(KEY, SECRET, token)
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        if expires is None:
            SigV4Auth(credentials, "ecr", REGION).add_auth(request)
        else:
            SigV4QueryAuth(credentials, "ecr", REGION, expires=expires).add_auth(request)
    parts = urlsplit(str(request.url))
    return SigningRequest(method, parts.path or "/", parts.query, tuple(request.headers.items()))


def presigned(expires: int = 60, token: str | None = None) -> SigningRequest:
    return signed(
        "GET", "https://host.test/?Action=Get", {"Host": "host.test"}, b"", expires=expires, token=token
    )


def check(
    request: SigningRequest,
    body: bytes | None = BODY,
    *,
    now: datetime = NOW,
    secret: str = SECRET,
    region: str = REGION,
    services: tuple[str, ...] = ("ecr",),
) -> Claim:
    claim = read_claim(request)
    assert claim is not None
    digest = None if body is None else hashlib.sha256(body).hexdigest()
    verify(claim, request, secret, now=now, region=region, services=services, body_sha256=digest)
    return claim


def with_header(request: SigningRequest, name: str, value: str | None) -> SigningRequest:
    """The request with one header replaced (or removed)."""
    kept = [(key, old) for key, old in request.headers if key.lower() != name.lower()]
    return replace(request, headers=(*kept, *([(name, value)] if value is not None else [])))


def header(request: SigningRequest, name: str) -> str:
    return next(value for key, value in request.headers if key.lower() == name.lower())


# Accepting


def test_a_request_signed_by_botocore_is_accepted_and_says_who_signed_it() -> None:
    claim = check(signed())

    assert (claim.access_key_id, claim.date, claim.region, claim.service) == (KEY, "20260101", REGION, "ecr")
    assert claim.signed_headers == ("content-type", "host", "x-amz-date", "x-amz-target")
    assert (claim.signed_at, claim.session_token, claim.presigned_seconds) == (NOW, None, None)


def test_temporary_credentials_bring_their_signed_session_token() -> None:
    claim = check(signed(token="session-token-text"))

    assert claim.session_token == "session-token-text"
    assert "x-amz-security-token" in claim.signed_headers


def test_a_presigned_address_is_accepted_with_and_without_session_token() -> None:
    for token in (None, "session/token+text=="):
        claim = check(presigned(token=token), None)

        assert (claim.session_token, claim.presigned_seconds) == (token, 60)


def test_the_published_example_of_aws_verifies() -> None:
    # "Signature Version 4 signing process", the ListUsers example of the AWS General Reference.
    request = SigningRequest(
        "GET",
        "/",
        "Action=ListUsers&Version=2010-05-08",
        (
            ("Host", "iam.amazonaws.com"),
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("X-Amz-Date", "20150830T123600Z"),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                "SignedHeaders=content-type;host;x-amz-date, "
                "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ),
    )

    check(
        request,
        b"",
        now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
        secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region="us-east-1",
        services=("iam",),
    )


@pytest.mark.parametrize("separator", [",", ", ", " , ", "  ", ",\t"])
def test_parts_of_the_authorization_header_may_be_separated_freely(separator: str) -> None:
    request = signed()
    loose = header(request, "Authorization").replace(", ", separator)

    check(with_header(request, "authorization", f" {loose} "))


def test_a_request_dated_by_the_date_header_is_accepted() -> None:
    request = signed(headers={**API_HEADERS, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"})

    assert "x-amz-date" not in {name.lower() for name, _ in request.headers}
    check(request)


@pytest.mark.parametrize(
    "path", ["/", "/a/b", "/a//b/./c/../d/", "/a%20b/%2F", "/%C3%A9/~x", "//", "/..", "/a/.."]
)
def test_paths_are_read_as_botocore_writes_them(path: str) -> None:
    check(signed(url=f"https://host.test{path}"))


@pytest.mark.parametrize(
    "query", ["b=2&a=1", "a=2&a=1", "a", "a=&b", "a=x/y+z", "a=%2f&b=%20", "a=1&&b=2", "é=ü"]
)
def test_queries_signed_as_sent_are_accepted(query: str) -> None:
    check(signed(url=f"https://host.test/?{query}"))


@pytest.mark.parametrize(("sent", "canonical"), [("a=x+y", "a=x%20y"), ("b=/&a=%7e", "b=%2F&a=~")])
def test_queries_that_an_http_library_spelled_differently_are_accepted(sent: str, canonical: str) -> None:
    request = signed(url=f"https://host.test/?{canonical}")

    check(replace(request, raw_query=sent))


def test_a_plus_sign_does_not_stand_for_an_encoded_plus() -> None:
    request = signed(url="https://host.test/?a=x%2By")

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(replace(request, raw_query="a=x+y"))


def test_spaces_in_header_values_are_folded_and_repeated_headers_joined() -> None:
    request = signed(headers={**API_HEADERS, "X-Custom": "a b,c"})

    folded = with_header(request, "X-Custom", None)
    folded = replace(folded, headers=(*folded.headers, ("x-custom", "  a \t  b "), ("X-CUSTOM", "c")))

    check(folded)


def test_a_body_hash_header_that_agrees_with_the_body_is_accepted() -> None:
    check(signed(headers={**API_HEADERS, "X-Amz-Content-SHA256": hashlib.sha256(BODY).hexdigest()}))


def test_a_presigned_get_may_leave_its_missing_body_unsigned() -> None:
    request = signed(
        "GET",
        "https://host.test/",
        {"Host": "host.test"},
        b"",
        expires=60,
        context={"payload_signing_enabled": False},
    )
    body_hash = [(name, value) for name, value in request.headers if name.lower() == "x-amz-content-sha256"]

    assert not body_hash or body_hash[0][1] == sigv4.UNSIGNED_PAYLOAD
    check(request, None)


def test_a_request_that_is_not_signed_this_way_is_left_to_others() -> None:
    for headers, query in (
        ((), ""),
        ((("Authorization", "Basic QVdTOng="),), ""),
        ((("Authorization", "Bearer abc"),), "n=5&last=x"),
        ((("authorization", ""),), "X-Amz-Date=20260101T000000Z"),
    ):
        assert read_claim(SigningRequest("GET", "/v2/", query, headers)) is None


# Refusing what was changed


@pytest.mark.parametrize(
    "change",
    [
        lambda request: replace(request, method="PUT"),
        lambda request: replace(request, raw_path="/other"),
        lambda request: replace(request, raw_query="a=1"),
        lambda request: with_header(request, "Host", "evil.test"),
        lambda request: with_header(request, "Content-Type", "text/plain"),
        lambda request: with_header(
            request, "X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.DeleteRepository"
        ),
        lambda request: with_header(request, "X-Amz-Date", "20260101T120001Z"),
        lambda request: with_header(request, "X-Amz-Security-Token", "another-token"),
    ],
)
def test_changing_any_signed_part_breaks_the_signature(change: object) -> None:
    request = signed(token="session-token-text")
    check(request)

    assert callable(change)
    with pytest.raises(errors.SignatureDoesNotMatch) as refusal:
        check(change(request))

    assert refusal.value.message == MISMATCH


def test_another_body_another_secret_or_no_secret_is_refused() -> None:
    request = signed()

    for body, secret in (
        (BODY + b" ", SECRET),
        (b"", SECRET),
        (None, SECRET),
        (BODY, SECRET[:-1]),
        (BODY, ""),
    ):
        with pytest.raises(errors.SignatureDoesNotMatch, match="request signature we calculated"):
            check(request, body, secret=secret)


def test_an_account_without_secret_cannot_be_impersonated_with_an_empty_secret() -> None:
    request = AWSRequest("POST", "https://host.test/", headers=dict(API_HEADERS), data=BODY)
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        SigV4Auth(Credentials(KEY, ""), "ecr", REGION).add_auth(request)

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(SigningRequest("POST", "/", "", tuple(request.headers.items())), secret="")


def test_every_character_of_the_signature_matters() -> None:
    request = signed()
    authorization = header(request, "Authorization")

    for place in range(1, 65):
        changed = "0" if authorization[-place] != "0" else "1"
        end = authorization[len(authorization) - place + 1 :]
        forged = authorization[:-place] + changed + end
        with pytest.raises(errors.SignatureDoesNotMatch):
            check(with_header(request, "Authorization", forged))


def test_a_cached_signing_key_does_not_outlive_a_change_of_the_secret() -> None:
    request = signed()
    check(request)

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(request, secret="another" + SECRET)

    check(request)


def test_the_cache_of_signing_keys_is_bounded_and_holds_no_secret() -> None:
    claim = check(signed())
    keys = sigv4._SigningKeys(limit=3)

    made = [keys.get(claim, f"secret {number}") for number in range(10)]

    assert len(set(made)) == 10
    assert len(keys._keys) == 3
    assert "secret 9" not in repr(keys._keys)
    assert keys.get(claim, "secret 0") == made[0]


# Scope


def test_the_wrong_region_is_refused_with_the_words_of_aws() -> None:
    with pytest.raises(errors.SignatureDoesNotMatch) as refusal:
        check(signed(), region="us-east-1")

    assert refusal.value.message == "Credential should be scoped to a valid region. "


def test_the_wrong_service_is_refused_with_the_words_of_aws() -> None:
    with pytest.raises(errors.SignatureDoesNotMatch) as refusal:
        check(signed(), services=("sts",))

    assert refusal.value.message == "Credential should be scoped to correct service: 'sts'. "


def test_a_scope_of_another_day_than_the_date_is_refused() -> None:
    request = signed()
    moved = header(request, "Authorization").replace("/20260101/", "/20251231/")

    with pytest.raises(errors.SignatureDoesNotMatch, match="Date in Credential scope does not match"):
        check(with_header(request, "Authorization", moved))


# Time


def test_the_clock_may_be_fifteen_minutes_off_to_the_second_both_ways() -> None:
    request = signed()

    for offset in (
        timedelta(minutes=15),
        timedelta(minutes=-15),
        timedelta(minutes=15, microseconds=999_999),
    ):
        check(request, now=NOW + offset)


def test_an_old_signature_is_refused_with_the_words_of_aws() -> None:
    with pytest.raises(errors.SignatureExpired) as refusal:
        check(signed(), now=NOW + timedelta(minutes=15) + SECOND)

    assert refusal.value.message == (
        "Signature expired: 20260101T120000Z is now earlier than 20260101T120001Z "
        "(20260101T121501Z - 15 min.)"
    )


def test_a_signature_from_the_future_is_refused_with_the_words_of_aws() -> None:
    with pytest.raises(errors.SignatureExpired) as refusal:
        check(signed(), now=NOW - timedelta(minutes=15) - SECOND)

    assert refusal.value.message == (
        "Signature not yet current: 20260101T120000Z is still later than 20260101T115959Z "
        "(20260101T114459Z + 15 min.)"
    )


def test_a_presigned_address_ends_after_its_own_seconds() -> None:
    for seconds in (1, 60, 604_800):
        request = presigned(seconds)

        check(request, None, now=NOW + timedelta(seconds=seconds))
        with pytest.raises(
            errors.SignatureExpired, match=r"Signature expired: 20260101T120000Z is now earlier"
        ):
            check(request, None, now=NOW + timedelta(seconds=seconds) + SECOND)


@pytest.mark.parametrize("seconds", ["0", "604801", "-1", "1e3", "", "1.5", "\u0661", "9999999999999999999"])
def test_a_presigned_address_lives_one_second_to_seven_days(seconds: str) -> None:
    request = presigned(60)

    with pytest.raises(errors.IncompleteSignature, match="X-Amz-Expires"):
        read_claim(replace(request, raw_query=request.raw_query.replace("Expires=60", f"Expires={seconds}")))


def test_lengthening_a_presigned_address_breaks_its_signature() -> None:
    request = presigned(60)

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(replace(request, raw_query=request.raw_query.replace("Expires=60", "Expires=61")), None)


# The body


@pytest.mark.parametrize("body", [BODY, b"", None])
def test_an_api_request_cannot_leave_its_body_unsigned(body: bytes | None) -> None:
    request = signed(context={"payload_signing_enabled": False})

    assert header(request, "X-Amz-Content-SHA256") == "UNSIGNED-PAYLOAD"
    with pytest.raises(errors.SignatureDoesNotMatch, match="x-amz-content-sha256"):
        check(request, body)


@pytest.mark.parametrize(
    "said", ["0" * 64, "", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", hashlib.sha256(BODY).hexdigest().upper()]
)
def test_a_body_hash_header_that_is_not_the_hash_of_the_body_is_refused(said: str) -> None:
    request = signed(headers={**API_HEADERS, "X-Amz-Content-SHA256": said})

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(request)


@pytest.mark.parametrize("body", [b"", None])
def test_a_header_signed_get_cannot_leave_its_missing_body_unsigned(body: bytes | None) -> None:
    request = signed(
        "GET", headers={"Host": "host.test"}, body=b"", context={"payload_signing_enabled": False}
    )

    with pytest.raises(errors.SignatureDoesNotMatch, match="x-amz-content-sha256"):
        check(request, body)


def test_only_a_presigned_get_or_head_may_leave_its_body_unsigned() -> None:
    headers = {"Host": "host.test", "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}

    for method in ("GET", "HEAD"):
        check(signed(method, headers=headers, body=b"", expires=60), None)
    for method in ("POST", "PUT", "DELETE"):
        with pytest.raises(errors.SignatureDoesNotMatch, match="x-amz-content-sha256"):
            check(signed(method, headers=headers, body=b"", expires=60), None)


def test_a_presigned_address_cannot_carry_an_unsigned_body() -> None:
    request = presigned()

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(request, b"smuggled")


# What is incomplete, doubled or unsigned


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        (
            "AWS4-HMAC-SHA256",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' "
            "parameter. Authorization header requires 'SignedHeaders' parameter. "
            "Authorization=AWS4-HMAC-SHA256",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/eu-west-1/ecr/aws4_request, SignedHeaders=host",
            "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
    ],
)
def test_missing_parts_of_the_authorization_header_are_named_as_aws_names_them(
    authorization: str, words: str
) -> None:
    request = with_header(signed(), "Authorization", authorization)

    with pytest.raises(errors.IncompleteSignature) as refusal:
        read_claim(request)

    assert refusal.value.message == words


def test_a_request_without_date_is_refused() -> None:
    with pytest.raises(
        errors.IncompleteSignature, match="existence of either a 'X-Amz-Date' or a 'Date' header"
    ):
        read_claim(with_header(signed(), "X-Amz-Date", None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "AWS4-NONE"),
        ("Credential=", "Credential= "),
        ("Credential=", "credential="),
        ("Credential=", "Extra=1, Credential="),
        ("Signature=", "Signature=0, Signature="),
        ("Signature=", "Signature=G"),
        ("/aws4_request", "/aws5_request"),
        ("/aws4_request", "/extra/aws4_request"),
        ("/20260101/", "/2026-01-01/"),
        ("/20260101/", "/\u0662\u0660\u0662\u0666\u0660\u0661\u0660\u0661/"),
        (KEY, ""),
        (KEY, "A" * 129),
        ("SignedHeaders=content-type", "SignedHeaders=Content-Type"),
        ("content-type;host", "host;content-type"),
        ("content-type;host", "content-type;host;host"),
        ("content-type;host", "content-type;;host"),
        ("content-type;host", "content-type"),
        ("content-type;host", "accept;content-type;host"),
        (";x-amz-target", ""),
        (";x-amz-date", ""),
        ("SignedHeaders=", "SignedHeaders=" + "a;" * 3000),
        ("SignedHeaders=", "SignedHeaders=" + ";".join(f"a{n:03}" for n in range(200)) + ";"),
    ],
)
def test_a_malformed_authorization_header_is_refused_without_repeating_it(old: str, new: str) -> None:
    request = signed()
    authorization = header(request, "Authorization")
    assert old in authorization

    with pytest.raises(errors.IncompleteSignature) as refusal:
        read_claim(with_header(request, "Authorization", authorization.replace(old, new, 1)))

    assert KEY not in refusal.value.message
    assert authorization[-64:] not in refusal.value.message


@pytest.mark.parametrize("name", ["Authorization", "X-Amz-Date", "X-Amz-Target", "Host", "Content-Type"])
def test_a_header_that_may_come_once_is_refused_when_it_comes_twice(name: str) -> None:
    request = signed()
    doubled = replace(request, headers=(*request.headers, (name.upper(), header(request, name))))

    with pytest.raises(errors.IncompleteSignature, match="more than one"):
        read_claim(doubled)


def test_two_authorization_headers_are_refused_even_when_neither_is_a_signature() -> None:
    headers = (("Authorization", "Basic QQ=="), ("authorization", "Basic Qg=="))

    with pytest.raises(errors.IncompleteSignature, match="Authorization"):
        read_claim(SigningRequest("GET", "/", "", headers))


@pytest.mark.parametrize(
    "addition",
    [
        "X-Amz-Expires=9",
        "X-Amz-Signature=" + "0" * 64,
        "x-amz-date=20260101T120000Z",
        "X-Amz-%44ate=1",
        "X-Amz-Credential",
    ],
)
def test_a_presigned_parameter_that_comes_twice_is_refused_however_it_is_spelled(addition: str) -> None:
    request = presigned()

    for query in (f"{request.raw_query}&{addition}", f"{addition}&{request.raw_query}"):
        with pytest.raises(errors.IncompleteSignature, match="more than one"):
            read_claim(replace(request, raw_query=query))


@pytest.mark.parametrize(
    "name",
    ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"],
)
def test_a_presigned_address_that_lacks_a_parameter_is_refused_by_name(name: str) -> None:
    request = presigned()
    left = [pair for pair in request.raw_query.split("&") if not pair.startswith(f"X-Amz-{name}=")]

    with pytest.raises(errors.IncompleteSignature, match=f"must include 'X-Amz-{name}'"):
        read_claim(replace(request, raw_query="&".join(left)))


def test_a_presigned_parameter_that_is_a_header_too_is_refused() -> None:
    request = signed("GET", "https://host.test/", {"Host": "host.test", "X-Amz-Date": STAMP}, b"", expires=60)

    with pytest.raises(errors.IncompleteSignature, match="both a header and a query-string parameter"):
        read_claim(request)


def test_a_request_signed_in_both_ways_is_refused() -> None:
    query = presigned().raw_query

    for authorization in (header(signed(), "Authorization"), "Basic QVdTOng="):
        request = replace(with_header(signed(), "Authorization", authorization), raw_query=query)
        with pytest.raises(errors.IncompleteSignature, match="both"):
            read_claim(request)


def test_a_session_token_in_the_query_of_a_header_signed_request_is_refused() -> None:
    with pytest.raises(errors.IncompleteSignature, match="both"):
        read_claim(replace(signed(), raw_query="X-Amz-Security-Token=abc"))


def test_an_unsigned_amz_header_is_refused() -> None:
    for request in (signed(), presigned()):
        added = replace(request, headers=(*request.headers, ("X-Amz-Extra", "1")))
        with pytest.raises(errors.IncompleteSignature, match="'x-amz-extra' must be a 'SignedHeader'"):
            read_claim(added)


def test_a_session_token_added_by_someone_else_is_refused() -> None:
    with pytest.raises(errors.IncompleteSignature, match="x-amz-security-token"):
        read_claim(with_header(signed(), "X-Amz-Security-Token", "stolen"))


@pytest.mark.parametrize(
    "date",
    ["20260101", "2026-01-01T12:00:00Z", "20261301T000000Z", "00000101T000000Z", "20260101T250000Z", "x"],
)
def test_a_date_that_is_not_in_basic_format_is_refused(date: str) -> None:
    with pytest.raises(errors.IncompleteSignature, match="ISO-8601 'basic format'"):
        read_claim(with_header(signed(), "X-Amz-Date", date))


def test_an_address_or_header_of_unreasonable_length_is_refused() -> None:
    request = presigned()

    with pytest.raises(errors.IncompleteSignature, match="too long"):
        read_claim(replace(request, raw_query=request.raw_query + "&a=" + "x" * 16_384))
    with pytest.raises(errors.IncompleteSignature, match="too long"):
        read_claim(with_header(signed(), "Authorization", header(signed(), "Authorization") + " " * 4096))


def test_a_claim_or_request_does_not_show_signature_or_token_in_its_text() -> None:
    request = signed(token="session-token-text")
    address = presigned(token="session-token-text")

    for shown in (repr(check(request)), repr(request), repr(check(address, None)), repr(address)):
        assert "session-token-text" not in shown
        assert header(request, "Authorization")[-64:] not in shown
        assert address.raw_query[-64:] not in shown
