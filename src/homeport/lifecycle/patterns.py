"""Which tags a pattern or an expression matches, decided for many tags at a time and in linear time.

A tag names one image of a repository, so no two are equal and each is looked at once for each pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import re2

EXPRESSION_CHARS = 256  # ours: the longest `tagRegex`
EXPRESSION_SIZE = 1_000  # ours: RE2 instructions; with them grows what one character of a tag can cost
_SAMPLE = 50  # tags
_EXPRESSION_MEMORY = 1024 * 1024  # ours: bytes that RE2 may use for one expression; it remembers 128 of them


_OF_THE_TEXT = re.compile(r"\\[AzCQ]|\(\?(?![:iP])|\(\?[a-zA-Z]*[-msU]")


class BadExpression(ValueError):
    """RE2 does not understand the expression, or it is too costly; `str` says why."""


def wildcards(tags: Sequence[str], among: Sequence[int], pattern: str, text: str) -> Sequence[int]:
    """Return the positions of `among` whose tag the whole of `pattern` matches; `*` is any run of characters.

    `text` holds all tags one after the other: what is nowhere in it need not be looked for in each. Positions keep
    their order. The pieces between the stars are placed as far to the left as they go and are never moved again: what
    is left of a tag then is the most that there can be, so hostile patterns cost one pass over a tag.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return [at for at in among if tags[at] == first]
    last = rest.pop()
    if any(character not in text for character in set(pattern) - {"*"}):
        return ()
    pieces = [piece for piece in rest if piece]
    start, end = len(first), -len(last) if last else None
    among = _with_rarest(tags, among, {first, last, *pieces} - {""})
    if first:
        among = [at for at in among if tags[at][:start] == first]
    if last:
        among = [at for at in among if tags[at][end:] == last]
    match pieces:
        case [] if first and last:
            return [at for at in among if len(tags[at]) >= len(first) + len(last)]
        case []:
            return among
        case [a]:
            return [at for at in among if tags[at].find(a, start, end) >= 0]
        case [a, b]:
            x = len(a)
            return [
                at
                for at in among
                if (found := (tag := tags[at]).find(a, start, end)) >= 0 and tag.find(b, found + x, end) >= 0
            ]
        case _:
            return [at for at in among if _follow(tags[at], pieces, start, end)]


def _with_rarest(tags: Sequence[str], among: Sequence[int], parts: AbstractSet[str]) -> Sequence[int]:
    """Leave out tags without that part of a pattern which a sample has most seldom; `in` is the cheapest question."""
    sample = [tags[at] for at in among[:: max(1, len(among) // _SAMPLE)]]
    hits = {part: sum(part in tag for tag in sample) for part in sorted(parts)}
    rarest = min(hits, key=hits.__getitem__, default="")
    if not rarest or hits[rarest] == len(sample):
        return among
    return [at for at in among if rarest in tags[at]]


def _follow(tag: str, pieces: Sequence[str], start: int, end: int | None) -> bool:
    """Whether all `pieces` are in that part of `tag`, one after the other."""
    for piece in pieces:
        found = tag.find(piece, start, end)
        if found < 0:
            return False
        start = found + len(piece)
    return True


class Expression:
    """An RE2 expression that matches a whole tag; it cannot go back, so its time is linear in the tag."""

    def __init__(self, text: str) -> None:
        """Errors: BadExpression."""
        try:
            written = text.encode("ascii")
        except UnicodeEncodeError:
            raise BadExpression("tags are ASCII, and so must an expression for them be") from None
        self._whole = _compiled(written)
        if max(self._whole.programsize, self._whole.reverseprogramsize) > EXPRESSION_SIZE:
            raise BadExpression("its repetitions make it too large")
        # The same for many lines at once, where nothing in it speaks of the text as a whole.
        self._line = None if _OF_THE_TEXT.search(text) else _compiled(b"(?m)^(?:" + written + b")$")

    def matching(self, tags: Sequence[str], among: Sequence[int], text: str) -> Sequence[int]:
        """Return the positions of `among` whose whole tag matches, in their order; `text` has a tag on each line."""
        if self._line is None:
            fullmatch = self._whole.fullmatch
            return [at for at in among if fullmatch(tags[at].encode()) is not None]
        spans = [match.span() for match in self._line.finditer(text.encode())]
        names = {text[start:end] for start, end in spans}
        return [at for at in among if tags[at] in names]


def _compiled(written: bytes) -> Any:
    options = re2.Options()
    options.max_mem = _EXPRESSION_MEMORY
    options.never_capture = True
    options.log_errors = False
    options.never_nl = True  # no tag holds a line feed, and no match goes over one
    options.encoding = re2.Options.Encoding.LATIN1  # tags are ASCII: one byte is one character
    try:
        return re2.compile(written, options)
    except re2.error as wrong:
        said = wrong.args[0]
        raise BadExpression(said.decode("latin-1") if isinstance(said, bytes) else str(said)) from None
