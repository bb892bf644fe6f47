"""Ask the kernel to start writing dirty pages early, so that the final fsync of a large blob is short.

Only a hint: it promises nothing about durability, swallows every failure (fsync reports them) and is a
no-op where the C library has no `sync_file_range` (man 2 sync_file_range; Linux only).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_SYNC_FILE_RANGE_WRITE = 2  # start write-out of dirty pages, do not wait for it


def _find() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


_sync_file_range = _find()


def available() -> bool:
    """Whether this C library offers the hint."""
    return _sync_file_range is not None


def start(descriptor: int, offset: int, length: int) -> None:
    """Begin write-out of `length` bytes from `offset` of an open file; returns without waiting for it.

    May block for as long as the device's queue is full. Releases the interpreter lock meanwhile.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)
