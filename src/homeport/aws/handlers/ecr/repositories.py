"""Repositories, their policies and their resource tags. Amazon ECR API Reference; ecr model of botocore."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from homeport.access import policies
from homeport.access.authorize import require_action
from homeport.aws.call import Answer, Call
from homeport.kernel.errors import AccessDenied, InvalidParameter, InvalidTagParameter
from homeport.kernel.names import AccountId, RepositoryName
from homeport.repositories import rules
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository, Settings, TagMutability

_ARN = re.compile(r"arn:aws:ecr:([0-9a-z-]{2,25}):([0-9]{12}):repository/(.{2,256})", re.ASCII)


def _shown(call: Call, found: Repository) -> dict[str, Any]:
    settings = found.settings
    encryption = {"encryptionType": settings.encryption_type, "kmsKey": settings.kms_key}
    return {
        "repositoryArn": found.arn(call.region.name),
        "registryId": found.account,
        "repositoryName": found.name,
        "repositoryUri": call.uri(found.name),
        "createdAt": found.created_at,
        "imageTagMutability": settings.tag_mutability.value,
        "imageTagMutabilityExclusionFilters": _filters(settings.mutability_filters) or None,
        "imageScanningConfiguration": {"scanOnPush": settings.scan_on_push},
        "encryptionConfiguration": {key: value for key, value in encryption.items() if value is not None},
    }


def _filters(patterns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"filterType": "WILDCARD", "filter": pattern} for pattern in patterns]


def _asked_filters(call: Call) -> list[str] | None:
    asked = call.params.get("imageTagMutabilityExclusionFilters")
    return [each["filter"] for each in asked] if asked is not None else None


def _asked_tags(call: Call) -> dict[str, str]:
    asked = call.params.get("tags") or []
    tags = {each["Key"]: each["Value"] for each in asked}
    if len(tags) != len(asked):
        raise InvalidTagParameter("A tag key appears twice")
    return tags


async def create_repository(call: Call) -> Answer:
    """CreateRepository."""
    name = RepositoryName(call.params["repositoryName"])
    tags = _asked_tags(call)
    call.require_new(name, tags)
    mode = TagMutability(call.params.get("imageTagMutability") or TagMutability.MUTABLE)
    encryption = call.params.get("encryptionConfiguration") or {}
    if encryption.get("encryptionType", "AES256") != "AES256":
        # Storing the wish without encrypting would be a promise that nobody keeps.
        raise InvalidParameter(
            "encryptionConfiguration", "Only encryptionType AES256 is supported by this registry"
        )
    if encryption.get("kmsKey"):
        raise InvalidParameter("encryptionConfiguration", "kmsKey is only valid with encryptionType KMS")
    settings = Settings(
        tag_mutability=mode,
        mutability_filters=rules.check_mutability(mode, _asked_filters(call)),
        scan_on_push=bool((call.params.get("imageScanningConfiguration") or {}).get("scanOnPush")),
    )
    created = await repositories.create(
        call.region.db, call.now, call.account, name, settings, tags, quotas=call.region.quotas
    )
    return {"repository": _shown(call, created)}


async def describe_repositories(call: Call) -> Answer:
    """DescribeRepositories: all by pages, or the named ones."""
    names = call.params.get("repositoryNames")
    if names is not None:
        call.refuse_paging("repositoryNames")
        return {"repositories": [_shown(call, await call.repository(name)) for name in names]}
    call.require_repositories()
    read = partial(repositories.page, call.region.db, call.account)
    page, more = await call.page("", read, lambda repository: repository.name)
    return {"repositories": [_shown(call, each) for each in page], "nextToken": more}


async def delete_repository(call: Call) -> Answer:
    """DeleteRepository, with its images when `force`."""
    found = await call.repository()
    force = bool(call.params.get("force"))
    gone = await repositories.delete(call.region.db, call.now, found.account, found.name, force=force)
    shown = _shown(call, gone)
    return {"repository": shown}


async def put_image_tag_mutability(call: Call) -> Answer:
    """PutImageTagMutability: counts for later pushes."""
    found = await call.repository()
    mode = TagMutability(call.params["imageTagMutability"])
    filters = await repositories.set_tag_mutability(
        call.region.db, found.account, found.name, mode, _asked_filters(call)
    )
    return {
        "registryId": found.account,
        "repositoryName": found.name,
        "imageTagMutability": mode.value,
        "imageTagMutabilityExclusionFilters": _filters(filters) or None,
    }


async def set_repository_policy(call: Call) -> Answer:
    """SetRepositoryPolicy: refused without `force` when the caller could not set another one afterwards."""
    found = await call.repository()
    text = call.params["policyText"]
    policies.parse_repository_policy(text, f"{call.operation.front}:")
    if not call.params.get("force") and not await _may_still(call, found, text):
        raise InvalidParameter(
            "PolicyText",
            "The policy would stop the caller from setting a policy again; use force to set it all the same",
        )
    await repositories.set_policy(call.region.db, found.account, found.name, text, public=found.public)
    return {"registryId": found.account, "repositoryName": found.name, "policyText": text}


async def _may_still(call: Call, found: Repository, text: str) -> bool:
    """Whether the caller could set a policy again once `text` is the repository's policy."""
    tags = await repositories.tags(call.region.db, found.account, found.name, public=found.public)
    target = call.target(found.arn(call.region.name), text, tags)
    try:
        context = call.exchange.context(call.region.name, call.now)
        require_action(call.principal, call.operation.action, target, context)
    except AccessDenied:
        return False
    return True


async def get_repository_policy(call: Call) -> Answer:
    """GetRepositoryPolicy."""
    found = await call.repository()
    text = await repositories.get_policy(call.region.db, found.account, found.name, public=found.public)
    return {"registryId": found.account, "repositoryName": found.name, "policyText": text}


async def delete_repository_policy(call: Call) -> Answer:
    """DeleteRepositoryPolicy: answers the text that was there."""
    found = await call.repository()
    text = await repositories.delete_policy(call.region.db, found.account, found.name, public=found.public)
    return {"registryId": found.account, "repositoryName": found.name, "policyText": text}


async def _by_arn(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> Repository:
    match = _ARN.fullmatch(call.params["resourceArn"])
    if match is None or match[1] != call.region.name:
        raise InvalidParameter("resourceArn", "Invalid ARN")
    if AccountId(match[2]) != call.account:
        # A resource name carries its account; members of other accounts need the cross-account rules.
        call = await call.in_registry(match[2])
    return await call.repository(match[3], tags, tag_keys)


async def tag_resource(call: Call) -> Answer:
    """TagResource: adds and changes."""
    tags = _asked_tags(call)
    found = await _by_arn(call, tags)
    await repositories.tag(call.region.db, found.account, found.name, tags)
    return {}


async def untag_resource(call: Call) -> Answer:
    """UntagResource."""
    keys = call.params["tagKeys"]
    found = await _by_arn(call, tag_keys=keys)
    await repositories.untag(call.region.db, found.account, found.name, keys)
    return {}


async def list_tags_for_resource(call: Call) -> Answer:
    """ListTagsForResource."""
    found = await _by_arn(call)
    tags = await repositories.tags(call.region.db, found.account, found.name)
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
