"""The public registry as a whole: its password, aliases and display name. Amazon ECR Public API Reference."""

from __future__ import annotations

import base64
from typing import Any

from homeport.aws.call import Answer, Call
from homeport.aws.public_call import PublicCall
from homeport.kernel import limits
from homeport.public import service as public
from homeport.public import store as public_store
from homeport.public.model import Alias


async def get_authorization_token(call: Call) -> Answer:
    """GetAuthorizationToken: a password for 12 hours that stands for the caller, for public images only."""
    asked = await PublicCall.made_of(call)
    asked.require_token(limits.TOKEN_SECONDS)
    password, expires_at = call.region.public_passwords.issue(
        call.principal.arn,
        call.principal.caller.account,
        call.principal.access_key_id,
        call.now,
        call.signed.session,
    )
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    return {"authorizationData": {"authorizationToken": token, "expiresAt": expires_at}}


async def describe_registries(call: Call) -> Answer:
    """DescribeRegistries: the caller's one public registry, made with its default alias at the first look."""
    asked = await PublicCall.made_of(call)
    asked.require_registry()
    call.page_position()
    aliases = await public.aliases(call.region.db, asked.registry, call.now)
    return {
        "registries": [
            {
                "registryId": asked.registry,
                "registryArn": f"arn:aws:ecr-public::{asked.registry}:registry/{asked.registry}",
                "registryUri": await asked.registry_address(),
                # Verified is who has a contract with AWS Marketplace, or is AWS.
                "verified": False,
                "aliases": [_shown(alias) for alias in aliases],
            }
        ]
    }


def _shown(alias: Alias) -> dict[str, Any]:
    return {
        "name": alias.name,
        "status": alias.status.value,
        "primaryRegistryAlias": alias.is_primary,
        "defaultRegistryAlias": alias.is_default,
    }


async def get_registry_catalog_data(call: Call) -> Answer:
    """GetRegistryCatalogData: the display name, if there is one."""
    asked = await PublicCall.made_of(call)
    asked.require_registry()
    name = await public_store.display_name(call.region.db, asked.registry)
    return {"registryCatalogData": {"displayName": name}}


async def put_registry_catalog_data(call: Call) -> Answer:
    """PutRegistryCatalogData: without a display name the present one goes."""
    asked = await PublicCall.made_of(call)
    asked.require_registry()
    name = call.params.get("displayName")
    await public.put_display_name(call.region.db, asked.registry, name, call.now)
    return {"registryCatalogData": {"displayName": name}}
