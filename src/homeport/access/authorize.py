"""The decision of a request: who, what, on which resource, in which context go in; AccessDenied comes out, or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from homeport.access import policies
from homeport.access.evaluate import Ask, evaluate
from homeport.access.operations import On, Operation
from homeport.access.principals import Principal
from homeport.kernel.errors import AccessDenied

Context = Mapping[str, str | tuple[str, ...]]
_SERVICE = "ecr:"  # the private registry's actions, which alone a registry policy is about
NARROW_ACTIONS = frozenset({"ecr:replicateimage", "ecr:batchimportupstreamimage", "ecr:createrepository"})
"""What a registry policy of scope V1 is about. ECR User Guide, registry-permissions."""


@dataclass(frozen=True, slots=True)
class RegistryPolicy:
    """The policy of a registry. With scope V1 (`narrow`) it is about three actions, with V2 about all of ECR's."""

    text: str
    narrow: bool

    def covers(self, action: str) -> bool:
        """Whether a decision about `action` has to look at the policy."""
        lowered = action.lower()
        return lowered in NARROW_ACTIONS if self.narrow else lowered.startswith(_SERVICE)


@dataclass(frozen=True, slots=True)
class Target:
    """What an operation is about: the registry's account, the resource's ARN, and the policies on both."""

    account: str
    arn: str
    policy: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    registry: RegistryPolicy | None = None
    """The policy of the registry; whoever builds a target for an `ecr:` action brings it (`policy_in_force`)."""


def require(principal: Principal, operation: Operation, target: Target, context: Context) -> None:
    """Return when `principal` may do `operation` on `target`; `operation.also` is for the caller to ask for.

    Errors: AccessDenied with IAM's reason.
    """
    if operation.on is not On.NOBODY:
        require_action(principal, operation.action, target, context)


def require_action(principal: Principal, action: str, target: Target, context: Context) -> None:
    """Return when `principal` may do `action` on `target`. Errors: AccessDenied with IAM's reason."""
    resource: tuple[policies.Policy, ...] = ()
    if target.policy is not None:
        service = "ecr-public:" if action.startswith("ecr-public:") else "ecr:"
        resource = (policies.compiled_repository_policy(target.policy, service),)
    if target.registry is not None and target.registry.covers(action):
        resource = (*resource, policies.compiled_registry_policy(target.registry.text))
    decision = evaluate(
        principal.caller,
        Ask(action, target.arn, context, target.tags),
        resource_account=target.account,
        identity=principal.policies,
        resource=resource,
        session=principal.session_policies,
        boundary=principal.boundary,
    )
    if not decision.allowed:
        raise AccessDenied(decision.reason)
