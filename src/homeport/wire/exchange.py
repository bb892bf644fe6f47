"""One request on its way through: what the fronts learn about it, for the answer and for the log."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from homeport.kernel.errors import InvalidParameter, TooLarge
from homeport.wire.connection import Connection
from homeport.wire.forwarded import NO_PROXIES, Proxies
from homeport.wire.pace import Pace


def new_request_id() -> str:
    """Return a random UUID as text, in a quarter of the time of the standard library's.

    A name for one request in answer and log, not a secret; the generator is seeded anew in every worker process.
    """
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


class RequestContext(Mapping[str, str | tuple[str, ...]]):
    """The request's part of a decision, built at the first look."""

    __slots__ = ("_built", "_exchange", "_named", "_now", "_region")

    def __init__(
        self,
        exchange: Exchange,
        region: str,
        now: datetime,
    ) -> None:
        self._exchange, self._region, self._now, self._named = exchange, region, now, exchange.named
        self._built: dict[str, str | tuple[str, ...]] | None = None

    @property
    def consulted(self) -> bool:
        """Whether anybody has looked."""
        return self._built is not None

    def _facts(self) -> dict[str, str | tuple[str, ...]]:
        if self._built is None:
            self._built = {
                # An IPv4 client of a socket for both families (case P13).
                "aws:SourceIp": (self._exchange.remote or "").removeprefix("::ffff:"),
                "aws:SecureTransport": "true" if self._exchange.secure else "false",
                "aws:UserAgent": self._exchange.request.headers.get("User-Agent", ""),
                "aws:CurrentTime": self._now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "aws:EpochTime": str(int(self._now.timestamp())),
                "aws:RequestedRegion": self._region,
                **self._named,
            }
        return self._built

    def __getitem__(self, key: str) -> str | tuple[str, ...]:
        return self._facts()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts())

    def __len__(self) -> int:
        return len(self._facts())


@dataclass(slots=True)
class Exchange:
    """A request with its split target. `operation` and `principal` are filled in as they become known."""

    request: web.BaseRequest
    raw_path: str
    raw_query: str
    host: str
    remote: str | None
    """Address of the client, also behind a load balancer."""
    forwarded_by_tls: bool | None
    """What a load balancer says about how the client came; None without one."""
    request_id: str = field(default_factory=new_request_id)
    front: str = "-"
    operation: str = "-"
    principal: str = "-"
    named: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Condition keys of what the request names, such as an image's tag; see `context`."""

    @classmethod
    def of(cls, request: web.BaseRequest, proxies: Proxies = NO_PROXIES) -> Exchange:
        """Split the request target as it came, nothing decoded. `proxies` may say on whose behalf they ask."""
        target, host = request._message.path, request.headers.get("Host", "")
        if not target.startswith("/") and target.lower().startswith(("http://", "https://")):
            # Absolute form, RFC 9112 section 3.2.2: its authority counts, not the Host header's.
            host, _, path = target.partition("://")[2].partition("/")
            target = "/" + path
        raw_path, _, raw_query = target.partition("?")
        return cls(request, raw_path, raw_query, host, *proxies.client(request))

    @property
    def secure(self) -> bool:
        """Whether the client came by TLS, also when a load balancer ends it."""
        return self.request.secure if self.forwarded_by_tls is None else self.forwarded_by_tls

    def context(self, region: str, now: datetime) -> RequestContext:
        """Return the condition keys that every request carries. IAM User Guide, global condition context keys.

        Put together only when a policy asks: most decisions look at none of them.
        """
        return RequestContext(self, region, now)

    async def small_body(self, most: int) -> bytes:
        """Return the whole body.

        Errors: TooLarge over `most` bytes (the connection then closes), RequestTimeout when it comes too slowly.
        """
        connection = self.request.protocol
        if isinstance(connection, Connection):
            connection.release()  # its beginning may have been held back as if it were a blob's
        length = self.request.content_length
        if length is not None and length > most:
            self.request.protocol.close()
            raise TooLarge(f"The body has {length} bytes; the limit is {most}")
        if self.request.headers.get("Expect", "").lower() == "100-continue" and self.request.transport:
            self.request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        gathered = bytearray()
        pace = Pace()
        try:
            while piece := await pace.wait(self.request.content.readany):
                pace.came(len(piece))
                gathered += piece
                if len(gathered) > most:
                    self.request.protocol.close()
                    raise TooLarge(f"The body is larger than the limit of {most} bytes")
        except web.RequestPayloadError:
            raise InvalidParameter("body", "The body is broken") from None
        return bytes(gathered)
