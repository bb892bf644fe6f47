"""The policy of a registry. ECR User Guide, registry-permissions."""

from __future__ import annotations

from dataclasses import replace

from homeport.access.authorize import RegistryPolicy, require_action
from homeport.aws.call import Answer, Call
from homeport.kernel.errors import AccessDenied, InvalidParameter
from homeport.registry import service as registries


async def get_registry_policy(call: Call) -> Answer:
    """GetRegistryPolicy."""
    call.require_registry()
    return {"registryId": call.account, "policyText": await registries.policy(call.region.db, call.account)}


async def put_registry_policy(call: Call) -> Answer:
    """PutRegistryPolicy: refused when the caller could not set another one afterwards.

    The policy decides on every request, this one included, and there is no root user who could mend a mistake.
    """
    call.require_registry()
    text = call.params["policyText"]
    wanted = await registries.would_be(call.region.db, call.account, text)
    if not _may_still(call, wanted):
        raise InvalidParameter("PolicyText", "The policy would stop the caller from setting a policy again")
    await registries.put_policy(call.region.db, call.now, call.account, text)
    return {"registryId": call.account, "policyText": text}


def _may_still(call: Call, wanted: RegistryPolicy) -> bool:
    target = replace(call.target("*"), registry=wanted)
    try:
        context = call.exchange.context(call.region.name, call.now)
        require_action(call.principal, call.operation.action, target, context)
    except AccessDenied:
        return False
    return True


async def delete_registry_policy(call: Call) -> Answer:
    """DeleteRegistryPolicy: answers the text that was there."""
    call.require_registry()
    text = await registries.delete_policy(call.region.db, call.account)
    return {"registryId": call.account, "policyText": text}
