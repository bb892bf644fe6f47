"""Signature Version 4 by hand, so that a test can sign wrongly, late, or not at all.

Written from the IAM User Guide, "Create a signed AWS API request", and not shared with the server, whose
verifying side it checks. One request per call, the answer as it came.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from botocore.model import ListShape, Shape, StructureShape

from tests.harness.oci import OciClient, Response
from tests.harness.server import Credentials

TARGETS = {
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
    "ecr-public": "SpencerFrontendService",
    "secretsmanager": "secretsmanager",
    "homeport": "Homeport_V20261101",
}
JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose key signs, and for which region and service it says so."""

    key_id: str
    secret: str = field(repr=False)
    region: str
    service: str = "ecr"
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, credentials: Credentials, service: str = "ecr") -> Signer:
        """The signer of a user."""
        return cls(credentials.access_key_id, credentials.secret_access_key, credentials.region, service)

    def sign(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime | None = None,
        payload_hash: str | None = None,
        query: str = "",
    ) -> dict[str, str]:
        """Return `headers`, which hold Host, with everything that the signature adds.

        Args:
            method: HTTP method of a request to the path `/`.
            headers: all of them are signed.
            body: what the signature covers.
            at: time of signing; now unless given.
            payload_hash: stands in for the hash of `body`, and is then also sent as x-amz-content-sha256.
            query: raw query string.
        """
        stamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        sent = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": stamp}
        if self.session_token is not None:
            sent["x-amz-security-token"] = self.session_token
        if payload_hash is not None:
            sent["x-amz-content-sha256"] = payload_hash
        names = ";".join(sorted(sent))
        lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
        covered = payload_hash or hashlib.sha256(body).hexdigest()
        canonical = f"{method}\n/\n{query}\n{lines}\n{names}\n{covered}"
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}".encode(), "sha256")
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}, SignedHeaders={names}, "
            f"Signature={signature.hex()}"
        )
        return sent


def call(
    url: str,
    operation: str,
    params: Mapping[str, Any] | bytes,
    signer: Signer | None,
    *,
    service: str = "ecr",
    headers: Mapping[str, str] | None = None,
    **signature: Any,
) -> Response:
    """Send one JSON 1.1 call and return its answer.

    Args:
        url: of the server.
        operation: such as `CreateRepository`.
        params: its input, or the exact body.
        signer: None sends the call unsigned.
        service: one of TARGETS.
        headers: replace or add; they are signed.
        signature: `at` and `payload_hash` of `Signer.sign`.
    """
    body = params if isinstance(params, bytes) else json.dumps(params).encode()
    sent = {
        "host": urlsplit(url).netloc,
        "content-type": JSON,
        "x-amz-target": f"{TARGETS[service]}.{operation}",
        **(headers or {}),
    }
    if signer is not None:
        sent = signer.sign("POST", sent, body, **signature)
    return OciClient(url).request("POST", "/", headers=sent, body=body)


def query_call(url: str, params: Mapping[str, str], signer: Signer | None) -> Response:
    """Send one call of the query protocol, as STS and (with its Version) IAM take it; `params` hold Action."""
    body = urlencode({"Version": "2011-06-15", **params}).encode()
    sent = {"host": urlsplit(url).netloc, "content-type": FORM}
    if signer is not None:
        sent = signer.sign("POST", sent, body)
    return OciClient(url).request("POST", "/", headers=sent, body=body)


def form_fields(shape: Shape | None, value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a form for a value of a shape; one that does not fit its shape becomes a plain text."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, item in value.items():
            if item is not None:
                yield from form_fields(shape.members[name], item, f"{prefix}.{name}" if prefix else name)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from form_fields(shape.member, item, f"{prefix}.member.{number}")
        if not value:
            yield prefix, ""
    else:
        yield prefix, str(value).lower() if isinstance(value, bool) else str(value)


def fault(answer: Response) -> tuple[str, str]:
    """The exception type and message of a JSON error answer; its HTTP status must be an error too."""
    document = answer.json()
    assert answer.status >= 400, str(answer)
    assert answer.header("Content-Type") == JSON
    return document["__type"], document["message"]
