"""Files that are whole or not there: written under another name, flushed, renamed. Blocking."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from homeport.kernel.errors import StorageFull, Unavailable

PART = ".part"
"""What the names of files that are not whole yet end with."""

_PIECE = 1024 * 1024
_FICLONE = 0x40049409  # share the blocks of another file (man 2 ioctl_ficlone): Btrfs, XFS, bcachefs


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an OSError of the block into StorageFull or Unavailable; `what` names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No space left in {what}") from error
        raise Unavailable(f"{what} cannot be used: {error.strerror}: {error.filename}") from error


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """Write the file `path` through the descriptor that is yielded; it appears, durable, when the block ends well.

    Its folder must be flushed afterwards, see `kernel/durable.py`. Readable by its owner only.
    """
    draft = path.with_name(path.name + PART)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
        os.fsync(descriptor)
        draft.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a full disk may take a part of it first."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def shares_blocks(target: int, source: int | None) -> bool:
    """Let the empty file `target` share the blocks of `source`, where the file system can: then nothing is copied."""
    if source is None:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_file(source: Path, target: Path) -> None:
    """Copy a small file."""
    with source.open("rb") as reading, new_file(target) as writing:
        while piece := reading.read(_PIECE):
            write_all(writing, piece)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
