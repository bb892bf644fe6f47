"""Signature Version 4 under random requests: what botocore signs is accepted, anything else never crashes."""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homeport.access.sigv4 import verify
from homeport.access.sigv4_claim import SigningRequest, read_claim
from homeport.kernel import errors

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "/+="

readable = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=12
)
plain = st.text(string.ascii_letters + string.digits + "-_.~", min_size=1, max_size=8)
paths = st.lists(plain | st.just("..") | st.just("") | readable.map(quote), max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)
# Encoded, raw and repeated keys, but not X-Amz-*, which may come once and never beside a header.
# A '#' would start a fragment, which never reaches a server.
pairs = st.tuples(
    plain | readable.map(lambda text: quote(text, safe="")),
    readable.map(lambda text: quote(text, safe="")) | plain,
)
queries = st.lists(pairs.filter(lambda pair: not pair[0].lower().startswith("x-amz-")), max_size=5).map(
    lambda items: "&".join(f"{key}={value}" for key, value in [*items, *items[:1]])
)
values = st.text(string.ascii_letters + string.digits + " \t,;:=\"'/", max_size=30)
headers = st.dictionaries(plain.map(lambda name: f"X-Custom-{name}".lower()), values, max_size=4)
tokens = st.none() | st.text(TOKEN_CHARACTERS, min_size=1, max_size=60)


@dataclass(frozen=True)
class Signed:
    """A request as it arrives, and the body that came with it."""

    request: SigningRequest
    body: bytes


@st.composite
def signed_requests(draw: st.DrawFn) -> Signed:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]))
    body = draw(st.binary(max_size=60))
    query = draw(queries)
    url = f"https://host.test:8443{draw(paths)}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers={"Host": "host.test:8443", **draw(headers)}, data=body)
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        SigV4Auth(Credentials(KEY, SECRET, draw(tokens)), "ecr", "eu-west-1").add_auth(request)
    return Signed(arrived(request), body)


@st.composite
def presigned_requests(draw: st.DrawFn) -> Signed:
    method = draw(st.sampled_from(["GET", "HEAD"]))
    query = draw(queries)
    url = f"https://host.test{draw(paths)}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers={"Host": "host.test", **draw(headers)})
    expires = draw(st.integers(1, 604_800))
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        SigV4QueryAuth(Credentials(KEY, SECRET, draw(tokens)), "ecr", "eu-west-1", expires).add_auth(request)
    return Signed(arrived(request), b"")


def arrived(request: AWSRequest) -> SigningRequest:
    # Cut by hand: splitting a URL with the library would lose an empty query or a path of slashes.
    path, _, query = str(request.url).split("//", 1)[1].partition("/")[2].partition("?")
    assert urlsplit(str(request.url)).query == query
    return SigningRequest(str(request.method), f"/{path}", query, tuple(request.headers.items()))


def check(signed: Signed, secret: str = SECRET) -> None:
    claim = read_claim(signed.request)
    assert claim is not None
    digest = hashlib.sha256(signed.body).hexdigest()
    verify(
        claim,
        signed.request,
        secret,
        now=NOW,
        region="eu-west-1",
        services=("ecr", "sts"),
        body_sha256=digest,
    )


@settings(max_examples=300)
@given(signed_requests() | presigned_requests())
def test_whatever_botocore_signs_is_accepted_and_only_with_the_right_secret(signed: Signed) -> None:
    check(signed)

    with pytest.raises(errors.SignatureDoesNotMatch):
        check(signed, SECRET + "x")


@settings(max_examples=200)
@given(signed_requests() | presigned_requests(), st.data())
def test_changing_one_signed_header_is_noticed(signed: Signed, data: st.DataObject) -> None:
    claim = read_claim(signed.request)
    assert claim is not None
    name = data.draw(st.sampled_from(claim.signed_headers))
    value = data.draw(values)
    old = next(text for key, text in signed.request.headers if key.lower() == name)
    assume(value.split() != old.split())

    changed = [(key, value if key.lower() == name else text) for key, text in signed.request.headers]

    with pytest.raises(errors.Unauthenticated):
        check(replace(signed, request=replace(signed.request, headers=tuple(changed))))


@settings(max_examples=200)
@given(signed_requests() | presigned_requests(), pairs)
def test_adding_a_parameter_to_the_query_is_noticed(signed: Signed, pair: tuple[str, str]) -> None:
    query = "&".join(part for part in (signed.request.raw_query, "=".join(pair)) if part)
    assume(query != signed.request.raw_query)

    with pytest.raises(errors.Unauthenticated):
        check(replace(signed, request=replace(signed.request, raw_query=query)))


@settings(max_examples=200)
@given(signed_requests(), st.binary(min_size=1, max_size=5))
def test_changing_the_body_is_noticed(signed: Signed, extra: bytes) -> None:
    with pytest.raises(errors.SignatureDoesNotMatch):
        check(replace(signed, body=signed.body + extra))


wild = st.text(max_size=40) | st.text(" ,=/;AWS4-HMAC-SHA256CredentialSignedHeadersSignature", max_size=60)
wild_headers = st.lists(
    st.tuples(
        st.sampled_from(["Authorization", "authorization", "Host", "X-Amz-Date", "Date", "X-Amz-Extra"])
        | wild,
        wild
        | wild.map(lambda text: f"AWS4-HMAC-SHA256 {text}")
        | wild.map(
            lambda text: f"AWS4-HMAC-SHA256 Credential={text}, SignedHeaders=host, Signature={'0' * 64}"
        )
        | st.just("20260101T120000Z")
        | st.just(
            f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/eu-west-1/ecr/aws4_request, SignedHeaders=host, "
            f"Signature={'0' * 64}"
        ),
    ),
    max_size=6,
)
wild_queries = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "X-Amz-Algorithm",
                "X-Amz-Credential",
                "X-Amz-Date",
                "X-Amz-Expires",
                "X-Amz-SignedHeaders",
                "X-Amz-Signature",
            ]
        )
        | wild,
        wild | st.sampled_from(["AWS4-HMAC-SHA256", "20260101T120000Z", "60", "host", "0" * 64]),
    ),
    max_size=8,
).map(lambda items: "&".join("=".join(item) for item in items))


@settings(max_examples=500)
@given(st.sampled_from(["GET", "POST", "", "G T"]), wild, wild_queries, wild_headers)
def test_hostile_text_is_never_accepted_and_never_crashes_the_parser(
    method: str, path: str, query: str, given_headers: list[tuple[str, str]]
) -> None:
    request = SigningRequest(method, path, query, given_headers)

    try:
        claim = read_claim(request)
    except errors.IncompleteSignature:
        return

    if claim is not None:
        with pytest.raises(errors.Unauthenticated):
            check(Signed(request, b""))


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text_as_date_header_is_a_date_or_an_incomplete_signature(text: str) -> None:
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/eu-west-1/ecr/aws4_request,"
        f"SignedHeaders=host,Signature={'0' * 64}"
    )
    request = SigningRequest(
        "GET", "/", "", (("Host", "h"), ("Date", text), ("Authorization", authorization))
    )

    try:
        claim = read_claim(request)
    except errors.IncompleteSignature:
        return

    assert claim is not None
    assert claim.signed_at.utcoffset() is not None


@settings(max_examples=100)
@given(st.sampled_from(["\udcff", "\ud800", "\x85", "é"]), st.sampled_from(["path", "query", "header"]))
def test_bytes_that_are_not_text_are_refused_and_not_an_internal_error(odd: str, place: str) -> None:
    request = AWSRequest("GET", "https://host.test/", headers={"Host": "host.test", "X-Custom": "a"})
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        SigV4Auth(Credentials(KEY, SECRET), "ecr", "eu-west-1").add_auth(request)
    received = arrived(request)

    if place == "path":
        received = replace(received, raw_path=f"/{odd}")
    elif place == "query":
        received = replace(received, raw_query=f"a={odd}+")
    else:
        changed = ((name, value + odd if name == "X-Custom" else value) for name, value in received.headers)
        received = replace(received, headers=tuple(changed))

    if place == "header" and odd == "\x85":
        check(Signed(received, b""))  # white space at the end of a value is folded away
    else:
        with pytest.raises(errors.SignatureDoesNotMatch):
            check(Signed(received, b""))
