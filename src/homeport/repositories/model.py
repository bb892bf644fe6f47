"""A repository as a value. Words are ECR's (botocore `ecr` model, Repository)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeport.kernel.names import AccountId, RepositoryName


class TagMutability(StrEnum):
    """May a tag be moved to another image? The exclusion filters turn the answer round for the tags they match."""

    MUTABLE = "MUTABLE"
    IMMUTABLE = "IMMUTABLE"
    IMMUTABLE_WITH_EXCLUSION = "IMMUTABLE_WITH_EXCLUSION"
    MUTABLE_WITH_EXCLUSION = "MUTABLE_WITH_EXCLUSION"

    @property
    def has_exclusion(self) -> bool:
        """Whether exclusion filters belong to this mode."""
        return self.endswith("_WITH_EXCLUSION")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the creator of a repository chooses."""

    tag_mutability: TagMutability = TagMutability.MUTABLE
    mutability_filters: tuple[str, ...] = ()
    scan_on_push: bool = False
    encryption_type: str = "AES256"
    kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of one registry."""

    id: int
    account: AccountId
    name: RepositoryName
    created_at: datetime
    settings: Settings
    policy: str | None
    public: bool = False
    """Whether it belongs to the account's ECR Public registry."""

    def encrypted_like(self, other: Repository) -> bool:
        """Whether both are encrypted in the same way and with the same key, so that they may share bytes."""
        mine, theirs = self.settings, other.settings
        return (mine.encryption_type, mine.kms_key) == (theirs.encryption_type, theirs.kms_key)

    def arn(self, region: str) -> str:
        """Return the repository's Amazon resource name in `region`."""
        if self.public:
            return public_repository_arn(self.account, self.name)
        return repository_arn(region, self.account, self.name)


def repository_arn(region: str, account: str, name: str) -> str:
    """Return the resource name of a repository, whether it exists or not."""
    return f"arn:aws:ecr:{region}:{account}:repository/{name}"


def public_repository_arn(account: str, name: str) -> str:
    """Return the resource name of a repository of ECR Public, which is one for all regions."""
    return f"arn:aws:ecr-public::{account}:repository/{name}"
