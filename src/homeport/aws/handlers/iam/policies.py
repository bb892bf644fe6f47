"""Managed policies, their versions and who has them. IAM API Reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.answers import require_entity, shown_document, shown_tags
from homeport.iam import attachments, entities, policies, tags
from homeport.iam.attachments_store import Holder
from homeport.iam.entities import Kind
from homeport.iam.policies import Listed
from homeport.iam.policies_rules import OWNER_AWS
from homeport.iam.policies_store import Policy, Version
from homeport.kernel.errors import InvalidEntityInput


def _shown(listed: Listed) -> dict[str, Any]:
    policy = listed.policy
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.policy_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version,
        "AttachmentCount": listed.attached,
        "PermissionsBoundaryUsageCount": listed.bounding,
        "IsAttachable": True,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.updated_at,
    }


def _whole(listed: Listed, held: Mapping[str, str]) -> dict[str, Any]:
    return {**_shown(listed), "Description": listed.policy.description, "Tags": shown_tags(held)}


def _version(version: Version, *, with_document: bool) -> dict[str, Any]:
    return {
        "Document": shown_document(version.document) if with_document else None,
        "VersionId": version.version,
        "IsDefaultVersion": version.is_default,
        "CreateDate": version.created_at,
    }


async def _allowed(
    call: Call, *, asked: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> str:
    """Return the ARN that the request names once the operation on it is allowed, whether or not it exists.

    Errors: AccessDenied, InvalidEntityInput for what is no ARN of a policy.
    """
    arn: str = call.params["PolicyArn"]
    try:
        found = await policies.find(call.region.db, call.principal.caller.account, arn)
    except InvalidEntityInput:
        require_entity(call, arn, asked=asked, tag_keys=tag_keys)
        raise
    held = await policies.tags_of(call.region.db, found) if found else {}
    require_entity(call, arn, held=held, asked=asked, tag_keys=tag_keys)
    return arn


async def _policy(call: Call) -> Policy:
    arn = await _allowed(call)
    return await policies.get(call.region.db, call.principal.caller.account, arn)


async def create_policy(call: Call) -> Answer:
    """CreatePolicy."""
    params, account = call.params, call.principal.caller.account
    name, path = params["PolicyName"], params.get("Path") or "/"
    asked = tags.asked(params.get("Tags"))
    require_entity(call, entities.arn("policy", account, name, path), asked=asked)
    made = await policies.create(
        call.region.db,
        call.now,
        account,
        name,
        path,
        params["PolicyDocument"],
        params.get("Description"),
        asked,
    )
    return {"Policy": {**_shown(Listed(made, 0, 0)), "Tags": shown_tags(asked) or None}}


async def get_policy(call: Call) -> Answer:
    """GetPolicy."""
    db, policy = call.region.db, await _policy(call)
    listed = await policies.usage(db, call.principal.caller.account, policy)
    return {"Policy": _whole(listed, await policies.tags_of(db, policy))}


async def delete_policy(call: Call) -> Answer:
    """DeletePolicy."""
    arn = await _allowed(call)
    await policies.delete(call.region.db, call.principal.caller.account, arn)
    return {}


async def list_policies(call: Call) -> Answer:
    """ListPolicies: the account's own, the built-in ones, or both."""
    params, account = call.params, call.principal.caller.account
    prefix = params.get("PathPrefix") or "/"
    require_entity(call, f"arn:aws:iam::{account}:policy{prefix}")
    usage = params.get("PolicyUsageFilter")

    def used(each: Listed) -> bool:
        counts = {"PermissionsPolicy": each.attached, "PermissionsBoundary": each.bounding}
        return bool(counts[usage] if usage else each.attached + each.bounding)

    wanted = bool(params.get("OnlyAttached")) or usage == "PermissionsBoundary"
    after = pages.after(call)
    found = [
        each
        for each in await policies.listing(call.region.db, account, params.get("Scope") or "All")
        if each.policy.path.startswith(prefix) and (used(each) or not wanted) and _place(each) > after
    ]
    return pages.page(call, "Policies", sorted(found, key=_place), _place, _shown)


def _place(listed: Listed) -> str:
    """The order of the listing; the account's own come first, and a name may be in both parts."""
    built_in = listed.policy.account == OWNER_AWS
    return f"{int(built_in)}{listed.policy.name}"


async def create_policy_version(call: Call) -> Answer:
    """CreatePolicyVersion."""
    arn = await _allowed(call)
    made = await policies.create_version(
        call.region.db,
        call.now,
        call.principal.caller.account,
        arn,
        call.params["PolicyDocument"],
        set_default=bool(call.params.get("SetAsDefault")),
    )
    return {"PolicyVersion": _version(made, with_document=False)}


async def get_policy_version(call: Call) -> Answer:
    """GetPolicyVersion."""
    policy = await _policy(call)
    found = await policies.version(call.region.db, policy, call.params["VersionId"])
    return {"PolicyVersion": _version(found, with_document=True)}


async def list_policy_versions(call: Call) -> Answer:
    """ListPolicyVersions, the newest first."""
    found = await policies.versions(call.region.db, await _policy(call))
    return pages.short(call, "Versions", found, lambda each: _version(each, with_document=False))


async def delete_policy_version(call: Call) -> Answer:
    """DeletePolicyVersion."""
    arn = await _allowed(call)
    await policies.delete_version(
        call.region.db, call.principal.caller.account, arn, call.params["VersionId"]
    )
    return {}


async def set_default_policy_version(call: Call) -> Answer:
    """SetDefaultPolicyVersion."""
    arn = await _allowed(call)
    account, wanted = call.principal.caller.account, call.params["VersionId"]
    await policies.set_default(call.region.db, call.now, account, arn, wanted)
    return {}


async def list_entities_for_policy(call: Call) -> Answer:
    """ListEntitiesForPolicy: groups, users and roles, in this order over the pages."""
    arn, params = await _allowed(call), call.params
    prefix, usage, only = (
        params.get("PathPrefix") or "/",
        params.get("PolicyUsageFilter"),
        params.get("EntityFilter"),
    )
    wanted = {"PermissionsBoundary": (True,), "PermissionsPolicy": (False,)}.get(usage or "", (True, False))
    found = {
        (each.kind, each.name): each
        for each in await attachments.holders(call.region.db, call.principal.caller.account, arn)
        if each.boundary in wanted
        and each.path.startswith(prefix)
        and (only is None or only == each.kind.value.title())
    }
    after = pages.after(call)
    rest = sorted((each for each in found.values() if _holder_place(each) > after), key=_holder_place)
    paged = pages.page(call, "shown", rest, _holder_place, lambda each: each)
    shown: list[Holder] = paged.pop("shown")
    lists = (("PolicyGroups", Kind.GROUP), ("PolicyUsers", Kind.USER), ("PolicyRoles", Kind.ROLE))
    return {
        **{
            member: [
                {f"{kind.value.title()}Name": each.name, f"{kind.value.title()}Id": each.unique_id}
                for each in shown
                if each.kind is kind
            ]
            for member, kind in lists
        },
        **paged,
    }


def _holder_place(holder: Holder) -> str:
    return f"{(Kind.GROUP, Kind.USER, Kind.ROLE).index(holder.kind)}{holder.name}"


async def tag_policy(call: Call) -> Answer:
    """TagPolicy."""
    asked = tags.asked(call.params["Tags"])
    arn = await _allowed(call, asked=asked)
    await policies.tag(call.region.db, call.principal.caller.account, arn, asked)
    return {}


async def untag_policy(call: Call) -> Answer:
    """UntagPolicy."""
    keys = call.params["TagKeys"]
    arn = await _allowed(call, tag_keys=keys)
    await policies.untag(call.region.db, call.principal.caller.account, arn, keys)
    return {}


async def list_policy_tags(call: Call) -> Answer:
    """ListPolicyTags."""
    held = await policies.tags_of(call.region.db, await _policy(call))
    return pages.short(call, "Tags", shown_tags(held), lambda tag: tag)
