"""The small languages inside a policy statement: wildcards, `${variables}` and condition operators.

Everything is compiled when a policy is parsed; deciding a request only runs compiled values. This room does
no I/O, reads no clock and knows neither callers nor HTTP: a request is a `Facts`, a look-up of context keys.
Contract: IAM User Guide, "Condition operators", "Single-valued vs. multivalued context keys", "Variables and
tags" and "Resource". A condition that cannot be understood is refused when written, never ignored.
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, TypeVar

T = TypeVar("T")


class PolicyFault(ValueError):
    """What exactly is wrong with a policy text; `policies.py` turns it into InvalidParameter."""


class Facts(Protocol):
    """The request context: values of a context key (lower case), or None when it has no value."""

    def get(self, key: str) -> tuple[str, ...] | None: ...


# Wildcards ---------------------------------------------------------------------------------------------


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


# Context keys ------------------------------------------------------------------------------------------

# IAM User Guide, "AWS global condition context keys". A misspelt key (aws:SourcIp) would silently disarm a
# Deny, so aws: and ecr: keys are known one by one; the other services only by their prefix.
_AWS_NAMES: Final = """
    assumedroot calledvia calledviafirst calledvialast chatbotsourcearn currenttime
    ec2instancesourceprivateipv4 ec2instancesourcevpc epochtime federatedprovider ismcpserviceaction
    multifactorauthage multifactorauthpresent principalaccount principalarn principalisawsservice
    principalorgid principalorgpaths principalservicename principalservicenameslist principaltype
    referer requestedregion resourceaccount resourceorgid resourceorgpaths securetransport sourceaccount
    sourcearn sourceidentity sourceip sourceorgid sourceorgpaths sourceowner sourcevpc sourcevpcarn
    sourcevpce tagkeys tokenissuetime useragent userid username viaawsmcpservice viaawsservice
    vpceaccount vpceorgid vpceorgpaths vpcsourceip
"""
_AWS_KEYS: Final = frozenset("aws:" + name for name in _AWS_NAMES.split())
_ECR_KEYS: Final = frozenset({"ecr:accountsetting"})  # Service Authorization Reference, Amazon ECR
_OPEN_PREFIXES: Final = (
    "aws:principaltag/",
    "aws:requesttag/",
    "aws:resourcetag/",
    "ecr:resourcetag/",
    "ecr-public:resourcetag/",
    "sts:",
    "iam:",
    "kms:",
    "signer:",
    "secretsmanager:",
)
_KEY_CHARS: Final = 300  # ours: a prefix and a tag key of 128 characters fit with room


def known_key(name: str) -> str:
    """The context key in lower case (IAM: key names are not case-sensitive).

    Raises PolicyFault for a key that no request to this service can carry.
    """
    key = name.lower()
    if key in _AWS_KEYS or key in _ECR_KEYS:
        return key
    if len(key) <= _KEY_CHARS and key.startswith(_OPEN_PREFIXES) and key not in _OPEN_PREFIXES:
        return key
    raise PolicyFault(f"unknown condition key {name[:80]!r}")


# Operators ---------------------------------------------------------------------------------------------


class Matcher(Protocol):
    """The values of one condition entry; alternatives, as IAM joins them with OR."""

    def matches(self, value: str, facts: Facts) -> bool: ...


@dataclass(frozen=True, slots=True)
class Text:
    """String operators; with `fold`, case does not matter."""

    patterns: Patterns
    templates: tuple[Template, ...]  # only with fold: resolved values have to be lowered too
    fold: bool

    def matches(self, value: str, facts: Facts) -> bool:
        if not self.fold:
            return self.patterns.matches(value, facts)
        value = value.lower()
        if self.patterns.matches(value, facts):
            return True
        for template in self.templates:
            resolved = template.resolve(facts)
            if resolved is not None and "".join(resolved.segments[0].parts).lower() == value:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Arns:
    """ARN operators: "Each of the six colon-delimited components of the ARN is checked separately"."""

    alternatives: tuple[tuple[Patterns, ...], ...]

    def matches(self, value: str, facts: Facts) -> bool:
        parts = value.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn":
            return False
        return any(
            all(pattern.matches(part, facts) for pattern, part in zip(patterns, parts, strict=True))
            for patterns in self.alternatives
        )


@dataclass(frozen=True, slots=True)
class Ordered:
    """Numeric and Date operators: both sides become a Decimal (of seconds, for dates)."""

    read: Callable[[str], Decimal | None]
    compare: str
    bounds: tuple[Decimal, ...]

    def matches(self, value: str, facts: Facts) -> bool:
        number = self.read(value)
        if number is None:
            return False
        match self.compare:
            case "LessThan":
                return any(number < bound for bound in self.bounds)
            case "LessThanEquals":
                return any(number <= bound for bound in self.bounds)
            case "GreaterThan":
                return any(number > bound for bound in self.bounds)
            case "GreaterThanEquals":
                return any(number >= bound for bound in self.bounds)
            case _:
                return number in self.bounds


@dataclass(frozen=True, slots=True)
class OneOf:
    """Bool and BinaryEquals: equality after reading both sides."""

    read: Callable[[str], bytes | None]
    values: frozenset[bytes]

    def matches(self, value: str, facts: Facts) -> bool:
        return self.read(value) in self.values


@dataclass(frozen=True, slots=True)
class Networks:
    """IP operators: (version, network, mask) as integers."""

    ranges: tuple[tuple[int, int, int], ...]

    def matches(self, value: str, facts: Facts) -> bool:
        address = _address(value) if len(value) <= _ADDRESS_CHARS else None
        if address is None:
            return False
        version, number = address
        return any(version == v and number & mask == network for v, network, mask in self.ranges)


_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_EPOCH: Final = re.compile(r"[0-9]{5,12}(?:\.[0-9]{1,9})?")
_DATE: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?)?"
)
_ADDRESS_CHARS: Final = 64  # ours: an IPv6 address with a zone is shorter
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> Decimal | None:
    """Seconds since 1970 of a W3C date-time (a date alone is its midnight UTC) or of epoch seconds."""
    if _EPOCH.fullmatch(text):
        return Decimal(text)
    shape = _DATE.fullmatch(text)
    if shape is None:
        return None
    year, month, day, time = shape.groups()
    try:
        moment = datetime.fromisoformat(f"{year}-{month or '01'}-{day or '01'}{time or 'T00:00Z'}")
    except ValueError:
        return None
    elapsed = moment - _START
    return Decimal(elapsed.days * 86400 + elapsed.seconds) + Decimal(elapsed.microseconds) / 1_000_000


def _boolean(text: str) -> bytes | None:
    lowered = text.lower()
    return lowered.encode() if lowered in ("true", "false") else None


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@functools.lru_cache(maxsize=1_024)
def _address(text: str) -> tuple[int, int] | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows 203.0.113.9 as ::ffff:203.0.113.9; both are the same client.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def _network(text: str) -> tuple[int, int, int]:
    address, slash, prefix = text.partition("/")
    try:
        if "%" in address or (slash and not (prefix.isascii() and prefix.isdigit())):
            raise ValueError
        network: IPv4Network | IPv6Network = ip_network(text, strict=False)
        mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
        if mapped is not None and network.prefixlen >= 96:
            network = IPv4Network((int(mapped), network.prefixlen - 96))
    except ValueError:
        raise PolicyFault(f"{text[:80]!r} is not an IP address or CIDR range") from None
    return network.version, int(network.network_address), int(network.netmask)


def _read_all(read: Callable[[str], T | None], values: Sequence[str], kind: str) -> list[T]:
    found: list[T] = []
    for value in values:
        item = read(value)
        if item is None:
            raise PolicyFault(f"{value[:80]!r} is not a {kind}")
        found.append(item)
    return found


def _text(values: Sequence[str], variables: bool, *, like: bool, fold: bool) -> Text:
    compiled = [tokens_of(value, variables=variables, wildcards=like) for value in values]
    if not fold:
        return Text(Patterns.of(compiled), (), False)
    moving = [tokens for tokens in compiled if any(isinstance(token, Variable) for token in tokens)]
    fixed = ["".join(str(token) for token in tokens).lower() for tokens in compiled if tokens not in moving]
    return Text(
        Patterns.of((text,) if text else () for text in fixed),
        tuple(Template(tokens) for tokens in moving),
        True,
    )


def _arn(value: str, variables: bool) -> tuple[Patterns, ...]:
    parts: list[list[Token]] = [[]]
    for token in tokens_of(value, variables=variables):
        if isinstance(token, str):  # a colon inside a variable's name or value separates nothing
            head, *rest = token.split(":", 6 - len(parts))
            parts[-1].append(head)
            parts.extend([piece] for piece in rest)
        else:
            parts[-1].append(token)
    if parts == [[Wild.MANY]]:
        parts = [["arn"], [Wild.MANY], [Wild.MANY], [Wild.MANY], [Wild.MANY], [Wild.MANY]]
    if len(parts) != 6:
        raise PolicyFault(f"{value[:80]!r} is not an ARN of six parts")
    return tuple(Patterns.of([tuple(token for token in part if token != "")]) for part in parts)


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one context key."""

    key: str
    matcher: Matcher = field(repr=False)
    negated: bool
    every: bool  # ForAllValues:
    some: bool  # ForAnyValue:
    if_exists: bool

    def holds(self, facts: Facts) -> bool:
        """True when the request satisfies the condition."""
        values = facts.get(self.key)
        matcher, negated = self.matcher, self.negated
        if not values:  # absent, or an empty list: "the key exists and its value is not null" is false
            if self.some:
                return self.if_exists
            return negated or self.every or self.if_exists
        if self.every:
            return all(matcher.matches(value, facts) != negated for value in values)
        if self.some:
            return any(matcher.matches(value, facts) != negated for value in values)
        return any(matcher.matches(value, facts) for value in values) != negated


@dataclass(frozen=True, slots=True)
class Absence:
    """The Null operator: true = the key has no value, false = it has one."""

    key: str
    wanted: frozenset[bytes]

    def holds(self, facts: Facts) -> bool:
        """True when the key's absence or presence is what the policy asks for."""
        return (b"false" if facts.get(self.key) else b"true") in self.wanted


def compile_condition(
    operator: str, key: str, values: Sequence[str], *, variables: bool
) -> Condition | Absence:
    """Compile one entry of a Condition block.

    `operator` as written (`ForAnyValue:StringLikeIfExists`), `values` its alternatives as text, `variables`
    False for Version 2008-10-17. Raises PolicyFault for an unknown operator or key, or an unreadable value.
    """
    name = known_key(key)
    if not values:
        raise PolicyFault(f"condition key {key[:80]!r} has no values")
    prefix, colon, base = operator.rpartition(":")
    if operator == "Null":
        return Absence(name, frozenset(_read_all(_boolean, values, "boolean")))
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if (colon and prefix not in ("ForAllValues", "ForAnyValue")) or base not in _NEGATED:
        raise PolicyFault(f"unknown condition operator {operator[:80]!r}")
    return Condition(
        name,
        _matcher(base, values, variables),
        _NEGATED[base],
        prefix == "ForAllValues",
        prefix == "ForAnyValue",
        if_exists,
    )


_ORDER: Final = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_NEGATED: Final[dict[str, bool]] = {
    **dict.fromkeys(("StringEquals", "StringEqualsIgnoreCase", "StringLike"), False),
    **dict.fromkeys(("StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike"), True),
    **{f"{family}{order}": order == "NotEquals" for family in ("Numeric", "Date") for order in _ORDER},
    **dict.fromkeys(("Bool", "BinaryEquals", "IpAddress", "ArnEquals", "ArnLike"), False),
    **dict.fromkeys(("NotIpAddress", "ArnNotEquals", "ArnNotLike"), True),
}


def _matcher(base: str, values: Sequence[str], variables: bool) -> Matcher:
    if base.startswith("String"):
        return _text(values, variables, like=base.endswith("Like"), fold=base.endswith("IgnoreCase"))
    if base.startswith("Arn"):
        return Arns(tuple(_arn(value, variables) for value in values))
    if base.startswith("Numeric"):
        return Ordered(_number, base.removeprefix("Numeric"), tuple(_read_all(_number, values, "number")))
    if base.startswith("Date"):
        return Ordered(_date, base.removeprefix("Date"), tuple(_read_all(_date, values, "date")))
    if base == "Bool":
        return OneOf(_boolean, frozenset(_read_all(_boolean, values, "boolean")))
    if base == "BinaryEquals":
        return OneOf(_binary, frozenset(_read_all(_binary, values, "base64 value")))
    return Networks(tuple(_network(value) for value in values))
