"""What a backup folder is.

    backup.lock            held while somebody writes here; also says that the folder is a backup's
    backup.json            the newest complete backup: what belongs to it; replaced last, as a whole
    metadata/<name>/       its homeport.db, homeport.toml and master.key
    objects/<algorithm>/<xx>/<hex>
                           the bytes of blobs by digest, shared by one backup and the next

The database in the backup names every object that belongs to it, with its digest and size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from homeport.kernel.digests import Digest
from homeport.kernel.errors import InvalidInput

MANIFEST = "backup.json"
LOCK = "backup.lock"
METADATA = "metadata"
OBJECTS = "objects"
DATABASE = "homeport.db"
KEY = "master.key"
SETTINGS = "homeport.toml"
PARTS = (DATABASE, KEY, SETTINGS)
_FORMAT = 1


def object_path(backup: Path, digest: str) -> Path:
    """Return where the bytes of a blob are in a backup. Errors: DigestInvalid."""
    found = Digest(digest)
    return backup / OBJECTS / found.algorithm / found.hex[:2] / found.hex


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the metadata: its size in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What belongs to one complete backup."""

    version: str
    """Of the program that wrote it."""
    schema: str
    taken_at: str
    """The moment of the metadata, ISO 8601."""
    metadata: str
    """Name of the folder in `metadata`."""
    parts: Mapping[str, Part]
    blobs: int
    blob_bytes: int
    damaged: tuple[str, ...]
    """Digests of blobs whose bytes were not whole in the registry, so that they are not in the backup."""

    def as_text(self) -> str:
        """Return the text of the manifest file."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, backup: Path) -> Self:
        """Read that of the backup in a folder. Errors: InvalidInput when there is none that is complete."""
        try:
            document: dict[str, Any] = json.loads((backup / MANIFEST).read_text())
            if document.pop("format") != _FORMAT:
                raise InvalidInput(f"{backup} was written by a newer Homeport; restore it with that version.")
            parts = {name: Part(**document["parts"][name]) for name in PARTS}
            manifest = cls(**{**document, "parts": parts, "damaged": tuple(document["damaged"])})
        except FileNotFoundError:
            raise InvalidInput(f"{backup} holds no complete backup: there is no {MANIFEST}.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{backup / MANIFEST} cannot be read: {error}") from error
        if Path(manifest.metadata).name != manifest.metadata or manifest.metadata in ("", ".", ".."):
            raise InvalidInput(f"{backup / MANIFEST} names no folder of the backup.")
        return manifest
