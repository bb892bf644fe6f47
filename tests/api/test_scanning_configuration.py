"""Scanning configuration of registry and repository, and what the two mean together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import new_name, put, refused, unknown_repository
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport


def rule(frequency: str, *filters: str) -> dict[str, Any]:
    """A scanning rule."""
    return {"scanFrequency": frequency, "repositoryFilters": shown(*filters)}


def shown(*filters: str) -> list[dict[str, str]]:
    """Scan filters as the API writes them."""
    return [{"filter": each, "filterType": "WILDCARD"} for each in filters]


def meaning(client: Any, name: str) -> tuple[bool, str, list[dict[str, str]]]:
    """What the configuration means for a repository: on push, frequency, filters."""
    answer = client.batch_get_repository_scanning_configuration(repositoryNames=[name])
    (found,) = answer["scanningConfigurations"]
    assert answer["failures"] == []
    return found["scanOnPush"], found["scanFrequency"], found["appliedScanFilters"]


# --- Of the registry ---


def test_a_registry_scans_by_hand_at_first(own: Any, owner: Credentials) -> None:
    answer = own.get_registry_scanning_configuration()

    assert answer["registryId"] == owner.account_id
    assert answer["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("BASIC", []),
        ("BASIC", [rule("SCAN_ON_PUSH", "prod", "*")]),
        ("ENHANCED", []),
        ("ENHANCED", [rule("SCAN_ON_PUSH", "test*"), rule("CONTINUOUS_SCAN", "prod*", "web")]),
        ("ENHANCED", [rule("CONTINUOUS_SCAN")]),
    ],
)
def test_a_configuration_is_answered_exactly_as_it_was_put(
    own: Any, kind: str, rules: list[dict[str, Any]]
) -> None:
    answer = own.put_registry_scanning_configuration(scanType=kind, rules=rules)

    expected = {"scanType": kind, "rules": rules}
    assert answer["registryScanningConfiguration"] == expected
    assert own.get_registry_scanning_configuration()["scanningConfiguration"] == expected


def test_a_configuration_without_a_type_is_basic(own: Any) -> None:
    own.put_registry_scanning_configuration(scanType="ENHANCED")

    own.put_registry_scanning_configuration(rules=[rule("SCAN_ON_PUSH", "*")])

    found = own.get_registry_scanning_configuration()["scanningConfiguration"]
    assert found == {"scanType": "BASIC", "rules": [rule("SCAN_ON_PUSH", "*")]}


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("BASIC", [rule("CONTINUOUS_SCAN", "*")]),
        ("ENHANCED", [rule("MANUAL", "*")]),
        ("ENHANCED", [rule("SCAN_ON_PUSH", "*")] * 3),
        ("BASIC", [rule("SCAN_ON_PUSH", *["a"] * 101)]),
        ("BASIC", [rule("SCAN_ON_PUSH", "UPPER")]),
        ("BASIC", [rule("NEVER", "*")]),
    ],
)
def test_a_configuration_that_is_none_is_refused(own: Any, kind: str, rules: list[dict[str, Any]]) -> None:
    code, _ = refused(own.put_registry_scanning_configuration, scanType=kind, rules=rules)

    assert code == "InvalidParameterException"
    found = own.get_registry_scanning_configuration()["scanningConfiguration"]
    assert found == {"scanType": "BASIC", "rules": []}


def test_who_may_do_nothing_cannot_touch_scanning(
    homeport: Homeport, stranger: Credentials, repository: str
) -> None:
    theirs: Any = homeport.client(credentials=stranger)
    missing = new_name()

    for call, params in (
        (theirs.get_registry_scanning_configuration, {}),
        (theirs.put_registry_scanning_configuration, {"scanType": "BASIC"}),
        (theirs.batch_get_repository_scanning_configuration, {"repositoryNames": [repository]}),
        (theirs.batch_get_repository_scanning_configuration, {"repositoryNames": [missing]}),
        (
            theirs.put_image_scanning_configuration,
            {"repositoryName": missing, "imageScanningConfiguration": {"scanOnPush": True}},
        ),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"


# --- Of a repository ---


def test_a_repository_is_scanned_on_push_as_it_wishes(ecr: Any, account: str, repository: str) -> None:
    answer = ecr.put_image_scanning_configuration(
        repositoryName=repository, imageScanningConfiguration={"scanOnPush": True}
    )

    assert answer["registryId"] == account
    assert answer["repositoryName"] == repository
    assert answer["imageScanningConfiguration"] == {"scanOnPush": True}
    (found,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert meaning(ecr, repository) == (True, "SCAN_ON_PUSH", [])


def test_scanning_on_push_can_be_switched_off_again(ecr: Any, repository: str) -> None:
    for wish in ({"scanOnPush": True}, {}):
        ecr.put_image_scanning_configuration(repositoryName=repository, imageScanningConfiguration=wish)

    (found,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert found["imageScanningConfiguration"] == {"scanOnPush": False}
    assert meaning(ecr, repository) == (False, "MANUAL", [])


def test_a_repository_that_does_not_exist_is_refused_or_named_among_the_failures(
    ecr: Any, account: str, repository: str
) -> None:
    name = new_name()

    answer = ecr.batch_get_repository_scanning_configuration(repositoryNames=[name, repository])

    assert [each["repositoryName"] for each in answer["scanningConfigurations"]] == [repository]
    (failure,) = answer["failures"]
    assert (failure["repositoryName"], failure["failureCode"]) == (name, "REPOSITORY_NOT_FOUND")
    assert refused(
        ecr.put_image_scanning_configuration,
        repositoryName=name,
        imageScanningConfiguration={"scanOnPush": True},
    ) == unknown_repository(name, account)


def test_the_rules_of_the_registry_count_for_the_repositories_that_they_match(
    own: Any, owner: Credentials
) -> None:
    for name in ("prod/web", "test/web"):
        own.create_repository(repositoryName=name)
    own.put_registry_scanning_configuration(
        scanType="BASIC", rules=[rule("SCAN_ON_PUSH", "prod*", "x*", "web")]
    )
    both = own.batch_get_repository_scanning_configuration(repositoryNames=["prod/web", "test/web"])
    own.put_registry_scanning_configuration(
        scanType="ENHANCED", rules=[rule("SCAN_ON_PUSH", "*"), rule("CONTINUOUS_SCAN", "prod*")]
    )

    first = both["scanningConfigurations"][0]
    assert first["repositoryArn"] == f"arn:aws:ecr:{owner.region}:{owner.account_id}:repository/prod/web"
    assert first["scanOnPush"] is True
    assert first["scanFrequency"] == "SCAN_ON_PUSH"
    assert first["appliedScanFilters"] == shown("prod*", "web")
    assert both["scanningConfigurations"][1]["appliedScanFilters"] == shown("web")
    assert meaning(own, "prod/web") == (True, "CONTINUOUS_SCAN", shown("prod*"))
    assert meaning(own, "test/web") == (True, "SCAN_ON_PUSH", shown("*"))


def test_enhanced_scanning_without_rules_is_continuous(own: Any) -> None:
    own.create_repository(repositoryName="web")

    own.put_registry_scanning_configuration(scanType="ENHANCED")

    assert meaning(own, "web") == (False, "CONTINUOUS_SCAN", [])


def test_enhanced_scanning_knows_no_scans_by_hand(own: Any) -> None:
    own.create_repository(repositoryName="web")
    put(own, "web", random_image(), "v1")
    asked = {"repositoryName": "web", "imageId": {"imageTag": "v1"}}
    before = own.start_image_scan(**asked)["imageScanStatus"]["status"]

    own.put_registry_scanning_configuration(scanType="ENHANCED")

    assert before == "FAILED", "this version has no scanner"
    assert refused(own.start_image_scan, **asked) == ("ValidationException", "This feature is disabled")
