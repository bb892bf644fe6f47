"""Who may do what with users, groups and roles by name. Service Authorization Reference for AWS IAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeport.aws.call import Call
from homeport.aws.handlers.iam.answers import require_entity
from homeport.iam import attachments, entities, tags
from homeport.iam.entities import Entity, Kind
from homeport.kernel.errors import ValidationError


async def entity(
    call: Call,
    kind: Kind,
    name: str,
    *,
    asked: Mapping[str, str] | None = None,
    tag_keys: Sequence[str] = (),
) -> Entity:
    """Return the user, group or role of that name once the operation on it is allowed.

    `asked` are the tags that the request sets, `tag_keys` the keys of those that it removes.
    Errors: AccessDenied, and NoSuchEntity only to those who would be allowed on one of that name without a path.
    """
    account = call.principal.caller.account
    found = await entities.find(call.region.db, kind, account, name)
    held = await tags.of(call.region.db, account, kind.value, name) if found else {}
    arn = found.arn if found else entities.arn(kind.value, account, name)
    keys = {"iam:PermissionsBoundary": await attachments.boundary(call.region.db, kind, account, name)}
    require_entity(call, arn, held=held, asked=asked, tag_keys=tag_keys, keys=keys)
    if found is None:
        raise entities.missing(kind, name)
    return found


async def user_or_caller(call: Call) -> Entity:
    """Return the user of `UserName`, by default the caller, once the operation on it is allowed.

    Errors: AccessDenied, NoSuchEntity, ValidationError when the caller is no user and names none.
    """
    name = call.params.get("UserName")
    if name is None:
        caller = call.principal.caller
        if caller.kind != "user":
            raise ValidationError("Must specify userName when calling with non-User credentials")
        name = caller.arn.rpartition("/")[2]
    return await entity(call, Kind.USER, name)
