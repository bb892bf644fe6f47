"""One open file of the file store: how it is opened safely, locked, written, read, and how it fails.

Files are opened relative to an open folder, never through a link: a symbolic link, a second hard link, a
device or a pipe is refused. No message here shows a path, since it may reach a client. What a writer and
a reader promise is written in `port.py`; folders and durability are the business of `files.py`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from homeport.blobs import writeback
from homeport.blobs.port import BlobBusy, BlobDamaged, BlobMissing, Finished, StorageKey
from homeport.kernel.errors import HomeportError, StorageFull, Unavailable

# O_NONBLOCK changes nothing for a file, and keeps a planted pipe from stopping the thread.
FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_OURS: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO})
_NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})
_PARTS_AT_ONCE = max(16, os.sysconf("SC_IOV_MAX"))


def refusal(error: OSError, action: str) -> HomeportError:
    """The domain error of a failed system call; the path stays in the chained cause."""
    if error.errno in FULL:
        return StorageFull(
            "No space left to store the blob; "
            "free space on the volume of the registry or enlarge it, then push again"
        )
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return Unavailable(f"The blob store could not {action} ({name}); if this persists, check its volume")


@contextlib.contextmanager
def refusing(action: str) -> Iterator[None]:
    """Turn an OSError of the block into the domain error that fits it; `action` says what was tried."""
    try:
        yield
    except OSError as error:
        raise refusal(error, action) from error


def open_ours(key: StorageKey, folder: int, flags: int, action: str) -> tuple[int, int]:
    """Open a file below an open folder, prove that it is an ordinary one with a single name; add its size."""
    try:
        descriptor = os.open(key.name, flags | FILE_FLAGS, mode=0o600, dir_fd=folder)
    except FileNotFoundError:
        raise BlobMissing(key) from None
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in NOT_OURS:
            raise BlobDamaged(f"{key} is not an ordinary file") from error
        raise refusal(error, action) from error
    try:
        with refusing(action):
            found = os.fstat(descriptor)
        if found.st_nlink == 0:
            raise BlobMissing(key)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise BlobDamaged(f"{key} is not an ordinary file with a single name")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found.st_size


def lock_staged(key: StorageKey, folder: int, descriptor: int, action: str) -> int:
    """Be the only one to change the staged file until the descriptor is closed; return its size in bytes."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlobBusy("Another request is still writing to this upload; try again") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # some network file systems have none; then the caller's row decides
            raise refusal(error, action) from error
    # Between open and lock another process may have finished or discarded it; then this is not staged.
    try:
        mine = os.fstat(descriptor)
        named = os.stat(key.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise BlobMissing(key) from None
    except OSError as error:
        raise refusal(error, action) from error
    if (mine.st_dev, mine.st_ino) != (named.st_dev, named.st_ino):
        raise BlobMissing(key)
    return mine.st_size


class FileBlobWriter:
    """The `BlobWriter` of a staged file; see the port."""

    def __init__(
        self,
        key: StorageKey,
        descriptor: int,
        offset: int,
        size: int,
        writeback_bytes: int,
        finish: Callable[[int, int], None],
    ) -> None:
        """`finish` is the store's, given the size and the locked descriptor."""
        self._key = key
        self._finish = finish
        self._descriptor = descriptor
        self._offset = offset
        self._has_tail = size > offset
        self._writeback_bytes = writeback_bytes
        self._handed_over = offset
        self._failed = False

    @property
    def offset(self) -> int:
        return self._offset

    def cut(self, offset: int | None = None) -> None:
        if self._descriptor < 0:
            raise ValueError("the writer is closed")
        to = self._offset if offset is None else offset
        if not 0 <= to <= self._offset:
            raise ValueError("only bytes that are there can be cut")
        if self._has_tail or offset is not None:
            with refusing("write the blob"):
                os.ftruncate(self._descriptor, to)
            self._has_tail = False
            self._offset = to
            self._handed_over = min(self._handed_over, to)

    def write(self, parts: Sequence[memoryview | bytes]) -> int:
        if self._descriptor < 0:
            raise ValueError("the writer is closed")
        if self._failed:
            raise Unavailable("An earlier write of this upload failed; continue from its last offset")
        self.cut()
        waiting = [memoryview(part).cast("B") for part in parts if memoryview(part).nbytes]
        before = self._offset
        first = 0
        while first < len(waiting):
            try:
                done = os.pwritev(self._descriptor, waiting[first : first + _PARTS_AT_ONCE], self._offset)
            except OSError as error:
                self._failed = True
                raise refusal(error, "write the blob") from error
            if done <= 0:
                self._failed = True
                raise Unavailable("The blob store wrote nothing; check its volume")
            self._offset += done
            while first < len(waiting) and done >= waiting[first].nbytes:
                done -= waiting[first].nbytes
                first += 1
            if done:
                waiting[first] = waiting[first][done:]
            self._hint()
        return self._offset - before

    def _hint(self) -> None:
        fresh = self._offset - self._handed_over
        if self._writeback_bytes and fresh >= self._writeback_bytes:
            writeback.start(self._descriptor, self._handed_over, fresh)
            self._handed_over = self._offset

    def save(self) -> str:
        return ""  # the file is where every process of this machine finds it

    def finish(self, size: int) -> Finished:
        if self._descriptor < 0:
            raise ValueError("the writer is closed")
        self._finish(size, self._descriptor)
        self.close()
        return Finished(self._key)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with refusing("write the blob"):  # a network file system may report a lost write only here
                os.close(descriptor)


class FileBlobReader:
    """The `BlobReader` of a staged or finished file; see the port."""

    def __init__(self, key: StorageKey, descriptor: int, size: int) -> None:
        self._key = key
        self._descriptor = descriptor
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def fileno(self) -> int | None:
        if self._descriptor < 0:
            raise ValueError("the reader is closed")
        return self._descriptor

    def read(self, offset: int, length: int) -> bytes:
        if self._descriptor < 0:
            raise ValueError("the reader is closed")
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        wanted = min(length, self._size - offset)
        pieces: list[bytes] = []
        while wanted > 0:
            with refusing("read the blob"):
                piece = os.pread(self._descriptor, wanted, offset)
            if not piece:
                raise BlobDamaged(f"{self._key} has become shorter than {self._size} bytes")
            pieces.append(piece)
            offset += len(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
