"""What calls of Secrets Manager have in common: the secret they name, their context, and the shapes of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeport.access.authorize import Context, Target, require
from homeport.access.operations import Operation
from homeport.aws.call import Call
from homeport.kernel.errors import AccessDenied, InvalidInput, Kms
from homeport.secrets import rules, service
from homeport.secrets.model import SecretRecord, Value

_DEFAULT_KEY = "alias/aws/secretsmanager"


def context(call: Call, record_name: str, tags: Mapping[str, str], tag_keys: Sequence[str] = ()) -> Context:
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


def require_as_asked(call: Call, operation: Operation, target: Target, context: Context, asked: str) -> None:
    """Ask for the decision; a refusal names the secret as the caller did, whether it exists or not."""
    try:
        require(call.principal, operation, target, context)
    except AccessDenied as error:
        raise AccessDenied(error.message.replace(target.arn, asked)) from None


async def secret(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> SecretRecord:
    """Return the secret of the call once the operation on it is allowed. Errors: AccessDenied, SecretNotFound."""
    found = await find(call, tags, tag_keys)
    if found is None:
        raise service.not_found()
    return found


async def find(
    call: Call, tags: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> SecretRecord | None:
    """Return the secret that the call names, or None, to whoever may do the operation on it. Errors: AccessDenied."""
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
    known = context(call, found.name if found is not None else asked, tags or {}, tag_keys)
    own = {f"secretsmanager:ResourceTag/{key}": value for key, value in own_tags.items()}
    require_as_asked(call, call.operation, Target(owner, arn, None, own_tags), {**known, **own}, asked)
    return found


def asked_value(call: Call) -> Value | None:
    """Return the value that the request brings. Errors: InvalidInput when it brings two."""
    text, data = call.params.get("SecretString"), call.params.get("SecretBinary")
    if text is not None and data is not None:
        raise InvalidInput(
            "You can't specify both a binary secret value and a string secret value in the same secret."
        )
    if text is not None:
        return Value(text.encode("utf-8", "surrogatepass"), binary=False)
    return Value(data, binary=True) if data is not None else None


def asked_tags(call: Call) -> dict[str, str]:
    """Return the tags that the request brings. Errors: InvalidInput for a key that is missing or comes twice."""
    asked = call.params.get("Tags") or []
    if any(each.get("Key") is None for each in asked):
        raise InvalidInput("You must provide a key for every tag.")
    tags = {each["Key"]: each.get("Value") or "" for each in asked}
    if len(tags) != len(asked):
        raise InvalidInput("A tag key appears twice.")
    return tags


def refuse_unsupported(call: Call) -> None:
    """Refuse what would be a promise that nobody keeps. Errors: InvalidInput, Kms."""
    if call.params.get("KmsKeyId") not in (None, "", _DEFAULT_KEY):
        raise Kms(f"KmsKeyId: this registry has no keys of its own; only {_DEFAULT_KEY} can be used.")
    for member in ("AddReplicaRegions", "Type", "CrossAccountPrimaryARN", "RotationToken"):
        if call.params.get(member):
            raise InvalidInput(f"{member} is not supported by this registry.")


def named(record: SecretRecord) -> dict[str, Any]:
    """Return a secret's ARN and name."""
    return {"ARN": record.arn, "Name": record.name}


def tag_list(record: SecretRecord) -> list[dict[str, str]] | None:
    """Return the tags in the form of answers, None without any."""
    return [{"Key": key, "Value": value} for key, value in record.tags.items()] or None


def stages(record: SecretRecord) -> dict[str, list[str]] | None:
    """Return the staging labels of each version, None without any."""
    return {version_id: list(labels) for version_id, labels in record.stages.items()} or None


def described(record: SecretRecord) -> dict[str, Any]:
    """Return what DescribeSecret and ListSecrets both show."""
    return {
        **named(record),
        "Description": record.description,
        "LastChangedDate": record.changed_at,
        "DeletedDate": record.delete_after,
        "Tags": tag_list(record),
        "CreatedDate": record.created_at,
    }
