"""A store that fails on purpose, for tests in one process and for kill tests of a real server.

It wraps any store and obeys a plan; with an empty plan it changes nothing. A plan is text without spaces:

    plan   = [ fault *( "," fault ) ]          finish:3:kill-after,write:2:full
    fault  = operation ":" which ":" action
    which  = N | N "+" | "*"                   the Nth call in this process | from the Nth on | every call
    operation and action: `_ACTIONS` below, which says what each action does

Calls count per operation and per process, from 1, over all objects. A read through sendfile cannot be
counted or spoiled, so readers offer no descriptor while the plan speaks of `read`.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from homeport.blobs.port import BlobReader, BlobStore, BlobWriter, Finished, Shard, StorageKey, StoredObject
from homeport.kernel.errors import StorageFull, Unavailable

T = TypeVar("T")

FAULTS_VARIABLE: Final = "HOMEPORT_BLOB_FAULTS"

_ANYWHERE: Final = {
    "full": "raise StorageFull instead of the call",
    "unavailable": "raise Unavailable instead of the call",
    "kill-before": "SIGKILL to this process instead of the call",
    "stop": "SIGSTOP to this process before the call: a test goes on meanwhile, and then lets it go on",
    "kill-after": "SIGKILL to this process once the call has succeeded",
    "unavailable-after": "do the call, then raise Unavailable: a lost answer",
}
_ACTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    **dict.fromkeys(
        ("writer", "staged", "finish", "reader", "save", "address", "discard", "listed", "check"), _ANYWHERE
    ),
    "write": {
        **_ANYWHERE,
        "short": "write the first half of the bytes, then raise StorageFull, as a disk does when it fills",
        "kill-half": "write the first half of the bytes, then SIGKILL",
    },
    "read": {
        **_ANYWHERE,
        "flip": "invert the lowest bit of the middle byte that was read",
        "truncate": "return only the first half of the bytes",
    },
}
_WHICH = re.compile(r"([1-9][0-9]{0,8})(\+?)|\*")


@dataclass(frozen=True, slots=True)
class Fault:
    """`action` at call number `first` of `operation`; with `onwards` at every later call too."""

    operation: str
    first: int
    onwards: bool
    action: str

    def __post_init__(self) -> None:
        if self.operation not in _ACTIONS:
            raise ValueError(f"unknown operation {self.operation!r}; there are {', '.join(_ACTIONS)}")
        if self.action not in _ACTIONS[self.operation]:
            known = ", ".join(_ACTIONS[self.operation])
            raise ValueError(f"unknown action {self.action!r} for {self.operation}; there are {known}")
        if self.first < 1:
            raise ValueError("calls count from 1")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse `operation:which:action`; raises ValueError that says what is wrong."""
        pieces = text.split(":")
        if len(pieces) != 3:
            raise ValueError(f"a fault has the form operation:which:action, not {text!r}")
        operation, which, action = pieces
        match = _WHICH.fullmatch(which)
        if match is None:
            raise ValueError(f"which call must be N, N+ or *, not {which!r}")
        return cls(operation, int(match[1] or 1), which == "*" or bool(match[2]), action)

    def hits(self, operation: str, number: int) -> bool:
        """Whether this fault wants the `number`th call of `operation`."""
        due = number >= self.first if self.onwards else number == self.first
        return due and self.operation == operation


def faults_from_text(text: str) -> tuple[Fault, ...]:
    """Parse a whole plan; the empty text is the empty plan. Raises ValueError."""
    return tuple(Fault.from_text(line) for line in text.split(",")) if text else ()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Plan:
    """Counts calls and carries out what the faults say around them."""

    def __init__(self, faults: Sequence[Fault], kill: Callable[[], None]) -> None:
        self._faults = tuple(faults)
        self._calls = dict.fromkeys(_ACTIONS, 0)
        self._lock = threading.Lock()
        self.kill = kill

    def mentions(self, operation: str) -> bool:
        return any(fault.operation == operation for fault in self._faults)

    def next_action(self, operation: str) -> str | None:
        with self._lock:
            self._calls[operation] += 1
            number = self._calls[operation]
        return next((fault.action for fault in self._faults if fault.hits(operation, number)), None)

    def around(self, operation: str, call: Callable[[], T]) -> T:
        """Count one call of `operation` and make it, unless a fault says otherwise."""
        return self.carry_out(self.next_action(operation), call)

    def carry_out(self, action: str | None, call: Callable[[], T]) -> T:
        """Make the call with the actions that every operation knows."""
        if action == "full":
            raise StorageFull("No space left to store the blob (a planned fault)")
        if action == "unavailable":
            raise Unavailable("The blob store failed (a planned fault)")
        if action == "kill-before":
            self.kill()
        if action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        result = call()
        if action == "kill-after":
            self.kill()
        if action == "unavailable-after":
            if isinstance(result, FaultyBlobWriter | FaultyBlobReader):
                result.close()  # nobody will ever hold it
            raise Unavailable("The answer of the blob store was lost (a planned fault)")
        return result


class FaultyBlobWriter:
    """A `BlobWriter` whose writes obey the plan."""

    def __init__(self, inner: BlobWriter, plan: _Plan) -> None:
        self._inner = inner
        self._plan = plan
        self._failed = False

    @property
    def offset(self) -> int:
        return self._inner.offset

    def cut(self, offset: int | None = None) -> None:
        self._inner.cut(offset)

    def save(self) -> str:
        return self._plan.around("save", self._inner.save)

    def finish(self, size: int) -> Finished:
        return self._plan.around("finish", lambda: self._inner.finish(size))

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        action = self._plan.next_action("write")
        if action in ("short", "kill-half"):
            content = b"".join(parts)
            self._inner.write([content[: len(content) // 2]])
            if action == "kill-half":
                self._plan.kill()
            self._failed = True
            raise StorageFull("No space left to store the blob (a planned fault)")
        try:
            return self._plan.carry_out(action, lambda: self._inner.write(parts))
        except Exception:
            self._failed = True
            raise

    def close(self) -> None:
        self._inner.close()


class FaultyBlobReader:
    """A `BlobReader` whose reads obey the plan."""

    def __init__(self, inner: BlobReader, plan: _Plan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def size(self) -> int:
        return self._inner.size

    def fileno(self) -> int | None:
        descriptor = self._inner.fileno()
        return None if self._plan.mentions("read") else descriptor

    def read(self, offset: int, length: int) -> bytes:
        action = self._plan.next_action("read")
        content = self._plan.carry_out(action, lambda: self._inner.read(offset, length))
        if action == "truncate":
            return content[: len(content) // 2]
        if action == "flip" and content:
            spoiled = bytearray(content)
            spoiled[len(spoiled) // 2] ^= 1
            return bytes(spoiled)
        return content

    def close(self) -> None:
        self._inner.close()


class FaultyBlobStore:
    """The store `inner`, failing as `faults` say. `kill` ends this process unless a test replaces it."""

    def __init__(
        self, inner: BlobStore, faults: Sequence[Fault] = (), *, kill: Callable[[], None] = _kill_this_process
    ) -> None:
        self._inner = inner
        self._plan = _Plan(faults, kill)

    @classmethod
    def from_text(cls, inner: BlobStore, text: str) -> Self:
        """Wrap `inner` with the plan in `text`; raises ValueError for a text that is not a plan."""
        return cls(inner, faults_from_text(text))

    @property
    def shared(self) -> bool:
        return self._inner.shared

    def writer(self, key: StorageKey, offset: int, state: str | None = None) -> BlobWriter:
        plan = self._plan
        return plan.around("writer", lambda: FaultyBlobWriter(self._inner.writer(key, offset, state), plan))

    def staged(self, key: StorageKey) -> BlobReader:
        return self._plan.around("staged", lambda: FaultyBlobReader(self._inner.staged(key), self._plan))

    def finish(self, key: StorageKey, size: int) -> None:
        self._plan.around("finish", lambda: self._inner.finish(key, size))

    def reader(self, key: StorageKey) -> BlobReader:
        return self._plan.around("reader", lambda: FaultyBlobReader(self._inner.reader(key), self._plan))

    def address(self, key: StorageKey) -> str | None:
        return self._plan.around("address", lambda: self._inner.address(key))

    def discard(self, key: StorageKey) -> None:
        self._plan.around("discard", lambda: self._inner.discard(key))

    def siblings(self, key: StorageKey) -> list[StorageKey]:
        return self._inner.siblings(key)

    def listed(self, shard: Shard) -> Iterator[StoredObject]:
        return self._plan.around("listed", lambda: self._inner.listed(shard))

    def check(self) -> None:
        self._plan.around("check", self._inner.check)


def with_faults_from(environment: Mapping[str, str], inner: BlobStore) -> BlobStore:
    """`inner` itself, or wrapped when HOMEPORT_BLOB_FAULTS holds a plan. Raises ValueError for a bad one."""
    text = environment.get(FAULTS_VARIABLE, "")
    return FaultyBlobStore.from_text(inner, text) if text else inner
