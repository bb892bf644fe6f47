"""How often somebody may fail to prove who they are: a brake for guessers that honest callers never feel.

Failures are counted by source address and by the principal that the attempt names. Each has a burst, then one failure
every so many seconds; each failure beyond begins a pause in which every further one is refused as a throttled request,
and each pause is twice as long as the one before until nothing failed for a while. Whoever proves who they are always
passes: a thousand builds behind one address must not be locked out by a bad one among them, and nobody can lock
somebody else out. A guess does not get better by that, since no secret here is one that a person chose; what a guesser
costs stays small, and the operator sees it. Security case A18.

Only what tests a secret counts. Expired credentials are proven ones, and a request without any is no attempt.

Each process counts for itself, therefore a region with several worker processes gives each an equal share.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from homeport.access.rates import source_of
from homeport.access.sigv4_claim import SigningRequest, read_claim
from homeport.kernel.errors import (
    HomeportError,
    IncompleteSignature,
    InvalidClientToken,
    InvalidIdentityToken,
    SignatureDoesNotMatch,
    Throttled,
)
from homeport.telemetry import FAILED_ATTEMPTS, log

FAILURES: Final = (InvalidClientToken, SignatureDoesNotMatch, InvalidIdentityToken)
"""The outcomes of authentication that count as a guess."""

_HOLDERS = 20_000  # of sources and as many principals, 11 MiB when full; the least recently seen is forgotten
_LONGEST = 900.0  # seconds of one pause
_DOUBLINGS = 16  # more would only make large numbers: the longest pause is reached long before
_KEY_ID = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)
_USER = re.compile("AWS")  # the one user name of every registry password


@dataclass(frozen=True, slots=True)
class Brake:
    """So many failures at once, then one every so many seconds."""

    burst: float
    seconds: float

    def share(self, processes: int) -> Brake:
        """Return the part of one of so many processes; a burst is always at least one failure."""
        return Brake(max(self.burst / processes, 1.0), self.seconds * processes)


def brake_from_text(text: str) -> Brake | None:
    """Return what the setting `authentication_throttling` means: `off`, or BURST/SECONDS such as `20/3`.

    Errors: ValueError.
    """
    if text.strip() == "off":
        return None
    burst, slash, seconds = (part.strip() for part in text.partition("/"))
    brake = Brake(float(burst), float(seconds)) if slash else None
    if brake is None or not (1 <= brake.burst < math.inf and 0 < brake.seconds < math.inf):
        raise ValueError(
            f"{text!r} is neither off nor BURST/SECONDS: failures at once from 1, then seconds for each"
        )
    return brake


@dataclass(slots=True)
class _Count:
    """What is left of a holder's burst at the moment `at`, which lies ahead during a pause."""

    left: float
    at: float
    pauses: int = 0


class Attempts:
    """The failures that one process has seen of late."""

    def __init__(
        self, brake: Brake | None, *, processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._brake = brake.share(processes) if brake is not None else None
        self._clock = clock
        # The least recently seen first. Apart, so that made-up principals cannot push a source out.
        self._sources: OrderedDict[str, _Count] = OrderedDict()
        self._principals: OrderedDict[str, _Count] = OrderedDict()

    def failed(self, error: HomeportError, address: str | None, principal: str) -> HomeportError:
        """Count a failure and return what to answer: `error` itself, or Throttled beyond the burst.

        `address` is where the request came from; `principal` whom it claims to be, see `key_holder`, `registry_user`.
        """
        source = source_of(address)
        wait = self._count("source", self._sources, source, source, principal)
        if not wait:
            # What a paused source sends counts for nobody else: one guesser cannot slow down the failures of others.
            wait = self._count("principal", self._principals, principal, source, principal)
        FAILED_ATTEMPTS.labels("throttled" if wait else "refused").inc()
        return Throttled(retry_after=math.ceil(wait)) if wait else error

    def _count(
        self, by: str, counts: OrderedDict[str, _Count], holder: str, source: str, principal: str
    ) -> float:
        """Return the seconds until the pause of a holder ends, 0 while it has none."""
        if self._brake is None:
            return 0.0
        now, burst, seconds = self._clock(), self._brake.burst, self._brake.seconds
        count = counts.get(holder)
        if count is None:
            if len(counts) >= _HOLDERS:
                counts.popitem(last=False)
            count = counts[holder] = _Count(burst, now)
        counts.move_to_end(holder)
        if now < count.at:
            return count.at - now
        earned = (now - count.at) / seconds
        if earned >= burst:  # as long without a failure as it takes to earn the whole burst
            count.pauses = 0
        count.left, count.at = min(burst, count.left + earned), now
        if count.left >= 1:
            count.left -= 1
            return 0.0
        wait = min((1 - count.left) * seconds * 2.0 ** min(count.pauses, _DOUBLINGS), _LONGEST)
        count.left, count.at, count.pauses = 1.0, now + wait, count.pauses + 1
        log.warning(
            "authentication_throttled",
            by=by,
            source=source,
            principal=principal,
            seconds=math.ceil(wait),
            pauses=count.pauses,
        )
        return wait


def key_holder(request: SigningRequest) -> str:
    """Return whom a signed request claims to be: `key:` and its access key id."""
    try:
        claim = read_claim(request)
    except IncompleteSignature:
        claim = None
    return f"key:{_known(claim.access_key_id if claim is not None else '', _KEY_ID)}"


def registry_user(account: str, authorization: str | None) -> str:
    """Return whom a `/v2/` Authorization header claims to be: `registry:`, the account and the user name.

    A password that came as the name must not reach a log, so a name other than AWS, the only good one, is a digest.
    """
    scheme, _, credentials = (authorization or "").partition(" ")
    name = "AWS"
    if scheme.lower() == "basic":
        try:
            name = base64.b64decode(credentials.strip(), validate=True).decode("utf-8").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            name = credentials
    return f"registry:{account}:{_known(name, _USER)}"


def _known(text: str, form: re.Pattern[str]) -> str:
    """Return a text that has the form of a name, else a digest that tells it from others and nothing more."""
    return text if form.fullmatch(text) else hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
