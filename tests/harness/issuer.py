"""An OpenID Connect issuer on loopback: discovery, key set, tokens of any kind, also such as no honest issuer makes.

Tokens are put together by hand, so that a test decides about every byte of them.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


def encoded(data: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    """A number as key sets have it."""
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class SigningKey:
    """A key pair with its id and algorithm."""

    def __init__(self, algorithm: str = "RS256", *, bits: int = 2048, kid: str | None = None) -> None:
        self.kid = kid or f"key-{uuid.uuid4().hex[:8]}"
        self.algorithm = algorithm
        self.private: PrivateKey
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    def public(self, **more: Any) -> dict[str, Any]:
        """The public half as a key set has it."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            numbers = self.private.public_key().public_numbers()
            x, y = (encoded(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
            own: dict[str, Any] = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        else:
            public = self.private.public_key().public_numbers()
            own = {"kty": "RSA", "n": number(public.n), "e": number(public.e)}
        return {**own, "kid": self.kid, "use": "sig", "alg": self.algorithm, **more}

    def signature(self, data: bytes) -> bytes:
        """Sign as the algorithm wants it."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self.algorithm.startswith("PS"):
            salted = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            return self.private.sign(data, salted, hashes.SHA256())
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


class Issuer:
    """Serves discovery and keys over TLS; `broken` makes it answer otherwise."""

    def __init__(self, certificate: Path, key_file: Path) -> None:
        self.certificate = certificate
        self.key = SigningKey()
        self.published: list[dict[str, Any]] = [self.key.public()]
        self.asked: list[str] = []
        self.broken: dict[str, tuple[int, Mapping[str, str], bytes]] = {}
        """Path to the (status, headers, body) to answer instead."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, headers, body = issuer.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"https://{self.host}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """What a path answers now. Any path may be an issuer's of its own."""
        if path in self.broken:
            return self.broken[path]
        if path.endswith(DISCOVERY):
            below = path.removesuffix(DISCOVERY)
            described = {"issuer": self.url + below, "jwks_uri": f"{self.url}{below}{KEYS}"}
            return 200, {"Content-Type": "application/json"}, json.dumps(described).encode()
        if path.endswith(KEYS):
            return 200, {"Content-Type": "application/json"}, json.dumps({"keys": self.published}).encode()
        return 404, {}, b""

    def rotate(self, algorithm: str = "RS256") -> SigningKey:
        """Sign with a new key from now on, and publish it beside the others."""
        self.key = SigningKey(algorithm)
        self.published = [*self.published, self.key.public()]
        return self.key

    def claims(self, path: str = "", **more: Any) -> dict[str, Any]:
        """What a good token says; None removes a claim."""
        now = int(time.time())
        usual = {
            "iss": self.url + path,
            "aud": "sts.amazonaws.com",
            "sub": "repo:octo/app:ref:refs/heads/main",
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
        }
        return {name: value for name, value in {**usual, **more}.items() if value is not None}

    def token(self, path: str = "", *, header: Mapping[str, Any] | None = None, **more: Any) -> str:
        """A token signed with the present key."""
        return signed(self.key, self.claims(path, **more), header)


def signed(key: SigningKey, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A token with these claims, signed with `key`, whatever its header says."""
    first = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **(header or {})}
    first = {name: value for name, value in first.items() if value is not None}
    data = f"{encoded(json.dumps(first).encode())}.{encoded(json.dumps(dict(claims)).encode())}"
    return f"{data}.{encoded(key.signature(data.encode()))}"
