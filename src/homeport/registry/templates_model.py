"""A repository creation template as a value. Words are ECR's (botocore `ecr` model, RepositoryCreationTemplate)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from homeport.kernel.names import AccountId
from homeport.repositories.model import Settings, TagMutability


class AppliedFor(StrEnum):
    """Which kinds of implicit creation a template is for (RCTAppliedFor)."""

    REPLICATION = "REPLICATION"
    PULL_THROUGH_CACHE = "PULL_THROUGH_CACHE"
    CREATE_ON_PUSH = "CREATE_ON_PUSH"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a template gives to the repositories that are made from it."""

    applied_for: tuple[AppliedFor, ...]
    description: str | None = None
    encryption_type: str = "AES256"
    resource_tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tag_mutability: TagMutability = TagMutability.MUTABLE
    mutability_filters: tuple[str, ...] = ()
    repository_policy: str | None = None
    lifecycle_policy: str | None = None
    custom_role_arn: str | None = None

    def settings(self) -> Settings:
        """Return the settings of a repository made from the template."""
        return Settings(
            tag_mutability=self.tag_mutability,
            mutability_filters=self.mutability_filters,
            encryption_type=self.encryption_type,
        )


@dataclass(frozen=True, slots=True)
class Template:
    """One creation template of one registry."""

    account: AccountId
    prefix: str
    wish: Wish
    created_at: datetime
    updated_at: datetime
