"""Turns the regular expressions of the AWS models into matchers that always take linear time.

The models are written for Java: a pattern must match the whole text and its classes are ASCII. Most of them
can be handed to `re` as they are, because at every position only one alternative can go on. Those that cannot
(one explodes exponentially, two use Unicode classes that `re` lacks) are replaced here by an equivalent.
The replacement is keyed by the pattern itself: when a newer model changes it, the replacement no longer
applies, and the test that measures every pattern of every model tells us whether it must.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

Matcher = Callable[[str], bool]

# '?' and '+' over one class inside '*' can split a run of n letters in 2^n ways; separators must stand alone
# between runs, so say exactly that.
_EQUIVALENT = {
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"[a-z0-9*]+(?:[._\-/][a-z0-9*]+)*",
}
# Letters, separators, numbers and some marks (keys and values of session tags, and of templates for them).
_TAG_TEXTS = {
    r"[\p{L}\p{Z}\p{N}_.:/=+\-@]": frozenset("_.:/=+-@"),
    r"[\p{L}\p{Z}\p{N}_.:/=+\-@{}]": frozenset("_.:/=+-@{}"),
}


@cache
def matcher(pattern: str) -> Matcher:
    """A function that tells whether a whole text matches `pattern`, a Java regular expression of a model.

    Raises re.error for a pattern that is neither in the common subset of Java and Python nor replaced here.
    """
    marks = _TAG_TEXTS.get(pattern[:-1])
    if marks is not None and pattern[-1] in "+*":
        shortest = 1 if pattern.endswith("+") else 0
        return lambda text: (
            len(text) >= shortest and all(each in marks or _is_tag_character(each) for each in text)
        )
    compiled = re.compile(_EQUIVALENT.get(pattern, pattern), re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _is_tag_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LZN"
