"""An upload as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from homeport.blobs.port import StorageKey


@dataclass(frozen=True, slots=True)
class Upload:
    """One open upload. `offset` is how many bytes are acknowledged; `version` guards it against a second writer."""

    id: str
    repository_id: int
    principal: str
    storage_key: StorageKey
    offset: int
    version: int
    parts: int
    small_parts: int
    """0: no part under 5 MiB came; 1: only the newest is (allowed, it may be the last); 2: an earlier one was."""
    state: str = ""
    """What a store that nodes share said about the acknowledged bytes; see `BlobStore.writer`."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Finished bytes that a repository holds."""

    digest: str
    size: int
    storage_key: StorageKey
    archived: bool = False
    """Whether only archived images of the repository refer to it: then it cannot be pulled or mounted."""
    damaged: bool = False
    """Whether the stored bytes are known not to be the blob's: then it must be pushed again."""
    review_since: datetime | None = field(default=None, compare=False)
    """Since when it may be that no image of the repository refers to it; None while one does."""

    @property
    def at_hand(self) -> bool:
        """Whether it can be pulled and mounted, so that nobody need push it."""
        return not self.archived and not self.damaged
