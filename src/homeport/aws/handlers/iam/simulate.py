"""Simulation of policies. IAM API Reference, SimulateCustomPolicy and SimulatePrincipalPolicy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from homeport.access.evaluate import Caller
from homeport.aws.call import Answer, Call, Params
from homeport.aws.handlers.iam import pages
from homeport.aws.handlers.iam.answers import require_entity
from homeport.iam import simulate, simulate_sources
from homeport.iam.entities import Kind
from homeport.iam.simulate import Outcome, Place, Scenario, Source
from homeport.kernel.errors import InvalidEntityInput

_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9]{1,63}", re.ASCII)
_OWNER = re.compile(r"(?:arn:aws:iam::)?([0-9]{12})(?::root|:user/.+)?", re.ASCII)
_OF_CALLER = frozenset({"aws:principalarn", "aws:principalaccount", "aws:userid", "aws:username"})


async def simulate_custom_policy(call: Call) -> Answer:
    """SimulateCustomPolicy: policies that are not attached to anybody."""
    require_entity(call, "*")
    params = call.params
    context = _context(params)
    caller, known = _custom_caller(params, context)
    return await _answer(call, caller, known, _inputs(params), None, context)


async def simulate_principal_policy(call: Call) -> Answer:
    """SimulatePrincipalPolicy: the policies of a user, group or role, and further ones."""
    params, db = call.params, call.region.db
    require_entity(call, params["PolicySourceArn"])
    context = _context(params)
    subject = await simulate_sources.subject(db, call.principal.caller.account, params["PolicySourceArn"])
    without = _excluded(params)
    caller, known = subject.caller, subject.known
    if params.get("CallerArn") is not None or subject.entity.kind is Kind.GROUP:
        caller, known = _custom_caller(params, context)
    if params.get("ResourcePolicy") is not None and caller.kind != "user":
        raise InvalidEntityInput(
            "CallerArn must be provided when ResourcePolicy is and the source is not a user."
        )
    found = await simulate_sources.identity(db, subject, without)
    boundary = await simulate_sources.boundary(db, subject, without)
    return await _answer(call, caller, known, (*found, *_inputs(params)), boundary, context)


async def _answer(
    call: Call,
    caller: Caller,
    known: frozenset[str],
    identity: tuple[Source, ...],
    boundary: tuple[Source, ...] | None,
    context: Mapping[str, tuple[str, ...]],
) -> Answer:
    params = call.params
    texts = params.get("PermissionsBoundaryPolicyInputList") or []
    if len(texts) > 1:
        raise InvalidEntityInput("Only one permissions boundary policy can be simulated.")
    if texts:
        boundary = (simulate.read(texts[0], "PermissionsBoundaryPolicyInputList.1", "none"),)
    resource_policy = params.get("ResourcePolicy")
    scenario = Scenario(
        caller,
        identity,
        boundary,
        simulate.read_resource_policy(resource_policy) if resource_policy is not None else None,
        tuple(_levels(params)),
        context,
        known,
        _owner(params, caller),
    )
    named: list[str] = params.get("ResourceArns") or []
    for action in params["ActionNames"]:
        if not _ACTION.fullmatch(action):
            raise InvalidEntityInput(f"Invalid Action: {action[:128]}")
    asked = [(action, resource) for action in params["ActionNames"] for resource in named or ["*"]]

    def shown(pair: tuple[str, str]) -> dict[str, Any]:
        return _shown(simulate.decide(scenario, *pair), specific=bool(named))

    # Many statements against many resources: not on the event loop.
    return await call.region.threads.run(lambda: pages.short(call, "EvaluationResults", asked, shown))


def _inputs(params: Params) -> tuple[Source, ...]:
    texts = params.get("PolicyInputList") or []
    return tuple(
        simulate.read(text, f"PolicyInputList.{index}", "none") for index, text in enumerate(texts, 1)
    )


def _levels(params: Params) -> list[tuple[Source, ...]]:
    levels = params.get("OrderedOrganizationPolicyInputList") or []
    return [
        tuple(
            simulate.read(text, f"ServiceControlPolicyInputList.{place}.{index}", "none")
            for index, text in enumerate(level.get("ServiceControlPolicyInputList") or [], 1)
        )
        for place, level in enumerate(levels, 1)
    ]


def _context(params: Params) -> dict[str, tuple[str, ...]]:
    """The context keys of the request, in lower case. Errors: InvalidEntityInput."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in params.get("ContextEntries") or []:
        name, kind = entry.get("ContextKeyName"), entry.get("ContextKeyType") or "string"
        values = entry.get("ContextKeyValues") or []
        if name is None or name.lower() in found:
            raise InvalidEntityInput("Every context entry needs a ContextKeyName of its own.")
        if len(values) > 1 and not kind.endswith("List"):
            raise InvalidEntityInput(f"The context key {name} of type {kind} has more than one value.")
        found[name.lower()] = tuple(values)
    return found


def _custom_caller(params: Params, context: Mapping[str, tuple[str, ...]]) -> tuple[Caller, frozenset[str]]:
    """The user of CallerArn, or somebody of whom only the context entries tell. Errors: InvalidEntityInput."""
    arn = params.get("CallerArn")
    told = {key: values[0] for key, values in context.items() if key in _OF_CALLER and values}
    if arn is not None:
        kind, account, _, _ = simulate_sources.split_source(arn)
        if kind is not Kind.USER:
            raise InvalidEntityInput("CallerArn must be the ARN of an IAM user.")
        caller = Caller(account, arn, told.get("aws:userid", ""), "user")
        return caller, frozenset(
            {"aws:username", "aws:principalarn", "aws:principalaccount", "aws:principaltype"}
        )
    if params.get("ResourcePolicy") is not None:
        raise InvalidEntityInput("CallerArn must be provided when ResourcePolicy is provided.")
    unknown = Caller(told.get("aws:principalaccount", ""), "", told.get("aws:userid", ""), "federated")
    if "aws:username" in told:
        return replace(
            unknown, arn=f"arn:aws:iam::{unknown.account}:user/{told['aws:username']}", kind="user"
        ), frozenset()
    return replace(unknown, arn=told.get("aws:principalarn", "")), frozenset()


def _owner(params: Params, caller: Caller) -> str:
    given = params.get("ResourceOwner")
    if given is None:
        return caller.account
    match = _OWNER.fullmatch(given)
    if match is None:
        raise InvalidEntityInput("ResourceOwner must be the ARN or the id of an account.")
    return match[1]


def _excluded(params: Params) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for each in params.get("PolicyExclusionList") or []:
        inline = each.get("InlinePolicyIdentifier")
        if inline is not None:
            found.add(("inline", inline["AttachmentType"], inline["AttachmentName"], inline["PolicyName"]))
        for member, word in (("PolicyType", "type"), ("PolicyArn", "attached")):
            if each.get(member) is not None:
                found.add((word, each[member]))
    return found


def _shown(outcome: Outcome, *, specific: bool) -> dict[str, Any]:
    matched = [
        {
            "SourcePolicyId": source.name,
            "SourcePolicyType": source.kind,
            "StartPosition": _place(part.start),
            "EndPosition": _place(part.end),
        }
        for source, part in outcome.matched
    ]
    boundary = (
        {"AllowedByPermissionsBoundary": outcome.in_boundary} if outcome.in_boundary is not None else None
    )
    shown: dict[str, Any] = {
        "EvalActionName": outcome.action,
        "EvalResourceName": outcome.resource,
        "EvalDecision": outcome.verdict,
        "MatchedStatements": matched,
        "MissingContextValues": [] if specific else list(outcome.missing),
        "PermissionsBoundaryDecisionDetail": boundary,
    }
    if outcome.in_organisation is not None:
        shown["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": outcome.in_organisation}
    if specific:  # IAM: with a list of resources, missing values stand there
        shown["ResourceSpecificResults"] = [
            {
                "EvalResourceName": outcome.resource,
                "EvalResourceDecision": outcome.verdict,
                "MatchedStatements": matched,
                "MissingContextValues": list(outcome.missing),
                "PermissionsBoundaryDecisionDetail": boundary,
            }
        ]
    return shown


def _place(place: Place) -> dict[str, int]:
    return {"Line": place.line, "Column": place.column}
