"""The keys of identity providers: pinned by the operator, or found through the issuer's discovery document.

Each key has exactly one algorithm, stated by the key set or following from the kind of key, and it is compared before
any cryptography. A key set that was fetched is kept; an unknown key id makes us look again at most once a minute, and a
failed look never forgets what is known. OpenID Connect Discovery 1.0, section 4; RFC 7517; cases A1, A2, A21, A27, A28.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NoReturn

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from homeport.access.principals import Provider
from homeport.kernel.errors import IdpCommunication, InvalidIdentityToken
from homeport.outbound.client import Outbound, OutboundFailure

ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"})
KEYS: Final = 100  # ours: of one set
FRESH: Final = timedelta(hours=1)  # ours: after that a set is fetched again
USABLE: Final = timedelta(hours=24)  # ours: while it cannot be fetched
AGAIN: Final = timedelta(seconds=60)  # at most one fetch a minute
_SETS: Final = 1_000  # ours: of providers, per process
_RSA_BITS: Final = (2048, 8192)  # RFC 7518, section 3.3; larger ones only cost time
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

_UNVERIFIED: Final = (
    "Couldn't retrieve verification key from your identity provider, "
    "please reference AssumeRoleWithWebIdentity documentation for requirements"
)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One verification key with the one algorithm it is for."""

    kid: str | None
    algorithm: str
    key: RSAKey | ECKey = field(repr=False)


@dataclass(slots=True)
class _Known:
    records: tuple[KeyRecord, ...] = ()
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has(self, kid: str | None, now: datetime) -> bool:
        """Whether the key is known, if not freshly."""
        recent = self.fetched_at is not None and now - self.fetched_at < USABLE
        return recent and _chosen(self.records, kid) is not None


class KeySets:
    """Key sets of providers, for one process."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def key(self, provider: Provider, kid: str | None, now: datetime) -> KeyRecord:
        """Return the provider's key of that id; without an id, its only one.

        Errors: InvalidIdentityToken when it has no such key, IdpCommunication when its keys cannot be fetched.
        """
        if provider.jwks is not None:
            return _chosen(_pinned(provider.jwks), kid) or _unknown()
        known = self._known.setdefault(provider.url, _Known())
        self._known.move_to_end(provider.url)
        if len(self._known) > _SETS:
            self._known.popitem(last=False)
        found = _chosen(known.records, kid)
        if found is not None and known.fetched_at is not None and now - known.fetched_at < FRESH:
            return found
        async with known.lock:
            if known.tried_at is None or now - known.tried_at >= AGAIN:
                known.tried_at = now
                try:
                    known.records = await self._fetched(provider.url)
                    known.fetched_at = now
                except OutboundFailure as failure:
                    if not known.has(kid, now):
                        text = f"The keys of {provider.url} cannot be fetched: {failure}"
                        raise IdpCommunication(text) from None
        if known.fetched_at is None or now - known.fetched_at >= USABLE:
            raise IdpCommunication(f"The keys of {provider.url} could not be fetched a moment ago")
        return _chosen(known.records, kid) or _unknown()

    async def _fetched(self, url: str) -> tuple[KeyRecord, ...]:
        issuer = f"https://{url}"
        text = await self._outbound.document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        described = _object(text)
        if described.get("issuer") != issuer:
            raise OutboundFailure("its discovery document names another issuer")
        address = described.get("jwks_uri")
        if not isinstance(address, str):
            raise OutboundFailure("its discovery document names no key set")
        try:
            return read_key_set(await self._outbound.document(address))
        except ValueError:
            raise OutboundFailure("its key set is not one") from None


def read_key_set(text: bytes | str) -> tuple[KeyRecord, ...]:
    """Read a JSON Web Key Set; keys that nobody may sign with are left out (wrong use, too short, private, symmetric).

    Errors: ValueError when the text is no key set.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > KEYS:
        raise ValueError("not a key set")
    records = (_record(each) for each in keys if isinstance(each, dict))
    return tuple(record for record in records if record is not None)


def _record(stated: Mapping[str, Any]) -> KeyRecord | None:
    kid, algorithm = stated.get("kid"), stated.get("alg")
    operations = stated.get("key_ops", ["verify"])
    if stated.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if not isinstance(kid, str | None) or "d" in stated:
        return None
    try:
        match stated.get("kty"):
            case "RSA":
                modulus, exponent = _integer(stated.get("n")), _integer(stated.get("e"))
                low, high = _RSA_BITS
                if (
                    not low <= modulus.bit_length() <= high
                    or exponent < 3
                    or exponent % 2 == 0
                    or exponent >= 2**33
                ):
                    return None
                algorithm = "RS256" if algorithm is None else algorithm
                if algorithm not in ALGORITHMS or not algorithm.startswith(("RS", "PS")):
                    return None
                return KeyRecord(
                    kid, algorithm, RSAKey.import_key({"kty": "RSA", "n": stated["n"], "e": stated["e"]})
                )
            case "EC":
                fitting = _CURVES.get(str(stated.get("crv")))
                if fitting is None or algorithm not in (None, fitting):
                    return None
                members = {name: str(stated[name]) for name in ("crv", "x", "y")}
                return KeyRecord(kid, fitting, ECKey.import_key({"kty": "EC", **members}))
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    return None


def _integer(text: object) -> int:
    if not isinstance(text, str) or len(text) > 2048:
        raise ValueError("not a number")
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except binascii.Error:
        raise ValueError("not a number") from None


@lru_cache(maxsize=64)
def _pinned(text: str) -> tuple[KeyRecord, ...]:
    try:
        return read_key_set(text)
    except ValueError:
        return ()


def _chosen(records: tuple[KeyRecord, ...], kid: str | None) -> KeyRecord | None:
    fitting = [record for record in records if kid is None or record.kid == kid]
    return fitting[0] if len(fitting) == 1 else None


def _unknown() -> NoReturn:
    raise InvalidIdentityToken(_UNVERIFIED)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise OutboundFailure("its discovery document is not JSON")
    return found
