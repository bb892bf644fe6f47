"""Account settings of a registry. ECR API Reference, PutAccountSetting."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.registry import rules
from homeport.registry import service as registries


def _require(call: Call) -> None:
    call.require_registry({"ecr:AccountSetting": call.params["name"]})


async def get_account_setting(call: Call) -> Answer:
    """GetAccountSetting: the default when nobody has set it."""
    _require(call)
    name = rules.setting_named(call.params["name"])
    return {"name": name.value, "value": await registries.setting(call.region.db, call.account, name)}


async def put_account_setting(call: Call) -> Answer:
    """PutAccountSetting."""
    _require(call)
    name, value = rules.setting_named(call.params["name"]), call.params["value"]
    await registries.put_setting(call.region.db, call.now, call.account, name, value)
    return {"name": name.value, "value": value}
