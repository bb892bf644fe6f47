"""Users of the caller's account, and what Homeport's users never have. AWS IAM API Reference."""

from __future__ import annotations

from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.access import entity, user_or_caller
from homeport.aws.handlers.iam.answers import require_entity, shown_boundary, shown_tags
from homeport.iam import entities, tags, users, users_store
from homeport.iam.entities import Kind
from homeport.iam.model import User
from homeport.kernel.errors import NoSuchEntity, ServiceNotSupported

# IAM API Reference, CreateServiceSpecificCredential: what has credentials of its own there.
_WITH_CREDENTIALS = ("codecommit.amazonaws.com", "cassandra.amazonaws.com", "bedrock.amazonaws.com")


def shown_user(user: User) -> dict[str, Any]:
    """Return a user as IAM lists them."""
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn,
        "CreateDate": user.created_at,
    }


def _in_full(user: User, of_user: dict[str, str]) -> dict[str, Any]:
    boundary = shown_boundary(user.boundary)
    return {
        **shown_user(user),
        **({"PermissionsBoundary": boundary} if boundary else {}),
        **({"Tags": shown_tags(of_user)} if of_user else {}),
    }


async def create_user(call: Call) -> Answer:
    """CreateUser."""
    params, account = call.params, call.principal.caller.account
    name, path, boundary = params["UserName"], params.get("Path", "/"), params.get("PermissionsBoundary")
    asked = tags.asked(params.get("Tags"))
    require_entity(
        call,
        entities.arn(Kind.USER, account, name, path),
        asked=asked,
        keys={"iam:PermissionsBoundary": boundary},
    )
    created = await users.create(call.region.db, account, name, path, boundary, asked, call.now)
    return {"User": _in_full(created, asked)}


async def get_user(call: Call) -> Answer:
    """GetUser: without a name, the caller."""
    found = await user_or_caller(call)
    of_user = await tags.of(call.region.db, found.account, Kind.USER.value, found.name)
    return {"User": _in_full(await users.get(call.region.db, found.account, found.name), of_user)}


async def update_user(call: Call) -> Answer:
    """UpdateUser: needs the right on the user as it is and as it will be."""
    found = await entity(call, Kind.USER, call.params["UserName"])
    name, path = call.params.get("NewUserName"), call.params.get("NewPath")
    held = await tags.of(call.region.db, found.account, Kind.USER.value, found.name)
    becomes = entities.arn(Kind.USER, found.account, name or found.name, path or found.path)
    require_entity(call, becomes, held=held)
    await users.update(call.region.db, found.account, found.name, name, path)
    return {}


async def delete_user(call: Call) -> Answer:
    """DeleteUser."""
    found = await entity(call, Kind.USER, call.params["UserName"])
    await users.delete(call.region.db, found.account, found.name)
    return {}


async def list_users(call: Call) -> Answer:
    """ListUsers: without tags and boundaries, as in IAM."""
    call.require_on("*")
    found = await users_store.page(
        call.region.db,
        call.principal.caller.account,
        call.params.get("PathPrefix", "/"),
        pages.after(call),
        pages.size(call) + 1,
    )
    return pages.page(call, "Users", found, lambda user: user.name, shown_user)


async def tag_user(call: Call) -> Answer:
    """TagUser: adds and changes."""
    asked = tags.asked(call.params["Tags"])
    found = await entity(call, Kind.USER, call.params["UserName"], asked=asked)
    await users.tag(call.region.db, found.account, found.name, asked)
    return {}


async def untag_user(call: Call) -> Answer:
    """UntagUser."""
    keys = call.params["TagKeys"]
    found = await entity(call, Kind.USER, call.params["UserName"], tag_keys=keys)
    await users.untag(call.region.db, found.account, found.name, keys)
    return {}


async def list_user_tags(call: Call) -> Answer:
    """ListUserTags."""
    found = await entity(call, Kind.USER, call.params["UserName"])
    of_user = await tags.of(call.region.db, found.account, Kind.USER.value, found.name)
    return pages.short(call, "Tags", shown_tags(of_user), lambda tag: tag)


# --- What no user has here: second factors, console passwords, keys and certificates of other services. Programs ask
# --- before they delete a user, so the honest answer is an empty list.


async def list_mfa_devices(call: Call) -> Answer:
    """ListMFADevices: none."""
    await user_or_caller(call)
    return {"MFADevices": [], "IsTruncated": False}


async def list_ssh_public_keys(call: Call) -> Answer:
    """ListSSHPublicKeys: none."""
    await user_or_caller(call)
    return {"SSHPublicKeys": [], "IsTruncated": False}


async def list_service_specific_credentials(call: Call) -> Answer:
    """ListServiceSpecificCredentials: none. Errors: ServiceNotSupported for a service that never has any."""
    if call.params.get("AllUsers"):
        call.require_on("*")
    else:
        await user_or_caller(call)
    named = call.params.get("ServiceName")
    if named is not None and named not in _WITH_CREDENTIALS:
        raise ServiceNotSupported(f"No such service {named} is supported for Service Specific Credentials")
    return {"ServiceSpecificCredentials": [], "IsTruncated": False}


async def list_signing_certificates(call: Call) -> Answer:
    """ListSigningCertificates: none."""
    await user_or_caller(call)
    return {"Certificates": [], "IsTruncated": False}


async def list_virtual_mfa_devices(call: Call) -> Answer:
    """ListVirtualMFADevices: none."""
    call.require_on("*")
    return {"VirtualMFADevices": [], "IsTruncated": False}


async def get_login_profile(call: Call) -> Answer:
    """GetLoginProfile: nobody has a password for a console."""
    found = await user_or_caller(call)
    raise NoSuchEntity(f"Login Profile for User {found.name} cannot be found.")


async def delete_login_profile(call: Call) -> Answer:
    """DeleteLoginProfile: there is none to delete."""
    return await get_login_profile(call)
