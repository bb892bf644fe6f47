"""What an alias and a logo must be. Pure: no I/O, no clock.

ECR Public API Reference, RegistryAlias and RepositoryCatalogDataInput; PNG specification, sections 5 and 11.2.2.
"""

from __future__ import annotations

import re
import zlib

from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter

_ALIAS = re.compile(r"[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13


def check_alias(name: str) -> str:
    """Return `name`. Errors: InvalidParameter when it cannot be an alias."""
    if not 2 <= len(name) <= 50 or not _ALIAS.fullmatch(name):
        raise InvalidParameter(
            "registryAlias",
            "Member must have 2 to 50 characters and satisfy regular expression pattern: "
            "[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*",
        )
    return name


def check_logo(data: bytes) -> bytes:
    """Return `data`. Errors: InvalidParameter when it is not a whole PNG of 60 to 2048 pixels on each side.

    Every chunk is checked, so that nothing else can hide behind the first bytes of an image that strangers will see.
    """
    size = _png_size(data)
    if size is None:
        raise InvalidParameter("logoImageBlob", "Member must be an image in PNG format")
    least, most = limits.PUBLIC_LOGO_PIXELS
    if not all(least <= side <= most for side in size):
        raise InvalidParameter(
            "logoImageBlob", f"Member must be at least {least} x {least} and at most {most} x {most} pixels"
        )
    return data


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a PNG whose chunks are all sound, None of anything else."""
    if not data.startswith(_PNG):
        return None
    at, size, has_pixels = len(_PNG), None, False
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if data[end : end + 4] != zlib.crc32(data[at + 4 : end]).to_bytes(4, "big"):
            return None
        if size is None:
            if kind != b"IHDR" or length != _HEADER_BYTES:
                return None
            size = (
                int.from_bytes(data[at + 8 : at + 12], "big"),
                int.from_bytes(data[at + 12 : at + 16], "big"),
            )
        has_pixels = has_pixels or kind == b"IDAT"
        at = end + 4
        if kind == b"IEND":
            return size if at == len(data) and has_pixels else None
    return None
