"""Principals whose pulls leave no trace. ECR User Guide, pull-time-update-exclusions."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.kernel import limits
from homeport.registry import service as registries


async def register_pull_time_update_exclusion(call: Call) -> Answer:
    """RegisterPullTimeUpdateExclusion."""
    call.require_registry()
    principal = call.params["principalArn"]
    made = await registries.exclude(call.region.db, call.now, call.account, principal)
    return {"principalArn": made.principal_arn, "createdAt": made.created_at}


async def deregister_pull_time_update_exclusion(call: Call) -> Answer:
    """DeregisterPullTimeUpdateExclusion."""
    call.require_registry()
    principal = call.params["principalArn"]
    await registries.include(call.region.db, call.account, principal)
    return {"principalArn": principal}


async def list_pull_time_update_exclusions(call: Call) -> Answer:
    """ListPullTimeUpdateExclusions: in order of ARN."""
    call.require_registry()
    position = call.page_position()
    size = min(call.page_size(limits.PAGE_DEFAULT), limits.PULL_EXCLUSIONS)
    after = str(position[0]) if position else ""
    found = await registries.exclusions(call.region.db, call.account, after, size + 1)
    more = call.next_token([found[size - 1].principal_arn]) if len(found) > size else None
    return {
        "pullTimeUpdateExclusions": [each.principal_arn for each in found[:size]],
        "nextToken": more,
    }
