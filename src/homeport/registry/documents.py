"""Configurations as the JSON text in which they are stored, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence

from homeport.registry.model import ScanFrequency, ScanningConfiguration, ScanningRule, ScanType, SigningRule


def scanning_text(configuration: ScanningConfiguration) -> str:
    """Return the text of a scanning configuration."""
    rules = [[rule.frequency.value, list(rule.filters)] for rule in configuration.rules]
    return json.dumps({"type": configuration.scan_type.value, "rules": rules})


def read_scanning(text: str) -> ScanningConfiguration:
    """Return the configuration that `scanning_text` wrote."""
    stored = json.loads(text)
    return ScanningConfiguration(
        ScanType(stored["type"]),
        tuple(
            ScanningRule(ScanFrequency(frequency), tuple(filters)) for frequency, filters in stored["rules"]
        ),
    )


def signing_text(rules: Sequence[SigningRule]) -> str:
    """Return the text of a signing configuration."""
    return json.dumps([[rule.profile_arn, rule.filters] for rule in rules])


def read_signing(text: str) -> tuple[SigningRule, ...]:
    """Return the rules that `signing_text` wrote."""
    return tuple(
        SigningRule(profile, tuple(filters) if filters is not None else None)
        for profile, filters in json.loads(text)
    )
