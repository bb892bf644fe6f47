"""AWS Signature Version 4, the verifying side: who says they signed this request, and did they.

`read_claim` parses what the request says about itself and trusts nothing; `verify` recomputes the
signature with the secret that belongs to the claimed key. Finding that secret, and deciding what its owner
may do, happens elsewhere. Nothing here signs requests.
Contract: "Create a signed AWS API request" (IAM User Guide), the non-S3 rules, as botocore's SigV4Auth and
SigV4QueryAuth apply them. Wording of the errors follows AWS; no message repeats a credential.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from homeport.kernel import errors, limits

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
MAX_SKEW: Final = timedelta(seconds=limits.SIGNATURE_SKEW_SECONDS)
MAX_PRESIGNED_SECONDS: Final = 604_800  # seven days
MAX_AUTHORIZATION: Final = 4096  # characters
MAX_QUERY: Final = 16_384  # characters of a presigned query; a session token is up to 8192 of them
MAX_SIGNED_HEADERS: Final = 128

MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
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


def verify(
    claim: Claim,
    request: SigningRequest,
    secret: str,
    *,
    now: datetime,
    region: str,
    services: Collection[str],
    body_sha256: str | None,
) -> None:
    """Return when `request` was signed with `secret` for this region and one of `services`, and in time.

    `now` is aware; `body_sha256` is the lower-case hex SHA-256 of the body as received, or None for a request
    without body (the caller must have made sure of that).
    Raises SignatureDoesNotMatch for a wrong scope, body or signature, SignatureExpired when `now` is more
    than 15 minutes from the time of signing or a presigned address is past its end.
    """
    stamp = _stamp(claim.signed_at)
    _check_scope(claim, stamp, region, services)
    _check_time(claim, now)
    hashes = _payload_hashes(claim, request.method, body_sha256)
    if not secret:
        raise errors.SignatureDoesNotMatch(MISMATCH)
    key = _signing_keys.get(claim, secret)
    scope = f"{claim.date}/{claim.region}/{claim.service}/{TERMINATOR}"
    start = f"{ALGORITHM}\n{stamp}\n{scope}\n"
    given = claim.signature.encode("utf-8", "surrogatepass")
    try:
        for canonical in _canonical_requests(claim, request, hashes):
            digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
            expected = hmac.digest(key, (start + digest).encode(), "sha256").hex()
            if hmac.compare_digest(expected.encode(), given):
                return
    except UnicodeError:
        pass  # text that no bytes on a wire decode to; it cannot have been signed
    raise errors.SignatureDoesNotMatch(MISMATCH)


# Reading the claim


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


# Checking the claim


def _check_scope(claim: Claim, stamp: str, region: str, services: Collection[str]) -> None:
    wrong = ""
    if claim.region != region:
        wrong += "Credential should be scoped to a valid region. "
    if claim.service not in services:
        wanted = " or ".join(f"'{service}'" for service in sorted(services))
        wrong += f"Credential should be scoped to correct service: {wanted}. "
    if claim.date != stamp[:8]:
        wrong += (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date}' != '{stamp[:8]}', from '{stamp}'. "
        )
    if wrong:
        raise errors.SignatureDoesNotMatch(wrong)


def _check_time(claim: Claim, now: datetime) -> None:
    # Stamps have whole seconds; the comparison and its text use the same precision.
    now = now.astimezone(UTC).replace(microsecond=0)
    signed_at = claim.signed_at
    if signed_at - now > MAX_SKEW:
        raise errors.SignatureExpired(
            f"Signature not yet current: {_stamp(signed_at)} is still later than {_stamp(now + MAX_SKEW)} "
            f"({_stamp(now)} + 15 min.)"
        )
    if claim.presigned_seconds is None:
        allowed, words = MAX_SKEW, "15 min."
    else:
        allowed, words = timedelta(seconds=claim.presigned_seconds), f"{claim.presigned_seconds} sec."
    if now - signed_at > allowed:
        raise errors.SignatureExpired(
            f"Signature expired: {_stamp(signed_at)} is now earlier than {_stamp(now - allowed)} "
            f"({_stamp(now)} - {words})"
        )


def _payload_hashes(claim: Claim, method: str, body_sha256: str | None) -> tuple[str, ...]:
    """The body hashes that the signature may cover: one, or two for a presigned GET without body."""
    body = body_sha256 or EMPTY_SHA256
    bodiless = claim.presigned_seconds is not None and body == EMPTY_SHA256 and method in ("GET", "HEAD")
    if claim.payload_hash is None:
        return (body, UNSIGNED_PAYLOAD) if bodiless else (body,)
    if claim.payload_hash == body or (claim.payload_hash == UNSIGNED_PAYLOAD and bodiless):
        return (claim.payload_hash,)
    raise errors.SignatureDoesNotMatch(
        "The provided 'x-amz-content-sha256' header does not match what was computed."
    )


def _canonical_requests(claim: Claim, request: SigningRequest, hashes: Sequence[str]) -> Iterator[str]:
    values: dict[str, list[str]] = {name: [] for name in claim.signed_headers}
    for name, value in request.headers:
        found = values.get(name.lower())
        if found is not None:
            found.append(" ".join(value.split()))
    headers = "\n".join([f"{name}:{','.join(found)}" for name, found in values.items()])
    start = f"{request.method.upper()}\n{_canonical_path(request.raw_path)}\n"
    middle = f"\n{headers}\n\n{';'.join(claim.signed_headers)}\n"
    for query in _canonical_queries(request.raw_query, presigned=claim.presigned_seconds is not None):
        for payload in hashes:
            yield f"{start}{query}{middle}{payload}"


def _canonical_path(raw_path: str) -> str:
    if raw_path in ("/", ""):
        return "/"
    kept: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    slash = "/" if kept and raw_path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{slash}", safe="/~", errors="surrogateescape")


def _canonical_queries(raw_query: str, *, presigned: bool) -> Iterator[str]:
    """The query as sent, sorted; then, if that differs, decoded and encoded again as RFC 3986 asks.

    Signers that build the address first sign what they send; others sign the parameters and let an HTTP
    library spell them. Both readings give the application the same parameters.
    """
    if not raw_query:
        yield ""
        return
    pairs = [pair.partition("=") for pair in raw_query.split("&")]
    if presigned:
        pairs = [pair for pair in pairs if unquote_plus(pair[0]).lower() != "x-amz-signature"]
    as_sent = "&".join([f"{key}={value}" for key, value in sorted((key, value) for key, _, value in pairs)])
    yield as_sent
    again = sorted((_respelled(key), _respelled(value)) for key, equals, value in pairs if key or equals)
    respelled = "&".join([f"{key}={value}" for key, value in again])
    if respelled != as_sent:
        yield respelled


def _respelled(text: str) -> str:
    decoded = unquote(text.replace("+", " "), errors="surrogateescape")
    return quote(decoded, safe="-_.~", errors="surrogateescape")


def _stamp(at: datetime) -> str:
    return at.isoformat()[:19].replace("-", "").replace(":", "") + "Z"


class _SigningKeys:
    """Derived keys of the last users seen. Knows secrets only by a keyed hash, so none is kept here."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._salt = os.urandom(32)
        self._keys: OrderedDict[tuple[str, str, str, str, bytes], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, claim: Claim, secret: str) -> bytes:
        encoded = secret.encode("utf-8", "surrogatepass")
        mark = hashlib.blake2b(encoded, key=self._salt, digest_size=32).digest()
        entry = (claim.access_key_id, claim.date, claim.region, claim.service, mark)
        with self._lock:
            key = self._keys.get(entry)
            if key is not None:
                self._keys.move_to_end(entry)
                return key
        key = b"AWS4" + encoded
        for part in (claim.date, claim.region, claim.service, TERMINATOR):
            key = hmac.digest(key, part.encode(), "sha256")
        with self._lock:
            self._keys[entry] = key
            while len(self._keys) > self._limit:
                self._keys.popitem(last=False)
        return key


_signing_keys: Final = _SigningKeys(limit=4096)
