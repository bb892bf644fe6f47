"""Which repositories are scanned, and when. ECR User Guide, image-scanning."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.kernel.errors import RepositoryNotFound
from homeport.registry import rules
from homeport.registry import service as registries
from homeport.registry.model import ScanFrequency, ScanningConfiguration, ScanningRule, ScanType
from homeport.repositories import service as repositories

_MISSING = "REPOSITORY_NOT_FOUND"


def _filters(patterns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"filter": pattern, "filterType": "WILDCARD"} for pattern in patterns]


def _shown(configuration: ScanningConfiguration) -> dict[str, Any]:
    return {
        "scanType": configuration.scan_type.value,
        "rules": [
            {"scanFrequency": rule.frequency.value, "repositoryFilters": _filters(rule.filters)}
            for rule in configuration.rules
        ],
    }


async def put_registry_scanning_configuration(call: Call) -> Answer:
    """PutRegistryScanningConfiguration: replaces the whole; basic when no type is named."""
    call.require_registry()
    configuration = ScanningConfiguration(
        ScanType(call.params.get("scanType") or ScanType.BASIC),
        tuple(
            ScanningRule(
                ScanFrequency(rule["scanFrequency"]),
                tuple(each["filter"] for each in rule["repositoryFilters"]),
            )
            for rule in call.params.get("rules") or ()
        ),
    )
    await registries.put_scanning(call.region.db, call.now, call.account, configuration)
    return {"registryScanningConfiguration": _shown(configuration)}


async def get_registry_scanning_configuration(call: Call) -> Answer:
    """GetRegistryScanningConfiguration."""
    call.require_registry()
    configuration = await registries.scanning(call.region.db, call.account)
    return {"registryId": call.account, "scanningConfiguration": _shown(configuration)}


async def batch_get_repository_scanning_configuration(call: Call) -> Answer:
    """BatchGetRepositoryScanningConfiguration: what the configuration means for each of the repositories."""
    found: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    configuration: ScanningConfiguration | None = None
    for name in call.params["repositoryNames"]:
        try:
            repository = await call.repository(name)
        except RepositoryNotFound:
            failures.append({"repositoryName": name, "failureCode": _MISSING, "failureReason": _MISSING})
            continue
        configuration = configuration or await registries.scanning(call.region.db, call.account)
        means = rules.scanning_of(configuration, repository.name, on_push=repository.settings.scan_on_push)
        found.append(
            {
                "repositoryArn": repository.arn(call.region.name),
                "repositoryName": repository.name,
                "scanOnPush": means.on_push,
                "scanFrequency": means.frequency.value,
                "appliedScanFilters": _filters(means.filters),
            }
        )
    return {"scanningConfigurations": found, "failures": failures}


async def put_image_scanning_configuration(call: Call) -> Answer:
    """PutImageScanningConfiguration: the repository's own wish, which the basic scanner heeds."""
    repository = await call.repository()
    on_push = bool(call.params["imageScanningConfiguration"].get("scanOnPush"))
    await repositories.set_scan_on_push(call.region.db, repository.account, repository.name, on_push=on_push)
    return {
        "registryId": repository.account,
        "repositoryName": repository.name,
        "imageScanningConfiguration": {"scanOnPush": on_push},
    }
