"""Dispatch of /v2/: route, caller, handler, and the translation of every error into the protocol's own shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from homeport.access import attempts
from homeport.access.authenticate import caller_name
from homeport.kernel.errors import (
    AuthorizationTokenExpired,
    HomeportError,
    InvalidInput,
    RangeInvalid,
    RouteNotFound,
    Throttled,
    Unauthenticated,
    Unavailable,
    UnsupportedOperation,
)
from homeport.oci import blobs, faults, lists, manifests, paths, public, uploads
from homeport.oci.paths import Resource, Route
from homeport.oci.visit import Visit
from homeport.region import Region
from homeport.wire.answer import Answer
from homeport.wire.exchange import Exchange

Handler = Callable[[Visit, Route], Awaitable[web.StreamResponse]]


async def _ping(visit: Visit, _: Route) -> web.StreamResponse:
    visit.exchange.operation = "Ping"
    return Answer(body=b"{}", headers={"Content-Type": "application/json"})


_HANDLERS: dict[tuple[Resource, str], Handler] = {
    (Resource.ROOT, "GET"): _ping,
    (Resource.ROOT, "HEAD"): _ping,
    (Resource.CATALOG, "GET"): lists.catalog,
    (Resource.TAGS, "GET"): lists.tags,
    (Resource.MANIFEST, "GET"): manifests.get,
    (Resource.MANIFEST, "HEAD"): manifests.get,
    (Resource.MANIFEST, "PUT"): manifests.put,
    (Resource.MANIFEST, "DELETE"): manifests.delete,
    (Resource.REFERRERS, "GET"): manifests.referrers,
    (Resource.BLOB, "GET"): blobs.get,
    (Resource.BLOB, "HEAD"): blobs.head,
    (Resource.BLOB, "DELETE"): blobs.delete,
    (Resource.UPLOADS, "POST"): uploads.start,
    (Resource.UPLOAD, "GET"): uploads.status,
    (Resource.UPLOAD, "PATCH"): uploads.append,
    (Resource.UPLOAD, "PUT"): uploads.finish,
    (Resource.UPLOAD, "DELETE"): uploads.cancel,
}


_ALLOWED = {
    resource: ", ".join(method for known, method in _HANDLERS if known is resource) for resource in Resource
}
_PRIVATE = "private, no-store"  # what a caller may see is never for a shared cache (case B17)


class OciFront:
    """The registry of one region as OCI clients see it."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one request; expected failures become error answers, defects pass through."""
        exchange.front = "oci"
        try:
            response = await self._answer(exchange)
        except HomeportError as error:
            response = self._refusal(exchange, error)
        if not response.prepared:
            response.headers.setdefault("Cache-Control", _PRIVATE)
        return response

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        # Who asks comes before what they ask: nobody learns about routes or names without credentials.
        prefix = public.prefix_of(self._region.hosts, exchange)
        if prefix is None:
            visit, route = await self._enter(exchange)
        else:
            visit, route = await public.enter(self._region, exchange, prefix, _authorization(exchange))
        handler = _HANDLERS.get((route.resource, exchange.request.method))
        if handler is None:
            refused = UnsupportedOperation(f"{exchange.request.method} is not supported here")
            response = self._refusal(exchange, refused)
            response.headers["Allow"] = _ALLOWED[route.resource]  # RFC 9110, section 15.5.6
            return response
        if route.resource is Resource.MANIFEST:
            key = "ecr:ImageDigest" if ":" in route.reference else "ecr:ImageTag"
            exchange.named = {key: route.reference}
        return await handler(visit, route)

    async def _enter(self, exchange: Exchange) -> tuple[Visit, Route]:
        """Return the visit and the route of a request to a private registry."""
        region = self._region
        account = region.hosts.account_of(exchange.host)
        authorization = _authorization(exchange)
        try:
            if exchange.raw_path in ("/v2/", "/v2") and region.hosts.is_single(exchange.host):
                principal = await public.logged_in(region, authorization)
            else:
                principal = await region.authenticator.registry(authorization)
        except attempts.FAILURES as error:
            user = attempts.registry_user(account, authorization)
            raise region.attempts.failed(error, exchange.remote, user) from None
        exchange.principal = caller_name(principal.caller)
        route = paths.parse(exchange.raw_path)
        if (
            route.name is not None
            and route.name.startswith("public.ecr/")
            and region.hosts.is_single(exchange.host)
        ):
            raise RouteNotFound(
                "There is nothing at this path"
            )  # escaped, or it would be a public repository
        return Visit(region, exchange, principal, account, region.clock.now()), route

    async def token(self, exchange: Exchange) -> web.StreamResponse:
        """Answer `/token/` of the public host."""
        exchange.front = "oci"
        try:
            if exchange.request.method != "GET":
                raise UnsupportedOperation(f"{exchange.request.method} is not supported here")
            return await public.token(self._region, exchange, _authorization(exchange))
        except HomeportError as error:
            return self._refusal(exchange, error)

    async def logo(self, exchange: Exchange) -> web.StreamResponse:
        """Answer `/logos/<repository id>`, to anybody."""
        exchange.front = "oci"
        try:
            if exchange.request.method not in ("GET", "HEAD"):
                raise UnsupportedOperation(f"{exchange.request.method} is not supported here")
            return await public.logo(self._region, exchange)
        except HomeportError as error:
            return self._refusal(exchange, error)

    async def download(self, exchange: Exchange) -> web.StreamResponse:
        """Answer `/layers/<token>`: no credentials, the address itself is the permission."""
        exchange.front = "oci"
        try:
            if exchange.request.method not in ("GET", "HEAD"):
                raise UnsupportedOperation(f"{exchange.request.method} is not supported here")
            return await blobs.by_token(self._region, exchange)
        except HomeportError as error:
            return self._refusal(exchange, error)

    def _refusal(self, exchange: Exchange, error: HomeportError) -> Answer:
        status, code = faults.fault_of(error)
        headers = {"Content-Type": "application/json"}
        body = faults.body_of(code, error.message)
        if isinstance(error, Unauthenticated) and not isinstance(error, AuthorizationTokenExpired):
            scheme = "https" if exchange.secure else "http"
            headers["WWW-Authenticate"] = (
                f'Basic realm="{scheme}://{exchange.host}/",service="ecr.amazonaws.com"'
            )
            if self._region.hosts.is_public(exchange.host):
                headers["WWW-Authenticate"] = public.challenge(exchange)
            headers["Content-Type"] = "text/plain; charset=utf-8"
            body = b"Not Authorized\n"
        if isinstance(error, RangeInvalid):
            headers["Range"] = f"0-{max(error.offset - 1, 0)}"
            headers["Location"] = exchange.raw_path
        if isinstance(error, Unavailable):
            headers["Retry-After"] = "5"
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after)
        if exchange.request.method == "HEAD":
            body = b""
        return Answer(status=status, body=body, headers=headers)


def _authorization(exchange: Exchange) -> str | None:
    """Return the header by which a caller proves itself. Errors: InvalidInput when it comes twice."""
    stated = exchange.request.headers.getall("Authorization", [])
    if len(stated) > 1:  # two readers might not take the same one (case A15)
        raise InvalidInput("The header Authorization appears twice")
    return stated[0] if stated else None
