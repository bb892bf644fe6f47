"""How often an account may do what: token buckets, off unless the operator switches them on.

A bucket belongs to an account and an IAM action, or to the source address of an anonymous pull. It holds at most
`burst` tokens, gains `per_second` of them each second, and every request takes one; an empty bucket refuses. The rates
of ECR are those of Amazon ECR service quotas and Amazon ECR Public service quotas. The pages name no burst; the one
that earlier editions named was ten times the rate, which is what a rate without a burst of its own gets here.

Each process has buckets of its own, therefore a region with several worker processes gives each an equal share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from homeport.access.operations import OPERATIONS
from homeport.kernel.errors import Throttled

ANONYMOUS_PULL = "anonymous-pull"
"""The name under which pulls from public repositories without credentials are counted, by source address."""

_BUCKETS = 20_000  # about 4 MiB; the least recently used is forgotten, which at worst refills it
_BURST = 10.0
_ACTIONS = {row.action for row in OPERATIONS.values() if row.action} | {ANONYMOUS_PULL}


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, and how many at once after a pause."""

    per_second: float
    burst: float

    def share(self, processes: int) -> Rate:
        """Return the part of one of so many processes; a burst is always at least one request."""
        return Rate(self.per_second / processes, max(self.burst / processes, 1.0))


def _table(rates: Mapping[str, float]) -> dict[str, Rate]:
    return {action: Rate(rate, rate * _BURST) for action, rate in rates.items()}


TABLES: Mapping[str, Mapping[str, Rate]] = {
    "off": {},
    "ecr": _table(
        {
            "ecr:GetAuthorizationToken": 500,
            "ecr:BatchCheckLayerAvailability": 1_000,
            "ecr:BatchGetImage": 2_000,
            "ecr:GetDownloadUrlForLayer": 3_000,
            "ecr:InitiateLayerUpload": 100,
            "ecr:CompleteLayerUpload": 100,
            "ecr:UploadLayerPart": 500,
            "ecr:PutImage": 10,
        }
    ),
    "ecr-public": _table({ANONYMOUS_PULL: 1}),
}
"""Ready-made sets of rates by the word that the setting `throttling` takes."""


def rates_from_text(text: str) -> dict[str, Rate]:
    """Return the rates that the setting `throttling` means, by action.

    The words of `text` are separated by commas; each is a name of `TABLES`, or ACTION=RATE or ACTION=RATE/BURST such as
    `PutImage=20/50` (actions of other services than ECR with their prefix). Later words win; a rate of 0 is no limit.

    Errors: ValueError.
    """
    rates: dict[str, Rate] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, stated, rate = word.partition("=")
        if not stated:
            if name not in TABLES:
                raise ValueError(f"{name!r} is none of {', '.join(TABLES)} and no ACTION=RATE")
            rates.update(TABLES[name])
            continue
        action = name if name in _ACTIONS else f"ecr:{name}"
        if action not in _ACTIONS:
            raise ValueError(f"{name!r} is no action of this registry")
        rates[action] = _rate(rate)
    return {action: rate for action, rate in rates.items() if rate.per_second}


def _rate(text: str) -> Rate:
    per_second, _, burst = text.partition("/")
    rate = float(per_second)
    most = float(burst) if burst else max(rate * _BURST, 1.0)
    if not (math.isfinite(rate) and math.isfinite(most) and rate >= 0 and most >= 1):
        raise ValueError(f"{text!r} is no rate: requests a second, then perhaps a slash and a burst from 1")
    return Rate(rate, most)


class Rates:
    """The buckets of one process."""

    def __init__(
        self, rates: Mapping[str, Rate], *, processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = {action: rate.share(processes) for action, rate in rates.items()}
        self._clock = clock
        self._buckets: dict[
            tuple[str, str], tuple[float, float]
        ] = {}  # (tokens, at); least recently used first

    def spend(self, account: str, *actions: str) -> None:
        """Count one request of `account` for each of the actions. Errors: Throttled."""
        for action in actions:
            rate = self._rates.get(action)
            if rate is not None:
                self._take(account, action, rate)

    def spend_anonymous(self, address: str | None) -> None:
        """Count one pull without credentials from a source address. Errors: Throttled."""
        self.spend(source_of(address), ANONYMOUS_PULL)

    def _take(self, holder: str, action: str, rate: Rate) -> None:
        now = self._clock()
        tokens, at = self._buckets.pop((holder, action), (rate.burst, now))
        tokens = min(rate.burst, tokens + (now - at) * rate.per_second)
        enough = tokens >= 1
        if len(self._buckets) >= _BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[holder, action] = (tokens - 1 if enough else tokens, now)
        if not enough:
            raise Throttled(retry_after=math.ceil((1 - tokens) / rate.per_second))


def source_of(address: str | None) -> str:
    """Return whom an address counts as: itself, or for IPv6 its /64, which belongs to one customer (RFC 6177)."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
