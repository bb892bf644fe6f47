"""STS: who am I? AWS Security Token Service API Reference."""

from __future__ import annotations

from homeport.aws.call import Answer, Call


async def get_caller_identity(call: Call) -> Answer:
    """GetCallerIdentity: needs no permission."""
    caller = call.principal.caller
    return {"UserId": caller.principal_id, "Account": caller.account, "Arn": caller.arn}
