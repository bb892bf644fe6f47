"""OpenID Connect providers. IAM API Reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeport.aws.call import Answer, Call
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.answers import require_entity, shown_tags
from homeport.iam import providers, tags
from homeport.kernel.errors import InvalidEntityInput

_ARN = "OpenIDConnectProviderArn"


async def _allowed(
    call: Call, *, asked: Mapping[str, str] | None = None, tag_keys: Sequence[str] = ()
) -> str:
    """Return the ARN that the request names once the operation on it is allowed, whether or not it exists.

    Errors: AccessDenied, InvalidEntityInput for what is no ARN of a provider.
    """
    arn: str = call.params[_ARN]
    try:
        found = await providers.find(call.region.db, call.principal.caller.account, arn)
    except InvalidEntityInput:
        require_entity(call, arn, asked=asked, tag_keys=tag_keys)
        raise
    held = await providers.tags_of(call.region.db, found) if found else {}
    require_entity(call, arn, held=held, asked=asked, tag_keys=tag_keys)
    return arn


async def create_open_id_connect_provider(call: Call) -> Answer:
    """CreateOpenIDConnectProvider: thumbprints are kept; connections are verified by certificate authorities."""
    params, account = call.params, call.principal.caller.account
    asked = tags.asked(params.get("Tags"))
    url: str = params["Url"]
    arn = f"arn:aws:iam::{account}:oidc-provider/{url.partition('://')[2] or url}"
    require_entity(call, arn, asked=asked)
    made = await providers.create(
        call.region.db,
        call.now,
        account,
        url,
        params.get("ClientIDList") or [],
        params.get("ThumbprintList") or [],
        None,
        asked,
    )
    return {_ARN: made.arn, "Tags": shown_tags(asked) or None}


async def get_open_id_connect_provider(call: Call) -> Answer:
    """GetOpenIDConnectProvider."""
    db, account = call.region.db, call.principal.caller.account
    found = await providers.get(db, account, await _allowed(call))
    return {
        "Url": found.url,
        "ClientIDList": list(found.client_ids),
        "ThumbprintList": list(found.thumbprints),
        "CreateDate": found.created_at,
        "Tags": shown_tags(await providers.tags_of(db, found)),
    }


async def list_open_id_connect_providers(call: Call) -> Answer:
    """ListOpenIDConnectProviders."""
    account = call.principal.caller.account
    require_entity(call, f"arn:aws:iam::{account}:oidc-provider/*")
    found = await providers.all_of(call.region.db, account)
    return {"OpenIDConnectProviderList": [{"Arn": each.arn} for each in found]}


async def delete_open_id_connect_provider(call: Call) -> Answer:
    """DeleteOpenIDConnectProvider."""
    arn = await _allowed(call)
    await providers.delete(call.region.db, call.principal.caller.account, arn)
    return {}


async def add_client_id(call: Call) -> Answer:
    """AddClientIDToOpenIDConnectProvider."""
    arn = await _allowed(call)
    await providers.add_client_id(call.region.db, call.principal.caller.account, arn, call.params["ClientID"])
    return {}


async def remove_client_id(call: Call) -> Answer:
    """RemoveClientIDFromOpenIDConnectProvider."""
    arn = await _allowed(call)
    await providers.remove_client_id(
        call.region.db, call.principal.caller.account, arn, call.params["ClientID"]
    )
    return {}


async def update_thumbprint(call: Call) -> Answer:
    """UpdateOpenIDConnectProviderThumbprint."""
    arn = await _allowed(call)
    await providers.set_thumbprints(
        call.region.db, call.principal.caller.account, arn, call.params["ThumbprintList"]
    )
    return {}


async def tag_open_id_connect_provider(call: Call) -> Answer:
    """TagOpenIDConnectProvider."""
    asked = tags.asked(call.params["Tags"])
    arn = await _allowed(call, asked=asked)
    await providers.tag(call.region.db, call.principal.caller.account, arn, asked)
    return {}


async def untag_open_id_connect_provider(call: Call) -> Answer:
    """UntagOpenIDConnectProvider."""
    keys = call.params["TagKeys"]
    arn = await _allowed(call, tag_keys=keys)
    await providers.untag(call.region.db, call.principal.caller.account, arn, keys)
    return {}


async def list_open_id_connect_provider_tags(call: Call) -> Answer:
    """ListOpenIDConnectProviderTags."""
    db, account = call.region.db, call.principal.caller.account
    found = await providers.get(db, account, await _allowed(call))
    held = await providers.tags_of(db, found)
    return pages.short(call, "Tags", shown_tags(held), lambda tag: tag)
