"""What the settings of a registry mean. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    }
)
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
        raise InvalidParameter("name", f"Member must satisfy enum value set: {_enum(Setting)}") from None


def check_value(setting: Setting, value: str) -> str:
    """Return `value` when the setting can have it. Errors: InvalidParameter."""
    if value not in _VALUES[setting]:
        raise InvalidParameter("value", f"Member must satisfy enum value set: {_enum(_VALUES[setting])}")
    return value


def default_value(setting: Setting) -> str:
    """Return what counts as long as nobody has set it."""
    return _VALUES[setting][0]


def _enum(values: Sequence[str] | type[Setting]) -> str:
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


def check_signing(rules: Sequence[SigningRule], region: str) -> None:
    """Return when every profile lies in the registry's region. Errors: InvalidParameter.

    ECR User Guide, managed-signing.
    """
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
