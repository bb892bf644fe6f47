"""Groups of the caller's account and who is in them. AWS IAM API Reference."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.access import entity
from homeport.aws.handlers.iam.answers import require_entity
from homeport.aws.handlers.iam.users import shown_user
from homeport.iam import entities, groups, groups_store
from homeport.iam.entities import Kind
from homeport.iam.model import Group


def _shown(group: Group) -> dict[str, Any]:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": group.arn,
        "CreateDate": group.created_at,
    }


async def create_group(call: Call) -> Answer:
    """CreateGroup."""
    account, name, path = (
        call.principal.caller.account,
        call.params["GroupName"],
        call.params.get("Path", "/"),
    )
    require_entity(call, entities.arn(Kind.GROUP, account, name, path))
    return {"Group": _shown(await groups.create(call.region.db, account, name, path, call.now))}


async def get_group(call: Call) -> Answer:
    """GetGroup: with its users, paged."""
    found = await entity(call, Kind.GROUP, call.params["GroupName"])
    group = await groups.get(call.region.db, found.account, found.name)
    members = await groups_store.members(
        call.region.db, found.account, found.name, pages.after(call), pages.size(call) + 1
    )
    page = pages.page(call, "Users", members, lambda user: user.name, shown_user)
    return {"Group": _shown(group), **page}


async def update_group(call: Call) -> Answer:
    """UpdateGroup: needs the right on the group as it is and as it will be."""
    found = await entity(call, Kind.GROUP, call.params["GroupName"])
    name, path = call.params.get("NewGroupName"), call.params.get("NewPath")
    require_entity(call, entities.arn(Kind.GROUP, found.account, name or found.name, path or found.path))
    await groups.update(call.region.db, found.account, found.name, name, path)
    return {}


async def delete_group(call: Call) -> Answer:
    """DeleteGroup."""
    found = await entity(call, Kind.GROUP, call.params["GroupName"])
    await groups.delete(call.region.db, found.account, found.name)
    return {}


async def list_groups(call: Call) -> Answer:
    """ListGroups."""
    call.require_on("*")
    found = await groups_store.page(
        call.region.db,
        call.principal.caller.account,
        call.params.get("PathPrefix", "/"),
        pages.after(call),
        pages.size(call) + 1,
    )
    return pages.page(call, "Groups", found, lambda group: group.name, _shown)


async def add_user_to_group(call: Call) -> Answer:
    """AddUserToGroup: a right on the group, not on the user."""
    found = await entity(call, Kind.GROUP, call.params["GroupName"])
    await groups.add_user(call.region.db, found.account, found.name, call.params["UserName"])
    return {}


async def remove_user_from_group(call: Call) -> Answer:
    """RemoveUserFromGroup."""
    found = await entity(call, Kind.GROUP, call.params["GroupName"])
    await groups.remove_user(call.region.db, found.account, found.name, call.params["UserName"])
    return {}


async def list_groups_for_user(call: Call) -> Answer:
    """ListGroupsForUser."""
    found = await entity(call, Kind.USER, call.params["UserName"])
    of_user = await groups_store.groups_of(
        call.region.db, found.account, found.name, pages.after(call), pages.size(call) + 1
    )
    return pages.page(call, "Groups", of_user, lambda group: group.name, _shown)
