"""Whether this node should be sent requests: `/readyz`. (`/healthz` only says that the process runs, so that a database
that is away does not make anybody restart every node.)
"""

from __future__ import annotations

import asyncio
from typing import Final

from homeport.iam import accounts
from homeport.kernel.errors import HomeportError
from homeport.region import Region
from homeport.telemetry import log

SECONDS: Final = 2.5
"""How long an answer may take: less than load balancers and kubelets wait for one."""

State = tuple[int, dict[str, str]]


class Health:
    """The readiness of one process."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._looking: asyncio.Task[State] | None = None
        self._was_ready = True
        self.leaving = False
        """Whether the process is about to stop: then it is not ready, whatever it could still do."""

    async def ready(self) -> State:
        """Return status and body: 200 when a push could be stored now and nobody told the process to stop, else 503.

        Whoever asks while a look is under way is told its result, so a store that does not answer is asked once.
        """
        if self.leaving:
            return 503, {"status": "draining"}
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            status, body = await asyncio.wait_for(asyncio.shield(self._looking), SECONDS)
        except TimeoutError:
            reason = f"The metadata database or the blob store did not answer within {SECONDS} seconds."
            status, body = 503, {"status": "unavailable", "reason": reason}
        if (status == 200) != self._was_ready:
            self._was_ready = status == 200
            log.warning("readiness", ready=self._was_ready, reason=body.get("reason", ""))
        return status, body

    async def _look(self) -> State:
        try:
            await self._region.db.catch_up()
            await accounts.listing(self._region.db)
            await asyncio.get_running_loop().run_in_executor(None, self._region.blobs.check)
        except HomeportError as error:
            return 503, {"status": "unavailable", "reason": error.message}
        return 200, {"status": "ready"}
