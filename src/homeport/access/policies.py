"""IAM policy documents: JSON text in, frozen compiled values out.

Three kinds are read: identity policies (also session policies and permissions boundaries), repository
policies and registry policies. Whatever is not understood is refused here, when the policy is written, since
an ignored element could silently widen access. This room does not decide requests (`evaluate.py`) and does
no I/O. Contract: IAM User Guide "IAM JSON policy element reference" and "Grammar of the IAM JSON policy
language"; ECR SetRepositoryPolicy and PutRegistryPolicy for the error texts.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from homeport.access.conditions import Absence, Condition, compile_condition
from homeport.access.context_keys import PolicyFault
from homeport.access.patterns import Facts, Patterns, Variable, tokens_of
from homeport.kernel.errors import InvalidParameter
from homeport.kernel.limits import POLICY_CHARS

DEPTH: Final = 12  # ours: a Condition value in a list sits at depth 6
RAW_CHARS: Final = 131_072  # IAM model: policyDocumentType; white space does not count towards POLICY_CHARS
CACHED: Final = 256  # ours: compiled policies kept; 15 times its text each, 1 MB for a hostile one (measured)

_VERSIONS: Final = ("2008-10-17", "2012-10-17")
_SID: Final = re.compile(r"[A-Za-z0-9]{0,128}")
_RESOURCE_SID: Final = re.compile(r"[ -~]{0,256}")  # the ECR console writes Sids such as "new statement"
_ACTION: Final = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}")
_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9][a-z0-9-]{0,62}){1,7}")
_FEDERATED: Final = re.compile(r"[A-Za-z0-9:/._@+=,-]{1,2048}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_NAME: Final = r"[A-Za-z0-9_+=,.@-]{1,128}"
_PRINCIPAL_ARN: Final = re.compile(
    r"(?P<partition>arn:aws(?:-[a-z]{1,8}){0,3}):(?P<service>iam|sts)::(?P<account>[0-9]{12}):"
    rf"(?P<kind>root|user|role|assumed-role|federated-user)(?P<path>(?:/{_NAME}){{0,32}})"
)


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a resource policy names. Roles are kept without their path, as an assumed-role ARN shows them."""

    everyone: bool = False
    accounts: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()  # user, role session and federated user ARNs
    roles: frozenset[str] = frozenset()  # arn:aws:iam::<account>:role/<name>
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Statement:
    """One compiled statement; `principals` is None in an identity policy, `resources` where there is none."""

    sid: str
    allow: bool
    actions: Patterns
    not_actions: bool
    resources: Patterns | None
    not_resources: bool
    principals: Principals | None
    not_principals: bool
    conditions: tuple[Condition | Absence, ...]

    def covers(self, action: str, resource: str, facts: Facts) -> bool:
        """True when action, resource and conditions apply; the principal is `evaluate.py`'s question.

        `action` in lower case (IAM: not case-sensitive), `resource` an ARN or "*" as it is.
        """
        if self.actions.matches(action, facts) is self.not_actions:
            return False
        if self.resources is not None:
            # A variable without a value matches no Resource. Under NotResource that would turn "all but
            # mine" into "all", so there an Allow is taken not to apply and a Deny to apply.
            unresolved = self.not_resources and self.allow
            if self.resources.matches(resource, facts, unresolved=unresolved) is self.not_resources:
                return False
        return not self.conditions or all(condition.holds(facts) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled document, split by effect because every Deny is looked at before any Allow."""

    version: str
    denies: tuple[Statement, ...]
    allows: tuple[Statement, ...]


def parse_identity_policy(text: str) -> Policy:
    """Read a policy that is attached to a user, role or session, or used as a permissions boundary.

    At most 10,240 characters without white space. Raises InvalidParameter('PolicyDocument', <reason>).
    """
    try:
        _measure(text, len("".join(text.split())))
        return _policy(text, resource_policy=False, has_resource=True)
    except PolicyFault as fault:
        _refuse("PolicyDocument", f"Invalid policy document: {fault}", fault)


def parse_repository_policy(text: str, service: str = "ecr:") -> Policy:
    """Read a repository policy: statements name principals; a Resource is checked and has no effect.

    Its actions are of `service`, which for public repositories is `ecr-public:`. At most 10,240 characters. Raises
    InvalidParameter('PolicyText', 'Invalid repository policy provided'); the exact reason is the error's note and its
    __cause__, for logs.
    """
    try:
        _measure(text, len(text))
        return _policy(text, resource_policy=True, has_resource=False, service=service)
    except PolicyFault as fault:
        _refuse("PolicyText", "Invalid repository policy provided", fault)


def parse_registry_policy(text: str) -> Policy:
    """Read a registry policy: statements name principals and resources.

    At most 10,240 characters. Raises InvalidParameter('PolicyText', 'Invalid registry policy provided') as
    `parse_repository_policy` does.
    """
    try:
        _measure(text, len(text))
        return _policy(text, resource_policy=True, has_resource=True)
    except PolicyFault as fault:
        _refuse("PolicyText", "Invalid registry policy provided", fault)


def parse_role_trust_policy(text: str) -> Policy:
    """Read a role's trust policy: statements name principals and actions of STS, and no resource.

    Raises PolicyFault; `trust.py` words the error.
    """
    _measure(text, len("".join(text.split())))
    return _policy(text, resource_policy=True, has_resource=False, service="sts:")


# A policy read from the database is compiled once and shared; refusals are not cached.
compiled_identity_policy = functools.lru_cache(maxsize=CACHED)(parse_identity_policy)
compiled_repository_policy = functools.lru_cache(maxsize=CACHED)(parse_repository_policy)
compiled_role_trust_policy = functools.lru_cache(maxsize=CACHED)(parse_role_trust_policy)
compiled_registry_policy = functools.lru_cache(maxsize=CACHED)(parse_registry_policy)


def _refuse(parameter: str, constraint: str, fault: PolicyFault) -> NoReturn:
    error = InvalidParameter(parameter, constraint)
    error.add_note(str(fault))
    raise error from fault


def _measure(text: str, counted: int) -> None:
    if counted > POLICY_CHARS or len(text) > RAW_CHARS:
        raise PolicyFault(f"longer than {POLICY_CHARS} characters")
    depth, quoted, escaped = 0, False, False
    for character in text:  # before json: its scanner recurses once a level
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > DEPTH:
                raise PolicyFault(f"nested deeper than {DEPTH}")
        elif character in "]}":
            depth -= 1


class _Number(str):
    """A JSON number or boolean as text: fine as a condition value, wrong everywhere else."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PolicyFault("an object has the same member twice")
    return found


def _constant(name: str) -> NoReturn:
    raise PolicyFault(f"{name} is not JSON")


def _policy(text: str, *, resource_policy: bool, has_resource: bool, service: str = "ecr:") -> Policy:
    try:
        # Numbers stay text: no rounding, and no cost for a number of ten thousand digits.
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise PolicyFault(f"not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(document, dict):
        raise PolicyFault("a policy is a JSON object")
    _members(document, ("Version", "Id", "Statement"), "the policy")
    version = document.get("Version", _VERSIONS[0])  # IAM "Version": absent means 2008-10-17
    if version not in _VERSIONS or not isinstance(version, str):
        raise PolicyFault("Version is 2008-10-17 or 2012-10-17")
    if "Id" in document:
        _string(document["Id"], "Id")
    raw = document.get("Statement")
    items = raw if isinstance(raw, list) else [raw]
    if not items:
        raise PolicyFault("Statement is empty")
    statements: list[Statement] = []
    sids: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise PolicyFault("Statement is an object or a list of objects")
        try:
            reader = _Reader(item, version == "2012-10-17", resource_policy, has_resource, service)
            statement = reader.statement()
            if statement.sid and statement.sid in sids:
                raise PolicyFault(f"Sid {statement.sid!r} is used twice")
        except PolicyFault as fault:
            raise PolicyFault(f"statement {index + 1}: {fault}") from None
        if not resource_policy:  # IAM asks for unique Sids; ECR documents no such rule
            sids.add(statement.sid)
        statements.append(statement)
    return Policy(
        version,
        tuple(statement for statement in statements if not statement.allow),
        tuple(statement for statement in statements if statement.allow),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one statement."""

    item: Mapping[str, object]
    variables: bool
    resource_policy: bool
    has_resource: bool
    service: str  # whose actions a resource policy is about

    def statement(self) -> Statement:
        allowed = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"]
        if self.resource_policy:
            allowed += ["Principal", "NotPrincipal"]
        _members(self.item, allowed, "the statement")
        sid = _string(self.item.get("Sid", ""), "Sid")
        if not (_RESOURCE_SID if self.resource_policy else _SID).fullmatch(sid):
            raise PolicyFault("Sid has characters that are not allowed")
        effect = self.item.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise PolicyFault("Effect is Allow or Deny")
        allow = effect == "Allow"
        action_member = self._one_of("Action", "NotAction")
        actions = [self._action(value) for value in _strings(self.item[action_member], action_member)]
        resources, not_resources = self._resources()
        principals, not_principals = self._principals(allow)
        return Statement(
            sid,
            allow,
            Patterns.of(tokens_of(action, variables=False) for action in actions),
            action_member == "NotAction",
            resources,
            not_resources,
            principals,
            not_principals,
            tuple(self._conditions()),
        )

    def _one_of(self, member: str, negated: str) -> str:
        present = [name for name in (member, negated) if name in self.item]
        if len(present) != 1:
            raise PolicyFault(f"needs exactly one of {member} and {negated}")
        return present[0]

    def _action(self, value: str) -> str:
        if value == "*":
            return value
        if not _ACTION.fullmatch(value):
            raise PolicyFault(f"{value[:80]!r} is not an action such as ecr:BatchGetImage")
        lowered = value.lower()
        if self.resource_policy and not lowered.startswith(self.service):
            raise PolicyFault(f"{value[:80]!r} is not an action of this service")
        return lowered

    def _resources(self) -> tuple[Patterns | None, bool]:
        if not self.has_resource and not {"Resource", "NotResource"} & self.item.keys():
            return None, False
        if self.service == "sts:":
            raise PolicyFault("Has prohibited field Resource")
        member = self._one_of("Resource", "NotResource")
        patterns = []
        for value in _strings(self.item[member], member):
            tokens = tokens_of(value, variables=self.variables)
            before = ""
            for token in tokens:
                if isinstance(token, Variable):
                    break
                before += token if isinstance(token, str) else token.value
            # IAM "Variables and tags": "only in the resource portion of the ARN", after the fifth colon.
            if value != "*" and not before.startswith("arn:"):
                raise PolicyFault(f"{value[:80]!r} is neither * nor an ARN")
            if any(isinstance(token, Variable) for token in tokens) and before.count(":") < 5:
                raise PolicyFault("a variable stands only after the fifth colon of a Resource")
            # IAM "Resource": a `*` that ends a segment "can expand to match beyond the colon boundaries",
            # and `*` always covers `/`. Every `*` does so here. A `*` inside a segment could differ only if
            # the text it covers had a colon to spare, and a registry ARN has none beyond its five.
            patterns.append(tokens)
        if not self.has_resource:
            return None, False  # a repository policy is about its repository and nothing else
        return Patterns.of(patterns), member == "NotResource"

    def _principals(self, allow: bool) -> tuple[Principals | None, bool]:
        if not self.resource_policy:
            return None, False
        member = self._one_of("Principal", "NotPrincipal")
        negated = member == "NotPrincipal"
        if negated and allow:
            # IAM "NotPrincipal": "Using it with Effect: Allow is not supported" - it would let anyone in.
            raise PolicyFault("NotPrincipal is used only with Effect Deny")
        value = self.item[member]
        if value == "*":
            return Principals(everyone=True), negated
        if not isinstance(value, dict) or not value:
            raise PolicyFault(f"{member} is * or an object of AWS, Service or Federated")
        _members(value, ("AWS", "Service", "Federated"), member)
        everyone = False
        accounts, identities, roles = set[str](), set[str](), set[str]()
        for name in _strings(value["AWS"], "AWS") if "AWS" in value else ():
            arn = _PRINCIPAL_ARN.fullmatch(name)
            if name == "*":
                everyone = True
            elif _ACCOUNT.fullmatch(name):
                accounts.add(name)
            elif arn is None or not _well_formed(arn["service"], arn["kind"], arn["path"].count("/")):
                # A part of a name cannot be a wildcard (IAM "Principal").
                raise PolicyFault(f"{name[:80]!r} is not a principal")
            elif arn["kind"] == "root":
                accounts.add(arn["account"])
            elif arn["kind"] == "role":
                last = arn["path"].rpartition("/")[2]
                roles.add(f"{arn['partition']}:iam::{arn['account']}:role/{last}")
            else:
                identities.add(name)
        services = self._named(value, "Service", _SERVICE)
        federated = self._named(value, "Federated", _FEDERATED)
        found = Principals(
            everyone, frozenset(accounts), frozenset(identities), frozenset(roles), services, federated
        )
        return found, negated

    def _named(self, value: Mapping[str, object], kind: str, shape: re.Pattern[str]) -> frozenset[str]:
        names = _strings(value[kind], kind) if kind in value else []
        for name in names:
            if not shape.fullmatch(name):
                raise PolicyFault(f"{name[:80]!r} is not a {kind} principal")
        return frozenset(names)

    def _conditions(self) -> Iterator[Condition | Absence]:
        block = self.item.get("Condition", {})
        if not isinstance(block, dict):
            raise PolicyFault("Condition is an object")
        for operator, entries in block.items():
            if not isinstance(entries, dict) or not entries:
                raise PolicyFault(f"condition operator {operator[:80]!r} needs an object of keys")
            if len({key.lower() for key in entries}) != len(entries):
                raise PolicyFault(f"condition operator {operator[:80]!r} has the same key twice")
            for key, raw in entries.items():
                values = [_scalar(value, key) for value in (raw if isinstance(raw, list) else [raw])]
                yield compile_condition(operator, key, values, variables=self.variables)


def _well_formed(service: str, kind: str, names: int) -> bool:
    if service == "iam":
        return (kind == "root" and names == 0) or (kind in ("user", "role") and names >= 1)
    return (kind == "assumed-role" and names == 2) or (kind == "federated-user" and names == 1)


def _members(found: Mapping[str, object], allowed: Sequence[str], where: str) -> None:
    for name in found:
        if name not in allowed:
            raise PolicyFault(f"{where} has an unknown element {name[:80]!r}")


def _string(value: object, name: str) -> str:
    if not isinstance(value, str) or isinstance(value, _Number):
        raise PolicyFault(f"{name} is not a string")
    return value


def _strings(value: object, name: str) -> list[str]:
    items = [_string(item, name) for item in (value if isinstance(value, list) else [value])]
    if not items:
        raise PolicyFault(f"{name} is empty")
    return items


def _scalar(value: object, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise PolicyFault(f"condition key {key[:80]!r} needs strings, numbers or booleans")
    return str(value)
