"""What must be known to continue a staged object on another node, and how it is written down beside it.

A state is one object, `staging/<key>/<generation>-<offset>-<random>`: its parts so far, and the bytes after the last
part, which are too few to be a part. It is never written twice and never changed, so whoever names it knows exactly
which bytes count, whatever other writers left behind.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from homeport.blobs.port import BlobDamaged, StorageKey
from homeport.blobs.s3_bucket import Part

_NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{12})-[0-9a-f]{16}", re.ASCII)
_HEAD_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """The first `offset` bytes of an object: `parts` of a multipart upload, and a tail that lies in the state."""

    offset: int = 0
    parts: tuple[Part, ...] = ()
    upload: str | None = None
    """The multipart upload, None while everything is tail."""
    target: StorageKey | None = None
    """The object that the multipart upload will become."""
    generation: int = 0
    name: str = ""
    """Of the state; empty when nothing is saved."""

    @property
    def tail_start(self) -> int:
        """Where the tail begins: after the last part."""
        return sum(part.size for part in self.parts)

    def encoded(self) -> bytes:
        """What stands before the tail."""
        body = json.dumps(
            {
                "offset": self.offset,
                "parts": [[part.number, part.size, part.etag] for part in self.parts],
                "upload": self.upload,
                "target": self.target,
            },
            separators=(",", ":"),
        ).encode()
        return len(body).to_bytes(_HEAD_BYTES, "big") + body


def new_name(generation: int, offset: int) -> str:
    """A name that no other state has."""
    return f"{generation:08x}-{offset:012x}-{secrets.token_hex(8)}"


def parsed_name(name: str) -> tuple[int, int] | None:
    """The generation and the offset in a state's name; None for what is no such name."""
    match = _NAME.fullmatch(name)
    return (int(match[1], 16), int(match[2], 16)) if match else None


def decoded(name: str, content: bytes) -> tuple[Progress, bytes]:
    """Read a state back, with its tail. Raises BlobDamaged when it is not one."""
    length = _HEAD_BYTES + int.from_bytes(content[:_HEAD_BYTES], "big")
    numbers = parsed_name(name)
    try:
        known: Any = json.loads(content[_HEAD_BYTES:length])
        progress = Progress(
            int(known["offset"]),
            tuple(Part(int(number), int(size), str(etag)) for number, size, etag in known["parts"]),
            known["upload"],
            StorageKey(known["target"]) if known["target"] is not None else None,
            numbers[0] if numbers is not None else 0,
            name,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BlobDamaged(f"the state {name} of an upload cannot be read") from error
    tail = content[length:]
    if progress.tail_start + len(tail) != progress.offset:
        raise BlobDamaged(f"the state {name} of an upload has {len(tail)} bytes after its parts")
    return progress, tail


def shortened(progress: Progress, tail: bytes, offset: int) -> tuple[Progress, bytes] | None:
    """The same with only its first `offset` bytes; None where that would cut a part, which cannot be read."""
    start = progress.tail_start
    if offset >= start:
        kept, rest = progress.parts, tail[: offset - start]
    else:
        at, kept, rest = 0, (), b""
        for index, part in enumerate(progress.parts):
            if at == offset:
                break
            at += part.size
            kept = progress.parts[: index + 1]
        if at != offset:
            return None
    # Without parts nothing ties the bytes to the multipart upload, so another one may begin.
    upload, target = (progress.upload, progress.target) if kept else (None, None)
    return Progress(offset, kept, upload, target, progress.generation, progress.name), rest
