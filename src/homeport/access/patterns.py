"""Patterns in policies: wildcards and `${variables}`, compiled once and matched in linear time.

No I/O and no clock; a request is a `Facts`, a look-up of context keys. What is not understood is a PolicyFault when the
policy is written. Contract: IAM User Guide, "Resource" and "Variables and tags".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from homeport.access.context_keys import PolicyFault, known_key


class Facts(Protocol):
    """The request context: values of a context key (lower case), or None when it has no value."""

    def get(self, key: str) -> tuple[str, ...] | None: ...


class Wild(enum.Enum):
    """A wildcard that counts as one; a `*` that came out of a variable is plain text."""

    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """`${key}` or `${key, 'default'}`; the key is lower case."""

    key: str
    default: str | None


Token = str | Wild | Variable


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch without `*`: literal parts with exactly one arbitrary character between each two."""

    parts: tuple[str, ...]
    length: int

    def at(self, text: str, position: int) -> bool:
        """True when the segment matches at `position`; the caller has checked that it fits."""
        for part in self.parts:
            if not text.startswith(part, position):
                return False
            position += len(part) + 1
        return True

    def find(self, text: str, start: int, end: int) -> int:
        """Leftmost match inside text[start:end], or -1, looking at each character once."""
        if len(self.parts) == 1:
            return text.find(self.parts[0], start, end)
        # Shift-And: bit i of `state` says "the last i+1 characters match the first i+1 of the segment".
        anywhere, masks, bit = 0, dict[str, int](), 1
        for index, part in enumerate(self.parts):
            if index:
                anywhere |= bit
                bit <<= 1
            for character in part:
                masks[character] = masks.get(character, 0) | bit
                bit <<= 1
        done, state = bit >> 1, 0
        for position in range(start, end):
            state = (state << 1 | 1) & (masks.get(text[position], 0) | anywhere)
            if state & done:
                return position - self.length + 1
        return -1


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of literals, `*` (any run, also empty, also over `/` and `:`) and `?` (one character).

    Segments are placed greedily from the left and never moved again: the leftmost place leaves the most room
    for the rest, so there is nothing to go back for and hostile patterns (`a*a*a*b`) cost one pass.
    """

    segments: tuple[Segment, ...]
    shortest: int

    @classmethod
    def of(cls, tokens: Iterable[Token]) -> Glob:
        """Compile tokens without variables."""
        segments: list[Segment] = []
        parts, literal = list[str](), list[str]()
        for token in (*tokens, Wild.MANY):  # the extra star only closes the last segment
            if isinstance(token, str):
                literal.append(token)
            elif isinstance(token, Wild):
                parts.append("".join(literal))
                literal.clear()
                if token is Wild.MANY:
                    segments.append(Segment(tuple(parts), sum(map(len, parts)) + len(parts) - 1))
                    parts.clear()
            else:
                raise TypeError("a variable must be resolved before compiling")
        ends, middle = (segments[0], segments[-1]), segments[1:-1]
        kept = segments[:1] if len(segments) == 1 else [ends[0], *(s for s in middle if s.length), ends[1]]
        return cls(tuple(kept), sum(segment.length for segment in kept))

    def matches(self, text: str) -> bool:
        """True when the whole of `text` is matched."""
        size, segments = len(text), self.segments
        if size < self.shortest:
            return False
        first, last = segments[0], segments[-1]
        if len(segments) == 1:
            return size == first.length and first.at(text, 0)
        end = size - last.length
        if not first.at(text, 0) or not last.at(text, end):
            return False
        position = first.length
        for segment in segments[1:-1]:
            found = segment.find(text, position, end)
            if found < 0:
                return False
            position = found + segment.length
        return True


def tokens_of(text: str, *, variables: bool, wildcards: bool = True) -> tuple[Token, ...]:
    """Split a policy value into literals, wildcards and variables.

    `variables` is False for Version 2008-10-17, where `${` is plain text (IAM "Variables and tags").
    Raises PolicyFault for a variable that is malformed or names an unknown context key.
    """
    tokens: list[Token] = []
    literal: list[str] = []
    position, size = 0, len(text)
    while position < size:
        character = text[position]
        token: Token | None = None
        position += 1
        if wildcards and character in "*?":
            token = Wild(character)
        elif variables and character == "$" and text.startswith("{", position):
            token, position = _variable(text, position + 1)
        if isinstance(token, str):  # ${*}, ${?} and ${$} are the characters themselves
            literal.append(token)
        elif token is None:
            literal.append(character)
        else:
            if literal:
                tokens.append("".join(literal))
                literal.clear()
            tokens.append(token)
    if literal:
        tokens.append("".join(literal))
    return tuple(tokens)


def _variable(text: str, start: int) -> tuple[Token, int]:
    brace, comma = text.find("}", start), text.find(",", start)
    if brace < 0:
        raise PolicyFault("a policy variable is not closed")
    if comma < 0 or brace < comma:
        name, default, end = text[start:brace].strip(), None, brace + 1
        if name in ("*", "?", "$"):
            return name, end
    else:
        opening = text.find("'", comma)
        closing = text.find("'", opening + 1) if opening >= 0 else -1
        brace = text.find("}", closing) if closing >= 0 else -1
        if brace < 0 or text[comma + 1 : opening].strip() or text[closing + 1 : brace].strip():
            raise PolicyFault("the default of a policy variable is written ${key, 'default'}")
        name, default, end = text[start:comma].strip(), text[opening + 1 : closing], brace + 1
    return Variable(known_key(name), default), end


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern that holds variables, so it is finished per request."""

    tokens: tuple[Token, ...]

    def resolve(self, facts: Facts) -> Glob | None:
        """Put values in; None when a variable has no value ("There is no equal or like value").

        Values go in as plain text: a tag whose value is `*` must not become a wildcard. A key with several
        values cannot be a variable (IAM "Single-valued vs. multivalued context keys").
        """
        finished: list[Token] = []
        for token in self.tokens:
            if isinstance(token, Variable):
                values = facts.get(token.key)
                value = values[0] if values is not None and len(values) == 1 else token.default
                if value is None:
                    return None
                finished.append(value)
            else:
                finished.append(token)
        return Glob.of(finished)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Alternatives, sorted by cost: equality and prefixes first, since nearly all are one of them."""

    everything: bool
    exact: frozenset[str]
    prefixes: tuple[str, ...]
    globs: tuple[Glob, ...]
    templates: tuple[Template, ...]

    @classmethod
    def of(cls, alternatives: Iterable[tuple[Token, ...]]) -> Patterns:
        exact, prefixes, globs, templates = set[str](), list[str](), list[Glob](), list[Template]()
        everything = False
        for tokens in alternatives:
            match tokens:
                case ():
                    exact.add("")
                case (str() as text,):
                    exact.add(text)
                case (Wild.MANY,):
                    everything = True
                case (str() as text, Wild.MANY):
                    prefixes.append(text)
                case _ if any(isinstance(token, Variable) for token in tokens):
                    templates.append(Template(tokens))
                case _:
                    globs.append(Glob.of(tokens))
        return cls(everything, frozenset(exact), tuple(prefixes), tuple(globs), tuple(templates))

    def matches(self, text: str, facts: Facts, *, unresolved: bool = False) -> bool:
        """True when one alternative matches; `unresolved` is the answer of a variable without a value."""
        if self.everything or text in self.exact or text.startswith(self.prefixes):
            return True
        for glob in self.globs:
            if glob.matches(text):
                return True
        for template in self.templates:
            resolved = template.resolve(facts)
            if unresolved if resolved is None else resolved.matches(text):
                return True
        return False
