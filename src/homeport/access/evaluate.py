"""May this principal do this action on this resource, and why: the IAM decision, as a pure function.

It takes compiled policies and answers a Decision; it reads nothing, logs nothing and raises no domain error.
Which policies belong to a caller, and which action a route needs, is decided elsewhere.
Contract: IAM User Guide "How AWS enforcement code logic evaluates requests to allow or deny access",
"Cross-account policy evaluation logic", "AWS JSON policy elements: Principal" and "NotPrincipal".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from homeport.access.policies import Policy, Principals, Statement

CallerKind = Literal["anonymous", "root", "user", "assumed-role", "federated", "service"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `arn` is the session's ARN for a role, and the service's name for a service.

    `role` is the ARN of the role with its path, for a role session. `facts` are further context keys in lower case that
    belong to the caller and not to the request: principal tags, the provider that federated them and its claims, the
    source identity, when the credentials were issued.
    """

    account: str
    arn: str
    principal_id: str
    kind: CallerKind
    role: str = ""
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ANONYMOUS: Final = Caller("", "", "", "anonymous")


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked: `ecr:PutImage`, an ARN (or `*` where the action has none) and the request context.

    Context keys are compared without case; several values are a tuple. What follows from the caller
    (aws:username, aws:PrincipalArn, ...) is added by `evaluate` and cannot be overridden from here; `tags` are those of
    the resource. The context is looked at only when a policy asks for something that neither caller nor tags answer.
    """

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]]
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is, when refused, the whole sentence for the client, and else which policy allowed it."""

    allowed: bool
    reason: str


class _Grant(enum.IntEnum):
    """How far an Allow of a resource policy carries, in rising order."""

    NONE = 0
    # The account is named, as an id or as its :root ARN: "This delegates authority to the account", so an
    # identity policy there still decides (IAM "Principal", AWS account principals).
    ACCOUNT = 1
    # The role is named: a permissions boundary or session policy that does not allow still refuses.
    LIMITED = 2
    # The user, the session, the service or everyone is named: "an implicit deny in an identity-based policy,
    # a permissions boundary, or a session policy does not impact the final decision", same account only.
    DIRECT = 3


_ROOT: Final = Decision(True, "allowed as the root user of the account")
_BY_IDENTITY: Final = Decision(True, "allowed by an identity-based policy")
_BY_RESOURCE: Final = Decision(True, "allowed by a resource-based policy")
_BY_BOTH: Final = Decision(True, "allowed by an identity-based and a resource-based policy")


def evaluate(
    caller: Caller,
    ask: Ask,
    *,
    resource_account: str,
    identity: Sequence[Policy],
    resource: Sequence[Policy] = (),
    session: Sequence[Policy] | None = None,
    boundary: Sequence[Policy] | None = None,
) -> Decision:
    """Decide one request.

    `identity` are the policies of the caller (its own and its groups'), `resource` those of the repository
    and the registry that apply to the action, `session` and `boundary` None when there are none (an empty
    sequence allows nothing). An explicit Deny wins. In the account itself one Allow, of identity or resource,
    is enough; across accounts both are needed; anonymous callers and services have only resource policies.
    """
    action, facts = ask.action.lower(), _RequestFacts(caller, ask, resource_account)
    root = caller.kind == "root"
    if root:  # root has no identity policies, sessions or boundary; only a resource policy can refuse it
        identity, session, boundary = (), None, None
    if _denied(identity, action, ask.resource, facts):
        return _refusal(caller, ask, "with an explicit deny in an identity-based policy")
    grant = _Grant.NONE
    if resource:
        match = _PrincipalMatch(caller, facts, limited=session is not None, bounded=boundary is not None)
        for policy in resource:
            for statement in policy.denies:
                if match.denied(statement) and statement.covers(action, ask.resource, facts):
                    return _refusal(caller, ask, "with an explicit deny in a resource-based policy")
        grant = _granted(resource, match, action, ask.resource, facts)
    if session is not None and _denied(session, action, ask.resource, facts):
        return _refusal(caller, ask, "with an explicit deny in a session policy")
    if boundary is not None and _denied(boundary, action, ask.resource, facts):
        return _refusal(caller, ask, "with an explicit deny in a permissions boundary")

    if caller.kind == "anonymous" or caller.kind == "service":
        if grant is _Grant.DIRECT:
            return _BY_RESOURCE
        return _implicit(caller, ask, "resource-based policy")
    same_account = caller.account == resource_account
    if same_account and root:
        return _ROOT
    if same_account and grant is _Grant.DIRECT:
        return _BY_RESOURCE
    if not same_account and grant is _Grant.NONE:
        return _implicit(caller, ask, "resource-based policy")
    enough = same_account and grant is _Grant.LIMITED
    if not (enough or root or _allowed(identity, action, ask.resource, facts)):
        return _implicit(caller, ask, "identity-based policy")
    if boundary is not None and not _allowed(boundary, action, ask.resource, facts):
        return _implicit(caller, ask, "permissions boundary")
    if session is not None and not _allowed(session, action, ask.resource, facts):
        return _implicit(caller, ask, "session policy")
    if enough:
        return _BY_RESOURCE
    return _BY_IDENTITY if same_account else _BY_BOTH


def trusted(caller: Caller, ask: Ask, policy: Policy, *, account: str) -> bool:
    """Whether a role's trust policy in `account` lets `caller` in; what identity policies say is another question.

    Whoever comes with a web identity has to be named by the provider: "everyone" does not mean them.
    """
    action, facts = ask.action.lower(), _RequestFacts(caller, ask, account)
    match = _PrincipalMatch(caller, facts, limited=False, bounded=False)
    for statement in policy.denies:
        if match.denied(statement) and statement.covers(action, ask.resource, facts):
            return False
    if caller.kind == "federated":
        return any(
            match.federated(statement) and statement.covers(action, ask.resource, facts)
            for statement in policy.allows
        )
    return _granted((policy,), match, action, ask.resource, facts) is not _Grant.NONE


def _denied(policies: Sequence[Policy], action: str, resource: str, facts: _RequestFacts) -> bool:
    for policy in policies:
        for statement in policy.denies:
            if statement.covers(action, resource, facts):
                return True
    return False


def _allowed(policies: Sequence[Policy], action: str, resource: str, facts: _RequestFacts) -> bool:
    for policy in policies:
        for statement in policy.allows:
            if statement.covers(action, resource, facts):
                return True
    return False


def _granted(
    policies: Sequence[Policy], match: _PrincipalMatch, action: str, resource: str, facts: _RequestFacts
) -> _Grant:
    best = _Grant.NONE
    for policy in policies:
        for statement in policy.allows:
            grant = match.grant(statement)
            if grant > best and statement.covers(action, resource, facts):
                best = grant
    return best


def _refusal(caller: Caller, ask: Ask, why: str) -> Decision:
    who = caller.arn or "anonymous"
    return Decision(
        False, f"User: {who} is not authorized to perform: {ask.action} on resource: {ask.resource} {why}"
    )


def _implicit(caller: Caller, ask: Ask, kind: str) -> Decision:
    return _refusal(caller, ask, f"because no {kind} allows the {ask.action} action")


def _role_arn(session_arn: str) -> str:
    """The role of `arn:aws:sts::<account>:assumed-role/<role>/<session>`, without its path; or ""."""
    head, _, rest = session_arn.partition(":sts::")
    account, _, name = rest.partition(":assumed-role/")
    role = name.partition("/")[0]
    return f"{head}:iam::{account}:role/{role}" if role else ""


class _PrincipalMatch:
    """The caller as resource policies see it; made once a decision."""

    __slots__ = ("_account", "_arn", "_bounded", "_facts", "_kind", "_limited", "_role")

    def __init__(self, caller: Caller, facts: _RequestFacts, *, limited: bool, bounded: bool) -> None:
        self._kind, self._account, self._arn = caller.kind, caller.account, caller.arn
        self._role = _role_arn(caller.arn) if caller.kind == "assumed-role" else ""
        self._facts, self._limited, self._bounded = facts, limited, bounded

    def grant(self, statement: Statement) -> _Grant:
        """How the statement names the caller (its other elements are not looked at)."""
        named = statement.principals
        if named is None or statement.not_principals:  # neither parses as an Allow of a resource policy
            return _Grant.NONE
        if named.everyone:
            return _Grant.DIRECT
        match self._kind:
            case "anonymous":
                return _Grant.NONE
            case "service":
                return _Grant.DIRECT if self._arn in named.services else _Grant.NONE
            case "root":
                pass
            case _ if self._arn in named.identities:
                # "If a resource-based policy grants permission to the ARN of the IAM user who federated",
                # a session policy still limits: a user with a session policy is such a session.
                limited = self._kind == "user" and self._limited
                return _Grant.LIMITED if limited else _Grant.DIRECT
            case _ if self._role in named.roles or self._provider(named):
                return _Grant.LIMITED
        return _Grant.ACCOUNT if self._account in named.accounts else _Grant.NONE

    def federated(self, statement: Statement) -> bool:
        """True when the statement names the provider that vouches for the caller."""
        named = statement.principals
        return named is not None and not statement.not_principals and self._provider(named)

    def denied(self, statement: Statement) -> bool:
        """True when a Deny statement is about the caller."""
        named = statement.principals
        if named is None:
            return False
        if not statement.not_principals:
            return self._names(named)
        # IAM "Permissions boundaries": NotPrincipal with Deny "will always deny any IAM principal that has a
        # permissions boundary policy attached, regardless of the values specified".
        return self._bounded or not self._excepted(named)

    def _names(self, named: Principals) -> bool:
        if named.everyone:
            return True
        if self._kind == "anonymous":
            return False
        if self._kind == "service":
            return self._arn in named.services
        return (
            self._account in named.accounts
            or self._arn in named.identities
            or self._role in named.roles
            or self._provider(named)
        )

    def _excepted(self, named: Principals) -> bool:
        """IAM "NotPrincipal" checks the account, then the role, then the session: each has to be listed."""
        if named.everyone:
            return True
        match self._kind:
            case "anonymous":
                return False
            case "service":
                return self._arn in named.services
            case "root":
                return self._account in named.accounts
            case "federated":
                return self._provider(named)
            case "assumed-role" if self._role not in named.roles:
                return False
        return self._account in named.accounts and self._arn in named.identities

    def _provider(self, named: Principals) -> bool:
        if not named.federated:
            return False
        values = self._facts.get("aws:federatedprovider") or ()
        return any(value in named.federated for value in values)


_PRINCIPAL_TYPES: Final[Mapping[CallerKind, str]] = {
    "anonymous": "Anonymous",
    "root": "Account",
    "user": "User",
    "assumed-role": "AssumedRole",
    "federated": "FederatedUser",
}
# Never taken from `Ask.context`, also when the caller's kind has no such key: a policy that trusts
# aws:username must not be answered by a request that could bring its own.
_FROM_CALLER: Final = frozenset(
    {
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:principalisawsservice",
        "aws:principalservicename",
        "aws:resourceaccount",
        "aws:userid",
        "aws:username",
        "aws:viaawsservice",
    }
)


class _RequestFacts:
    """The request context: the caller's part first, then the resource's tags, then what the request itself brings."""

    __slots__ = ("_ask", "_caller", "_own", "_resource_account", "_tags", "_values")

    def __init__(self, caller: Caller, ask: Ask, resource_account: str) -> None:
        self._caller, self._ask, self._resource_account = caller, ask, resource_account
        self._own: dict[str, tuple[str, ...]] | None = None
        self._tags: dict[str, tuple[str, ...]] | None = None
        self._values: dict[str, tuple[str, ...]] | None = None

    def get(self, key: str) -> tuple[str, ...] | None:
        if key in _FROM_CALLER:
            if self._own is None:
                self._own = self._of_caller()
            return self._own.get(key)
        found = self._caller.facts.get(key)
        if found is not None:
            return found
        if self._ask.tags and ":resourcetag/" in key:
            if self._tags is None:
                self._tags = self._of_tags()
            found = self._tags.get(key)
            if found is not None:
                return found
        if self._values is None:
            self._values = {
                key.lower(): (value,) if isinstance(value, str) else tuple(value)
                for key, value in self._ask.context.items()
            }
        return self._values.get(key)

    def _of_tags(self) -> dict[str, tuple[str, ...]]:
        services = ("aws", self._ask.action.partition(":")[0].lower())
        return {
            f"{service}:resourcetag/{key.lower()}": (value,)
            for service in services
            for key, value in self._ask.tags.items()
        }

    def _of_caller(self) -> dict[str, tuple[str, ...]]:
        caller = self._caller
        # IAM "AWS global condition context keys", Properties of the principal and of the resource.
        values: dict[str, tuple[str, ...]] = {
            "aws:resourceaccount": (self._resource_account,),
            "aws:principalisawsservice": ("true" if caller.kind == "service" else "false",),
            "aws:viaawsservice": ("false",),
        }
        if caller.kind == "service":
            values["aws:principalservicename"] = (caller.arn,)
            return values
        values["aws:principaltype"] = (_PRINCIPAL_TYPES[caller.kind],)
        values["aws:userid"] = (caller.principal_id or "anonymous",)
        if caller.account:
            values["aws:principalaccount"] = (caller.account,)
            # For a role session this is the role's ARN, not the session's.
            role = caller.role or (_role_arn(caller.arn) if caller.kind == "assumed-role" else "")
            values["aws:principalarn"] = (role or caller.arn,)
        if caller.kind == "user":
            values["aws:username"] = (caller.arn.rpartition("/")[2],)
        return values
