"""Conditions of a policy statement: the context keys that may be named and the operators that compare them.

Everything is compiled when a policy is parsed; deciding a request only runs compiled values. A condition that cannot be
understood is refused when written, never ignored.
Contract: IAM User Guide, "Condition operators" and "Single-valued vs. multivalued context keys".
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, TypeVar

from homeport.access.context_keys import PolicyFault, known_key
from homeport.access.patterns import (
    Facts,
    Patterns,
    Template,
    Token,
    Variable,
    Wild,
    tokens_of,
)

T = TypeVar("T")

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
