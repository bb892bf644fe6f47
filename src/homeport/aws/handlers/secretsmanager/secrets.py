"""Secrets themselves: made, described, tagged, deleted and restored."""

from __future__ import annotations

from homeport.access.authorize import Target, require_action
from homeport.aws.call import Answer, Call
from homeport.aws.handlers.secretsmanager import asking
from homeport.secrets import rules, service
from homeport.secrets.model import CURRENT


async def create_secret(call: Call) -> Answer:
    """CreateSecret."""
    account, name = call.principal.caller.account, call.params["Name"]
    rules.check_name(name)
    tags = asking.asked_tags(call)
    arn = rules.new_arn(call.region.name, account, name)
    target, context = Target(account, arn), asking.context(call, name, tags)
    asking.require_as_asked(call, call.operation, target, context, name)
    if tags:
        require_action(call.principal, "secretsmanager:TagResource", target, context)
    asking.refuse_unsupported(call)
    made = await call.region.secrets.create(
        call.now,
        call.account,
        name,
        arn,
        asking.asked_value(call),
        call.params.get("ClientRequestToken"),
        call.params.get("Description"),
        tags,
    )
    current = made.staged(CURRENT)
    return {**asking.named(made), "VersionId": current.id if current is not None else None}


async def delete_secret(call: Call) -> Answer:
    """DeleteSecret: after a recovery window, or at once with ForceDeleteWithoutRecovery."""
    found = await asking.find(call)
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
    return {**asking.named(found), "DeletionDate": gone}


async def restore_secret(call: Call) -> Answer:
    """RestoreSecret: takes a scheduled deletion back."""
    found = await asking.secret(call)
    await call.region.secrets.restore(call.now, found)
    return asking.named(found)


async def describe_secret(call: Call) -> Answer:
    """DescribeSecret: everything but the value."""
    found = await asking.secret(call)
    return {**asking.described(found), "VersionIdsToStages": asking.stages(found)}


async def tag_resource(call: Call) -> Answer:
    """TagResource: adds and changes."""
    tags = asking.asked_tags(call)
    found = await asking.secret(call, tags)
    await call.region.secrets.tag(call.now, found, tags)
    return {}


async def untag_resource(call: Call) -> Answer:
    """UntagResource."""
    keys = call.params["TagKeys"]
    found = await asking.secret(call, tag_keys=keys)
    await call.region.secrets.tag(call.now, found, {}, keys)
    return {}


async def get_resource_policy(call: Call) -> Answer:
    """GetResourcePolicy: secrets have no policies of their own here, so there is never a text."""
    found = await asking.secret(call)
    service.must_be_in_use(found)
    return asking.named(found)
