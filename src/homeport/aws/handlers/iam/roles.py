"""Roles, what is attached to users, groups and roles, and permissions boundaries. IAM API Reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.answers import (
    require_entity,
    shown_boundary,
    shown_document,
    shown_tags,
)
from homeport.iam import attachments, entities, roles, tags
from homeport.iam.entities import Entity, Kind
from homeport.iam.roles_store import Role

_NAMES = {Kind.USER: "UserName", Kind.GROUP: "GroupName", Kind.ROLE: "RoleName"}


def _shown(role: Role) -> dict[str, Any]:
    """A role as lists show it."""
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.role_id,
        "Arn": role.arn,
        "CreateDate": role.created_at,
        "AssumeRolePolicyDocument": shown_document(role.trust_policy),
        "Description": role.description,
        "MaxSessionDuration": role.max_session_seconds,
    }


def _whole(role: Role, held: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_shown(role),
        "PermissionsBoundary": shown_boundary(role.boundary),
        "Tags": shown_tags(held) or None,
    }


async def allowed(
    call: Call,
    kind: Kind = Kind.ROLE,
    *,
    asked: Mapping[str, str] | None = None,
    tag_keys: Sequence[str] = (),
    policy: str | None = None,
    boundary: str | None = None,
) -> Entity:
    """Return the user, group or role that the request names once the operation on it is allowed.

    `policy` is what the request attaches or detaches; `boundary` the one that it sets, by default the present one.
    Errors: AccessDenied; NoSuchEntity only to those who would be allowed.
    """
    db, account, name = call.region.db, call.principal.caller.account, call.params[_NAMES[kind]]
    found = await entities.find(db, kind, account, name)
    held = await tags.of(db, account, kind.value, name) if found else {}
    keys = {
        "iam:PolicyARN": policy,
        "iam:PermissionsBoundary": boundary or await attachments.boundary(db, kind, account, name),
    }
    arn = found.arn if found else entities.arn(kind.value, account, name)
    require_entity(call, arn, held=held, asked=asked, tag_keys=tag_keys, keys=keys)
    if found is None:
        raise entities.missing(kind, name)
    return found


async def create_role(call: Call) -> Answer:
    """CreateRole."""
    params, account = call.params, call.principal.caller.account
    name, path, boundary = params["RoleName"], params.get("Path") or "/", params.get("PermissionsBoundary")
    asked = tags.asked(params.get("Tags"))
    keys = {"iam:PermissionsBoundary": boundary}
    require_entity(call, entities.arn(Kind.ROLE, account, name, path), asked=asked, keys=keys)
    made = await roles.create(
        call.region.db,
        call.now,
        account,
        name,
        path=path,
        trust_policy=params["AssumeRolePolicyDocument"],
        description=params.get("Description"),
        max_session_seconds=params.get("MaxSessionDuration") or roles.SESSION_SECONDS,
        boundary=boundary,
        asked=asked,
    )
    return {"Role": _whole(made, asked)}


async def get_role(call: Call) -> Answer:
    """GetRole."""
    found = await allowed(call)
    role = await roles.get(call.region.db, found.account, found.name)
    held = await roles.tags_of(call.region.db, found.account, found.name)
    return {"Role": {**_whole(role, held), "RoleLastUsed": {}}}


async def update_role(call: Call) -> Answer:
    """UpdateRole: what the request does not name stays as it is."""
    found = await allowed(call)
    params = call.params
    await roles.describe(
        call.region.db, found.account, found.name, params.get("Description"), params.get("MaxSessionDuration")
    )
    return {}


async def update_role_description(call: Call) -> Answer:
    """UpdateRoleDescription."""
    found = await allowed(call)
    changed = await roles.describe(
        call.region.db, found.account, found.name, call.params["Description"], None
    )
    return {"Role": _shown(changed)}


async def delete_role(call: Call) -> Answer:
    """DeleteRole."""
    found = await allowed(call)
    await roles.delete(call.region.db, found.account, found.name)
    return {}


async def list_roles(call: Call) -> Answer:
    """ListRoles."""
    account, prefix = call.principal.caller.account, call.params.get("PathPrefix") or "/"
    require_entity(call, f"arn:aws:iam::{account}:role{prefix}")
    wanted = pages.size(call) + 1
    found = await roles.page(call.region.db, account, prefix, pages.after(call), wanted)
    return pages.page(call, "Roles", found, lambda role: role.name, _shown)


async def update_assume_role_policy(call: Call) -> Answer:
    """UpdateAssumeRolePolicy."""
    found = await allowed(call)
    await roles.set_trust(call.region.db, found.account, found.name, call.params["PolicyDocument"])
    return {}


async def tag_role(call: Call) -> Answer:
    """TagRole."""
    asked = tags.asked(call.params["Tags"])
    found = await allowed(call, asked=asked)
    await roles.tag(call.region.db, found.account, found.name, asked)
    return {}


async def untag_role(call: Call) -> Answer:
    """UntagRole."""
    keys = call.params["TagKeys"]
    found = await allowed(call, tag_keys=keys)
    await roles.untag(call.region.db, found.account, found.name, keys)
    return {}


async def list_role_tags(call: Call) -> Answer:
    """ListRoleTags."""
    found = await allowed(call)
    held = await roles.tags_of(call.region.db, found.account, found.name)
    return pages.short(call, "Tags", shown_tags(held), lambda tag: tag)


async def list_instance_profiles_for_role(call: Call) -> Answer:
    """ListInstanceProfilesForRole: there are no instances here, so no role has a profile."""
    await allowed(call)
    return {"InstanceProfiles": [], "IsTruncated": False}
