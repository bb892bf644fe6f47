"""What would be decided: policies against actions that nobody performs, by the very code that decides requests.

Pure: policies and facts go in, outcomes come out. IAM API Reference, SimulateCustomPolicy and SimulatePrincipalPolicy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.decoder import WHITESPACE, scanstring  # type: ignore[attr-defined]
from typing import Final, Literal

from homeport.access import policies
from homeport.access.evaluate import Ask, Caller, Decision, evaluate
from homeport.access.policies import Policy
from homeport.kernel.errors import InvalidEntityInput, InvalidParameter

Verdict = Literal["allowed", "explicitDeny", "implicitDeny"]

_VARIABLE: Final = re.compile(r"\$\{\s*([^},*?$\s][^},]*?)\s*[},]")
_ARN_ACCOUNT: Final = re.compile(r"arn:[^:]*:[^:]*:[^:]*:([0-9]{12}):")
_EVERYTHING: Final = policies.parse_identity_policy(
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement begins or ends in the text of its policy."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Part:
    """One statement as a policy of its own, where it stands, and the context keys that it asks for."""

    policy: Policy
    start: Place
    end: Place
    keys: tuple[str, ...]

    @property
    def allows(self) -> bool:
        """Whether its effect is Allow."""
        return bool(self.policy.allows)

    def is_about(self, action: str) -> bool:
        """Whether it speaks of `action` at all."""
        (statement,) = self.policy.allows or self.policy.denies
        return statement.actions.matches(action.lower(), _NO_FACTS) is not statement.not_actions


@dataclass(frozen=True, slots=True)
class Source:
    """A policy that takes part: its name, its kind as IAM calls it, and its statements."""

    name: str
    kind: str
    parts: tuple[Part, ...]

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Its statements as policies, which together say what it says."""
        return tuple(part.policy for part in self.parts)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything but the action and the resource.

    `boundary` and `resource` are None when there are none; `levels` are the policies of each level of an organisation,
    all of which have to allow. `known` are context keys, in lower case, that the caller answers. `owner` is the account
    of resources whose ARN names none.
    """

    caller: Caller
    identity: tuple[Source, ...]
    boundary: tuple[Source, ...] | None
    resource: Source | None
    levels: tuple[tuple[Source, ...], ...]
    context: Mapping[str, tuple[str, ...]]
    known: frozenset[str]
    owner: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one action on one resource."""

    action: str
    resource: str
    verdict: Verdict
    matched: tuple[tuple[Source, Part], ...]
    missing: tuple[str, ...]
    in_boundary: bool | None
    in_organisation: bool | None


def read(text: str, name: str, kind: str, parse: Callable[[str], Policy] | None = None) -> Source:
    """Read an identity policy, or what `parse` reads. Errors: InvalidEntityInput for what is no policy."""
    parser = parse or policies.parse_identity_policy
    try:
        parser(text)
        version, spans = _statements(text)
        return Source(name, kind, tuple(_part(text, version, span, parser) for span in spans))
    except InvalidParameter as error:
        raise InvalidEntityInput(f"Invalid Input Policy: {error.__cause__ or error.message}") from error


def read_resource_policy(text: str) -> Source:
    """Read a policy of a registry, or of a repository when no statement has a resource. Errors: InvalidEntityInput."""
    try:
        policies.parse_registry_policy(text)
    except InvalidParameter:
        return read(text, "ResourcePolicy", "resource", policies.parse_repository_policy)
    return read(text, "ResourcePolicy", "resource", policies.parse_registry_policy)


def decide(scenario: Scenario, action: str, resource: str) -> Outcome:
    """Return what `scenario` decides about `action` on `resource`."""
    account = _owner(scenario, resource)
    ask = Ask(action, resource, scenario.context)
    identity = _joined(scenario.identity)
    boundary = _joined(scenario.boundary) if scenario.boundary is not None else None
    resources = scenario.resource.policies if scenario.resource is not None else ()
    decision = evaluate(
        scenario.caller,
        ask,
        resource_account=account,
        identity=identity,
        resource=resources,
        boundary=boundary,
    )
    in_boundary = _within(scenario, ask, boundary) if boundary is not None else None
    in_organisation = None
    if scenario.levels:
        levels = [_alone(scenario, ask, _joined(level)) for level in scenario.levels]
        in_organisation = all(level.allowed for level in levels)
        if _verdict(decision) != "explicitDeny":
            decision = next((level for level in levels if not level.allowed), decision)
    verdict = _verdict(decision)
    parts = [(source, part) for source in scenario.identity for part in source.parts if part.is_about(action)]
    if scenario.boundary is not None:
        parts += [
            (source, part) for source in scenario.boundary for part in source.parts if part.is_about(action)
        ]
    matched = tuple(_matched(scenario, ask, account, verdict, parts))
    about = [part for _, part in parts]
    if scenario.resource is not None:
        about += [part for part in scenario.resource.parts if part.is_about(action)]
    given = {key.lower() for key in scenario.context} | scenario.known
    missing = dict.fromkeys(key for part in about for key in part.keys if key.lower() not in given)
    return Outcome(action, resource, verdict, matched, tuple(missing), in_boundary, in_organisation)


def _matched(
    scenario: Scenario,
    ask: Ask,
    account: str,
    verdict: Verdict,
    parts: Sequence[tuple[Source, Part]],
) -> Iterator[tuple[Source, Part]]:
    """The statements that made the verdict: those that allow, or only those that deny."""
    if verdict == "implicitDeny":
        return
    for source, part in parts:
        if part.allows is not (verdict == "allowed"):
            continue
        if _verdict(_alone(scenario, ask, (part.policy,))) == verdict:
            yield source, part
    for part in scenario.resource.parts if scenario.resource is not None else ():
        if part.allows is not (verdict == "allowed"):
            continue
        # An Allow counts when it lets the caller in from outside; a Deny when it stops who may do everything.
        said = _verdict(
            evaluate(
                scenario.caller,
                ask,
                resource_account="" if part.allows else account,
                identity=(_EVERYTHING,),
                resource=(part.policy,),
            )
        )
        if said == verdict and scenario.resource is not None:
            yield scenario.resource, part


def _within(scenario: Scenario, ask: Ask, boundary: Sequence[Policy]) -> bool:
    return _alone(scenario, ask, boundary).allowed


def _alone(scenario: Scenario, ask: Ask, found: Sequence[Policy]) -> Decision:
    """What these policies say by themselves about the caller's own account."""
    return evaluate(scenario.caller, ask, resource_account=scenario.caller.account, identity=found)


def _verdict(decision: Decision) -> Verdict:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if " with an explicit deny " in decision.reason else "implicitDeny"


def _owner(scenario: Scenario, resource: str) -> str:
    """Whose resource it is. Without a policy on it only the caller's side is simulated, as IAM does."""
    if scenario.resource is None:
        return scenario.caller.account
    named = _ARN_ACCOUNT.match(resource)
    return named[1] if named is not None else scenario.owner


def _joined(sources: Sequence[Source]) -> tuple[Policy, ...]:
    return tuple(policy for source in sources for policy in source.policies)


def _part(text: str, version: str, span: tuple[int, int], parse: Callable[[str], Policy]) -> Part:
    begin, end = span
    alone = parse(f'{{"Version":{json.dumps(version)},"Statement":{text[begin:end]}}}')
    start, finish = _place(text, begin), _place(text, end)
    # IAM counts the beginning after the brace, as its documentation's examples show.
    return Part(alone, Place(start.line, start.column + 1), finish, _keys(text[begin:end], version))


def _place(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


def _keys(statement: str, version: str) -> tuple[str, ...]:
    block = json.loads(statement).get("Condition", {})
    found = [key for entries in block.values() for key in entries]
    if version == "2012-10-17":  # before, `${` was plain text
        found += _VARIABLE.findall(statement)
    once = {key.lower(): key for key in reversed(found)}
    return tuple(once.values())


def _statements(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The version and where each statement stands, of a text that has been read as a policy already."""
    decoder, version = json.JSONDecoder(), "2008-10-17"
    spans: list[tuple[int, int]] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1)
        at = _skip(text, _skip(text, at) + 1)  # over the colon
        value, end = decoder.raw_decode(text, at)
        if name == "Version":
            version = value
        elif name == "Statement" and isinstance(value, list):
            inside = _skip(text, at + 1)
            while text[inside] != "]":
                _, last = decoder.raw_decode(text, inside)
                spans.append((inside, last))
                inside = _skip(text, last)
                inside = _skip(text, inside + 1) if text[inside] == "," else inside
        elif name == "Statement":
            spans.append((at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return version, spans


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    match = WHITESPACE.match(text, at)
    return match.end() if match is not None else at


class _NoFacts:
    """A request that says nothing: patterns of actions ask for nothing."""

    def get(self, key: str) -> tuple[str, ...] | None:
        return None


_NO_FACTS: Final = _NoFacts()
