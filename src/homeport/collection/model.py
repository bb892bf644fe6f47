"""What the collection finds and does, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """One repository that holds one blob."""

    repository_id: int
    digest: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What went: links of repositories to blobs, blobs that no repository holds now, and the bytes of those."""

    reviewed: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0
    repositories: int = 0

    def __add__(self, other: Collected) -> Collected:
        return Collected(
            self.reviewed + other.reviewed,
            self.links + other.links,
            self.blobs + other.blobs,
            self.bytes + other.bytes,
            self.repositories + other.repositories,
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the collection.

    `waiting`: links that are reviewed sooner or later, `due`: those whose time has come, `buried`: blobs that nobody
    holds and whose bytes are not deleted yet, `buried_bytes`: their size. Counts of links stop at a bound of the store.
    `oldest_due`: since when the first of those that are due may be needed no more, in microseconds since 1970.
    """

    waiting: int
    due: int
    oldest_due: int | None
    buried: int
    buried_bytes: int
