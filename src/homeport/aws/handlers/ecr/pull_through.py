"""Pull-through cache rules. Amazon ECR API Reference; ECR User Guide, pull-through-cache."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.ecr.passing import require_pass_role
from homeport.kernel import limits
from homeport.pullthrough import rules, service
from homeport.pullthrough.model import CacheRule


def _shown(rule: CacheRule) -> dict[str, Any]:
    return {
        "ecrRepositoryPrefix": rule.prefix,
        "upstreamRegistryUrl": rule.upstream_url,
        "createdAt": rule.created_at,
        "registryId": rule.account,
        "credentialArn": rule.credential_arn,
        "customRoleArn": rule.custom_role_arn,
        "upstreamRepositoryPrefix": rule.upstream_prefix,
    }


def _require(call: Call) -> None:
    """Return when the caller may write the rule and hand over its role. Errors: AccessDenied."""
    call.require_registry()
    require_pass_role(call, call.params.get("customRoleArn"))


async def create_pull_through_cache_rule(call: Call) -> Answer:
    """CreatePullThroughCacheRule."""
    _require(call)
    params = call.params
    url, prefix = params["upstreamRegistryUrl"], params["ecrRepositoryPrefix"]
    made = await service.create(
        call.region.db,
        call.region.secrets,
        call.now,
        call.account,
        prefix,
        url,
        rules.upstream_of(url, params.get("upstreamRegistry")),
        rules.check_prefixes(prefix, params.get("upstreamRepositoryPrefix")),
        params.get("credentialArn"),
        params.get("customRoleArn") or None,
        call.region.quotas,
    )
    return {**_shown(made), "upstreamRegistry": made.upstream.value}


async def update_pull_through_cache_rule(call: Call) -> Answer:
    """UpdatePullThroughCacheRule: other credentials, or another role."""
    _require(call)
    changed = await service.change(
        call.region.db,
        call.region.secrets,
        call.now,
        call.account,
        call.params["ecrRepositoryPrefix"],
        call.params.get("credentialArn"),
        call.params.get("customRoleArn") or None,
    )
    return {
        "ecrRepositoryPrefix": changed.prefix,
        "registryId": changed.account,
        "updatedAt": changed.updated_at,
        "credentialArn": changed.credential_arn,
        "customRoleArn": changed.custom_role_arn,
        "upstreamRepositoryPrefix": changed.upstream_prefix,
    }


async def delete_pull_through_cache_rule(call: Call) -> Answer:
    """DeletePullThroughCacheRule: answers the rule that was there; its repositories stay."""
    call.require_registry()
    return _shown(await service.delete(call.region.db, call.account, call.params["ecrRepositoryPrefix"]))


async def validate_pull_through_cache_rule(call: Call) -> Answer:
    """ValidatePullThroughCacheRule: whether something could be pulled through the rule now, and why not."""
    call.require_registry()
    rule = await service.get(call.region.db, call.account, call.params["ecrRepositoryPrefix"])
    why = await service.failure(call.region.secrets, call.now, rule)
    shown = {key: value for key, value in _shown(rule).items() if key != "createdAt"}
    return {**shown, "isValid": False, "failure": why}


async def describe_pull_through_cache_rules(call: Call) -> Answer:
    """DescribePullThroughCacheRules: all by pages, or the named ones."""
    call.require_registry()
    asked = call.params.get("ecrRepositoryPrefixes")
    if asked is None:
        found = await service.every(call.region.db, call.account)
    else:
        named = [await service.get(call.region.db, call.account, prefix) for prefix in asked]
        found = sorted({rule.prefix: rule for rule in named}.values(), key=lambda rule: rule.prefix)
    position = call.page_position()
    if position is not None:
        found = [rule for rule in found if rule.prefix > str(position[0])]
    size = call.page_size(limits.PAGE_DEFAULT)
    more = call.next_token([found[size - 1].prefix]) if len(found) > size else None
    listed = [
        {**_shown(rule), "upstreamRegistry": rule.upstream.value, "updatedAt": rule.updated_at}
        for rule in found[:size]
    ]
    return {"pullThroughCacheRules": listed, "nextToken": more}
