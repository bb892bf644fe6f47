"""Inherited lifecycle policies through the API (model `homeport`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.kernel.errors import LifecyclePolicyNotFound
from homeport.lifecycle import defaults
from homeport.lifecycle.model import DefaultPolicy, EffectivePolicy
from homeport.registry import service as registries


def _shown(policy: DefaultPolicy) -> dict[str, Any]:
    return {
        "prefix": policy.prefix,
        "lifecyclePolicyText": policy.text,
        "updatedAt": policy.updated_at,
    }


def shown_source(policy: EffectivePolicy) -> dict[str, str | None]:
    """Return the members that say whose policy it is."""
    return {"source": "REPOSITORY" if policy.prefix is None else "DEFAULT", "prefix": policy.prefix}


async def put_default_lifecycle_policy(call: Call) -> Answer:
    """PutDefaultLifecyclePolicy: the rules are kept in order of priority."""
    call.require_registry()
    db = call.region.db
    stored = await defaults.put_default(
        db,
        call.now,
        call.account,
        call.params["prefix"],
        call.params["lifecyclePolicyText"],
        extended=await registries.lifecycle_extensions(db, call.account),
        most_rules=call.region.quotas.lifecycle_rules,
    )
    return {"registryId": call.account, "defaultLifecyclePolicy": _shown(stored)}


async def delete_default_lifecycle_policy(call: Call) -> Answer:
    """DeleteDefaultLifecyclePolicy: answers what was deleted."""
    call.require_registry()
    gone = await defaults.delete_default(call.region.db, call.account, call.params["prefix"])
    return {"registryId": call.account, "defaultLifecyclePolicy": _shown(gone)}


async def list_default_lifecycle_policies(call: Call) -> Answer:
    """ListDefaultLifecyclePolicies: by pages, in order of prefix."""
    call.require_registry()
    read = partial(defaults.defaults, call.region.db, call.account)
    page, more = await call.page("", read, lambda policy: policy.prefix)
    return {
        "registryId": call.account,
        "defaultLifecyclePolicies": [_shown(each) for each in page],
        "nextToken": more,
    }


async def get_effective_lifecycle_policy(call: Call) -> Answer:
    """GetEffectiveLifecyclePolicy: the repository's own policy, or the one that it inherits."""
    repository = await call.repository()
    found = await defaults.effective(call.region.db, repository)
    if found is None:
        raise LifecyclePolicyNotFound(repository.name, repository.account)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "lifecyclePolicyText": found.text,
        **shown_source(found),
    }
