"""Who a request comes from when load balancers stand between: what X-Forwarded-For and X-Forwarded-Proto say is
believed only from addresses that the operator lists, else anybody could be anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

Network = IPv4Network | IPv6Network

_FOR: Final = "X-Forwarded-For"
_PROTO: Final = "X-Forwarded-Proto"


class Proxies:
    """The load balancers in front of this node, by their networks."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def client(self, request: web.BaseRequest) -> tuple[str | None, bool | None]:
        """Return the address of the client, and whether it came by TLS; None: as the connection did.

        Each proxy adds to the end of the list whom it was asked by, so the client is the last one there that is no
        proxy of ours; what stands before that is what the client says.
        """
        peer = request.remote
        if not self._networks or not self._is_ours(peer):
            return peer, None
        client = peer
        for name in reversed(",".join(request.headers.getall(_FOR, ())).split(",")):
            try:
                client = str(ip_address(name.strip()))
            except ValueError:  # no address: whoever sent it is the last that is known
                break
            if not self._is_ours(client):
                break
        stated = request.headers.getall(_PROTO, ())
        return client, stated[-1].rpartition(",")[2].strip().lower() == "https" if stated else None

    def _is_ours(self, address: str | None) -> bool:
        try:
            found = ip_address((address or "").partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found.version == network.version and found in network for network in self._networks)


NO_PROXIES: Final = Proxies()
"""Clients connect to this node themselves."""
