"""What a request says about its own AWS Signature Version 4: parsed, and not trusted.

Contract: "Create a signed AWS API request" (IAM User Guide), the non-S3 rules. No message repeats a credential.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_plus

from homeport.kernel import errors

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
MAX_PRESIGNED_SECONDS: Final = 604_800  # seven days
MAX_AUTHORIZATION: Final = 4096  # characters
MAX_QUERY: Final = 16_384  # characters of a presigned query; a session token is up to 8192 of them
MAX_SIGNED_HEADERS: Final = 128
_NEEDED_PARAMETERS: Final = ("Credential", "Signature", "SignedHeaders")
_NEEDED_QUERY: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
    "X-Amz-Expires",
)
_PRESIGNED_KEYS: Final = frozenset(name.lower() for name in (*_NEEDED_QUERY, "X-Amz-Security-Token"))
_PRESIGNED_MARKS: Final = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_SINGLE_HEADERS: Final = frozenset({"host", "date", "content-type", "content-length"})
_CREDENTIAL: Final = re.compile(r"(\w{1,128})/(\d{8})/([\w.-]{1,64})/([\w.-]{1,64})/aws4_request", re.ASCII)
_STAMP: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_METHOD: Final = re.compile(r"[A-Za-z]{1,32}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A request as it came over the wire: nothing decoded, duplicates and order of headers preserved."""

    method: str
    raw_path: str
    raw_query: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its own signature; worth nothing until `verify` returns."""

    access_key_id: str
    date: str  # YYYYMMDD of the credential scope
    region: str
    service: str
    signed_headers: tuple[str, ...]  # lower case, sorted
    signature: str = field(repr=False)
    signed_at: datetime
    session_token: str | None = field(repr=False)
    presigned_seconds: int | None  # None: signed in the Authorization header
    payload_hash: str | None  # x-amz-content-sha256 as sent


def read_claim(request: SigningRequest) -> Claim | None:
    """Parse the signature of a request, in its Authorization header or its query (presigned).

    Returns None when the request does not use Signature Version 4 at all.
    Raises IncompleteSignature when a part is missing, malformed, doubled or too long, when both forms are
    used, or when host or an x-amz-* header is left unsigned.
    """
    authorization = [value for name, value in request.headers if name.lower() == "authorization"]
    if len(authorization) > 1:
        raise errors.IncompleteSignature("The request has more than one 'Authorization' header.")
    header_form = bool(authorization) and authorization[0].lstrip()[:5] == "AWS4-"
    query = _amz_query(request.raw_query) if request.raw_query else {}
    query_form = not _PRESIGNED_MARKS.isdisjoint(query)
    if not header_form and not query_form:
        return None
    if authorization and not _PRESIGNED_KEYS.isdisjoint(query):
        raise errors.IncompleteSignature(
            "The request carries both an 'Authorization' header and X-Amz-* query-string parameters; use one."
        )
    if not _METHOD.fullmatch(request.method) or _CONTROL.search(request.raw_query):
        raise errors.IncompleteSignature("The request line is malformed.")
    present = _single_headers(request.headers)
    if header_form:
        return _claim_of_header(authorization[0], present)
    if len(request.raw_query) > MAX_QUERY:
        raise errors.IncompleteSignature("The query string is too long.")
    return _claim_of_query(query, present)


def _claim_of_header(authorization: str, present: dict[str, str]) -> Claim:
    if len(authorization) > MAX_AUTHORIZATION:
        raise errors.IncompleteSignature("The 'Authorization' header is too long.")
    algorithm, *parts = authorization.replace(",", " ").split()
    if algorithm != ALGORITHM:
        raise errors.IncompleteSignature(f"Unsupported AWS 'algorithm': only {ALGORITHM} is accepted.")
    parameters: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise errors.IncompleteSignature(
                "The Authorization header has a part that is not a valid key=value pair (missing equal-sign)."
            )
        if name in parameters or name not in _NEEDED_PARAMETERS:
            raise errors.IncompleteSignature(
                "The Authorization header must have 'Credential', 'SignedHeaders' and 'Signature' once each."
            )
        parameters[name] = value
    stamp = present.get("x-amz-date") or present.get("date")
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in _NEEDED_PARAMETERS
        if not parameters.get(name)
    ]
    if not stamp:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or not stamp:
        raise errors.IncompleteSignature(f"{' '.join(missing)} Authorization={ALGORITHM}")
    signed_at = _moment(stamp) if "x-amz-date" in present else _http_moment(stamp)
    return _claim(
        parameters["Credential"],
        parameters["SignedHeaders"],
        parameters["Signature"],
        signed_at,
        present,
        session_token=present.get("x-amz-security-token"),
        presigned_seconds=None,
        payload_hash=present.get("x-amz-content-sha256"),
    )


def _claim_of_query(query: dict[str, str], present: dict[str, str]) -> Claim:
    missing = [
        f"AWS query-string parameters must include '{name}'."
        for name in _NEEDED_QUERY
        if not query.get(name.lower())
    ]
    if missing:
        raise errors.IncompleteSignature(f"{' '.join(missing)} Re-examine the query-string parameters.")
    if query["x-amz-algorithm"] != ALGORITHM:
        raise errors.IncompleteSignature(f"Unsupported AWS 'algorithm': only {ALGORITHM} is accepted.")
    for name in query:
        if name in present:
            raise errors.IncompleteSignature(f"'{name}' is both a header and a query-string parameter.")
    seconds = query["x-amz-expires"]
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6):
        raise errors.IncompleteSignature("X-Amz-Expires should be a number of seconds")
    if not 1 <= int(seconds) <= MAX_PRESIGNED_SECONDS:
        raise errors.IncompleteSignature(
            "X-Amz-Expires must be less than a week (in seconds); that is, from 1 to "
            f"{MAX_PRESIGNED_SECONDS} seconds"
        )
    return _claim(
        query["x-amz-credential"],
        query["x-amz-signedheaders"],
        query["x-amz-signature"],
        _moment(query["x-amz-date"]),
        present,
        session_token=query.get("x-amz-security-token"),
        presigned_seconds=int(seconds),
        payload_hash=query.get("x-amz-content-sha256", present.get("x-amz-content-sha256")),
    )


def _claim(
    credential: str,
    signed_headers: str,
    signature: str,
    signed_at: datetime,
    present: dict[str, str],
    *,
    session_token: str | None,
    presigned_seconds: int | None,
    payload_hash: str | None,
) -> Claim:
    scope = _CREDENTIAL.fullmatch(credential)
    if scope is None:
        parts = credential.split("/")
        if len(parts) == 5 and parts[-1] != TERMINATOR:
            raise errors.IncompleteSignature(
                f"Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )
        raise errors.IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/{TERMINATOR}."
        )
    if not _SIGNATURE.fullmatch(signature):
        raise errors.IncompleteSignature("'Signature' must be 64 lower-case hexadecimal digits.")
    names = _signed_names(signed_headers, present)
    key_id, date, region, service = scope.groups()
    return Claim(
        key_id,
        date,
        region,
        service,
        names,
        signature,
        signed_at,
        session_token,
        presigned_seconds,
        payload_hash,
    )


def _signed_names(text: str, present: dict[str, str]) -> tuple[str, ...]:
    names = _listed(text)
    if names is None:
        raise errors.IncompleteSignature(
            "'SignedHeaders' must list lower-case header names in alphabetical order, separated by ';'."
        )
    if "host" not in names:
        raise errors.IncompleteSignature(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    for name in names:
        if name not in present:
            raise errors.IncompleteSignature(f"The signed header '{name}' is not in the request.")
    for name in present:
        if name.startswith("x-amz-") and name not in names:
            raise errors.IncompleteSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    return names


@lru_cache(maxsize=256)  # clients use a handful of lists; one is at most 4096 characters long
def _listed(text: str) -> tuple[str, ...] | None:
    names = tuple(text.split(";"))
    if len(names) > MAX_SIGNED_HEADERS or not all(map(_HEADER_NAME.fullmatch, names)):
        return None
    return None if any(later <= earlier for earlier, later in pairwise(names)) else names


def _single_headers(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; refuses a second value where two readers could pick different ones."""
    present: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower not in present:
            present[lower] = value.strip()
        elif lower in _SINGLE_HEADERS or lower.startswith("x-amz-"):
            raise errors.IncompleteSignature(f"The request has more than one '{lower}' header.")
    return present


def _amz_query(raw_query: str) -> dict[str, str]:
    """Decoded X-Amz-* parameters by lower-case name; refuses a second value, however it is spelled."""
    found: dict[str, str] = {}
    for pair in raw_query.split("&"):
        key, _, value = pair.partition("=")
        name = unquote_plus(key).lower()
        if name.startswith("x-amz-"):
            if name in found:
                raise errors.IncompleteSignature(
                    f"The query string has more than one '{_shown(name)}' parameter."
                )
            found[name] = unquote_plus(value)
    return found


def _shown(name: str) -> str:
    return name if _HEADER_NAME.fullmatch(name) and len(name) <= 64 else "x-amz-*"


def _moment(text: str) -> datetime:
    try:
        if _STAMP.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass  # the thirteenth month and the like
    raise errors.IncompleteSignature("Date must be in ISO-8601 'basic format', e.g. 20260101T000000Z.")


def _http_moment(text: str) -> datetime:
    if _STAMP.fullmatch(text):
        return _moment(text)
    try:
        moment = parsedate_to_datetime(text[:64])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise errors.IncompleteSignature("The 'Date' header is not a valid date.") from None
