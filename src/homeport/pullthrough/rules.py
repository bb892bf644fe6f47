"""Which upstream an address means and what a rule for it must have. ECR User Guide, pull-through-cache."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from homeport.access.sealing import Secret
from homeport.kernel.errors import (
    InvalidParameter,
    UnableToDecryptSecretValue,
    UnsupportedUpstreamRegistry,
)
from homeport.pullthrough.model import ROOT, Credential, Upstream

_HOSTS: Mapping[str, Upstream] = MappingProxyType(
    {
        "public.ecr.aws": Upstream.ECR_PUBLIC,
        "quay.io": Upstream.QUAY,
        "registry.k8s.io": Upstream.K8S,
        "registry-1.docker.io": Upstream.DOCKER_HUB,
        "ghcr.io": Upstream.GITHUB,
        "registry.gitlab.com": Upstream.GITLAB,
        "cgr.dev": Upstream.CHAINGUARD,
    }
)
_AZURE = re.compile(r"[a-z0-9-]{1,63}\.azurecr\.io", re.ASCII)
_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr\.([0-9a-z-]{2,25})\.amazonaws\.com(?:\.cn)?", re.ASCII)
_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)
_UNREADABLE = (
    "The secret is accessible but is unable to be decrypted. Verify the resource permissions and try again."
)


def upstream_of(url: str, asked: str | None) -> Upstream:
    """Return which kind of registry `url` is, and `asked` must be when it is given.

    Errors: UnsupportedUpstreamRegistry for every other host, InvalidParameter when `asked` is another kind.
    """
    found = _HOSTS.get(url)
    if found is None and _AZURE.fullmatch(url):
        found = Upstream.AZURE
    if found is None and _ECR.fullmatch(url):
        found = Upstream.ECR
    if found is None:
        raise UnsupportedUpstreamRegistry(f"The specified upstream registry '{url[:256]}' isn't supported")
    if asked is not None and asked != found:
        raise InvalidParameter("upstreamRegistry", f"The registry at '{url}' is of kind '{found.value}'")
    return found


def check_source(
    upstream: Upstream,
    url: str,
    account: str,
    region: str,
    credential_arn: str | None,
    custom_role_arn: str | None,
) -> None:
    """Return when a rule of `account` in `region` has what it needs to pull from there, and nothing else.

    Errors: InvalidParameter.
    """
    if upstream.needs_secret and credential_arn is None:
        raise InvalidParameter("credentialArn", f"The upstream registry {upstream.value} needs credentials")
    if upstream is not Upstream.ECR:
        if custom_role_arn is not None:
            raise InvalidParameter("customRoleArn", "A role is only valid with the upstream registry ecr")
        return
    if credential_arn is not None:
        raise InvalidParameter("credentialArn", "The upstream registry ecr takes a role, not credentials")
    match = _ECR.fullmatch(url)
    owner, place = (match[1], match[2]) if match else (account, region)
    if (owner, place) == (account, region):
        raise InvalidParameter("upstreamRegistryUrl", "A registry cannot be its own upstream registry")
    if custom_role_arn is None:
        if owner != account:
            raise InvalidParameter(
                "customRoleArn", "The upstream registry of another account needs a role to pull with"
            )
        return
    role = _ROLE.fullmatch(custom_role_arn)
    if role is None or role[1] != account:
        raise InvalidParameter("customRoleArn", "Member must be the ARN of an IAM role of this account")


def check_prefixes(prefix: str, upstream_prefix: str | None) -> str | None:
    """Return the upstream prefix as stated. Errors: InvalidParameter when ROOT is to hold a part of an upstream."""
    if bare(prefix) == ROOT and bare(upstream_prefix or ROOT) != ROOT:
        raise InvalidParameter(
            "upstreamRepositoryPrefix", "Member must be ROOT when ecrRepositoryPrefix is ROOT"
        )
    return upstream_prefix


def bare(prefix: str) -> str:
    """Return the prefix without the `/` that is implied at its end."""
    return prefix.rstrip("/")


def read_credential(data: bytes) -> Credential:
    """Return what a secret says about an upstream registry: JSON with `username` and `accessToken`.

    Errors: UnableToDecryptSecretValue, which never quotes the secret.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnableToDecryptSecretValue(_UNREADABLE)
    username, token = document.get("username"), document.get("accessToken")
    if not isinstance(username, str) or not isinstance(token, str) or not username or not token:
        raise UnableToDecryptSecretValue(_UNREADABLE)
    return Credential(username, Secret(token))


def unreadable() -> UnableToDecryptSecretValue:
    """Return the error for a secret whose value cannot be had."""
    return UnableToDecryptSecretValue(_UNREADABLE)
