"""Fetches small documents from servers that somebody else named, without becoming their tool.

https only, certificates verified, every address checked after the name was resolved and then connected to as checked,
no redirects, no proxies, no decompression, bounded size and time. Security cases A21 and O1 to O3, O7.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from homeport.outbound.addresses import Network, may_reach

DOCUMENT_BYTES: Final = 256 * 1024
TOTAL_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
_ADDRESSES: Final = 16  # of one name
_URL_CHARS: Final = 2048
# So strict that no two readers of an address can take it for different hosts.
_ADDRESS: Final = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


class OutboundFailure(Exception):
    """A document could not be fetched; the text says why, without anything that the other side sent."""


class Outbound:
    """Reaches public addresses, and the private ones of the networks that the operator lists."""

    def __init__(self, allowed: Sequence[Network] = (), ca_file: Path | None = None) -> None:
        self._allowed = tuple(allowed)
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None

    def may_reach(self, address: str) -> bool:
        """Whether an address may be connected to."""
        return may_reach(address, self._allowed)

    async def document(self, url: str) -> bytes:
        """Return what GET of an https address answers with status 200. Errors: OutboundFailure."""
        shape = _ADDRESS.fullmatch(url)
        if shape is None or len(url) > _URL_CHARS:
            raise OutboundFailure("the address is not a plain https address")
        host = shape["host"].strip("[]")
        if _is_numeric(host) and not self.may_reach(host):
            raise OutboundFailure(_NOT_ALLOWED)
        timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self), ssl=self._context(), use_dns_cache=False, limit=1, force_close=True
        )
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, trust_env=False, auto_decompress=False
                ) as session,
                session.get(
                    url,
                    allow_redirects=False,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                ) as answer,
            ):
                if answer.status != 200:
                    raise OutboundFailure(f"it answered with status {answer.status}")
                gathered = bytearray()
                async for piece in answer.content.iter_any():
                    gathered += piece
                    if len(gathered) > DOCUMENT_BYTES:
                        raise OutboundFailure(f"it answered with more than {DOCUMENT_BYTES} bytes")
                return bytes(gathered)
        except _Refused:
            raise OutboundFailure(_NOT_ALLOWED) from None
        except TimeoutError:
            raise OutboundFailure("it did not answer in time") from None
        except aiohttp.ClientConnectorCertificateError:
            raise OutboundFailure("its certificate is not one that is trusted here") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError):
            raise OutboundFailure("it could not be reached") from None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls


_NOT_ALLOWED: Final = "its address is not one that this registry may connect to"


class _Refused(OSError):
    """A name resolves to an address that may not be reached."""


class _Checked(AbstractResolver):
    """Resolves once and hands over only addresses that were checked, so nothing is resolved again between."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, address in found[:_ADDRESSES]:
            text = str(address[0])
            if not self._outbound.may_reach(text):
                raise _Refused
            results.append(
                ResolveResult(
                    hostname=host,
                    host=text,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _is_numeric(host: str) -> bool:
    """What the HTTP client takes for an address and does not resolve, also such as 127.1 and 2130706433."""
    return ":" in host or host.replace(".", "").isdigit()
