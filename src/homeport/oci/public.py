"""Public repositories over HTTP: anybody may pull, whoever may push logs in.

On the host `public.ecr.<suffix>` a path is `/v2/<alias>/<repository>/...`, on a single host such as localhost:5000
`/v2/public.ecr/<alias>/<repository>/...`. Contract: Amazon ECR Public User Guide, "public registries" and "public
repository policies"; for the token of nobody the distribution project's "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from homeport.access import attempts
from homeport.access.authenticate import caller_name
from homeport.access.authorize import Target, require, require_action
from homeport.access.operations import PUBLIC_ROUTES, On
from homeport.access.principals import Principal
from homeport.kernel.errors import (
    InvalidClientToken,
    MissingAuthentication,
    NameInvalid,
    RegistryNotFound,
    RepositoryNotFound,
    RouteNotFound,
)
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import RepositoryName
from homeport.oci import paths
from homeport.oci.paths import Resource, Route
from homeport.oci.visit import Visit
from homeport.public import service as public
from homeport.public import store as public_store
from homeport.region import Region
from homeport.repositories import service as repositories
from homeport.repositories import store as repository_store
from homeport.repositories.model import Repository, public_repository_arn
from homeport.wire.answer import Answer
from homeport.wire.exchange import Exchange

_NOBODY = (
    "anonymous"  # the token of those who show no credentials: it proves nothing and opens what is open anyway
)
_EMPTY = ("", "Og==")  # base64 of nothing and of ":"
_LOGOS = "/logos/"


@dataclass(slots=True)
class PublicVisit(Visit):
    """A caller of one public registry: proven, or anonymous."""

    prefix: str
    """What stands between `/v2/` and the name of a repository in the paths of this client."""
    anonymous: bool

    async def repository(self, operation: str, name: RepositoryName) -> Repository:
        """Return the public repository once `operation` on it is allowed, as reading always is.

        Errors: MissingAuthentication, AccessDenied, RepositoryNotFound.
        """
        self.exchange.operation = operation
        row = PUBLIC_ROUTES[operation]
        if row.on is not On.NOBODY and self.anonymous:
            raise MissingAuthentication("Not Authorized")
        self._spend(operation)
        found = await repositories.find(self.region.db, self.account, name, public=True)
        if row.on is not On.NOBODY:
            tags = await repository_store.tags(self.region.db, found.id) if found else {}
            arn = public_repository_arn(self.account, name)
            target = Target(self.account, arn, found.policy if found else None, tags)
            context = self.exchange.context(self.region.name, self.now)
            require(self.principal, row, target, context)
            for action in row.also:
                require_action(self.principal, action, target, context)
        if found is None:
            raise RepositoryNotFound(name, self.account)
        return found

    def _spend(self, operation: str) -> None:
        rates, row = self.region.rates, PUBLIC_ROUTES[operation]
        if rates is None:
            return
        if not self.anonymous:
            rates.spend(self.principal.caller.account, row.action, *row.also)
        elif operation == "GetManifest":  # one for each pull
            rates.spend_anonymous(self.exchange.remote)

    async def pushed(self, operation: str, name: RepositoryName) -> Repository:
        """Like `repository`: ECR Public makes no repository on a push."""
        return await self.repository(operation, name)

    async def readable(self, operation: str, name: RepositoryName) -> Repository | None:
        """Return the public repository of this registry that the path `name` means, None when there is none."""
        within = "public.ecr/" if self.prefix.startswith("public.ecr/") else ""
        alias, _, rest = name.removeprefix(within).partition("/")
        try:
            if not name.startswith(within) or await public.account_of(self.region.db, alias) != self.account:
                return None
            return await repositories.find(self.region.db, self.account, RepositoryName(rest), public=True)
        except (NameInvalid, RegistryNotFound):
            return None

    def name_of(self, repository: Repository) -> str:
        """Return the name of a repository in the paths of this client."""
        return f"{self.prefix}{repository.name}"


def prefix_of(hosts: Hosts, exchange: Exchange) -> str | None:
    """Return what comes before the alias in a path to public repositories, None for a private registry's request."""
    if hosts.is_public(exchange.host):
        return "/v2/"
    if exchange.raw_path.startswith(paths.PUBLIC) and hosts.is_single(exchange.host):
        return paths.PUBLIC
    return None


async def enter(
    region: Region, exchange: Exchange, prefix: str, authorization: str | None
) -> tuple[Visit, Route]:
    """Return the visit and the route of a request under `prefix`.

    Errors: those of wrong or expired credentials, which pulls do not ignore either (as in ECR); MissingAuthentication
    for nobody's changes; RouteNotFound, NameInvalid, RegistryNotFound for an unknown alias.
    """
    principal = await _caller(region, exchange, authorization)
    anonymous = principal is None
    exchange.principal = caller_name(principal.caller) if principal is not None else _NOBODY
    alias, route = paths.parse_public(exchange.raw_path, prefix)
    if route.resource is Resource.ROOT:
        if authorization is None:  # the answer tells a client how to log in, or how to go on without
            raise MissingAuthentication("Not Authorized")
        account = region.account
    else:
        if anonymous and exchange.request.method not in ("GET", "HEAD"):
            raise MissingAuthentication("Not Authorized")
        account = await public.account_of(region.db, alias)
    holder = principal if principal is not None else region.authenticator.nobody().principal
    shown = f"{prefix.removeprefix('/v2/')}{alias}/"
    return PublicVisit(
        region, exchange, holder, account, region.clock.now(), prefix=shown, anonymous=anonymous
    ), route


async def logged_in(region: Region, authorization: str | None) -> Principal:
    """Return who stands behind the header on a host that serves every registry: any of its passwords counts.

    Errors: MissingAuthentication for nobody, and those of wrong or expired credentials.
    """
    if authorization is None or _is_nobody(authorization):
        raise MissingAuthentication("Not Authorized")
    try:
        return await region.authenticator.registry(authorization)
    except InvalidClientToken:
        return await region.public_authenticator.registry(authorization)


async def _caller(region: Region, exchange: Exchange, authorization: str | None) -> Principal | None:
    """Return who stands behind the header, None for nobody: a public password counts, and a private one too.

    Errors: InvalidClientToken, AuthorizationTokenExpired, MissingAuthentication for a scheme that is unknown, Throttled
    after too many failures.
    """
    if authorization is None or _is_nobody(authorization):
        return None
    try:
        try:
            return await region.public_authenticator.registry(authorization)
        except InvalidClientToken:
            return await region.authenticator.registry(authorization)
    except attempts.FAILURES as error:
        user = attempts.registry_user("public", authorization)
        raise region.attempts.failed(error, exchange.remote, user) from None


def _is_nobody(authorization: str) -> bool:
    """Whether a header proves nothing and does not try to: a client without credentials may send empty ones."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip() == _NOBODY
    return scheme.lower() == "basic" and credentials.strip() in _EMPTY


def _password_of(authorization: str) -> str:
    """Return the password in a header that was good."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return base64.b64decode(credentials.strip()).decode().partition(":")[2]


def challenge(exchange: Exchange) -> str:
    """Return what tells a client of the public host where its token comes from."""
    scheme = "https" if exchange.secure else "http"
    service = exchange.host.partition(":")[0]
    return f'Bearer realm="{scheme}://{exchange.host}/token/",service="{service}",scope="aws"'


async def token(region: Region, exchange: Exchange, authorization: str | None) -> Answer:
    """GET /token/: the caller's password once it is proven, or the token of nobody.

    Errors: RouteNotFound on other hosts, and those of wrong or expired credentials.
    """
    exchange.operation = "GetToken"
    if not region.hosts.is_public(exchange.host):
        raise RouteNotFound("There is nothing at this path")
    principal = await _caller(region, exchange, authorization)
    exchange.principal = caller_name(principal.caller) if principal is not None else _NOBODY
    issued = _password_of(authorization) if principal is not None and authorization is not None else _NOBODY
    body = json.dumps({"token": issued, "access_token": issued}).encode()
    return Answer(body=body, headers={"Content-Type": "application/json", "Cache-Control": "no-store"})


async def logo(region: Region, exchange: Exchange) -> Answer:
    """GET /logos/<repository id>: the logo in the catalog data of a public repository. Errors: RouteNotFound."""
    exchange.operation = "GetLogo"
    text = exchange.raw_path.removeprefix(_LOGOS)
    known = text.isascii() and text.isdigit() and len(text) < 19
    found = await public_store.catalog(region.db, int(text)) if known else None
    if found is None or found.logo is None:
        raise RouteNotFound("There is nothing at this path")
    headers = {
        "Content-Type": "image/png",
        "Cache-Control": "public, max-age=300",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if exchange.request.method == "HEAD":
        return Answer(headers={**headers, "Content-Length": str(len(found.logo))})
    return Answer(body=found.logo, headers=headers)
