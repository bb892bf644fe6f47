"""An upload as a value."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Blob:
    """Finished bytes that a repository holds."""

    digest: str
    size: int
    storage_key: StorageKey
    archived: bool = False
    """Whether only archived images of the repository refer to it: then it cannot be pulled or mounted."""
