"""Replication: what may be configured, what is answered about it, and backfills that say honestly that they failed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.calls import new_name, put, refused, unknown_repository
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport

ELSEWHERE = {"region": "eu-north-1", "registryId": "111122223333"}
NOT_AVAILABLE = "ReplicationNotAvailable"


def rule(*destinations: dict[str, str], prefixes: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """A replication rule."""
    made: dict[str, Any] = {"destinations": list(destinations), **more}
    if prefixes is not None:
        made["repositoryFilters"] = [{"filter": each, "filterType": "PREFIX_MATCH"} for each in prefixes]
    return made


def places(count: int) -> list[dict[str, str]]:
    """So many different destinations."""
    return [{"region": "eu-north-1", "registryId": f"{number:012}"} for number in range(1, count + 1)]


def configure(client: Any, *rules: dict[str, Any]) -> dict[str, Any]:
    """Put these rules; return what was answered."""
    answer = client.put_replication_configuration(replicationConfiguration={"rules": list(rules)})
    configuration: dict[str, Any] = answer["replicationConfiguration"]
    return configuration


def configured(client: Any) -> list[dict[str, Any]]:
    """The rules that DescribeRegistry shows."""
    rules: list[dict[str, Any]] = client.describe_registry()["replicationConfiguration"]["rules"]
    return rules


# --- The configuration ---


def test_a_registry_has_no_rules_at_first(own: Any, owner: Credentials) -> None:
    answer = own.describe_registry()

    assert answer["registryId"] == owner.account_id
    assert answer["replicationConfiguration"] == {"rules": []}


def test_rules_are_answered_exactly_as_they_were_put(own: Any, owner: Credentials) -> None:
    rules = [
        rule(ELSEWHERE, {"region": "us-west-2", "registryId": owner.account_id}),
        rule(ELSEWHERE, prefixes=["prod/", "app"], deleteReplication={"enabled": True}),
        rule({"region": "us-west-2", "registryId": owner.account_id}, deleteReplication={"enabled": False}),
        rule(),
    ]

    answered = configure(own, *rules)

    assert answered == {"rules": rules}
    assert configured(own) == rules


def test_a_new_configuration_replaces_the_whole(own: Any) -> None:
    configure(own, rule(ELSEWHERE), rule(ELSEWHERE, prefixes=["prod/"]))
    configure(own, rule(ELSEWHERE, prefixes=["test/"]))
    one = configured(own)

    configure(own)

    assert one == [rule(ELSEWHERE, prefixes=["test/"])]
    assert configured(own) == []


def test_a_registry_is_not_its_own_destination(own: Any, owner: Credentials) -> None:
    here = {"region": owner.region, "registryId": owner.account_id}

    refusal = refused(
        own.put_replication_configuration, replicationConfiguration={"rules": [rule(ELSEWHERE), rule(here)]}
    )

    assert refusal == (
        "InvalidParameterException",
        "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: "
        "'Replication destination cannot be the same as the source registry'",
    )
    assert configured(own) == []


def test_twenty_five_destinations_are_the_most_over_all_rules(own: Any) -> None:
    most = places(25)
    configure(own, rule(*most[:20]), rule(*most[10:], prefixes=["prod/"]))

    code, message = refused(
        own.put_replication_configuration,
        replicationConfiguration={"rules": [rule(*most[:20]), rule(*places(26)[10:])]},
    )

    assert code == "InvalidParameterException"
    assert "unique destinations" in message
    assert len(configured(own)) == 2


@pytest.mark.parametrize(
    "rules",
    [
        [rule(ELSEWHERE)] * 26,
        [rule(ELSEWHERE, prefixes=["prod/"] * 101)],
        [rule(ELSEWHERE, prefixes=["UPPER"])],
        [rule({"region": "eu north", "registryId": "111122223333"})],
        [rule({"region": "eu-north-1", "registryId": "1"})],
    ],
)
def test_what_the_model_forbids_is_refused(own: Any, rules: list[dict[str, Any]]) -> None:
    code, _ = refused(own.put_replication_configuration, replicationConfiguration={"rules": rules})

    assert code == "InvalidParameterException"
    assert configured(own) == []


def test_who_may_do_nothing_cannot_touch_replication(
    homeport: Homeport, stranger: Credentials, repository: str
) -> None:
    theirs: Any = homeport.client(credentials=stranger)
    backfill = {"replicationBackfillId": str(uuid.uuid4())}

    for call, params in (
        (theirs.describe_registry, {}),
        (theirs.put_replication_configuration, {"replicationConfiguration": {"rules": []}}),
        (
            theirs.describe_image_replication_status,
            {"repositoryName": repository, "imageId": {"imageTag": "v1"}},
        ),
        (theirs.start_replication_backfill, {"destination": ELSEWHERE}),
        (theirs.stop_replication_backfill, backfill),
        (theirs.describe_replication_backfill_results, backfill),
        (theirs.list_replication_backfills, {}),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"


# --- The status of an image ---


def test_an_image_has_a_failed_copy_for_each_destination_that_a_rule_names(own: Any) -> None:
    own.create_repository(repositoryName="prod/web")
    digest = put(own, "prod/web", random_image(), "v1")
    also = {"region": "us-west-2", "registryId": "111122223333"}
    never = {"region": "ap-south-1", "registryId": "111122223333"}
    configure(own, rule(ELSEWHERE), rule(also, ELSEWHERE, prefixes=["pro"]), rule(never, prefixes=["test/"]))

    answer = own.describe_image_replication_status(repositoryName="prod/web", imageId={"imageTag": "v1"})

    assert answer["repositoryName"] == "prod/web"
    assert answer["imageId"] == {"imageDigest": digest, "imageTag": "v1"}
    failed = {"status": "FAILED", "failureCode": NOT_AVAILABLE}
    assert answer["replicationStatuses"] == [{**ELSEWHERE, **failed}, {**also, **failed}]


def test_an_image_that_no_rule_is_about_has_no_copies(own: Any) -> None:
    own.create_repository(repositoryName="prod/web")
    digest = put(own, "prod/web", random_image())

    answer = own.describe_image_replication_status(repositoryName="prod/web", imageId={"imageDigest": digest})

    assert answer["imageId"] == {"imageDigest": digest}
    assert answer["replicationStatuses"] == []


def test_the_status_of_what_does_not_exist_is_refused(ecr: Any, account: str, repository: str) -> None:
    name = new_name()
    image = {"imageTag": "none"}

    code, message = refused(ecr.describe_image_replication_status, repositoryName=repository, imageId=image)
    missing = refused(ecr.describe_image_replication_status, repositoryName=name, imageId=image)

    assert code == "ImageNotFoundException"
    assert "imageTag:'none'" in message
    assert missing == unknown_repository(name, account)


# --- Backfills ---


def test_a_backfill_says_that_it_failed_and_why(own: Any, owner: Credentials) -> None:
    configure(own, rule(ELSEWHERE))
    before = datetime.now(UTC).replace(microsecond=0)

    begun = own.start_replication_backfill(destination=ELSEWHERE)
    described = own.describe_replication_backfill_results(
        replicationBackfillId=begun["replicationBackfillId"]
    )
    listed = own.list_replication_backfills()

    assert begun["registryId"] == described["registryId"] == listed["registryId"] == owner.account_id
    assert begun["destination"] == described["destination"] == ELSEWHERE
    assert begun["status"] == described["status"] == "FAILED"
    assert before <= begun["startedAt"] == described["startedAt"] <= described["endedAt"]
    assert described["failureCode"] == NOT_AVAILABLE
    assert described["results"] == []
    assert "progress" not in described, "no image was counted"
    (summary,) = listed["backfills"]
    for member in ("replicationBackfillId", "destination", "status", "failureCode", "startedAt", "endedAt"):
        assert summary[member] == described[member]


def test_a_destination_that_is_not_configured_cannot_be_backfilled(own: Any) -> None:
    configure(own, rule(ELSEWHERE))

    code, message = refused(
        own.start_replication_backfill, destination={"region": "us-west-2", "registryId": "111122223333"}
    )

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'destination' failed to satisfy constraint: ")
    assert own.list_replication_backfills()["backfills"] == []


def test_a_backfill_that_is_over_cannot_be_stopped(own: Any) -> None:
    configure(own, rule(ELSEWHERE))
    begun = own.start_replication_backfill(destination=ELSEWHERE)["replicationBackfillId"]

    code, message = refused(own.stop_replication_backfill, replicationBackfillId=begun)

    assert code == "ReplicationBackfillInvalidStatusException"
    assert begun in message
    assert "FAILED" in message


def test_a_backfill_that_does_not_exist_is_not_found(
    homeport: Homeport, own: Any, neighbour: Credentials
) -> None:
    theirs: Any = homeport.client(credentials=neighbour)
    configure(theirs, rule(ELSEWHERE))
    foreign = theirs.start_replication_backfill(destination=ELSEWHERE)["replicationBackfillId"]

    for identity in (str(uuid.uuid4()), foreign):
        for call in (own.stop_replication_backfill, own.describe_replication_backfill_results):
            code, message = refused(call, replicationBackfillId=identity)
            assert code == "ReplicationBackfillNotFoundException"
            assert identity in message


def test_backfills_are_listed_by_pages_the_latest_first(own: Any) -> None:
    configure(own, rule(ELSEWHERE))
    begun = [own.start_replication_backfill(destination=ELSEWHERE) for _ in range(5)]

    pages = [own.list_replication_backfills(maxResults=2)]
    while token := pages[-1].get("nextToken"):
        pages.append(own.list_replication_backfills(maxResults=2, nextToken=token))

    listed = [[each["replicationBackfillId"] for each in page["backfills"]] for page in pages]
    latest = [each["replicationBackfillId"] for each in reversed(begun)]
    assert listed == [latest[:2], latest[2:4], latest[4:]]


def test_a_page_token_of_somebody_else_is_refused(own: Any) -> None:
    for call, params in (
        (own.list_replication_backfills, {}),
        (own.describe_replication_backfill_results, {"replicationBackfillId": str(uuid.uuid4())}),
    ):
        assert refused(call, nextToken="forged", **params)[0] == "InvalidParameterException"
