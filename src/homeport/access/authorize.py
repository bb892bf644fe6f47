"""The decision of a request: who, what, on which resource, in which context go in; AccessDenied comes out, or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from homeport.access import policies
from homeport.access.evaluate import Ask, evaluate
from homeport.access.identities import Principal
from homeport.access.operations import On, Operation
from homeport.kernel.errors import AccessDenied

Context = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """What an operation is about: the registry's account, the resource's ARN, and the policy on it."""

    account: str
    arn: str
    policy: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def require(principal: Principal, operation: Operation, target: Target, context: Context) -> None:
    """Return when `principal` may do `operation` on `target`; `operation.also` is for the caller to ask for.

    Errors: AccessDenied with IAM's reason.
    """
    if operation.on is not On.NOBODY:
        require_action(principal, operation.action, target, context)


def require_action(principal: Principal, action: str, target: Target, context: Context) -> None:
    """Return when `principal` may do `action` on `target`. Errors: AccessDenied with IAM's reason."""
    asked = context
    if target.tags:
        tags = {
            f"{prefix}:ResourceTag/{key}": value
            for key, value in target.tags.items()
            for prefix in ("aws", "ecr")
        }
        asked = {**context, **tags}
    resource = (policies.compiled_repository_policy(target.policy),) if target.policy is not None else ()
    decision = evaluate(
        principal.caller,
        Ask(action, target.arn, asked),
        resource_account=target.account,
        identity=principal.policies,
        resource=resource,
        session=(principal.session_policy,) if principal.session_policy is not None else None,
    )
    if not decision.allowed:
        raise AccessDenied(decision.reason)
