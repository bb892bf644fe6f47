"""Decoder of HTTP/1.1 chunked bodies over large buffers, without copying the payload. RFC 9112, section 7.1.

Strict: CRLF only, hexadecimal sizes of at most 16 digits, bounded extensions and trailers. Pure: no socket here.
"""

from __future__ import annotations

import re

_LINE_BYTES = 4096  # longest chunk header or trailer line, without its CRLF
_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER_BYTES = 16384  # all trailers together


class ChunkError(ValueError):
    """The framing of the body is broken; the connection cannot be used any further."""


class ChunkDecoder:
    """Feed it what came from the socket; it tells which slices are payload and what it could not use yet."""

    __slots__ = ("_left", "_need_crlf", "_trailer_bytes", "_trailers", "done")

    def __init__(self) -> None:
        self.done = False
        self._left = 0  # payload bytes still to come in this chunk
        self._need_crlf = False  # the CRLF after a chunk's payload
        self._trailers = False
        self._trailer_bytes = 0

    def feed(self, view: memoryview) -> tuple[list[memoryview], int]:
        """Decode `view`; return (payload slices in order, bytes used).

        What was not used (part of a line, or what follows the body once `done`) must come again in front of the
        next bytes. Errors: ChunkError.
        """
        slices: list[memoryview] = []
        at, end = 0, len(view)
        while at < end and not self.done:
            if self._left:
                take = min(self._left, end - at)
                slices.append(view[at : at + take])
                at += take
                self._left -= take
                self._need_crlf = not self._left
                continue
            if self._need_crlf:
                if end - at < 2:
                    break
                if bytes(view[at : at + 2]) != b"\r\n":
                    raise ChunkError("A chunk does not end where its size says.")
                at += 2
                self._need_crlf = False
                continue
            used = self._trailer(view, at) if self._trailers else self._size(view, at)
            if not used:
                break
            at += used
        return slices, at

    def _size(self, view: memoryview, at: int) -> int:
        match = _SIZE.match(view, at, at + _LINE_BYTES + 2)
        if match is None:
            self._must_be_partial(view, at)
            return 0
        self._left = int(match.group(1), 16)
        self._trailers = not self._left
        return match.end() - at

    def _trailer(self, view: memoryview, at: int) -> int:
        line = bytes(view[at : at + _LINE_BYTES + 2])
        end = line.find(b"\r\n")
        if end < 0:
            self._must_be_partial(view, at)
            return 0
        if b"\n" in line[:end] or b"\r" in line[:end]:
            raise ChunkError("A trailer line holds a bare line break.")
        self._trailer_bytes += end + 2
        if self._trailer_bytes > _TRAILER_BYTES:
            raise ChunkError("The trailers are too long.")
        self.done = end == 0
        return end + 2

    def _must_be_partial(self, view: memoryview, at: int) -> None:
        line = bytes(view[at : at + _LINE_BYTES + 2])
        if b"\n" in line or len(line) == _LINE_BYTES + 2:
            raise ChunkError("A chunk header is malformed.")
