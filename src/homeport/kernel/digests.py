"""Digests: the names of bytes. OCI image-spec descriptor.md, "Digests".

sha256 and sha512 are accepted; weak or unknown algorithms are refused before any look-up.
"""

from __future__ import annotations

import hashlib
import re

from homeport.kernel.errors import DigestInvalid

_FORM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Digest(str):
    """A digest that is certainly well formed: `sha256:<64 hex>` or `sha512:<128 hex>`, lower case."""

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        """Validate `text`; raise DigestInvalid when it is not a digest that we accept."""
        if not _FORM.fullmatch(text):
            raise DigestInvalid("Provided digest did not match: expected sha256 or sha512 and lower-case hex")
        return super().__new__(cls, text)

    @property
    def algorithm(self) -> str:
        """The part before the colon: `sha256` or `sha512`."""
        return self[:6]

    @property
    def hex(self) -> str:
        """The part after the colon."""
        return self[7:]


def digest_of(data: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Digest:
    """Return the digest of `data` under `algorithm` (`sha256` or `sha512`)."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
