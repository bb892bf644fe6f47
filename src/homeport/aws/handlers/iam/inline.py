"""Inline policies of users, groups and roles: the same four operations for each. AWS IAM API Reference."""

from __future__ import annotations

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.access import entity
from homeport.aws.handlers.iam.answers import shown_document
from homeport.iam import inline, inline_store
from homeport.iam.entities import Entity, Kind

_MEMBERS = {Kind.USER: "UserName", Kind.GROUP: "GroupName", Kind.ROLE: "RoleName"}


async def _owner(call: Call, kind: Kind) -> Entity:
    return await entity(call, kind, call.params[_MEMBERS[kind]])


async def put(kind: Kind, call: Call) -> Answer:
    """PutUserPolicy, PutGroupPolicy, PutRolePolicy: adds or replaces."""
    found = await _owner(call, kind)
    await inline.put(call.region.db, found, call.params["PolicyName"], call.params["PolicyDocument"])
    return {}


async def get(kind: Kind, call: Call) -> Answer:
    """GetUserPolicy, GetGroupPolicy, GetRolePolicy: the document is percent-encoded."""
    found, name = await _owner(call, kind), call.params["PolicyName"]
    document = await inline.get(call.region.db, found, name)
    return {_MEMBERS[kind]: found.name, "PolicyName": name, "PolicyDocument": shown_document(document)}


async def delete(kind: Kind, call: Call) -> Answer:
    """DeleteUserPolicy, DeleteGroupPolicy, DeleteRolePolicy."""
    found = await _owner(call, kind)
    await inline.delete(call.region.db, found, call.params["PolicyName"])
    return {}


async def list_(kind: Kind, call: Call) -> Answer:
    """ListUserPolicies, ListGroupPolicies, ListRolePolicies: names only."""
    found = await _owner(call, kind)
    names = await inline_store.names(
        call.region.db,
        found.account,
        found.kind.value,
        found.name,
        pages.after(call),
        pages.size(call) + 1,
    )
    return pages.page(call, "PolicyNames", names, str, str)
