"""Which tags a pattern or an expression matches, decided for many tags at a time and in linear time.

A tag names one image of a repository, so no two are equal and each is looked at once for each pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import re2

EXPRESSION_CHARS = 256  # ours: the longest `tagRegex`
EXPRESSION_SIZE = 1_000  # ours: RE2 instructions; what one character of a tag may cost at most grows with them
_EXPRESSION_MEMORY = 1024 * 1024  # ours: bytes that RE2 may use for one expression; it remembers 128 of them


class BadExpression(ValueError):
    """RE2 does not understand the expression, or it is too costly; `str` says why."""


def wildcards(tags: Sequence[str], among: Sequence[int], pattern: str) -> Sequence[int]:
    """Return the positions of `among` whose tag the whole of `pattern` matches; `*` is any run of characters.

    The pieces between the stars are placed as far to the left as they go and are never moved again: what is left of a
    tag then is the most that there can be, so hostile patterns cost one pass over a tag. Positions keep their order.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return [at for at in among if tags[at] == first]
    last = rest.pop()
    pieces = [piece for piece in rest if piece]
    start, end = len(first), -len(last) if last else None
    # `in` costs a third of a slice and is no for most.
    if first:
        among = [at for at in among if first in tags[at] and tags[at][:start] == first]
    if last:
        among = [at for at in among if last in tags[at] and tags[at][end:] == last]
    match pieces:
        case [] if first and last:
            return [at for at in among if len(tags[at]) >= len(first) + len(last)]
        case []:
            return among
        case [a] if not first and not last:
            return [at for at in among if a in tags[at]]
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
        options = re2.Options()
        options.max_mem = _EXPRESSION_MEMORY
        options.never_capture = True
        options.log_errors = False
        options.encoding = re2.Options.Encoding.LATIN1  # tags are ASCII: one byte is one character
        try:
            self._compiled = re2.compile(text.encode("ascii"), options)
        except UnicodeEncodeError:
            raise BadExpression("tags are ASCII, and so must an expression for them be") from None
        except re2.error as wrong:
            said = wrong.args[0]
            raise BadExpression(said.decode("latin-1") if isinstance(said, bytes) else str(said)) from None
        if max(self._compiled.programsize, self._compiled.reverseprogramsize) > EXPRESSION_SIZE:
            raise BadExpression("its repetitions make it too large")

    def matching(self, tags: Sequence[str], among: Sequence[int]) -> Sequence[int]:
        """Return the positions of `among` whose whole tag matches, in their order."""
        fullmatch = self._compiled.fullmatch
        return [at for at in among if fullmatch(tags[at].encode()) is not None]
