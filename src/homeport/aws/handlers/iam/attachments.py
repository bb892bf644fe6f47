"""What is attached to a user, group or role: managed policies and the permissions boundary."""

from __future__ import annotations

from homeport.aws.call import Answer, Call, Handler
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.roles import allowed
from homeport.iam import attachments
from homeport.iam.entities import Kind


def put_boundary(kind: Kind) -> Handler:
    """Return PutUserPermissionsBoundary or PutRolePermissionsBoundary."""

    async def handler(call: Call) -> Answer:
        arn = call.params["PermissionsBoundary"]
        found = await allowed(call, kind, boundary=arn)
        await attachments.set_boundary(call.region.db, kind, found.account, found.name, arn)
        return {}

    return handler


def delete_boundary(kind: Kind) -> Handler:
    """Return DeleteUserPermissionsBoundary or DeleteRolePermissionsBoundary."""

    async def handler(call: Call) -> Answer:
        found = await allowed(call, kind)
        await attachments.clear_boundary(call.region.db, kind, found.account, found.name)
        return {}

    return handler


def attach(kind: Kind) -> Handler:
    """Return AttachUserPolicy, AttachGroupPolicy or AttachRolePolicy."""

    async def handler(call: Call) -> Answer:
        arn = call.params["PolicyArn"]
        found = await allowed(call, kind, policy=arn)
        await attachments.attach(call.region.db, kind, found.account, found.name, arn)
        return {}

    return handler


def detach(kind: Kind) -> Handler:
    """Return DetachUserPolicy, DetachGroupPolicy or DetachRolePolicy."""

    async def handler(call: Call) -> Answer:
        arn = call.params["PolicyArn"]
        found = await allowed(call, kind, policy=arn)
        await attachments.detach(call.region.db, kind, found.account, found.name, arn)
        return {}

    return handler


def list_attached(kind: Kind) -> Handler:
    """Return ListAttachedUserPolicies, ListAttachedGroupPolicies or ListAttachedRolePolicies."""

    async def handler(call: Call) -> Answer:
        found = await allowed(call, kind)
        prefix = call.params.get("PathPrefix") or "/"
        attached = [
            {"PolicyName": name, "PolicyArn": arn}
            for name, arn in await attachments.attached(call.region.db, kind, found.account, found.name)
            if arn.partition(":policy")[2].startswith(prefix)
        ]
        return pages.short(call, "AttachedPolicies", attached, lambda each: each)

    return handler
