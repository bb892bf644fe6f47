"""The registry as a whole: registry passwords."""

from __future__ import annotations

import base64

from homeport.aws.call import Answer, Call


async def get_authorization_token(call: Call) -> Answer:
    """GetAuthorizationToken: a password for 12 hours that stands for the caller, once per asked registry."""
    call.require_registry()
    password, expires_at = call.region.passwords.issue(
        call.principal.arn,
        call.principal.caller.account,
        call.principal.access_key_id,
        call.now,
        call.signed.session,
    )
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    scheme = "https" if call.exchange.secure else "http"
    accounts = call.params.get("registryIds") or [call.principal.caller.account]
    hosts = [call.region.hosts.registry_host(call.exchange.host, account) for account in accounts]
    return {
        "authorizationData": [
            {"authorizationToken": token, "expiresAt": expires_at, "proxyEndpoint": f"{scheme}://{host}"}
            for host in hosts
        ]
    }
