"""Which addresses may be connected to: public ones, and those of the networks that the operator lists."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

# IPv4 inside IPv6: NAT64 and 6to4. RFC 6052, RFC 3056.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read networks such as 10.0.0.0/8 or ::1. Errors: ValueError."""
    return tuple(ip_network(text.strip(), strict=True) for text in texts)


def may_reach(address: str, allowed: Sequence[Network]) -> bool:
    """Whether an address may be connected to."""
    try:
        found = _real(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(found.version == network.version and found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast and not found.is_reserved


def _real(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address that packets go to in the end."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _6TO4 and address.sixtofour is not None:
            return address.sixtofour
    return address
