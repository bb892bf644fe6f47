"""A bare OCI distribution client: one HTTP request per call and the answer as it came.

It has no convenience that would hide what a server did: no retries, no pooling, and redirects are
followed only where a pull asks for it. The routes are those of the OCI distribution specification
1.1. Images to push come from `tests.harness.images`.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from tests.harness.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    Image,
    Index,
    sha256,
)

ANY_MANIFEST = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, complete. `headers` is looked up without regard to case."""

    method: str
    url: str
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """The value of a header that must be there."""
        value = self.headers.get(name)
        assert value is not None, f"no header {name}\n{self}"
        return str(value)

    def expect(self, *statuses: int) -> Response:
        """This answer, asserted to have one of the statuses."""
        assert self.status in statuses, f"expected {statuses}\n{self}"
        return self

    @property
    def error_codes(self) -> list[str]:
        """The codes of an OCI error body."""
        return [error["code"] for error in self.json()["errors"]]

    def __str__(self) -> str:
        return f"{self.method} {self.url}\n{self.status}\n{self.headers}{self.body[:2000]!r}"


class OciClient:
    """Speaks to the registry at a base URL.

    Args:
        url: such as `http://127.0.0.1:40123`.
        user, password: for HTTP Basic; without a password no credentials are sent.
        context: how to trust the server, when the URL is https.
    """

    def __init__(
        self,
        url: str,
        user: str = "AWS",
        password: str | None = None,
        *,
        context: ssl.SSLContext | None = None,
        seconds: float = 30,
    ) -> None:
        self.url = url.rstrip("/")
        self.headers: dict[str, str] = {}
        if password is not None:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {token}"
        self._context = context
        self._seconds = seconds

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request and read the answer whole.

        Args:
            method: HTTP method.
            path: path below the base URL, or a whole URL or path from a Location header.
            headers: further headers; `Authorization` overrides the credentials, empty leaves them out.
            body: bytes, or parts of bytes sent with chunked transfer encoding.
            query: parameters to add to the path.
        """
        target = urljoin(self.url + "/", path)
        if query:
            target += ("&" if urlsplit(target).query else "?") + urlencode(query)
        parts = urlsplit(target)
        own = parts.netloc == urlsplit(self.url).netloc
        sent = {**(self.headers if own else {}), **(headers or {})}
        sent = {name: value for name, value in sent.items() if value}
        connection = self._connect(parts.scheme, parts.netloc)
        try:
            where = parts.path + (f"?{parts.query}" if parts.query else "")
            # A server may refuse a body before it has all of it; its answer is then there to read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, where, body=body, headers=sent)
            answer = connection.getresponse()
            return Response(method, target, answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def _connect(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(netloc, timeout=self._seconds, context=self._context)
        return http.client.HTTPConnection(netloc, timeout=self._seconds)

    # --- Blobs ---

    def start_upload(self, repository: str) -> str:
        """Open an upload; returns its location."""
        return self.request("POST", f"/v2/{repository}/blobs/uploads/").expect(202).header("Location")

    def push_blob(self, repository: str, data: bytes) -> str:
        """Push a blob as most clients do, POST then one PUT with everything; returns its digest."""
        digest = sha256(data)
        location = self.start_upload(repository)
        kind = {"Content-Type": "application/octet-stream"}
        done = self.request("PUT", location, headers=kind, body=data, query={"digest": digest}).expect(201)
        assert done.header("Docker-Content-Digest") == digest
        return digest

    def push_blob_chunked(self, repository: str, data: bytes, chunk: int) -> str:
        """Push a blob in PATCH requests of `chunk` bytes, each with its Content-Range; returns its digest."""
        digest = sha256(data)
        location = self.start_upload(repository)
        for start in range(0, len(data), chunk):
            part = data[start : start + chunk]
            last = start + len(part) - 1
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{last}"}
            answer = self.request("PATCH", location, headers=headers, body=part).expect(202)
            assert answer.header("Range") == f"0-{last}"
            location = answer.header("Location")
        self.request("PUT", location, query={"digest": digest}).expect(201)
        return digest

    def push_blob_streamed(self, repository: str, parts: Iterable[bytes], digest: str) -> str:
        """Push a blob as docker does: one PATCH of unknown length, then an empty PUT; returns its digest."""
        location = self.start_upload(repository)
        kind = {"Content-Type": "application/octet-stream"}
        location = self.request("PATCH", location, headers=kind, body=parts).expect(202).header("Location")
        self.request("PUT", location, query={"digest": digest}).expect(201)
        return digest

    def mount_blob(self, repository: str, digest: str, source: str) -> Response:
        """Ask for a blob of another repository: 201 when it is there now, 202 when an upload was opened."""
        query = {"mount": digest, "from": source}
        return self.request("POST", f"/v2/{repository}/blobs/uploads/", query=query)

    def get_blob(self, repository: str, digest: str, headers: Mapping[str, str] | None = None) -> Response:
        """A blob's answer, through at most one redirect (credentials go to the registry's own host only)."""
        answer = self.request("GET", f"/v2/{repository}/blobs/{digest}", headers=headers)
        if answer.status in (302, 307):
            answer = self.request("GET", urljoin(answer.url, answer.header("Location")), headers=headers)
        return answer

    def pull_blob(self, repository: str, digest: str) -> bytes:
        """The bytes of a blob, checked against the digest asked for."""
        data = self.get_blob(repository, digest).expect(200).body
        assert sha256(data) == digest, f"asked for {digest}, got {sha256(data)}"
        return data

    # --- Manifests ---

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> Response:
        """PUT of a manifest; the answer, whatever it is."""
        path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
        return self.request("PUT", path, headers={"Content-Type": media_type}, body=data)

    def push_manifest(self, repository: str, manifest: Blob, reference: str | None = None) -> str:
        """Push a manifest by tag, or by its own digest; returns the digest."""
        at = reference if reference is not None else manifest.digest
        answer = self.put_manifest(repository, at, manifest.data, manifest.media_type).expect(201)
        assert answer.header("Docker-Content-Digest") == manifest.digest
        return manifest.digest

    def push(self, repository: str, content: Image | Index, reference: str | None = None) -> str:
        """Push everything that an image or index needs, then itself; returns its digest."""
        if isinstance(content, Index):
            for image in content.images:
                self.push(repository, image)
        else:
            for blob in content.blobs:
                self.push_blob(repository, blob.data)
        return self.push_manifest(repository, content.manifest, reference)

    def get_manifest(self, repository: str, reference: str, accept: str = ANY_MANIFEST) -> Response:
        """GET of a manifest; the answer, whatever it is."""
        return self.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": accept})

    def pull_manifest(self, repository: str, reference: str) -> Blob:
        """A manifest with its media type, checked against the digest that the server states."""
        answer = self.get_manifest(repository, reference).expect(200)
        assert answer.header("Docker-Content-Digest") == sha256(answer.body)
        return Blob(answer.header("Content-Type"), answer.body)

    def pull(self, repository: str, reference: str) -> dict[str, bytes]:
        """Every byte of an image or index by digest: manifest, children, configurations, layers."""
        manifest = self.pull_manifest(repository, reference)
        document = manifest.json()
        found = {manifest.digest: manifest.data}
        for child in document.get("manifests", []):
            found |= self.pull(repository, child["digest"])
        for part in [*document.get("layers", []), *([document["config"]] if "config" in document else [])]:
            found[part["digest"]] = self.pull_blob(repository, part["digest"])
        return found

    def delete(self, repository: str, reference: str) -> Response:
        """DELETE of a manifest or tag; the answer, whatever it is."""
        return self.request("DELETE", f"/v2/{repository}/manifests/{reference}")

    # --- Lists ---

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, through every page."""
        found: list[str] = []
        page: str | None = f"/v2/{repository}/tags/list"
        while page is not None:
            answer = self.request("GET", page).expect(200)
            found += answer.json()["tags"] or []
            page = _next_page(answer)
        return found

    def referrers(
        self, repository: str, digest: str, artifact_type: str | None = None
    ) -> list[dict[str, Any]]:
        """Descriptors of the manifests about `digest`, through every page."""
        found: list[dict[str, Any]] = []
        query = {"artifactType": artifact_type} if artifact_type else None
        page: str | None = f"/v2/{repository}/referrers/{digest}"
        while page is not None:
            answer = self.request("GET", page, query=query).expect(200)
            assert answer.header("Content-Type").partition(";")[0] == OCI_INDEX
            found += answer.json()["manifests"]
            page, query = _next_page(answer), None
        return found


def _next_page(answer: Response) -> str | None:
    link = answer.headers.get("Link")
    if link is None:
        return None
    target, _, relation = str(link).partition(">")
    assert 'rel="next"' in relation, f"unexpected Link: {link}"
    return target.lstrip(" <")
