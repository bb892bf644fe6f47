"""Trust policies of roles: who may take a role on.

A role is taken on only when its trust policy says so; an identity policy alone is never enough, unlike with other
resource policies. Contract: IAM User Guide, "Roles terms and concepts", "Cross-account policy evaluation logic" and
"Policies and permissions: resource-based policies"; STS API Reference, AssumeRole.
"""

from __future__ import annotations

from homeport.access import policies
from homeport.access.context_keys import PolicyFault
from homeport.access.evaluate import Ask, evaluate, trusted
from homeport.access.policies import Policy
from homeport.access.principals import Principal
from homeport.kernel.errors import MalformedPolicyDocument


def parse_trust_policy(text: str) -> Policy:
    """Read a role's trust policy: principals, actions of STS, conditions, and no resource.

    At most 10,240 characters without white space. Errors: MalformedPolicyDocument with the reason.
    """
    try:
        return policies.parse_role_trust_policy(text)
    except PolicyFault as fault:
        raise MalformedPolicyDocument(f"Invalid trust policy: {fault}") from fault


def may_assume(principal: Principal, ask: Ask, trust: Policy, *, account: str) -> bool:
    """Whether `principal` may take on the role of `account` that has this trust policy, with all that `ask` says.

    The trust policy has to name the caller. In the role's own account naming the user or role is enough; naming the
    account leaves the decision to the caller's own policies, and across accounts both sides have to allow.
    """
    return (
        trusted(principal.caller, ask, trust, account=account)
        and evaluate(
            principal.caller,
            ask,
            resource_account=account,
            identity=principal.policies,
            resource=(trust,),
            session=principal.session_policies,
            boundary=principal.boundary,
        ).allowed
    )
