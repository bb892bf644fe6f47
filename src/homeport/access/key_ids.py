"""New access keys: ids and secrets in the form that AWS's have (IAM User Guide, unique identifiers)."""

from __future__ import annotations

import base64
import secrets
from typing import Final

_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def new_access_key_id() -> str:
    """A new long-term access key id: AKIA and 16 characters of base32 (80 random bits)."""
    return "AKIA" + _base32(16)


def new_secret_access_key() -> str:
    """A new secret access key: 40 characters of [A-Za-z0-9/+] (240 random bits)."""
    return base64.b64encode(secrets.token_bytes(30)).decode("ascii")


def new_session_key_id() -> str:
    """A new key id of temporary credentials: ASIA and 16 characters of base32."""
    return "ASIA" + _base32(16)


def _base32(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))
