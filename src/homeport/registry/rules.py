"""What the settings of a registry mean. Pure: no I/O, no clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from homeport.access import policies
from homeport.access.authorize import NARROW_ACTIONS
from homeport.kernel.errors import InvalidParameter
from homeport.registry.model import (
    RepositoryScanning,
    ScanFrequency,
    ScanningConfiguration,
    ScanningRule,
    ScanType,
    Setting,
    SigningRule,
)
from homeport.repositories import rules as repository_rules

# ECR User Guide: PutAccountSetting, registry-permissions (V2 is the scope of new registries), blob-mounting. The first
# value is the default. The Clair scanner is no longer a value.
_VALUES: Mapping[Setting, tuple[str, ...]] = MappingProxyType(
    {
        Setting.BASIC_SCAN_TYPE_VERSION: ("AWS_NATIVE",),
        Setting.REGISTRY_POLICY_SCOPE: ("V2", "V1"),
        Setting.BLOB_MOUNTING: ("DISABLED", "ENABLED"),
        Setting.LIFECYCLE_EXTENSIONS: ("DISABLED", "ENABLED"),
        Setting.IMAGE_RECOVERY: ("DISABLED", "ENABLED"),  # or a number of days
    }
)
# The names that a refusal tells are ECR's: to its clients there are no others.
_ECR_SETTINGS = (Setting.BASIC_SCAN_TYPE_VERSION, Setting.REGISTRY_POLICY_SCOPE, Setting.BLOB_MOUNTING)
_RECOVERY_DAYS = 7  # what ENABLED means
_RECOVERY_MOST_DAYS = 365
_DAYS = re.compile("[1-9][0-9]{0,2}", re.ASCII)
# botocore, RegistryScanningRule.scanFrequency: MANUAL is what BASIC does anyway, so naming it changes nothing.
_FREQUENCIES: Mapping[ScanType, frozenset[ScanFrequency]] = MappingProxyType(
    {
        ScanType.BASIC: frozenset({ScanFrequency.SCAN_ON_PUSH, ScanFrequency.MANUAL}),
        ScanType.ENHANCED: frozenset({ScanFrequency.SCAN_ON_PUSH, ScanFrequency.CONTINUOUS_SCAN}),
    }
)
_SIGNATURE = "application/vnd.cncf.notary.signature"


def setting_named(name: str) -> Setting:
    """Return the account setting of that name. Errors: InvalidParameter."""
    try:
        return Setting(name)
    except ValueError:
        raise InvalidParameter(
            "name", f"Member must satisfy enum value set: {_enum(_ECR_SETTINGS)}"
        ) from None


def check_value(setting: Setting, value: str) -> str:
    """Return `value` when the setting can have it. Errors: InvalidParameter."""
    if value in _VALUES[setting] or (setting is Setting.IMAGE_RECOVERY and _days(value) is not None):
        return value
    constraint = f"Member must satisfy enum value set: {_enum(_VALUES[setting])}"
    if setting is Setting.IMAGE_RECOVERY:
        constraint += f" or be a number of days between 1 and {_RECOVERY_MOST_DAYS}"
    raise InvalidParameter("value", constraint)


def _days(value: str) -> int | None:
    days = int(value) if _DAYS.fullmatch(value) else _RECOVERY_MOST_DAYS + 1
    return days if days <= _RECOVERY_MOST_DAYS else None


def recovery_time(value: str) -> timedelta | None:
    """Return for how long deleted images are kept under that value of IMAGE_RECOVERY, None when they are not."""
    days = _RECOVERY_DAYS if value == "ENABLED" else _days(value)
    return None if days is None else timedelta(days=days)


def default_value(setting: Setting) -> str:
    """Return what counts as long as nobody has set it."""
    return _VALUES[setting][0]


def _enum(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]"


def check_policy(text: str, *, narrow: bool) -> None:
    """Return when `text` is a registry policy; under the narrow scope (V1) it may name three actions only.

    Errors: InvalidParameter. Source: ECR User Guide, registry-permissions.
    """
    policies.parse_registry_policy(text)
    if not narrow:
        return
    statements = json.loads(text)["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        actions = statement.get("Action", "*")  # NotAction names all the others
        if any(
            action.lower() not in NARROW_ACTIONS
            for action in (actions if isinstance(actions, list) else [actions])
        ):
            raise InvalidParameter("PolicyText", "Invalid registry policy provided")


def check_scanning(configuration: ScanningConfiguration) -> None:
    """Return when the scan type knows every frequency that is asked for. Errors: InvalidParameter."""
    known = _FREQUENCIES[configuration.scan_type]
    for rule in configuration.rules:
        if rule.frequency not in known:
            raise InvalidParameter(
                "scanFrequency",
                f"{rule.frequency.value} is not supported with scanType {configuration.scan_type.value}",
            )


def scan_filter_matches(pattern: str, name: str) -> bool:
    """Whether a scan filter matches a repository's name: anywhere in it, or the whole of it once it has a `*`.

    ECR User Guide, image-scanning-filters.
    """
    return repository_rules.matches(pattern, name) if "*" in pattern else pattern in name


def scanning_of(configuration: ScanningConfiguration, name: str, *, on_push: bool) -> RepositoryScanning:
    """Return what the configuration means for the repository `name`, whose own setting is `on_push`.

    The repository's own setting counts with the basic scanner only; continuous scanning wins over scanning on push.
    """
    matched: dict[ScanFrequency, tuple[str, ...]] = {}
    for rule in configuration.rules:
        filters = _matching(rule, name)
        if filters:
            matched[rule.frequency] = tuple(dict.fromkeys((*matched.get(rule.frequency, ()), *filters)))
    pushed = ScanFrequency.SCAN_ON_PUSH in matched
    if configuration.scan_type is ScanType.BASIC:
        pushed = pushed or on_push
    elif not configuration.rules:
        return RepositoryScanning(False, ScanFrequency.CONTINUOUS_SCAN, ())
    elif ScanFrequency.CONTINUOUS_SCAN in matched:
        frequency = ScanFrequency.CONTINUOUS_SCAN
        return RepositoryScanning(pushed, frequency, matched[frequency])
    frequency = ScanFrequency.SCAN_ON_PUSH if pushed else ScanFrequency.MANUAL
    return RepositoryScanning(pushed, frequency, matched.get(frequency, ()))


def _matching(rule: ScanningRule, name: str) -> list[str]:
    return [pattern for pattern in rule.filters if scan_filter_matches(pattern, name)]


def check_signing(rules: Sequence[SigningRule], region: str, most: int) -> None:
    """Return when there are at most so many rules and every profile lies in the registry's region.

    Errors: InvalidParameter. ECR User Guide, managed-signing.
    """
    if len(rules) > most:
        raise InvalidParameter(
            "signingConfiguration", f"Signing configuration cannot have more than {most} rules"
        )
    for rule in rules:
        if rule.profile_arn.split(":")[3] != region:
            raise InvalidParameter(
                "signingProfileArn", f"The signing profile must be in the region of the registry, {region}"
            )


def profiles_for(rules: Sequence[SigningRule], name: str, artifact_type: str | None) -> list[str]:
    """Return the profiles that sign an image of the repository, each once; signatures are not signed themselves."""
    if artifact_type == _SIGNATURE:
        return []
    found = [
        rule.profile_arn
        for rule in rules
        if rule.filters is None or any(repository_rules.matches(each, name) for each in rule.filters)
    ]
    return list(dict.fromkeys(found))


def person(arn: str) -> tuple[str, str, str] | None:
    """Return (account, user or role, name) of an IAM principal or of a role's session, None for anybody else.

    Names are unique in an account whatever the path, and a session's ARN does not show the path of its role.
    """
    _, _, rest = arn.partition(":iam::")
    if rest:
        account, _, resource = rest.partition(":")
        kind, _, path = resource.partition("/")
        return (account, kind, path.rpartition("/")[2]) if kind in ("user", "role") and path else None
    _, _, rest = arn.partition(":sts::")
    account, _, resource = rest.partition(":")
    kind, _, path = resource.partition("/")
    return (account, "role", path.partition("/")[0]) if kind == "assumed-role" and path else None
