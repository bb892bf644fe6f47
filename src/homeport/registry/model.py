"""Settings of a registry as values. Words are ECR's (botocore `ecr` model)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Document(StrEnum):
    """The documents of which a registry has one each; account settings are `setting:<name>`."""

    POLICY = "policy"
    SCANNING = "scanning"
    SIGNING = "signing"


class Setting(StrEnum):
    """Account settings: ECR's, and those that switch on what ECR does not have."""

    BASIC_SCAN_TYPE_VERSION = "BASIC_SCAN_TYPE_VERSION"
    REGISTRY_POLICY_SCOPE = "REGISTRY_POLICY_SCOPE"
    BLOB_MOUNTING = "BLOB_MOUNTING"
    LIFECYCLE_EXTENSIONS = "LIFECYCLE_EXTENSIONS"
    """Extension: lifecycle policies may say more than ECR's (docs/how-to/lifecycle.md)."""
    IMAGE_RECOVERY = "IMAGE_RECOVERY"
    """Extension: for how many days a deleted image can be brought back."""


class ScanType(StrEnum):
    """Which scanner looks at images."""

    BASIC = "BASIC"
    ENHANCED = "ENHANCED"


class ScanFrequency(StrEnum):
    """When images are scanned."""

    SCAN_ON_PUSH = "SCAN_ON_PUSH"
    CONTINUOUS_SCAN = "CONTINUOUS_SCAN"
    MANUAL = "MANUAL"


@dataclass(frozen=True, slots=True)
class ScanningRule:
    """How often the repositories that one of `filters` matches are scanned."""

    frequency: ScanFrequency
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScanningConfiguration:
    """The registry's scanning; without rules every repository is scanned by hand only (BASIC) or always (ENHANCED)."""

    scan_type: ScanType = ScanType.BASIC
    rules: tuple[ScanningRule, ...] = ()


@dataclass(frozen=True, slots=True)
class RepositoryScanning:
    """What the configuration means for one repository; `filters` are those that matched its name."""

    on_push: bool
    frequency: ScanFrequency
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SigningRule:
    """Images of matching repositories are signed with a profile; `filters` None means every repository."""

    profile_arn: str
    filters: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A principal whose pulls leave no trace in lastRecordedPullTime."""

    principal_arn: str
    created_at: datetime
