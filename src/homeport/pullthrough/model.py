"""A pull-through cache rule as a value. Words are ECR's (botocore `ecr` model, PullThroughCacheRule)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeport.access.sealing import Secret
from homeport.kernel.names import AccountId

ROOT = "ROOT"
"""The prefix that stands for no prefix at all."""


class Upstream(StrEnum):
    """The kinds of registry that can stand behind a prefix (UpstreamRegistry)."""

    ECR = "ecr"
    ECR_PUBLIC = "ecr-public"
    QUAY = "quay"
    K8S = "k8s"
    DOCKER_HUB = "docker-hub"
    GITHUB = "github-container-registry"
    AZURE = "azure-container-registry"
    GITLAB = "gitlab-container-registry"
    CHAINGUARD = "chainguard"

    @property
    def needs_secret(self) -> bool:
        """Whether it lets nobody pull without credentials from a secret."""
        return self in (
            Upstream.DOCKER_HUB,
            Upstream.GITHUB,
            Upstream.AZURE,
            Upstream.GITLAB,
            Upstream.CHAINGUARD,
        )


@dataclass(frozen=True, slots=True)
class CacheRule:
    """Repositories below `prefix` are copies of those below `upstream_prefix` at `upstream_url`.

    An `upstream_prefix` that was not stated means ROOT and is not shown either, as Terraform's AWS provider expects.
    """

    account: AccountId
    prefix: str
    upstream_url: str
    upstream: Upstream
    upstream_prefix: str | None
    credential_arn: str | None
    custom_role_arn: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """What an upstream registry asks for, read from a secret. Never shows its token."""

    username: str
    token: Secret
