"""AWS Signature Version 4, the verifying side: did they sign this request who say so (`sigv4_claim.py`)?

`verify` recomputes the signature with the secret that belongs to the claimed key. Finding that secret, and deciding
what its owner may do, happens elsewhere. Nothing here signs requests.
Contract: "Create a signed AWS API request" (IAM User Guide), the non-S3 rules, as botocore's SigV4Auth and
SigV4QueryAuth apply them. Wording of the errors follows AWS; no message repeats a credential.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from homeport.access.sigv4_claim import ALGORITHM, TERMINATOR, Claim, SigningRequest
from homeport.kernel import errors, limits

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
MAX_SKEW: Final = timedelta(seconds=limits.SIGNATURE_SKEW_SECONDS)
MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


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
