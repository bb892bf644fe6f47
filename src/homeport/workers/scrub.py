"""Lets the verification of stored bytes go on in the background."""

from __future__ import annotations

from homeport.keeping.scrub import Scrub
from homeport.region import Region


class ScrubWorker:
    """One process's share of it; `go_on` does nothing where the settings want no verification."""

    def __init__(self, region: Region) -> None:
        self._scrub = (
            Scrub(region.db, region.blobs, region.clock, region.scrub_pace)
            if region.scrub_pace is not None
            else None
        )

    async def go_on(self) -> None:
        """Read what is due. Errors: Unavailable."""
        while self._scrub is not None and await self._scrub.go_on():
            pass
