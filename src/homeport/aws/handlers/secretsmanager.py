"""Secrets. AWS Secrets Manager API Reference; texts as that service words them.

Everybody uses the secrets of their own account only; there are no keys, replicas and rotations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from homeport.access.authorize import Context, Target, require, require_action
from homeport.access.operations import Operation
from homeport.access.sealing import SealBroken
from homeport.aws.call import Answer, Call, Handler
from homeport.kernel.clock import to_micros
from homeport.kernel.errors import (
    AccessDenied,
    InvalidInput,
    InvalidSecretState,
    Unavailable,
)
from homeport.secrets import rules, service
from homeport.secrets.model import CURRENT, SecretRecord, Value, Version

_DEFAULT_KEY = "alias/aws/secretsmanager"
_PAGE = 100


def _context(call: Call, record_name: str, tags: Mapping[str, str], tag_keys: Sequence[str] = ()) -> Context:
    """Return the condition keys of Secrets Manager (Service Authorization Reference) with the global ones."""
    params = call.params
    facts: dict[str, str | tuple[str, ...]] = {
        **call.exchange.context(call.region.name, call.now),
        "secretsmanager:Name": record_name,
    }
    for member in (
        "SecretId",
        "Description",
        "VersionId",
        "VersionStage",
        "RecoveryWindowInDays",
        "KmsKeyId",
    ):
        if params.get(member) is not None:
            facts[f"secretsmanager:{member}"] = str(params[member])
    if params.get("ForceDeleteWithoutRecovery") is not None:
        facts["secretsmanager:ForceDeleteWithoutRecovery"] = str(params["ForceDeleteWithoutRecovery"]).lower()
    if tags or tag_keys:
        facts.update({f"aws:RequestTag/{key}": value for key, value in tags.items()})
        facts["aws:TagKeys"] = tuple(tags or tag_keys)
    return facts


def _require(call: Call, operation: Operation, target: Target, context: Context, asked: str) -> None:
    """Ask for the decision; a refusal names the secret as the caller did, whether it exists or not."""
    try:
        require(call.principal, operation, target, context)
    except AccessDenied as error:
        raise AccessDenied(error.message.replace(target.arn, asked)) from None


async def _secret(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> SecretRecord:
    """Return the secret of the call once the operation on it is allowed. Errors: AccessDenied, SecretNotFound."""
    found = await _find(call, tags, tag_keys)
    if found is None:
        raise service.not_found()
    return found


async def _find(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> SecretRecord | None:
    asked: str = call.params["SecretId"]
    mine = call.principal.caller.account
    found = await call.region.secrets.find(mine, asked, call.now)
    parts = rules.parts_of_arn(asked)
    owner = parts[1] if parts is not None else mine
    own_tags = found.tags if found is not None else {}
    if found is not None:
        arn = found.arn
    else:
        arn = asked if parts is not None else rules.bare_arn(call.region.name, mine, asked)
    context = _context(call, found.name if found is not None else asked, tags or {}, tag_keys)
    own = {f"secretsmanager:ResourceTag/{key}": value for key, value in own_tags.items()}
    _require(call, call.operation, Target(owner, arn, None, own_tags), {**context, **own}, asked)
    return found


def _asked_value(call: Call) -> Value | None:
    """Return the value that the request brings. Errors: InvalidInput when it brings two."""
    text, data = call.params.get("SecretString"), call.params.get("SecretBinary")
    if text is not None and data is not None:
        raise InvalidInput(
            "You can't specify both a binary secret value and a string secret value in the same secret."
        )
    if text is not None:
        return Value(text.encode("utf-8", "surrogatepass"), binary=False)
    return Value(data, binary=True) if data is not None else None


def _asked_tags(call: Call) -> dict[str, str]:
    asked = call.params.get("Tags") or []
    if any(each.get("Key") is None for each in asked):
        raise InvalidInput("You must provide a key for every tag.")
    tags = {each["Key"]: each.get("Value") or "" for each in asked}
    if len(tags) != len(asked):
        raise InvalidInput("A tag key appears twice.")
    return tags


def _refuse_unsupported(call: Call) -> None:
    """Refuse what would be a promise that nobody keeps. Errors: InvalidInput."""
    if call.params.get("KmsKeyId") not in (None, "", _DEFAULT_KEY):
        raise InvalidInput(
            f"KmsKeyId: this registry has no keys of its own; only {_DEFAULT_KEY} can be used."
        )
    for member in ("AddReplicaRegions", "Type", "CrossAccountPrimaryARN", "RotationToken"):
        if call.params.get(member):
            raise InvalidInput(f"{member} is not supported by this registry.")


def _named(record: SecretRecord) -> dict[str, Any]:
    return {"ARN": record.arn, "Name": record.name}


def _tag_list(record: SecretRecord) -> list[dict[str, str]] | None:
    return [{"Key": key, "Value": value} for key, value in record.tags.items()] or None


def _stages(record: SecretRecord) -> dict[str, list[str]] | None:
    return {version_id: list(labels) for version_id, labels in record.stages.items()} or None


async def create_secret(call: Call) -> Answer:
    """CreateSecret."""
    account, name = call.principal.caller.account, call.params["Name"]
    rules.check_name(name)
    tags = _asked_tags(call)
    arn = rules.new_arn(call.region.name, account, name)
    target, context = Target(account, arn), _context(call, name, tags)
    _require(call, call.operation, target, context, name)
    if tags:
        require_action(call.principal, "secretsmanager:TagResource", target, context)
    _refuse_unsupported(call)
    made = await call.region.secrets.create(
        call.now,
        call.account,
        name,
        arn,
        _asked_value(call),
        call.params.get("ClientRequestToken"),
        call.params.get("Description"),
        tags,
    )
    current = made.staged(CURRENT)
    return {**_named(made), "VersionId": current.id if current is not None else None}


async def get_secret_value(call: Call) -> Answer:
    """GetSecretValue."""
    found = await _secret(call)
    if found.delete_after is not None:
        raise InvalidSecretState(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    version = _asked_version(call, found)
    try:
        data = call.region.secrets.reveal(found, version)
    except SealBroken:
        raise Unavailable("The value cannot be opened with the master key of this registry") from None
    return {
        **_named(found),
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
    found = await _secret(call)
    _refuse_unsupported(call)
    value = _asked_value(call)
    if value is None:
        raise InvalidSecretState("You must provide either SecretString or SecretBinary.")
    changed, version_id = await call.region.secrets.put(
        call.now,
        found,
        value,
        call.params.get("ClientRequestToken"),
        stages=call.params.get("VersionStages") or (CURRENT,),
    )
    return {**_named(changed), "VersionId": version_id, "VersionStages": list(changed.stages[version_id])}


async def update_secret(call: Call) -> Answer:
    """UpdateSecret: the description, the current value, or both."""
    found = await _secret(call)
    _refuse_unsupported(call)
    value = _asked_value(call)
    changed, version_id = await call.region.secrets.put(
        call.now,
        found,
        value,
        call.params.get("ClientRequestToken"),
        description=call.params.get("Description"),
    )
    return {**_named(changed), "VersionId": version_id if value is not None else None}


async def update_secret_version_stage(call: Call) -> Answer:
    """UpdateSecretVersionStage: moves a label, for example back to the version before."""
    found = await _secret(call)
    params = call.params
    await call.region.secrets.move_stage(
        call.now,
        found,
        params["VersionStage"],
        params.get("RemoveFromVersionId"),
        params.get("MoveToVersionId"),
    )
    return _named(found)


async def list_secret_version_ids(call: Call) -> Answer:
    """ListSecretVersionIds: oldest first; deprecated versions are not kept."""
    found = await _secret(call)
    position = _position(call)
    after = position[0] if position is not None else 0
    size: int = call.params.get("MaxResults") or _PAGE
    page = found.versions[after : after + size]
    more = None
    if len(found.versions) > after + size:
        more = _token(call, (after + size, ""))
    listed = [
        {"VersionId": each.id, "VersionStages": list(each.stages), "CreatedDate": each.created_at}
        for each in page
    ]
    return {**_named(found), "Versions": listed, "NextToken": more}


async def delete_secret(call: Call) -> Answer:
    """DeleteSecret: after a recovery window, or at once with ForceDeleteWithoutRecovery."""
    found = await _find(call)
    force = bool(call.params.get("ForceDeleteWithoutRecovery"))
    window = rules.recovery_window(call.params.get("RecoveryWindowInDays"), force=force)
    if found is None:
        if not force:
            raise service.not_found()
        # "If you forcibly delete an already deleted or nonexistent secret, the operation does not return
        # ResourceNotFoundException."
        asked: str = call.params["SecretId"]
        parts = rules.parts_of_arn(asked)
        account = call.principal.caller.account
        arn = asked if parts is not None else rules.new_arn(call.region.name, account, asked)
        return {"ARN": arn, "Name": parts[2] if parts is not None else asked, "DeletionDate": call.now}
    gone = await call.region.secrets.delete(call.now, found, window)
    return {**_named(found), "DeletionDate": gone}


async def restore_secret(call: Call) -> Answer:
    """RestoreSecret: takes a scheduled deletion back."""
    found = await _secret(call)
    await call.region.secrets.restore(call.now, found)
    return _named(found)


async def describe_secret(call: Call) -> Answer:
    """DescribeSecret: everything but the value."""
    found = await _secret(call)
    return {**_described(found), "VersionIdsToStages": _stages(found)}


def _described(record: SecretRecord) -> dict[str, Any]:
    return {
        **_named(record),
        "Description": record.description,
        "LastChangedDate": record.changed_at,
        "DeletedDate": record.delete_after,
        "Tags": _tag_list(record),
        "CreatedDate": record.created_at,
    }


async def list_secrets(call: Call) -> Answer:
    """ListSecrets: by pages, filtered and sorted."""
    call.require_on("*")
    params = call.params
    filters = [(each.get("Key") or "all", each.get("Values") or [""]) for each in params.get("Filters") or []]
    kept = [
        record
        for record in await call.region.secrets.every(call.principal.caller.account, call.now)
        if (params.get("IncludePlannedDeletion") or record.delete_after is None)
        and rules.shown(record, filters, call.region.name)
    ]
    key = _sort_key(params.get("SortBy"))
    descending = params.get("SortOrder", "asc" if params.get("SortBy") == "name" else "desc") == "desc"
    ordered = sorted(kept, key=key, reverse=descending)
    position = _position(call)
    if position is not None:
        ordered = [
            record for record in ordered if key(record) != position and (key(record) < position) is descending
        ]
    size: int = params.get("MaxResults") or _PAGE
    page = ordered[:size]
    more = None
    if len(ordered) > size:
        more = _token(call, key(page[-1]))
    listed = [{**_described(record), "SecretVersionsToStages": _stages(record)} for record in page]
    return {"SecretList": listed, "NextToken": more}


def _sort_key(by: str | None) -> Callable[[SecretRecord], tuple[int, str]]:
    """Return what the list is sorted by, with the name to tell equals apart. Errors: InvalidInput."""
    if by == "last-accessed-date":
        raise InvalidInput("SortBy: this registry does not record when a secret was last accessed.")
    if by == "name":
        return lambda record: (0, record.name)
    if by == "last-changed-date":
        return lambda record: (to_micros(record.changed_at), record.name)
    return lambda record: (to_micros(record.created_at), record.name)


def _position(call: Call) -> tuple[int, str] | None:
    """Return the sort key of the last secret of the page before, None at the start. Errors: InvalidParameter."""
    token = call.params.get("NextToken")
    if token is None:
        return None
    moment, name = call.region.pages.read(token, call.principal.arn, call.operation.name, _scope(call))
    assert isinstance(moment, int)
    return moment, str(name)


def _token(call: Call, position: tuple[int, str]) -> str:
    return call.region.pages.issue(call.principal.arn, call.operation.name, _scope(call), position)


def _scope(call: Call) -> str:
    asked = {key: value for key, value in call.params.items() if key not in ("NextToken", "MaxResults")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


async def tag_resource(call: Call) -> Answer:
    """TagResource: adds and changes."""
    tags = _asked_tags(call)
    found = await _secret(call, tags)
    await call.region.secrets.tag(call.now, found, tags)
    return {}


async def untag_resource(call: Call) -> Answer:
    """UntagResource."""
    keys = call.params["TagKeys"]
    found = await _secret(call, tag_keys=keys)
    await call.region.secrets.tag(call.now, found, {}, keys)
    return {}


async def get_resource_policy(call: Call) -> Answer:
    """GetResourcePolicy: secrets have no policies of their own here, so there is never a text."""
    return _named(await _secret(call))


HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "CreateSecret": create_secret,
        "DeleteSecret": delete_secret,
        "DescribeSecret": describe_secret,
        "GetResourcePolicy": get_resource_policy,
        "GetSecretValue": get_secret_value,
        "ListSecretVersionIds": list_secret_version_ids,
        "ListSecrets": list_secrets,
        "PutSecretValue": put_secret_value,
        "RestoreSecret": restore_secret,
        "TagResource": tag_resource,
        "UntagResource": untag_resource,
        "UpdateSecret": update_secret,
        "UpdateSecretVersionStage": update_secret_version_stage,
    }
)
"""What each operation does, by its name."""
