"""Files and names that survive a power cut: what was written by others, or just now, is flushed. Blocking."""

from __future__ import annotations

import os
from pathlib import Path


def flush_file(path: Path) -> None:
    """Make a file that others wrote durable. Errors: OSError."""
    _flush(path, os.O_RDONLY)


def flush_folder(path: Path) -> None:
    """Make the names in a folder durable. Errors: OSError."""
    _flush(path, os.O_RDONLY | os.O_DIRECTORY)


def replace_text(path: Path, text: str) -> None:
    """Put a file that only its owner may read in the place of `path`: whole, or not at all.

    Its folder must be flushed afterwards, see `flush_folder`. Errors: OSError.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # of an attempt that was killed
    draft.touch(mode=0o600)
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
