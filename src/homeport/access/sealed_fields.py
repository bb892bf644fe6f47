"""Lists of fields as opaque strings: sealed, bound to one purpose and context, in URL-safe base64 without padding.

So one kind can never be used as another and every copy has exactly one spelling. ASCII, no colon.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

from homeport.access.sealing import SealBroken, Sealer

MAX_TOKEN_CHARACTERS: Final = 8192
_COMPRESSED_FROM: Final = 1024  # bytes: session policies and claims in headers of clients
_URLSAFE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class NotOurs(Exception):
    """The string was not sealed by us for this kind and context."""


class TooLong(ValueError):
    """What was to be sealed does not fit into a token."""


class SealedFields:
    """Fields to string and back, for one purpose."""

    __slots__ = ("_compressed", "_purpose", "_sealer")

    def __init__(self, sealer: Sealer, purpose: str, *, compressed: bool = False) -> None:
        self._sealer = sealer
        self._purpose = purpose
        self._compressed = compressed

    def write(self, fields: Sequence[Any], *context: str) -> str:
        """Return `fields` (JSON values) as a string that only the same `context` opens. Errors: TooLong."""
        plaintext = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        if self._compressed and len(plaintext) > _COMPRESSED_FROM:
            plaintext = zlib.compress(plaintext, 6)
        sealed = self._sealer.seal(self._purpose, plaintext, _joined(context))
        token = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TooLong(f"a {self._purpose} of {len(token)} characters is too long to be read again")
        return token

    def read(self, token: str, *context: str) -> list[Any]:
        """Return the fields of what `write` made. Errors: NotOurs."""
        if len(token) > MAX_TOKEN_CHARACTERS or not _URLSAFE.fullmatch(token):
            raise NotOurs
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            # The last character has spare bits; only the spelling that we wrote is accepted.
            if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") != token:
                raise NotOurs
            plaintext = self._sealer.open(self._purpose, sealed, _joined(context))
            # What we sealed is ours, so its size is known to be bounded. JSON never begins like a zlib stream.
            fields = json.loads(zlib.decompress(plaintext) if plaintext[:1] == b"\x78" else plaintext)
        except (SealBroken, ValueError):
            raise NotOurs from None
        if not isinstance(fields, list):
            raise NotOurs
        return fields


def _joined(context: Sequence[str]) -> bytes:
    # Lengths in front, so that ("ab", "c") and ("a", "bc") are different contexts.
    parts = [part.encode("utf-8", "surrogatepass") for part in context]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)
