"""What the settings of a registry mean."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import InvalidParameter
from homeport.registry import documents, rules
from homeport.registry.model import (
    RepositoryScanning,
    ScanFrequency,
    ScanningConfiguration,
    ScanningRule,
    ScanType,
    Setting,
    SigningRule,
)

PUSH, CONTINUOUS, MANUAL = (
    ScanFrequency.SCAN_ON_PUSH,
    ScanFrequency.CONTINUOUS_SCAN,
    ScanFrequency.MANUAL,
)
NAMES = ("prod", "repo-prod", "prod-repo", "repo-prod-repo", "prodrepo")
PATTERNS = st.text(alphabet="ab*", min_size=1, max_size=8)
WORDS = st.text(alphabet="ab", min_size=1, max_size=8)


def basic(*asked: tuple[ScanFrequency, str]) -> ScanningConfiguration:
    return ScanningConfiguration(ScanType.BASIC, tuple(ScanningRule(each, (name,)) for each, name in asked))


def enhanced(*asked: tuple[ScanFrequency, str]) -> ScanningConfiguration:
    return ScanningConfiguration(ScanType.ENHANCED, basic(*asked).rules)


# --- Scanning ---


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("prod", set(NAMES)),
        ("*prod", {"prod", "repo-prod"}),
        ("prod*", {"prod", "prod-repo", "prodrepo"}),
        ("*prod*", set(NAMES)),
        ("prod*repo", {"prod-repo", "prodrepo"}),
    ],
)
def test_scan_filters_match_as_the_user_guide_tabulates(pattern: str, matched: set[str]) -> None:
    assert {name for name in NAMES if rules.scan_filter_matches(pattern, name)} == matched


@given(pattern=PATTERNS, name=WORDS)
def test_a_scan_filter_is_a_pattern_of_the_whole_name_once_it_has_a_star(pattern: str, name: str) -> None:
    expression = pattern.replace("*", ".*")
    found = re.fullmatch(expression, name) if "*" in pattern else re.search(expression, name)

    assert rules.scan_filter_matches(pattern, name) is (found is not None)


@pytest.mark.parametrize(
    ("configuration", "wish", "expected"),
    [
        (basic(), False, RepositoryScanning(False, MANUAL, ())),
        (basic(), True, RepositoryScanning(True, PUSH, ())),
        (basic((PUSH, "web")), False, RepositoryScanning(True, PUSH, ("web",))),
        (basic((PUSH, "other")), False, RepositoryScanning(False, MANUAL, ())),
        (basic((PUSH, "web"), (PUSH, "we*")), False, RepositoryScanning(True, PUSH, ("web", "we*"))),
        (basic((MANUAL, "web")), False, RepositoryScanning(False, MANUAL, ("web",))),
        (enhanced(), True, RepositoryScanning(False, CONTINUOUS, ())),
        (enhanced((PUSH, "web")), False, RepositoryScanning(True, PUSH, ("web",))),
        (enhanced((CONTINUOUS, "web")), False, RepositoryScanning(False, CONTINUOUS, ("web",))),
        (
            enhanced((PUSH, "w*"), (CONTINUOUS, "web")),
            False,
            RepositoryScanning(True, CONTINUOUS, ("web",)),
        ),
        (enhanced((PUSH, "other")), True, RepositoryScanning(False, MANUAL, ())),
    ],
)
def test_a_repository_is_scanned_as_its_registry_says(
    configuration: ScanningConfiguration, wish: bool, expected: RepositoryScanning
) -> None:
    assert rules.scanning_of(configuration, "web", on_push=wish) == expected


# --- The policy ---


def text(**statement: object) -> str:
    made = {"Effect": "Allow", "Principal": "*", "Resource": "*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": made})


@pytest.mark.parametrize(
    "action", ["ecr:ReplicateImage", "ECR:createrepository", ["ecr:BatchImportUpstreamImage"]]
)
def test_the_narrow_scope_takes_its_actions_in_any_spelling(action: object) -> None:
    rules.check_policy(text(Action=action), narrow=True)


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": "ecr:Replicate*"},
        {"Action": ["ecr:ReplicateImage", "ecr:PutImage"]},
        {"NotAction": "ecr:ReplicateImage"},
    ],
)
def test_the_narrow_scope_refuses_what_reaches_further(statement: dict[str, object]) -> None:
    rules.check_policy(text(**statement), narrow=False)

    with pytest.raises(InvalidParameter, match="Invalid registry policy provided"):
        rules.check_policy(text(**statement), narrow=True)


# --- Settings ---


@pytest.mark.parametrize(
    ("value", "days"), [("DISABLED", None), ("ENABLED", 7), ("1", 1), ("30", 30), ("365", 365)]
)
def test_deleted_images_are_kept_for_as_long_as_the_setting_says(value: str, days: int | None) -> None:
    kept = rules.recovery_time(rules.check_value(Setting.IMAGE_RECOVERY, value))

    assert kept == (None if days is None else timedelta(days=days))


@pytest.mark.parametrize("setting", Setting)
def test_the_default_of_a_setting_is_one_of_its_values(setting: Setting) -> None:
    assert rules.check_value(setting, rules.default_value(setting))


# --- Signing ---


def test_a_signature_is_not_signed() -> None:
    wanted = [SigningRule("arn", None)]

    assert rules.profiles_for(wanted, "web", None) == ["arn"]
    assert rules.profiles_for(wanted, "web", "application/vnd.cncf.notary.signature") == []


# --- Pull-time exclusions ---


@pytest.mark.parametrize(
    ("caller", "excluded"),
    [
        ("arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:user/alice"),
        ("arn:aws:iam::111122223333:user/team/alice", "arn:aws:iam::111122223333:user/team/alice"),
        ("arn:aws:sts::111122223333:assumed-role/scan/nightly", "arn:aws:iam::111122223333:role/scan"),
        ("arn:aws:sts::111122223333:assumed-role/scan/i-1", "arn:aws:iam::111122223333:role/jobs/deep/scan"),
        ("arn:aws-cn:sts::111122223333:assumed-role/scan/a", "arn:aws-cn:iam::111122223333:role/scan"),
    ],
)
def test_a_caller_is_the_principal_that_an_exclusion_names(caller: str, excluded: str) -> None:
    assert rules.person(caller) == rules.person(excluded) is not None


@pytest.mark.parametrize(
    "caller",
    [
        "arn:aws:iam::111122223333:user/scan",
        "arn:aws:iam::444455556666:role/scan",
        "arn:aws:sts::444455556666:assumed-role/scan/nightly",
        "arn:aws:sts::111122223333:assumed-role/other/scan",
        "arn:aws:sts::111122223333:federated-user/scan",
        "arn:aws:iam::111122223333:root",
        "",
    ],
)
def test_a_caller_is_nobody_elses_principal(caller: str) -> None:
    assert rules.person(caller) != rules.person("arn:aws:iam::111122223333:role/scan")


# --- Documents ---

FILTERS = st.lists(WORDS, max_size=3).map(tuple)


@given(
    st.sampled_from(ScanType),
    st.lists(st.builds(ScanningRule, st.sampled_from(ScanFrequency), FILTERS), max_size=2).map(tuple),
)
def test_a_scanning_configuration_survives_being_stored(
    kind: ScanType, wanted: tuple[ScanningRule, ...]
) -> None:
    configuration = ScanningConfiguration(kind, wanted)

    assert documents.read_scanning(documents.scanning_text(configuration)) == configuration


@given(st.lists(st.builds(SigningRule, WORDS, st.none() | FILTERS), max_size=3).map(tuple))
def test_signing_rules_survive_being_stored(wanted: tuple[SigningRule, ...]) -> None:
    assert documents.read_signing(documents.signing_text(wanted)) == wanted
