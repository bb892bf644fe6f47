"""What the handlers of IAM share: the decision on an entity with IAM's own condition keys, and members shown alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from homeport.access.authorize import Target, require, require_action
from homeport.aws.call import Call


def require_entity(
    call: Call,
    arn: str,
    *,
    held: Mapping[str, str] | None = None,
    asked: Mapping[str, str] | None = None,
    tag_keys: Sequence[str] = (),
    keys: Mapping[str, str | None] | None = None,
) -> None:
    """Return when the operation is allowed on the entity of that name in the caller's own account.

    `held` are the tags that the entity has, `asked` those that the request sets, `tag_keys` the keys of those that
    it removes, `keys` further condition keys such as iam:PolicyARN. Errors: AccessDenied.
    """
    own = {name: value for name, value in (keys or {}).items() if value is not None}
    context = {**call.context(asked, tag_keys), **own}
    target = Target(call.principal.caller.account, arn, tags=held or {})
    require(call.principal, call.operation, target, context)
    if asked:  # who makes something with tags must also be allowed to tag it
        for action in call.operation.also:
            require_action(call.principal, action, target, context)


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as IAM shows them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def shown_document(text: str) -> str:
    """Return a policy text as IAM answers it: percent-encoded after RFC 3986."""
    return quote(text, safe="-_.~")


def shown_boundary(arn: str | None) -> dict[str, Any] | None:
    """Return the PermissionsBoundary member of a user or role."""
    if arn is None:
        return None
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}
