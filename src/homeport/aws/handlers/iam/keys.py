"""Access keys: of the user that is named, by default the caller. AWS IAM API Reference."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.access import entity, user_or_caller
from homeport.iam import entities, keys, keys_store
from homeport.iam.entities import Kind
from homeport.iam.model import Key
from homeport.kernel.errors import InvalidEntityInput, ValidationError

_STATUS = {True: "Active", False: "Inactive"}


def _shown(key: Key) -> dict[str, Any]:
    return {
        "UserName": key.user,
        "AccessKeyId": key.id,
        "Status": _STATUS[key.active],
        "CreateDate": key.created_at,
    }


async def create_access_key(call: Call) -> Answer:
    """CreateAccessKey: the only answer that has the secret."""
    found = await user_or_caller(call)
    created = await keys.create(call.region.db, call.region.sealer, found.account, found.name, call.now)
    return {
        "AccessKey": {
            "UserName": created.user,
            "AccessKeyId": created.access_key_id,
            "Status": _STATUS[True],
            "SecretAccessKey": created.secret_access_key,
            "CreateDate": created.created_at,
        }
    }


async def list_access_keys(call: Call) -> Answer:
    """ListAccessKeys."""
    found = await user_or_caller(call)
    held = await keys_store.of(call.region.db, found.account, found.name)
    return pages.short(call, "AccessKeyMetadata", held, _shown)


async def update_access_key(call: Call) -> Answer:
    """UpdateAccessKey: on or off, from the next request on."""
    found = await user_or_caller(call)
    status = call.params["Status"]
    if status == "Expired":  # a status that the model knows and nobody can set
        raise InvalidEntityInput("The status Expired cannot be set; it must be Active or Inactive.")
    if status not in _STATUS.values():
        raise ValidationError(
            f"1 validation error detected: Value '{status}' at 'status' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Active, Inactive]"
        )
    active = status == _STATUS[True]
    await keys.set_active(call.region.db, found.account, found.name, call.params["AccessKeyId"], active)
    return {}


async def delete_access_key(call: Call) -> Answer:
    """DeleteAccessKey."""
    found = await user_or_caller(call)
    await keys.delete(call.region.db, found.account, found.name, call.params["AccessKeyId"])
    return {}


async def get_access_key_last_used(call: Call) -> Answer:
    """GetAccessKeyLastUsed: whose key it is. When it was last used is not recorded, so the answer does not say."""
    account, key_id = call.principal.caller.account, call.params["AccessKeyId"]
    name = await keys_store.holder(call.region.db, account, key_id)
    if name is None:
        call.require_on(entities.arn(Kind.USER, account, "*"))
        raise keys.missing(key_id)
    return {"UserName": (await entity(call, Kind.USER, name)).name}
