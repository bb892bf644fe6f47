"""What a replication configuration may say and what it means. Pure: no I/O, no clock. ECR User Guide, replication."""

from __future__ import annotations

import json
from collections.abc import Sequence

from homeport.kernel.errors import InvalidParameter
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.replication.model import Destination, Rule

_MEMBER = "replicationConfiguration"


def check(rules: Sequence[Rule], home: Destination, quotas: Quotas = ECR_QUOTAS) -> None:
    """Return when a registry at `home` can have these rules. Errors: InvalidParameter."""
    if len(rules) > quotas.replication_rules:
        raise InvalidParameter(
            _MEMBER, f"Replication configuration cannot have more than {quotas.replication_rules} rules"
        )
    if any(len(rule.prefixes or ()) > quotas.replication_filters for rule in rules):
        raise InvalidParameter(
            _MEMBER,
            f"A replication rule cannot have more than {quotas.replication_filters} repository filters",
        )
    wanted = destinations(rules)
    if home in wanted:
        raise InvalidParameter(_MEMBER, "Replication destination cannot be the same as the source registry")
    if len(wanted) > quotas.replication_destinations:
        raise InvalidParameter(
            _MEMBER,
            f"Replication configuration cannot have more than {quotas.replication_destinations} "
            "unique destinations across all rules",
        )


def destinations(rules: Sequence[Rule]) -> list[Destination]:
    """Return the destinations of all rules, each once, in their order."""
    return list(dict.fromkeys(each for rule in rules for each in rule.destinations))


def destinations_of(rules: Sequence[Rule], name: str) -> list[Destination]:
    """Return where images of the repository `name` go, each destination once."""
    return destinations(
        [rule for rule in rules if rule.prefixes is None or name.startswith(rule.prefixes)],
    )


def text_of(rules: Sequence[Rule]) -> str:
    """Return the rules as the text that is stored."""
    return json.dumps(
        [
            [[[each.region, each.account] for each in rule.destinations], rule.prefixes, rule.deletes]
            for rule in rules
        ]
    )


def read(text: str) -> tuple[Rule, ...]:
    """Return the rules that `text_of` wrote."""
    return tuple(
        Rule(
            tuple(Destination(region, account) for region, account in wanted),
            tuple(prefixes) if prefixes is not None else None,
            deletes,
        )
        for wanted, prefixes, deletes in json.loads(text)
    )
