"""What the tests of ECR Public share: the address of a repository, taken apart, and logos."""

from __future__ import annotations

import base64
import struct
import uuid
import zlib
from typing import Any


def new_public(client: Any, start: str = "open", **more: Any) -> str:
    """Create an empty public repository that nobody else uses; return its name."""
    name = f"{start}/{uuid.uuid4().hex}"
    client.create_repository(repositoryName=name, **more)
    return name


def path_of(client: Any, name: str) -> str:
    """The path of a public repository on the server: what comes after the host in its address."""
    found = client.describe_repositories(repositoryNames=[name])["repositories"][0]
    path: str = found["repositoryUri"].partition("/")[2]
    return path


def alias_of(client: Any) -> str:
    """The primary alias of the caller's public registry."""
    registry = client.describe_registries()["registries"][0]
    (name,) = (each["name"] for each in registry["aliases"] if each["primaryRegistryAlias"])
    return str(name)


def password_of(client: Any) -> str:
    """What `docker login --username AWS` is given for public images."""
    token = client.get_authorization_token()["authorizationData"]["authorizationToken"]
    return base64.b64decode(token).decode().removeprefix("AWS:")


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A grey PNG of that size; `extra` goes before its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
