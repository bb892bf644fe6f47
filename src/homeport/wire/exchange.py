"""One request on its way through: what the fronts learn about it, for the answer and for the log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from homeport.kernel.errors import InvalidParameter, TooLarge


@dataclass(slots=True)
class Exchange:
    """A request with its split target. `operation` and `principal` are filled in as they become known."""

    request: web.BaseRequest
    raw_path: str
    raw_query: str
    host: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    front: str = "-"
    operation: str = "-"
    principal: str = "-"

    @classmethod
    def of(cls, request: web.BaseRequest) -> Exchange:
        """Split the request target as it came, nothing decoded."""
        raw_path, _, raw_query = request._message.path.partition("?")
        return cls(request, raw_path, raw_query, request.headers.get("Host", ""))

    def context(self, region: str, now: datetime) -> dict[str, str | tuple[str, ...]]:
        """Return the condition keys that every request carries. IAM User Guide, global condition context keys."""
        request = self.request
        return {
            "aws:SourceIp": request.remote or "",
            "aws:SecureTransport": "true" if request.secure else "false",
            "aws:UserAgent": request.headers.get("User-Agent", ""),
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:RequestedRegion": region,
        }

    async def small_body(self, most: int) -> bytes:
        """Return the whole body. Errors: TooLarge over `most` bytes (the connection then closes)."""
        length = self.request.content_length
        if length is not None and length > most:
            self.request.protocol.close()
            raise TooLarge(f"The body has {length} bytes; the limit is {most}")
        if self.request.headers.get("Expect", "").lower() == "100-continue" and self.request.transport:
            self.request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        gathered = bytearray()
        try:
            while piece := await self.request.content.readany():
                gathered += piece
                if len(gathered) > most:
                    self.request.protocol.close()
                    raise TooLarge(f"The body is larger than the limit of {most} bytes")
        except web.RequestPayloadError:
            raise InvalidParameter("body", "The body is broken") from None
        return bytes(gathered)
