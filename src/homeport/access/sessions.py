"""Taking on a role: AssumeRole and AssumeRoleWithWebIdentity, once it is known who asks.

Contract: STS API Reference, AssumeRole and AssumeRoleWithWebIdentity; IAM User Guide, "Pass session tags in AWS STS",
"Monitor and control actions taken with assumed roles" and "Session policies".
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from homeport.access import policies
from homeport.access.context_keys import PolicyFault
from homeport.access.evaluate import Ask, Caller, trusted
from homeport.access.grants import RoleSession, SessionCredentials, SessionScope
from homeport.access.principals import Principal, Principals, Role
from homeport.access.tokens import SessionTokens
from homeport.access.trust import may_assume
from homeport.access.webidentity import WebIdentity
from homeport.kernel.errors import (
    AccessDenied,
    InvalidParameter,
    MalformedPolicyDocument,
    PackedPolicyTooLarge,
    ValidationError,
)

DEFAULT_SECONDS: Final = 3600
CHAINED_SECONDS: Final = 3600  # STS: a role taken on by a role's session
SESSION_TAGS: Final = 50  # STS
SESSION_POLICY_ARNS: Final = 10  # STS
PACKED_BYTES: Final = (
    2048  # ours: policies and tags of a session, compressed; STS publishes only the percentage
)
_CONTEXT_CHARS: Final = 256  # ours: of each remembered value, of which only User-Agent is longer

Context = Mapping[str, str | tuple[str, ...]]

_ROLE_ARN: Final = re.compile(
    r"arn:aws:iam::(?P<account>[0-9]{12}):role(?P<path>/(?:[!-.0-~]{1,512}/)*?)(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request to take on a role says about the session."""

    role_arn: str
    name: str
    seconds: int | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive: tuple[str, ...] = ()
    source_identity: str | None = None
    external_id: str | None = None
    least: int = 0  # characters of the token
    context: Context = field(default_factory=dict)  # of the request itself


@dataclass(frozen=True, slots=True)
class Taken:
    """A role that was taken on."""

    credentials: SessionCredentials
    id: str
    arn: str
    source_identity: str | None
    packed_percent: int | None  # None when the request had neither policies nor tags


class Sessions:
    """Makes sessions of roles."""

    def __init__(self, principals: Principals, tokens: SessionTokens) -> None:
        self._principals = principals
        self._tokens = tokens

    async def assume(
        self, principal: Principal, session: SessionScope | None, wish: Wish, now: datetime
    ) -> Taken:
        """Give `principal`, who came with `session` if with temporary credentials, a session of the role.

        Errors: AccessDenied, the same whether the role is missing or trusts somebody else; ValidationError,
        MalformedPolicyDocument, PackedPolicyTooLarge.
        """
        earlier = session.role if session is not None else None
        tags, transitive = _inherited(earlier, wish)
        source = wish.source_identity or (earlier.source_identity if earlier is not None else None)
        role = await self._role(wish.role_arn)
        action = "sts:AssumeRole"
        context = {**wish.context, **_said(wish, tags, transitive, source)}
        if role is None:
            raise _refused(principal.caller, action, wish.role_arn)
        trust = policies.compiled_role_trust_policy(role.trust_policy)
        own_tags = await self._principals.session_tags(role)
        actions = [
            action,
            *(["sts:TagSession"] if tags else []),
            *(["sts:SetSourceIdentity"] if source else []),
        ]
        for each in actions:
            ask = Ask(each, role.arn, context, own_tags)
            if not may_assume(principal, ask, trust, account=role.account):
                raise _refused(principal.caller, each, wish.role_arn)
        if earlier is not None and earlier.source_identity not in (None, source):
            raise AccessDenied(
                "The source identity of a session cannot be changed by the role that it takes on"
            )
        parent = session.parent_key_id if session is not None else principal.access_key_id
        remembered = {**principal.caller.facts, **context}
        caller = principal.caller
        return await self._take(
            role,
            wish,
            now,
            parent=parent,
            chained=earlier is not None,
            tags=tags,
            transitive=transitive,
            source=source,
            provider=None,
            claims=(),
            by=caller,
            context=remembered,
        )

    async def assume_with(self, identity: WebIdentity, wish: Wish, now: datetime) -> Taken:
        """Give whoever the verified web identity is about a session of the role.

        Errors: AccessDenied; ValidationError, MalformedPolicyDocument, PackedPolicyTooLarge.
        """
        denied = AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
        role = await self._role(wish.role_arn)
        if role is None or role.account != identity.provider.account:
            raise denied
        claims = {**identity.claims, "aws:federatedprovider": (identity.provider.arn,)}
        caller = Caller(
            "", identity.provider.arn, f"{identity.provider.url}:{identity.subject}", "federated", "", claims
        )
        context = {
            **wish.context,
            **_said(wish, identity.tags, identity.transitive, identity.source_identity),
        }
        trust = policies.compiled_role_trust_policy(role.trust_policy)
        own_tags = await self._principals.session_tags(role)
        actions = ["sts:AssumeRoleWithWebIdentity"]
        actions += ["sts:TagSession"] if identity.tags else []
        actions += ["sts:SetSourceIdentity"] if identity.source_identity else []
        for action in actions:
            if not trusted(caller, Ask(action, role.arn, context, own_tags), trust, account=role.account):
                raise denied
        return await self._take(
            role,
            wish,
            now,
            parent="",
            chained=False,
            tags=identity.tags,
            transitive=identity.transitive,
            source=identity.source_identity,
            provider=identity.provider.arn,
            claims=tuple(identity.claims.items()),
            by=caller,
            context=context,
        )

    async def _role(self, arn: str) -> Role | None:
        match = _ROLE_ARN.fullmatch(arn)
        if match is None:
            raise ValidationError(f"{arn[:256]} is invalid")
        role = await self._principals.role(match["account"], match["name"])
        return role if role is not None and role.path == match["path"] else None

    async def _take(
        self,
        role: Role,
        wish: Wish,
        now: datetime,
        *,
        parent: str,
        chained: bool,
        tags: tuple[tuple[str, str], ...],
        transitive: tuple[str, ...],
        source: str | None,
        provider: str | None,
        claims: tuple[tuple[str, tuple[str, ...]], ...],
        by: Caller,
        context: Context,
    ) -> Taken:
        seconds = _seconds(wish.seconds, role, chained)
        await self._check_policies(role, wish)
        percent = _packed(wish, tags)
        taken = RoleSession(
            role=role.name,
            role_id=role.role_id,
            name=wish.name,
            chained=chained,
            policies=(wish.policy,) if wish.policy is not None else (),
            policy_arns=wish.policy_arns,
            tags=tags,
            transitive=transitive,
            source_identity=source,
            provider=provider,
            claims=claims,
            by=(by.account, by.arn, by.principal_id, by.kind, by.role),
            asked=tuple((key.lower(), _remembered(value)) for key, value in context.items()),
        )
        arn = role.session_arn(wish.name)
        credentials = self._tokens.issue(
            arn, role.account, parent, seconds, now, None, role=taken, least=wish.least
        )
        return Taken(credentials, f"{role.role_id}:{wish.name}", arn, source, percent)

    async def _check_policies(self, role: Role, wish: Wish) -> None:
        if wish.policy is not None:
            try:
                policies.parse_identity_policy(wish.policy)
            except InvalidParameter as error:
                cause = error.__cause__
                reason = str(cause) if isinstance(cause, PolicyFault) else error.message
                raise MalformedPolicyDocument(f"Invalid session policy: {reason}") from error
        if len(wish.policy_arns) > SESSION_POLICY_ARNS:
            raise ValidationError(f"At most {SESSION_POLICY_ARNS} session policies can be named")
        for arn in wish.policy_arns:
            if await self._principals.managed(role.account, arn) is None:
                raise MalformedPolicyDocument(
                    f"Policy {arn[:256]} does not exist in the account of the role."
                )


def _refused(caller: Caller, action: str, arn: str) -> AccessDenied:
    return AccessDenied(f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn}")


def _inherited(
    earlier: RoleSession | None, wish: Wish
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The tags and transitive keys of the new session: those of the request and what a chain hands on."""
    keys = [key.lower() for key, _ in wish.tags]
    if len(set(keys)) != len(keys):
        raise ValidationError("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if len(keys) > SESSION_TAGS:
        raise ValidationError(f"A session has at most {SESSION_TAGS} tags")
    if any(key.lower().startswith("aws:") for key in keys):
        raise ValidationError("Tag keys that begin with aws: are reserved")
    unknown = [key for key in wish.transitive if key.lower() not in keys]
    if unknown:
        raise ValidationError(f"The transitive tag key {unknown[0]} is not a tag of the request")
    if earlier is None:
        return wish.tags, wish.transitive
    passed = {key.lower() for key in earlier.transitive}
    if passed & set(keys):
        raise ValidationError(
            "One of the specified session tag keys conflicts with a transitive tag key of the calling session."
        )
    handed = tuple((key, value) for key, value in earlier.tags if key.lower() in passed)
    return (*handed, *wish.tags), (*earlier.transitive, *wish.transitive)


def _said(
    wish: Wish, tags: tuple[tuple[str, str], ...], transitive: tuple[str, ...], source: str | None
) -> dict[str, str | tuple[str, ...]]:
    """The condition keys of the request. Service Authorization Reference, AWS STS."""
    said: dict[str, str | tuple[str, ...]] = {f"aws:RequestTag/{key}": value for key, value in tags}
    said["sts:RoleSessionName"] = wish.name
    if tags:
        said["aws:TagKeys"] = tuple(key for key, _ in tags)
    if transitive:
        said["sts:TransitiveTagKeys"] = transitive
    if source is not None:
        said["sts:SourceIdentity"] = source
    if wish.external_id is not None:
        said["sts:ExternalId"] = wish.external_id
    return said


def _seconds(asked: int | None, role: Role, chained: bool) -> int:
    if asked is None:
        return DEFAULT_SECONDS
    if chained and asked > CHAINED_SECONDS:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if asked > role.max_session_seconds:
        raise ValidationError(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return asked


def _packed(wish: Wish, tags: tuple[tuple[str, str], ...]) -> int | None:
    """How much of the room for policies and tags is used, in percent."""
    if not (wish.policy or wish.policy_arns or tags):
        return None
    packed = zlib.compress(json.dumps([wish.policy, wish.policy_arns, tags]).encode(), 6)
    percent = -(-100 * len(packed) // PACKED_BYTES)
    if percent > 100:
        raise PackedPolicyTooLarge(
            f"Packed size of session policies and session tags consumes {percent}% of allotted space."
        )
    return percent


def _remembered(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each[:_CONTEXT_CHARS] for each in ((value,) if isinstance(value, str) else value))
