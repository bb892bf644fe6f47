"""Which images are to be signed with which profile. ECR User Guide, managed-signing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.images import service as images
from homeport.images.model import ImageId
from homeport.kernel.errors import SigningConfigurationNotFound
from homeport.registry import rules
from homeport.registry import service as registries
from homeport.registry.model import SigningRule

_FAILED = {
    "status": "FAILED",
    "failureCode": "SigningNotAvailable",
    "failureReason": "This version of the registry stores the signing configuration and does not sign images",
}


def _shown(wanted: Sequence[SigningRule]) -> dict[str, Any]:
    return {"rules": [_shown_rule(rule) for rule in wanted]}


def _shown_rule(rule: SigningRule) -> dict[str, Any]:
    shown: dict[str, Any] = {"signingProfileArn": rule.profile_arn}
    if rule.filters is not None:
        shown["repositoryFilters"] = [
            {"filter": each, "filterType": "WILDCARD_MATCH"} for each in rule.filters
        ]
    return shown


async def put_signing_configuration(call: Call) -> Answer:
    """PutSigningConfiguration: replaces the whole."""
    call.require_registry()
    wanted: list[SigningRule] = []
    for rule in call.params["signingConfiguration"]["rules"]:
        filters = rule.get("repositoryFilters")
        patterns = tuple(each["filter"] for each in filters) if filters is not None else None
        wanted.append(SigningRule(rule["signingProfileArn"], patterns))
    region = call.region
    await registries.put_signing(region.db, call.now, call.account, region.name, wanted, region.quotas)
    return {"signingConfiguration": _shown(wanted)}


async def get_signing_configuration(call: Call) -> Answer:
    """GetSigningConfiguration."""
    call.require_registry()
    found = await registries.signing(call.region.db, call.account)
    return {"registryId": call.account, "signingConfiguration": _shown(found)}


async def delete_signing_configuration(call: Call) -> Answer:
    """DeleteSigningConfiguration: answers what was there."""
    call.require_registry()
    gone = await registries.delete_signing(call.region.db, call.account)
    return {"registryId": call.account, "signingConfiguration": _shown(gone)}


async def describe_image_signing_status(call: Call) -> Answer:
    """DescribeImageSigningStatus: every profile that should have signed the image has failed to, and why."""
    repository = await call.repository()
    asked = call.params["imageId"]
    wanted = ImageId(asked.get("imageDigest"), asked.get("imageTag"))
    (image,) = await images.describe(call.region.db, repository, [wanted])
    try:
        configured = await registries.signing(call.region.db, repository.account)
    except SigningConfigurationNotFound:
        configured = ()
    profiles = rules.profiles_for(configured, repository.name, image.artifact_type)
    return {
        "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, "imageTag": wanted.tag},
        "registryId": repository.account,
        "signingStatuses": [{"signingProfileArn": profile, **_FAILED} for profile in profiles],
    }
