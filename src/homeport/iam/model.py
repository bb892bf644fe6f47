"""What users, groups and access keys are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeport.iam import entities
from homeport.iam.entities import Kind


@dataclass(frozen=True, slots=True)
class User:
    """A user of an account; `boundary` is the ARN of a managed policy that limits them."""

    account: str
    name: str
    path: str
    id: str
    boundary: str | None
    created_at: datetime

    @property
    def arn(self) -> str:
        """The user's resource name."""
        return entities.arn(Kind.USER, self.account, self.name, self.path)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of an account: its policies are those of every member."""

    account: str
    name: str
    path: str
    id: str
    created_at: datetime

    @property
    def arn(self) -> str:
        """The group's resource name."""
        return entities.arn(Kind.GROUP, self.account, self.name, self.path)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key without its secret."""

    id: str
    user: str
    active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its creation: the only moment at which the secret is shown."""

    account: str
    user: str
    user_arn: str
    access_key_id: str
    secret_access_key: str
    created_at: datetime
