"""The opaque strings that the registry hands out and takes back: passwords, sessions, addresses, pages.

Each kind is a sealed list of fields (`sealed_fields.py`) with a purpose of its own. Nothing is stored: whoever reads a
grant must still ask whether its user and access key exist (security cases A10, A11). Contracts: ECR
GetAuthorizationToken, STS GetSessionToken.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from homeport.access.grants import (
    DownloadGrant,
    RegistryGrant,
    RoleSession,
    SessionCredentials,
    SessionGrant,
    SessionScope,
)
from homeport.access.key_ids import new_secret_access_key, new_session_key_id
from homeport.access.sealed_fields import MAX_TOKEN_CHARACTERS, NotOurs, SealedFields, TooLong
from homeport.access.sealing import Sealer, Secret
from homeport.kernel import errors, limits
from homeport.kernel.clock import from_micros, to_micros

Scalar = str | int | float | bool | None

PASSWORD_LIFETIME: Final = timedelta(seconds=limits.TOKEN_SECONDS)
MIN_SESSION_SECONDS: Final = 900  # STS GetSessionToken DurationSeconds
MAX_SESSION_SECONDS: Final = 129_600
MAX_SESSION_POLICY: Final = 2048  # characters; STS Policy
MIN_DOWNLOAD_SECONDS: Final = 60
MAX_DOWNLOAD_SECONDS: Final = 43_200
# Nodes that share one master key may disagree by a little about the time of issue.
CLOCK_TOLERANCE: Final = timedelta(seconds=5)

INVALID_MESSAGE: Final = "The security token included in the request is invalid."
EXPIRED_MESSAGE: Final = "The security token included in the request is expired"
_ROOM_IN_PASSWORD: Final = 1024  # characters: a registry password carries the session and a little more
_POLICY_CHARACTERS: Final = re.compile(r"[\t\n\r\x20-\xff]+")


class AuthorizationTokens:
    """Registry passwords: what `docker login` sends as the password of user AWS, for one region."""

    def __init__(self, sealer: Sealer, region: str) -> None:
        self._kind = SealedFields(sealer, "registry password", compressed=True)
        self._region = region

    def issue(
        self,
        principal_arn: str,
        account: str,
        access_key_id: str,
        now: datetime,
        session: SessionScope | None = None,
    ) -> tuple[str, datetime]:
        """Return (password, its end): 12 hours from `now`, or the end of `session` if that is sooner.

        Raises ExpiredToken when the session is over already.
        """
        expires_at = now + PASSWORD_LIFETIME
        inner: list[Any] | None = None
        if session is not None:
            if session.expires_at <= now:
                raise errors.ExpiredToken(EXPIRED_MESSAGE)
            expires_at = min(expires_at, session.expires_at)
            inner = [
                session.principal_arn,
                session.account,
                session.access_key_id,
                session.parent_key_id,
                to_micros(session.expires_at),
                session.session_policy,
                to_micros(session.issued_at),
                session.role.fields() if session.role is not None else None,
            ]
        fields = [account, principal_arn, access_key_id, to_micros(now), to_micros(expires_at), inner]
        return self._kind.write(fields, self._region), expires_at

    def read(self, password: str, now: datetime) -> RegistryGrant:
        """Open a password. The caller still checks that the principal and its key are active.

        Raises AuthorizationTokenExpired after its end; InvalidClientToken when it was not issued here for
        this region, was changed, is longer than 8 KiB or is used before its time.
        """
        try:
            account, arn, key_id, issued, expires, inner = self._kind.read(password, self._region)
            session = None if inner is None else _scope(*inner)
        except (NotOurs, ValueError, TypeError):
            raise errors.InvalidClientToken(INVALID_MESSAGE) from None
        issued_at, expires_at = from_micros(issued), from_micros(expires)
        if now < issued_at - CLOCK_TOLERANCE:
            raise errors.InvalidClientToken(INVALID_MESSAGE)
        if now >= expires_at:
            raise errors.AuthorizationTokenExpired
        return RegistryGrant(account, arn, key_id, issued_at, expires_at, session)


class SessionTokens:
    """Temporary credentials that need no row in the database: the token carries the sealed secret."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = SealedFields(sealer, "session token", compressed=True)

    def issue(
        self,
        principal_arn: str,
        account: str,
        access_key_id_of_user: str,
        seconds: int,
        now: datetime,
        session_policy: str | None,
        role: RoleSession | None = None,
        least: int = 0,
    ) -> SessionCredentials:
        """Make credentials that live `seconds` (900 to 129600) from `now`; those of `role` when it is given.

        `least` is how many characters the token has at least. Raises PackedPolicyTooLarge when they would not fit into
        a token, and InvalidParameter for a duration or a session policy outside STS's bounds.
        """
        if seconds < MIN_SESSION_SECONDS:
            constraint = f"Member must have value greater than or equal to {MIN_SESSION_SECONDS}"
            raise errors.InvalidParameter("durationSeconds", constraint)
        if seconds > MAX_SESSION_SECONDS:
            constraint = f"Member must have value less than or equal to {MAX_SESSION_SECONDS}"
            raise errors.InvalidParameter("durationSeconds", constraint)
        _check_policy(session_policy)
        key_id, secret = new_session_key_id(), new_secret_access_key()
        expires_at = now + timedelta(seconds=seconds)
        fields = [
            principal_arn,
            account,
            access_key_id_of_user,
            secret,
            to_micros(now),
            to_micros(expires_at),
            session_policy,
            role.fields() if role is not None else None,
        ]
        try:
            token = self._kind.write(fields, key_id)
            if len(token) < least:
                token = self._kind.write([*fields, secrets.token_urlsafe(least)], key_id)
            if role is not None and len(token) > MAX_TOKEN_CHARACTERS - _ROOM_IN_PASSWORD:
                raise TooLong
        except TooLong:
            raise errors.PackedPolicyTooLarge(
                "The session's policies and tags do not fit into a token"
            ) from None
        return SessionCredentials(key_id, secret, token, expires_at)

    def read(self, session_token: str, access_key_id: str, now: datetime) -> SessionGrant:
        """Open the token that came with a request signed by `access_key_id`.

        Raises InvalidClientToken when the token is not ours or belongs to another key, ExpiredToken after
        its end.
        """
        try:
            arn, account, parent, secret, issued, expires, policy, taken, *_ = self._kind.read(
                session_token, access_key_id
            )
            role = None if taken is None else RoleSession.of(taken)
        except (NotOurs, ValueError, TypeError):
            raise errors.InvalidClientToken(INVALID_MESSAGE) from None
        expires_at = from_micros(expires)
        if now < from_micros(issued) - CLOCK_TOLERANCE:
            raise errors.InvalidClientToken(INVALID_MESSAGE)
        if now >= expires_at:
            raise errors.ExpiredToken(EXPIRED_MESSAGE)
        return SessionGrant(
            principal_arn=arn,
            account=account,
            access_key_id=access_key_id,
            parent_key_id=parent,
            expires_at=expires_at,
            session_policy=policy,
            issued_at=from_micros(issued),
            role=role,
            secret=Secret(secret),
        )


class DownloadTokens:
    """Short-lived addresses of one blob, for GetDownloadUrlForLayer."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = SealedFields(sealer, "download address")

    def issue(self, repository_id: int, digest: str, now: datetime, seconds: int) -> str:
        """Return a token for the blob `digest` that works for `seconds` (60 to 43200) from `now`.

        Raises ValueError outside those bounds: they come from the configuration, never from a client.
        """
        if not MIN_DOWNLOAD_SECONDS <= seconds <= MAX_DOWNLOAD_SECONDS:
            raise ValueError(
                f"a download address lives {MIN_DOWNLOAD_SECONDS} to {MAX_DOWNLOAD_SECONDS} s, not {seconds}"
            )
        return self._kind.write([repository_id, digest, to_micros(now + timedelta(seconds=seconds))])

    def read(self, token: str, now: datetime) -> DownloadGrant:
        """Open an address. Raises AccessDenied when it is not ours or past its end."""
        try:
            repository_id, digest, expires = self._kind.read(token)
        except (NotOurs, ValueError):
            raise errors.AccessDenied("The download address is not valid") from None
        if now >= from_micros(expires):
            raise errors.AccessDenied("The download address has expired")
        return DownloadGrant(repository_id, digest)


class PageTokens:
    """Positions in listings, bound to the caller, operation and filter that they were made for."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = SealedFields(sealer, "page position")

    def issue(self, caller: str, operation: str, scope: str, position: Sequence[Scalar]) -> str:
        """Return a `nextToken` that continues after `position` (JSON scalars; ValueError for NaN).

        `scope` is a text of everything that must stay equal between pages: registry, repository, filter.
        """
        return self._kind.write(list(position), caller, operation, scope)

    def read(self, token: str, caller: str, operation: str, scope: str) -> list[Scalar]:
        """Return the position. Raises InvalidParameter when the token was not made for exactly this."""
        try:
            return self._kind.read(token, caller, operation, scope)
        except NotOurs:
            raise errors.InvalidParameter(
                "nextToken", "must be a token that the same operation returned for the same request"
            ) from None


def _check_policy(policy: str | None) -> None:
    if policy is None:
        return
    if len(policy) > MAX_SESSION_POLICY:
        constraint = f"Member must have length less than or equal to {MAX_SESSION_POLICY}"
        raise errors.InvalidParameter("policy", constraint)
    if not _POLICY_CHARACTERS.fullmatch(policy):
        raise errors.InvalidParameter("policy", r"Member must satisfy [\u0009\u000A\u000D\u0020-\u00FF]+")


def _scope(
    arn: str,
    account: str,
    key_id: str,
    parent: str,
    expires: int,
    policy: str | None,
    issued: int,
    taken: Sequence[Any] | None,
) -> SessionScope:
    return SessionScope(
        principal_arn=arn,
        account=account,
        access_key_id=key_id,
        parent_key_id=parent,
        expires_at=from_micros(expires),
        session_policy=policy,
        issued_at=from_micros(issued),
        role=None if taken is None else RoleSession.of(taken),
    )
