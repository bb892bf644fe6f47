"""A secret as a value. Words are those of AWS Secrets Manager (botocore `secretsmanager` model)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homeport.kernel.names import AccountId

CURRENT = "AWSCURRENT"
"""The staging label of the version that everybody gets who asks for none."""
PREVIOUS = "AWSPREVIOUS"
"""The staging label of the version that was current before."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is secret, as bytes; `binary` tells SecretBinary from SecretString. Never shows itself."""

    data: bytes = field(repr=False)
    binary: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One value that a secret has or had, sealed, with its staging labels."""

    id: str
    sealed: bytes = field(repr=False)
    binary: bool
    stages: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """One secret of one account with its versions."""

    account: AccountId
    name: str
    arn: str
    description: str | None
    tags: Mapping[str, str]
    created_at: datetime
    changed_at: datetime
    delete_after: datetime | None
    """When it is gone for good; None unless it is scheduled for deletion."""
    versions: tuple[Version, ...] = ()
    """Oldest first."""

    def staged(self, stage: str) -> Version | None:
        """Return the version with that staging label, or None."""
        return next((version for version in self.versions if stage in version.stages), None)

    def version(self, version_id: str) -> Version | None:
        """Return the version with that id, or None."""
        return next((version for version in self.versions if version.id == version_id), None)

    @property
    def stages(self) -> dict[str, tuple[str, ...]]:
        """The staging labels of each version by its id."""
        return {version.id: version.stages for version in self.versions}
