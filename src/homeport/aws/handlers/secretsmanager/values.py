"""The values of secrets and their versions."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.secretsmanager import asking
from homeport.kernel.errors import (
    InvalidSecretState,
)
from homeport.secrets import service
from homeport.secrets.model import CURRENT, SecretRecord, Version


async def get_secret_value(call: Call) -> Answer:
    """GetSecretValue."""
    found = await asking.secret(call)
    service.must_be_in_use(found)
    version = _asked_version(call, found)
    data = call.region.secrets.reveal(found, version)
    return {
        **asking.named(found),
        "VersionId": version.id,
        "SecretBinary": data if version.binary else None,
        "SecretString": None if version.binary else data.decode("utf-8", "surrogatepass"),
        "VersionStages": list(version.stages),
        "CreatedDate": version.created_at,
    }


def _asked_version(call: Call, record: SecretRecord) -> Version:
    """Return the version that the request names by id or label. Errors: SecretNotFound, InvalidSecretState."""
    version_id, stage = call.params.get("VersionId"), call.params.get("VersionStage")
    if version_id is None:
        found = record.staged(stage or CURRENT)
        if found is None:
            raise service.no_value(f"staging label: {stage or CURRENT}")
        return found
    found = record.version(version_id)
    if found is None:
        raise service.no_value(f"VersionId: {version_id}")
    if stage is not None and stage not in found.stages:
        raise InvalidSecretState(
            "You provided a VersionStage that is not associated to the provided VersionId."
        )
    return found


async def put_secret_value(call: Call) -> Answer:
    """PutSecretValue: a new version, by default the current one."""
    found = await asking.secret(call)
    asking.refuse_unsupported(call)
    value = asking.asked_value(call)
    if value is None:
        raise InvalidSecretState("You must provide either SecretString or SecretBinary.")
    changed, version_id = await call.region.secrets.put(
        call.now,
        found,
        value,
        call.params.get("ClientRequestToken"),
        stages=call.params.get("VersionStages") or (CURRENT,),
    )
    return {
        **asking.named(changed),
        "VersionId": version_id,
        "VersionStages": list(changed.stages[version_id]),
    }


async def update_secret(call: Call) -> Answer:
    """UpdateSecret: the description, the current value, or both."""
    found = await asking.secret(call)
    asking.refuse_unsupported(call)
    value = asking.asked_value(call)
    changed, version_id = await call.region.secrets.put(
        call.now,
        found,
        value,
        call.params.get("ClientRequestToken"),
        description=call.params.get("Description"),
    )
    return {**asking.named(changed), "VersionId": version_id if value is not None else None}


async def update_secret_version_stage(call: Call) -> Answer:
    """UpdateSecretVersionStage: moves a label, for example back to the version before."""
    found = await asking.secret(call)
    params = call.params
    await call.region.secrets.move_stage(
        call.now,
        found,
        params["VersionStage"],
        params.get("RemoveFromVersionId"),
        params.get("MoveToVersionId"),
    )
    return asking.named(found)
