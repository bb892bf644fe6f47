"""The opaque strings that the registry hands out and takes back: passwords, sessions, addresses, pages.

Each kind is a sealed, purpose-bound list of fields in URL-safe base64 without padding (ASCII, no colon),
so one kind can never be used as another and every copy has exactly one spelling.
Nothing is stored: whoever reads a grant must still ask whether its user and access key exist
(security cases A10, A11). Contracts: ECR GetAuthorizationToken, STS GetSessionToken.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from homeport.access.sealing import SealBroken, Sealer, Secret
from homeport.kernel import errors, limits

Scalar = str | int | float | bool | None

PASSWORD_LIFETIME: Final = timedelta(seconds=limits.TOKEN_SECONDS)
MIN_SESSION_SECONDS: Final = 900  # STS GetSessionToken DurationSeconds
MAX_SESSION_SECONDS: Final = 129_600
MAX_SESSION_POLICY: Final = 2048  # characters; STS Policy
MIN_DOWNLOAD_SECONDS: Final = 60
MAX_DOWNLOAD_SECONDS: Final = 43_200
MAX_TOKEN_CHARACTERS: Final = 8192
# Nodes that share one master key may disagree by a little about the time of issue.
CLOCK_TOLERANCE: Final = timedelta(seconds=5)

INVALID_MESSAGE: Final = "The security token included in the request is invalid."
EXPIRED_MESSAGE: Final = "The security token included in the request is expired"
_COMPRESSED_FROM: Final = 1024  # bytes: session policies and claims in headers of clients
_ROOM_IN_PASSWORD: Final = 1024  # characters: a registry password carries the session and a little more
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_URLSAFE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_POLICY_CHARACTERS: Final = re.compile(r"[\t\n\r\x20-\xff]+")


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


class _NotOurs(Exception):
    """The string was not sealed by us for this kind and context."""


class _TooLong(ValueError):
    """What was to be sealed does not fit into a token."""


class _Kind:
    """Fields to string and back, for one purpose."""

    __slots__ = ("_compressed", "_purpose", "_sealer")

    def __init__(self, sealer: Sealer, purpose: str, *, compressed: bool = False) -> None:
        self._sealer = sealer
        self._purpose = purpose
        self._compressed = compressed

    def write(self, fields: Sequence[Any], *context: str) -> str:
        plaintext = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        if self._compressed and len(plaintext) > _COMPRESSED_FROM:
            plaintext = zlib.compress(plaintext, 6)
        sealed = self._sealer.seal(self._purpose, plaintext, _joined(context))
        token = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise _TooLong(f"a {self._purpose} of {len(token)} characters is too long to be read again")
        return token

    def read(self, token: str, *context: str) -> list[Any]:
        if len(token) > MAX_TOKEN_CHARACTERS or not _URLSAFE.fullmatch(token):
            raise _NotOurs
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            # The last character has spare bits; only the spelling that we wrote is accepted.
            if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") != token:
                raise _NotOurs
            plaintext = self._sealer.open(self._purpose, sealed, _joined(context))
            # What we sealed is ours, so its size is known to be bounded. JSON never begins like a zlib stream.
            fields = json.loads(zlib.decompress(plaintext) if plaintext[:1] == b"\x78" else plaintext)
        except (SealBroken, ValueError):
            raise _NotOurs from None
        if not isinstance(fields, list):
            raise _NotOurs
        return fields


class AuthorizationTokens:
    """Registry passwords: what `docker login` sends as the password of user AWS, for one region."""

    def __init__(self, sealer: Sealer, region: str) -> None:
        self._kind = _Kind(sealer, "registry password", compressed=True)
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
                _number(session.expires_at),
                session.session_policy,
                _number(session.issued_at),
                session.role.fields() if session.role is not None else None,
            ]
        fields = [account, principal_arn, access_key_id, _number(now), _number(expires_at), inner]
        return self._kind.write(fields, self._region), expires_at

    def read(self, password: str, now: datetime) -> RegistryGrant:
        """Open a password. The caller still checks that the principal and its key are active.

        Raises AuthorizationTokenExpired after its end; InvalidClientToken when it was not issued here for
        this region, was changed, is longer than 8 KiB or is used before its time.
        """
        try:
            account, arn, key_id, issued, expires, inner = self._kind.read(password, self._region)
            session = None if inner is None else _scope(*inner)
        except (_NotOurs, ValueError, TypeError):
            raise errors.InvalidClientToken(INVALID_MESSAGE) from None
        issued_at, expires_at = _moment(issued), _moment(expires)
        if now < issued_at - CLOCK_TOLERANCE:
            raise errors.InvalidClientToken(INVALID_MESSAGE)
        if now >= expires_at:
            raise errors.AuthorizationTokenExpired
        return RegistryGrant(account, arn, key_id, issued_at, expires_at, session)


class SessionTokens:
    """Temporary credentials that need no row in the database: the token carries the sealed secret."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = _Kind(sealer, "session token", compressed=True)

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
        key_id, secret = "ASIA" + _base32(16), new_secret_access_key()
        expires_at = now + timedelta(seconds=seconds)
        fields = [
            principal_arn,
            account,
            access_key_id_of_user,
            secret,
            _number(now),
            _number(expires_at),
            session_policy,
            role.fields() if role is not None else None,
        ]
        try:
            token = self._kind.write(fields, key_id)
            if len(token) < least:
                token = self._kind.write([*fields, secrets.token_urlsafe(least)], key_id)
            if role is not None and len(token) > MAX_TOKEN_CHARACTERS - _ROOM_IN_PASSWORD:
                raise _TooLong
        except _TooLong:
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
        except (_NotOurs, ValueError, TypeError):
            raise errors.InvalidClientToken(INVALID_MESSAGE) from None
        expires_at = _moment(expires)
        if now < _moment(issued) - CLOCK_TOLERANCE:
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
            issued_at=_moment(issued),
            role=role,
            secret=Secret(secret),
        )


class DownloadTokens:
    """Short-lived addresses of one blob, for GetDownloadUrlForLayer."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = _Kind(sealer, "download address")

    def issue(self, repository_id: int, digest: str, now: datetime, seconds: int) -> str:
        """Return a token for the blob `digest` that works for `seconds` (60 to 43200) from `now`.

        Raises ValueError outside those bounds: they come from the configuration, never from a client.
        """
        if not MIN_DOWNLOAD_SECONDS <= seconds <= MAX_DOWNLOAD_SECONDS:
            raise ValueError(
                f"a download address lives {MIN_DOWNLOAD_SECONDS} to {MAX_DOWNLOAD_SECONDS} s, not {seconds}"
            )
        return self._kind.write([repository_id, digest, _number(now + timedelta(seconds=seconds))])

    def read(self, token: str, now: datetime) -> DownloadGrant:
        """Open an address. Raises AccessDenied when it is not ours or past its end."""
        try:
            repository_id, digest, expires = self._kind.read(token)
        except (_NotOurs, ValueError):
            raise errors.AccessDenied("The download address is not valid") from None
        if now >= _moment(expires):
            raise errors.AccessDenied("The download address has expired")
        return DownloadGrant(repository_id, digest)


class PageTokens:
    """Positions in listings, bound to the caller, operation and filter that they were made for."""

    def __init__(self, sealer: Sealer) -> None:
        self._kind = _Kind(sealer, "page position")

    def issue(self, caller: str, operation: str, scope: str, position: Sequence[Scalar]) -> str:
        """Return a `nextToken` that continues after `position` (JSON scalars; ValueError for NaN).

        `scope` is a text of everything that must stay equal between pages: registry, repository, filter.
        """
        return self._kind.write(list(position), caller, operation, scope)

    def read(self, token: str, caller: str, operation: str, scope: str) -> list[Scalar]:
        """Return the position. Raises InvalidParameter when the token was not made for exactly this."""
        try:
            return self._kind.read(token, caller, operation, scope)
        except _NotOurs:
            raise errors.InvalidParameter(
                "nextToken", "must be a token that the same operation returned for the same request"
            ) from None


def new_access_key_id() -> str:
    """A new long-term access key id: AKIA and 16 characters of base32 (80 random bits)."""
    return "AKIA" + _base32(16)


def new_secret_access_key() -> str:
    """A new secret access key: 40 characters of [A-Za-z0-9/+] (240 random bits)."""
    return base64.b64encode(secrets.token_bytes(30)).decode("ascii")


def _base32(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))


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
        expires_at=_moment(expires),
        session_policy=policy,
        issued_at=_moment(issued),
        role=None if taken is None else RoleSession.of(taken),
    )


def _keyed(pairs: Sequence[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, tuple(values)) for key, values in pairs)


def _joined(context: Sequence[str]) -> bytes:
    # Lengths in front, so that ("ab", "c") and ("a", "bc") are different contexts.
    parts = [part.encode("utf-8", "surrogatepass") for part in context]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)
