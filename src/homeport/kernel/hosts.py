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

_REGISTRY = re.compile(r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([0-9a-z-]{2,25})\.([a-z0-9.-]+)", re.ASCII)
_API = re.compile(r"(?:api\.)?ecr(?:-fips|-public)?\.([0-9a-z-]{2,25})\.(?:api\.)?([a-z0-9.-]+)", re.ASCII)
_PORT = re.compile(r":[0-9]{1,5}", re.ASCII)


class Hosts:
    """The host names of one region."""

    def __init__(self, region: Region, account: AccountId, suffixes: Iterable[str]) -> None:
        """`account` is the default registry; `suffixes` are the operator's domains, without a leading dot."""
        self._region = region
        self._account = account
        self._suffixes = tuple(suffix.lower().strip(".") for suffix in suffixes)
        self._plain = {"localhost", socket.gethostname().lower(), *self._suffixes}
        self.account_of = lru_cache(maxsize=1024)(self._account_of)

    def _account_of(self, host: str) -> AccountId:
        """Return the account whose registry the Host header `host` means. Errors: RegistryNotFound."""
        name, _ = _split(host)
        match = _REGISTRY.fullmatch(name)
        if match and match[2] == self._region and match[3] in self._suffixes:
            return AccountId(match[1])
        api = _API.fullmatch(name)
        if (
            name in self._plain
            or _is_address(name)
            or (api and api[1] == self._region and api[2] in self._suffixes)
        ):
            return self._account
        raise RegistryNotFound(
            f"Could not resolve registry id from host {name[:128]}. "
            "The operator can add the host with --host-suffix or HOMEPORT_HOST_SUFFIXES."
        )

    def registry_host(self, host: str, account: str) -> str:
        """Return the host (and port) of `account`'s registry, in the family of the host that the client used."""
        name, port = _split(host)
        used = _REGISTRY.fullmatch(name) or _API.fullmatch(name)
        if used is None and account == self._account:
            return host
        suffix = (
            used[used.re.groups] if used is not None else self._suffixes[0] if self._suffixes else "localhost"
        )
        return f"{account}.dkr.ecr.{self._region}.{suffix}{port}"


def _split(host: str) -> tuple[str, str]:
    """Return (name in lower case, ":port" or "")."""
    name, colon, port = host.rpartition(":")
    if colon and _PORT.fullmatch(colon + port) and not (name.startswith("[") and not name.endswith("]")):
        return name.lower(), colon + port
    return host.lower(), ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
