"""Repository creation templates. Amazon ECR API Reference; ECR User Guide, repository-creation-templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from homeport.access import policies
from homeport.aws.call import Answer, Call
from homeport.aws.handlers.ecr.passing import require_other, require_pass_role
from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter, InvalidTagParameter
from homeport.lifecycle import policies as lifecycle
from homeport.registry import service as registries
from homeport.registry import templates
from homeport.registry.templates_model import AppliedFor, Template, Wish
from homeport.registry.templates_rules import check_role
from homeport.repositories import rules
from homeport.repositories.model import TagMutability
from homeport.repositories.prefixes import ROOT


def _shown(template: Template) -> dict[str, Any]:
    wish = template.wish
    return {
        "prefix": template.prefix,
        "description": wish.description,
        "encryptionConfiguration": {"encryptionType": wish.encryption_type},
        "resourceTags": [{"Key": key, "Value": value} for key, value in wish.resource_tags.items()] or None,
        "imageTagMutability": wish.tag_mutability.value,
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": pattern} for pattern in wish.mutability_filters
        ]
        or None,
        "repositoryPolicy": wish.repository_policy,
        "lifecyclePolicy": wish.lifecycle_policy,
        "appliedFor": [each.value for each in wish.applied_for],
        "customRoleArn": wish.custom_role_arn,
        "createdAt": template.created_at,
        "updatedAt": template.updated_at,
    }


def _answer(template: Template) -> Answer:
    return {"registryId": template.account, "repositoryCreationTemplate": _shown(template)}


def _require(call: Call) -> None:
    """Return when the caller may write the template: it acts for them later (Service Authorization Reference).

    Errors: AccessDenied.
    """
    call.require_registry()
    prefix = call.params["prefix"].rstrip("/")
    below = "*" if prefix == ROOT else f"{prefix}/*"
    needed = ["CreateRepository"]
    if call.params.get("repositoryPolicy"):
        needed.append("SetRepositoryPolicy")
    if call.params.get("lifecyclePolicy"):
        needed.append("PutLifecyclePolicy")
    for name in needed:
        require_other(call, name, below)
    require_pass_role(call, call.params.get("customRoleArn"))


async def _check(call: Call) -> None:
    """Refuse what no repository could have. Errors: InvalidParameter, and those of lifecycle policies."""
    encryption = call.params.get("encryptionConfiguration") or {}
    if encryption.get("encryptionType", "AES256") != "AES256":
        # Storing the wish without encrypting would be a promise that nobody keeps.
        raise InvalidParameter(
            "encryptionConfiguration", "Only encryptionType AES256 is supported by this registry"
        )
    if encryption.get("kmsKey"):
        raise InvalidParameter("encryptionConfiguration", "kmsKey is only valid with encryptionType KMS")
    if call.params.get("repositoryPolicy"):
        policies.parse_repository_policy(call.params["repositoryPolicy"])
    if call.params.get("lifecyclePolicy"):
        extended = await registries.lifecycle_extensions(call.region.db, call.account)
        most = call.region.quotas.lifecycle_rules
        lifecycle.read_policy(call.params["lifecyclePolicy"], extended=extended, most_rules=most)
    check_role(call.params.get("customRoleArn") or None, call.account)


def _merged(call: Call, wish: Wish) -> Wish:
    """Return `wish` with the members of the request in place of its own; an empty text removes.

    Errors: InvalidParameter when the exclusion filters do not go with the mutability.
    """
    params = call.params
    changed: dict[str, Any] = {}
    for member, name in (
        ("description", "description"),
        ("repositoryPolicy", "repository_policy"),
        ("lifecyclePolicy", "lifecycle_policy"),
        ("customRoleArn", "custom_role_arn"),
    ):
        if params.get(member) is not None:
            changed[name] = params[member] or None
    if params.get("resourceTags") is not None:
        changed["resource_tags"] = _asked_tags(params["resourceTags"])
    if params.get("appliedFor") is not None:
        changed["applied_for"] = _applied_for(params["appliedFor"])
    return replace(wish, **changed, **_mutability(params, wish))


def _asked_tags(asked: Sequence[Mapping[str, str]]) -> dict[str, str]:
    tags = {each["Key"]: each["Value"] for each in asked}
    if len(tags) != len(asked):
        raise InvalidTagParameter("A tag key appears twice")
    return tags


def _mutability(params: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    asked = params.get("imageTagMutabilityExclusionFilters")
    mode = TagMutability(params.get("imageTagMutability") or wish.tag_mutability)
    filters = [each["filter"] for each in asked] if asked is not None else None
    if filters is None and mode.has_exclusion:
        filters = list(wish.mutability_filters)
    return {"tag_mutability": mode, "mutability_filters": rules.check_mutability(mode, filters)}


def _applied_for(asked: list[str]) -> tuple[AppliedFor, ...]:
    if not asked:
        raise InvalidParameter("appliedFor", "Member must have length greater than or equal to 1")
    return tuple(AppliedFor(each) for each in dict.fromkeys(asked))


async def create_repository_creation_template(call: Call) -> Answer:
    """CreateRepositoryCreationTemplate."""
    _require(call)
    await _check(call)
    wish = _merged(call, Wish(applied_for=()))
    made = await templates.create(call.region.db, call.now, call.account, call.params["prefix"], wish)
    return _answer(made)


async def update_repository_creation_template(call: Call) -> Answer:
    """UpdateRepositoryCreationTemplate: members that are left out stay; repositories that exist stay as they are."""
    _require(call)
    await _check(call)
    changed = await templates.change(
        call.region.db, call.now, call.account, call.params["prefix"], lambda wish: _merged(call, wish)
    )
    return _answer(changed)


async def delete_repository_creation_template(call: Call) -> Answer:
    """DeleteRepositoryCreationTemplate: answers the template that was there."""
    call.require_registry()
    return _answer(await templates.delete(call.region.db, call.account, call.params["prefix"]))


async def describe_repository_creation_templates(call: Call) -> Answer:
    """DescribeRepositoryCreationTemplates: all by pages, or those of the named prefixes that exist."""
    call.require_registry()
    size = call.page_size(limits.PAGE_DEFAULT)
    position = call.page_position()
    after = str(position[0]) if position else ""
    prefixes = call.params.get("prefixes")
    if prefixes is None:
        page = await templates.page(call.region.db, call.account, after, size + 1)
    else:
        page = await templates.named(call.region.db, call.account, prefixes, after)
    more = call.next_token([page[size - 1].prefix]) if len(page) > size else None
    return {
        "registryId": call.account,
        "repositoryCreationTemplates": [_shown(each) for each in page[:size]],
        "nextToken": more,
    }
