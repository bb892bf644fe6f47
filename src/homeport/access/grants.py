"""What the registry's opaque strings say once they are opened: sessions, passwords, addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from homeport.access.sealing import Secret

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSession:
    """A role that somebody took on: everything about the session that no row knows.

    Who took it on, and what they said then, is kept so that a trust policy that no longer lets them in ends the
    session.
    """

    role: str  # name
    role_id: str  # AROA...; a role made anew under the same name is another one
    name: str  # of the session
    chained: bool  # taken on by another role's session
    policies: tuple[str, ...] = field(repr=False)  # session policies by value
    policy_arns: tuple[str, ...]  # and by name
    tags: tuple[tuple[str, str], ...]
    transitive: tuple[str, ...]  # keys of tags that the next role in a chain inherits
    source_identity: str | None
    provider: str | None  # ARN of the provider of a web identity
    claims: tuple[tuple[str, tuple[str, ...]], ...]  # its context keys, in lower case
    by: tuple[str, str, str, str, str]  # account, ARN, principal id, kind and role ARN of who took it on
    asked: tuple[tuple[str, tuple[str, ...]], ...]  # the context of the request that took it on

    def fields(self) -> list[Any]:
        """As JSON values, in the order of `of`."""
        return [
            self.role,
            self.role_id,
            self.name,
            self.chained,
            self.policies,
            self.policy_arns,
            self.tags,
            self.transitive,
            self.source_identity,
            self.provider,
            self.claims,
            self.by,
            self.asked,
        ]

    @classmethod
    def of(cls, fields: Sequence[Any]) -> RoleSession:
        """What `fields` gave. Errors: ValueError, TypeError when it did not."""
        role, role_id, name, chained, inline, arns, tags, transitive, source, provider, claims, by, asked = (
            fields
        )
        account, arn, principal_id, kind, by_role = by
        return cls(
            role=role,
            role_id=role_id,
            name=name,
            chained=chained,
            policies=tuple(inline),
            policy_arns=tuple(arns),
            tags=tuple((key, value) for key, value in tags),
            transitive=tuple(transitive),
            source_identity=source,
            provider=provider,
            claims=_keyed(claims),
            by=(account, arn, principal_id, kind, by_role),
            asked=_keyed(asked),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionScope:
    """What temporary credentials may do and until when, without their secret."""

    principal_arn: str
    account: str
    access_key_id: str  # ASIA...
    parent_key_id: str  # the AKIA... key that asked for the session; when it goes, so does the session
    expires_at: datetime
    session_policy: str | None = field(repr=False)
    issued_at: datetime = _EPOCH
    role: RoleSession | None = (
        None  # then principal_arn is the session's, and parent_key_id empty for a web identity
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGrant(SessionScope):
    """A session token that we issued, opened: the scope and the secret to verify signatures with."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """Temporary credentials as STS returns them; shown once, to the caller who asked."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RegistryGrant:
    """A registry password, opened; `session` is set when temporary credentials asked for it."""

    account: str
    principal_arn: str
    access_key_id: str
    issued_at: datetime
    expires_at: datetime
    session: SessionScope | None


@dataclass(frozen=True, slots=True)
class DownloadGrant:
    """One blob of one repository, for whoever holds the address."""

    repository_id: int
    digest: str


def _keyed(pairs: Sequence[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, tuple(values)) for key, values in pairs)
