"""The root handler: every request enters here, goes to one front, and is logged and counted on its way out."""

from __future__ import annotations

import asyncio
import json
from time import perf_counter

from aiohttp import web

from homeport.aws.query_writer import error_xml
from homeport.aws.server import AwsFront
from homeport.health import Health
from homeport.oci.server import OciFront
from homeport.region import Region
from homeport.telemetry import ACTIVE, Answered, RequestLog, log
from homeport.wire.answer import Answer
from homeport.wire.connection import Connection
from homeport.wire.exchange import Exchange
from homeport.wire.forwarded import NO_PROXIES, Proxies

_CLIENT_LEFT = 499  # for the log only: the client went away before the answer


class Dispatch:
    """Answers the requests of one region, and knows when none is under way."""

    def __init__(self, region: Region, proxies: Proxies = NO_PROXIES) -> None:
        """`proxies`: the load balancers in front of this node."""
        self._region = region
        self._proxies = proxies
        self.health = Health(region)
        self._oci = OciFront(region)
        self._aws = AwsFront(region)
        self._log = RequestLog()
        self.draining = False
        self._active = 0
        self._idle = asyncio.Event()
        ACTIVE.set_function(lambda: self._active)

    async def drain(self) -> None:
        """Close connections after their present request from now on; return when no request is under way."""
        self.draining = self.health.leaving = True
        if self._active:
            await self._idle.wait()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens; the body is released and the outcome logged."""
        began = perf_counter()
        exchange = Exchange.of(request, self._proxies)
        request["exchange"] = exchange
        self._active += 1
        status = _CLIENT_LEFT
        try:
            response = await self._route(exchange)
            _release(request)
            if self.draining or not request.content.is_eof():
                response.force_close()  # also where an answer came before the end of a body
            status = response.status
            return response
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            status = 500
            log.exception("defect", id=exchange.request_id, path=exchange.raw_path, front=exchange.front)
            return _defect(exchange)
        finally:
            _release(request)
            self._active -= 1
            if self.draining and not self._active:
                self._idle.set()
            self._record(exchange, status, perf_counter() - began)

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        path = exchange.raw_path
        if path in ("/healthz", "/readyz"):  # first: they must not wait for what they are asked about
            exchange.front, exchange.operation = "health", path[1:]
            return _json(*(await self.health.ready() if path == "/readyz" else (200, {"status": "ok"})))
        await self._region.db.catch_up()
        if path.startswith("/v2/") or path == "/v2":
            return await self._oci.handle(exchange)
        if path == "/" and exchange.request.method in ("GET", "POST"):
            return await self._aws.handle(exchange)
        if path.startswith("/layers/"):
            return await self._oci.download(exchange)
        if path in ("/token", "/token/"):
            return await self._oci.token(exchange)
        if path.startswith("/logos/"):
            return await self._oci.logo(exchange)
        return _json(
            404, {"message": "There is nothing at this path. The registry is at /v2/, the API at POST /."}
        )

    def _record(self, exchange: Exchange, status: int, seconds: float) -> None:
        request = exchange.request
        self._log.write(
            Answered(
                exchange.front,
                _label(exchange.operation),
                status,
                seconds,
                exchange.request_id,
                request.method,
                _path_for_log(exchange.raw_path),
                exchange.principal,
                exchange.remote or "-",
                request.headers.get("User-Agent", "")[:200],
            )
        )


def _release(request: web.BaseRequest) -> None:
    """Let the parser have a body that no handler took."""
    if isinstance(request.protocol, Connection):
        request.protocol.release()


def complete_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add what every answer of ours carries; called for each answer just before its head is sent."""
    headers = response.headers
    exchange = request.get("exchange")
    if isinstance(exchange, Exchange):
        headers["x-amzn-RequestId"] = exchange.request_id
        if exchange.front == "oci":
            headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Server"] = "homeport"


def _label(operation: str) -> str:
    """An operation as a metric label: only names that we know, so that clients cannot make up series."""
    return operation if operation.isalnum() and len(operation) < 64 else "-"


def _path_for_log(path: str) -> str:
    # The token in the address of a layer is a permission; it must not be readable from a log.
    return "/layers/..." if path.startswith("/layers/") else path[:512]


def _json(status: int, body: dict[str, str]) -> Answer:
    return Answer(status=status, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _defect(exchange: Exchange) -> Answer:
    """A defect of ours: the request id is all that a client needs to know about it."""
    message = f"Internal error; the operator finds it in the log under the id {exchange.request_id}"
    if exchange.front == "query":
        text = error_xml("InternalFailure", message, exchange.request_id, sender=False)
        return Answer(status=500, body=text, headers={"Content-Type": "text/xml"})
    if exchange.front == "aws":
        return _json(500, {"__type": "ServerException", "message": message})
    body = {"errors": [{"code": "UNKNOWN", "message": message}]}
    return Answer(status=500, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
