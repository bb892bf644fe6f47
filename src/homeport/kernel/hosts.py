"""Which registry does a host name mean, and under which host does a client find a repository?

Hosts follow the AWS shape under any configured suffix (architecture.md section 6); an address, `localhost`, this
machine's name or a bare suffix means the default registry. Unknown hosts are refused, so nothing that a client writes
into the Host header can end up in an answer unless the operator listed it (cases N11, A17).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache

from homeport.kernel.errors import RegistryNotFound
from homeport.kernel.names import AccountId, Region

_PORT = re.compile(r":[0-9]{1,5}", re.ASCII)


class Hosts:
    """The host names of one region."""

    def __init__(self, region: Region, account: AccountId, suffixes: Iterable[str]) -> None:
        """`account` is the default registry; `suffixes` are the operator's domains, without a leading dot."""
        self._region = region
        self._account = account
        self._suffixes = tuple(suffix.lower().strip(".") for suffix in suffixes)
        self._plain = {"localhost", socket.gethostname().lower(), *self._suffixes}
        suffix = rf"({'|'.join(map(re.escape, self._suffixes)) or '(?!)'})"
        self._registry = re.compile(rf"([0-9]{{12}})\.(dkr[.-]ecr(?:-fips)?)\.{region}\.{suffix}", re.ASCII)
        self._api = re.compile(rf"(?:api\.)?ecr(?:-fips|-public)?\.{region}\.(?:api\.)?{suffix}", re.ASCII)
        self._public = re.compile(rf"public\.ecr\.{suffix}", re.ASCII)
        self._public_api = re.compile(rf"(?:api\.)?ecr-public\.[0-9a-z-]+\.(?:api\.)?{suffix}", re.ASCII)
        self.account_of = lru_cache(maxsize=1024)(self._account_of)
        self.is_public = lru_cache(maxsize=1024)(self._is_public)

    def _account_of(self, host: str) -> AccountId:
        """Return the account whose registry the Host header `host` means. Errors: RegistryNotFound."""
        name, _ = _split(host)
        registry = self._registry.fullmatch(name)
        if registry:
            return AccountId(registry[1])
        if name in self._plain or _is_address(name) or self._api.fullmatch(name):
            return self._account
        raise RegistryNotFound(
            f"Could not resolve registry id from host {name[:128]}. "
            "The operator can add the host with --host-suffix or HOMEPORT_HOST_SUFFIXES."
        )

    def _is_public(self, host: str) -> bool:
        """Whether the Host header `host` means ECR Public: `public.ecr.<suffix>`."""
        return self._public.fullmatch(_split(host)[0]) is not None

    def is_single(self, host: str) -> bool:
        """Whether the Host header `host` means this server as a whole, which then serves every registry."""
        name, _ = _split(host)
        return name in self._plain or _is_address(name)

    def public_address(self, host: str) -> str:
        """Return what comes before `<alias>/<name>` of a public image, in the family of the host that the client used.

        On a single host that is a path: `localhost:5000/public.ecr`.
        """
        if self.is_single(host):
            return f"{host}/public.ecr"
        name, port = _split(host)
        registry = self._registry.fullmatch(name)
        other = self._public.fullmatch(name) or self._api.fullmatch(name) or self._public_api.fullmatch(name)
        suffix = registry[3] if registry else other[1] if other else next(iter(self._suffixes), "localhost")
        return f"public.ecr.{suffix}{port}"

    def registry_host(self, host: str, account: str) -> str:
        """Return the host (and port) of `account`'s registry, in the family of the host that the client used."""
        name, port = _split(host)
        registry, api = self._registry.fullmatch(name), self._api.fullmatch(name)
        if registry is None and api is None and account == self._account:
            return host
        label = registry[2] if registry else "dkr.ecr"
        suffix = registry[3] if registry else api[1] if api else next(iter(self._suffixes), "localhost")
        return f"{account}.{label}.{self._region}.{suffix}{port}"


def _split(host: str) -> tuple[str, str]:
    """Return (name in lower case, ":port" or "")."""
    name, colon, port = host.rpartition(":")
    if colon and _PORT.fullmatch(colon + port) and not (name.startswith("[") and not name.endswith("]")):
        return name.lower(), colon + port
    return host.lower(), ""


def _is_address(name: str) -> bool:
    try:
        if name.startswith("[") and name.endswith("]"):
            # A zone (`fe80::1%...`) may hold any character, and the host is echoed in answers.
            return ipaddress.IPv6Address(name[1:-1]).scope_id is None
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
