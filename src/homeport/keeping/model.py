"""What is found when a registry is inspected, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from homeport.blobs.port import StorageKey


@dataclass(frozen=True, slots=True)
class KeptBlob:
    """A blob's row: what its bytes should be, and what is known about them. `size` in bytes."""

    digest: str
    size: int
    storage_key: StorageKey
    fresh_at: datetime
    """When the bytes were last known to be whole: verified, or pushed."""
    damaged: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """That an image refers to a blob: in which repository, and whether the link and the blob are there."""

    digest: str
    repository_id: int
    linked: bool
    stored: bool


@dataclass(slots=True)
class Referring:
    """An image, kept or deleted and recoverable, with the rows that say what it refers to."""

    id: int
    repository_id: int
    digest: str
    media_type: str
    manifest: bytes
    edges: list[Edge] = field(default_factory=list)
    children: dict[str, bool] = field(default_factory=dict)
    """By digest, whether that image is in the repository."""
    astray: list[str] = field(default_factory=list)
    """Tags and references that name another repository than the image's."""


class Verdict(StrEnum):
    """What became of looking at a blob's stored bytes."""

    WHOLE = "whole"
    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    WRONG_DIGEST = "wrong-digest"
    UNREADABLE = "unreadable"
    """The device refuses to read them."""


class Kind(StrEnum):
    """What can be wrong with a registry."""

    DATABASE = "database"
    """The database file itself is broken."""
    BYTES = "bytes"
    """A blob's stored bytes are not there or not the blob's."""
    ORPHAN = "orphan"
    """Stored bytes that no row knows of."""
    MANIFEST = "manifest"
    """An image's manifest does not have its digest, or cannot be read."""
    REFERENCE = "reference"
    """A row refers to something that is not there, or a reference of a manifest has no row."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `repaired`: what was done about it, empty for nothing."""

    kind: Kind
    subject: str
    """A digest, a storage key, or an image as `account/repository@digest`."""
    problem: str
    repaired: str = ""


@dataclass(slots=True)
class Report:
    """What an inspection looked at and found. The findings beyond the first thousands are only counted."""

    blobs: int = 0
    blob_bytes: int = 0
    hashed_bytes: int = 0
    objects: int = 0
    images: int = 0
    young_orphans: int = 0
    """Objects without a row that are not old enough to be called orphans."""
    quarantined: int = 0
    """Objects in quarantine, with those of this inspection."""
    quarantined_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: dict[Kind, int] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while there are few."""
        self.found[finding.kind] = self.found.get(finding.kind, 0) + 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def as_json(self) -> dict[str, Any]:
        """Return the report as `homeport fsck --json` prints it."""
        return {
            "clean": self.clean,
            "blobs": self.blobs,
            "blobBytes": self.blob_bytes,
            "hashedBytes": self.hashed_bytes,
            "objects": self.objects,
            "images": self.images,
            "youngOrphans": self.young_orphans,
            "quarantined": self.quarantined,
            "quarantinedBytes": self.quarantined_bytes,
            "found": {kind.value: count for kind, count in self.found.items()},
            "findings": [
                {
                    "kind": each.kind.value,
                    "subject": each.subject,
                    "problem": each.problem,
                    "repaired": each.repaired,
                }
                for each in self.findings
            ],
        }


FINDINGS_KEPT = 10_000
