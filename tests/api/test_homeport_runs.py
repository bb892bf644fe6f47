"""Runs of lifecycle policies, explanations and savings through the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.calls import MISSING, new_name, policy, put, refused, unknown_repository
from tests.api.homeport_calls import bare, own_client, pages_of, policy_text
from tests.harness.images import random_image
from tests.harness.server import Credentials, Homeport

PROMPTLY: dict[str, Any] = {"Delay": 0.05, "MaxAttempts": 400}
KEEP_ONE = policy_text(1)


@pytest.fixture(scope="session")
def own_ops(homeport: Homeport) -> Any:
    """The administrator's client of the extensions."""
    return own_client(homeport)


@pytest.fixture
def three(ecr: Any, repository: str) -> list[str]:
    """The digests of three images in the repository, oldest first; the newest has two tags."""
    images = [random_image() for _ in range(3)]
    return [
        put(ecr, repository, image, *tags)
        for image, tags in zip(images, (("a",), (), ("c", "d")), strict=True)
    ]


def run(client: Any, repository: str) -> dict[str, Any]:
    """Start a run, wait for its end by the waiter of the model, and return its description."""
    started = client.start_lifecycle_run(repositoryName=repository)
    named = {"repositoryName": repository, "runId": started["runId"]}
    client.get_waiter("lifecycle_run_complete").wait(**named, WaiterConfig=PROMPTLY)
    return bare(client.describe_lifecycle_run(**named))


def digests(ecr: Any, repository: str) -> set[str]:
    return {each["imageDigest"] for each in ecr.list_images(repositoryName=repository)["imageIds"]}


def test_a_run_does_what_the_policy_says_and_tells_what_it_did(
    ecr: Any, own_ops: Any, account: str, repository: str, three: list[str]
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    answer = run(own_ops, repository)

    assert digests(ecr, repository) == {three[2]}
    assert (answer["registryId"], answer["repositoryName"]) == (account, repository)
    assert answer["lifecyclePolicyText"] == KEEP_ONE
    done = answer["lifecycleRun"]
    assert (done["status"], done["source"]) == ("COMPLETE", "REPOSITORY")
    assert done["startedAt"] <= done["endedAt"]
    assert done["summary"]["examinedImageTotalCount"] == 3
    assert done["summary"]["expiringImageTotalCount"] == 2
    assert done["summary"]["expiringBytes"] > 0
    assert done["summary"]["transitioningImageTotalCount"] == 0
    entries = answer["entries"]
    assert [each["imageDigest"] for each in entries] == three[:2]
    assert [each.get("imageTags") for each in entries] == [["a"], None]
    for each in entries:
        assert each["action"] == {"type": "EXPIRE"}
        assert (each["outcome"], each["appliedRulePriority"], each["storageClass"]) == ("DONE", 1, "STANDARD")
        assert each["imageSizeInBytes"] > 0
    assert ecr.get_lifecycle_policy(repositoryName=repository)["lastEvaluatedAt"]


def test_an_inherited_policy_runs_as_well_and_the_run_says_so(homeport: Homeport, owner: Credentials) -> None:
    ecr: Any = homeport.client(credentials=owner)
    mine = own_client(homeport, owner)
    ecr.create_repository(repositoryName="team/app")
    images = [put(ecr, "team/app", random_image(), tag) for tag in "ab"]
    mine.put_default_lifecycle_policy(prefix="team", lifecyclePolicyText=KEEP_ONE)

    answer = run(mine, "team/app")

    assert digests(ecr, "team/app") == {images[1]}
    assert (answer["lifecycleRun"]["source"], answer["lifecycleRun"]["prefix"]) == ("DEFAULT", "team")


def test_images_that_a_run_archives_are_told_with_where_they_go(
    ecr: Any, own_ops: Any, repository: str, three: list[str]
) -> None:
    rules = json.loads(KEEP_ONE)
    rules["rules"][0]["action"] = {"type": "transition", "targetStorageClass": "archive"}
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=json.dumps(rules))

    answer = run(own_ops, repository)

    assert [each["imageDigest"] for each in answer["entries"]] == three[:2]
    assert answer["entries"][0]["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    assert answer["lifecycleRun"]["summary"]["transitioningImageTotalCount"] == 2
    archived = ecr.list_images(repositoryName=repository, filter={"imageStatus": "ARCHIVED"})["imageIds"]
    assert {each["imageDigest"] for each in archived} == set(three[:2])


def test_tags_that_a_run_takes_away_are_told(homeport: Homeport, owner: Credentials) -> None:
    ecr: Any = homeport.client(credentials=owner)
    mine = own_client(homeport, owner)
    ecr.put_account_setting(name="LIFECYCLE_EXTENSIONS", value="ENABLED")
    ecr.create_repository(repositoryName="team/app")
    digest = put(ecr, "team/app", random_image(), "pr-1", "main")
    put(ecr, "team/app", random_image(), "pr-2")
    selection = {
        "tagStatus": "tagged",
        "tagPatternList": ["pr-*"],
        "countType": "imageCountMoreThan",
        "countNumber": 1,
    }
    rule = {"rulePriority": 7, "selection": selection, "action": {"type": "untag"}}
    ecr.put_lifecycle_policy(repositoryName="team/app", lifecyclePolicyText=json.dumps({"rules": [rule]}))

    answer = run(mine, "team/app")

    [entry] = answer["entries"]
    assert (entry["imageDigest"], entry["action"]) == (digest, {"type": "UNTAG"})
    assert (entry["imageTags"], entry["untaggedImageTags"]) == (["main", "pr-1"], ["pr-1"])
    assert answer["lifecycleRun"]["summary"]["untaggingImageTotalCount"] == 1
    [left] = ecr.describe_images(repositoryName="team/app", imageIds=[{"imageDigest": digest}])[
        "imageDetails"
    ]
    assert left["imageTags"] == ["main"]


def test_runs_and_their_entries_are_listed_by_pages(
    ecr: Any, own_ops: Any, repository: str, three: list[str]
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    put(ecr, repository, random_image(), "e")
    first = run(own_ops, repository)["lifecycleRun"]["runId"]
    others = [run(own_ops, repository)["lifecycleRun"]["runId"] for _ in range(2)]

    listed = pages_of(own_ops, "list_lifecycle_runs", "lifecycleRuns", repositoryName=repository)
    entries = pages_of(own_ops, "describe_lifecycle_run", "entries", repositoryName=repository, runId=first)

    assert [[each["runId"] for each in page] for page in listed] == [others[::-1], [first]]
    assert [[each["imageDigest"] for each in page] for page in entries] == [three[:2], three[2:]]


def test_a_run_of_another_repository_is_not_found(
    ecr: Any, own_ops: Any, repository: str, new_repository: Any, three: list[str]
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    made = run(own_ops, repository)["lifecycleRun"]["runId"]

    for name, run_id in ((new_repository(), made), (repository, "9" * 18)):
        code, _ = refused(own_ops.describe_lifecycle_run, repositoryName=name, runId=run_id)
        assert code == "LifecycleRunNotFoundException"


def test_a_run_does_not_begin_while_another_one_goes_on(
    ecr: Any, own_ops: Any, repository: str, three: list[str]
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    answers = {"done": 0, "LifecycleRunInProgressException": 0}

    started = own_ops.start_lifecycle_run(repositoryName=repository)["runId"]
    for _ in range(200):
        try:
            started = own_ops.start_lifecycle_run(repositoryName=repository)["runId"]
            answers["done"] += 1
        except own_ops.exceptions.LifecycleRunInProgressException:
            answers["LifecycleRunInProgressException"] += 1
            break

    assert answers["LifecycleRunInProgressException"] == 1
    own_ops.get_waiter("lifecycle_run_complete").wait(
        repositoryName=repository, runId=started, WaiterConfig=PROMPTLY
    )


def test_without_a_policy_nothing_runs_and_nothing_is_explained(
    own_ops: Any, repository: str, three: list[str]
) -> None:
    image = {"imageDigest": three[0]}

    assert refused(own_ops.start_lifecycle_run, repositoryName=repository)[0] == (
        "LifecyclePolicyNotFoundException"
    )
    assert refused(own_ops.explain_lifecycle_policy, repositoryName=repository, imageId=image)[0] == (
        "LifecyclePolicyNotFoundException"
    )
    assert own_ops.list_lifecycle_runs(repositoryName=repository)["lifecycleRuns"] == []


# --- Explanations ---


def test_each_rule_is_explained_in_order_of_priority(
    ecr: Any, own_ops: Any, account: str, repository: str, three: list[str]
) -> None:
    tagged = {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "tagged",
            "tagPatternList": ["a*"],
            "countType": "imageCountMoreThan",
            "countNumber": 3,
        },
        "action": {"type": "expire"},
    }
    last = {**json.loads(KEEP_ONE)["rules"][0], "rulePriority": 5}
    ecr.put_lifecycle_policy(
        repositoryName=repository, lifecyclePolicyText=json.dumps({"rules": [tagged, last]})
    )

    oldest = own_ops.explain_lifecycle_policy(repositoryName=repository, imageId={"imageTag": "a"})
    older = own_ops.explain_lifecycle_policy(repositoryName=repository, imageId={"imageDigest": three[1]})

    assert (oldest["registryId"], oldest["repositoryName"]) == (account, repository)
    assert oldest["imageId"] == {"imageDigest": three[0], "imageTag": "a"}
    assert (oldest["source"], "prefix" in oldest) == ("REPOSITORY", False)
    said = [(each["rulePriority"], each["verdict"]) for each in oldest["reasons"]]
    assert said == [(1, "KEPT"), (5, "CLAIMED")]
    assert all(each["sentence"] for each in oldest["reasons"])
    said = [(each["rulePriority"], each["verdict"]) for each in older["reasons"]]
    assert said == [(1, "NOT_SELECTED"), (5, "ACTED_ON")]
    assert len(digests(ecr, repository)) == 3, "explaining changes nothing"


def test_an_image_that_is_not_there_cannot_be_explained(ecr: Any, own_ops: Any, repository: str) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    for image in ({"imageDigest": MISSING}, {"imageTag": "absent"}):
        code, _ = refused(own_ops.explain_lifecycle_policy, repositoryName=repository, imageId=image)
        assert code == "ImageNotFoundException"


# --- Savings ---


def test_the_savings_of_a_preview_are_the_bytes_that_nobody_needs_then(
    ecr: Any, own_ops: Any, account: str, repository: str
) -> None:
    shared = random_image(layers=2)
    put(ecr, repository, shared, "old")
    newer = random_image()
    put(ecr, repository, newer, "new")
    freed = sum(blob.size for blob in shared.blobs)
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName=repository, WaiterConfig=PROMPTLY)

    answer = bare(own_ops.get_lifecycle_policy_preview_savings(repositoryName=repository))

    assert answer == {
        "registryId": account,
        "repositoryName": repository,
        "status": "COMPLETE",
        "expiringBytes": freed,
        "transitioningBytes": 0,
        "monthlySavings": {"amountMicros": freed * 100_000 // 1024**3, "currency": "USD"},
    }


def test_without_a_preview_there_are_no_savings(own_ops: Any, account: str, repository: str) -> None:
    assert refused(own_ops.get_lifecycle_policy_preview_savings, repositoryName=repository) == (
        "LifecyclePolicyPreviewNotFoundException",
        f"There is no lifecycle policy preview for the repository with name '{repository}' "
        f"in the registry with id '{account}'",
    )


# --- Who may ---


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("start_lifecycle_run", {}),
        ("list_lifecycle_runs", {}),
        ("describe_lifecycle_run", {"runId": "1"}),
        ("explain_lifecycle_policy", {"imageId": {"imageTag": "a"}}),
        ("get_lifecycle_policy_preview_savings", {}),
    ],
)
def test_a_missing_repository_is_missing_to_those_who_may_and_closed_to_others(
    homeport: Homeport,
    own_ops: Any,
    account: str,
    stranger: Credentials,
    operation: str,
    more: dict[str, Any],
) -> None:
    absent = new_name()

    mine = refused(getattr(own_ops, operation), repositoryName=absent, **more)
    theirs = refused(getattr(own_client(homeport, stranger), operation), repositoryName=absent, **more)

    assert mine == unknown_repository(absent, account)
    assert theirs[0] == "AccessDeniedException"


def test_who_may_look_may_not_run(homeport: Homeport, ecr: Any, repository: str, three: list[str]) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    readable = policy("ecr:ExplainLifecyclePolicy", "ecr:ListLifecycleRuns")
    reader = own_client(homeport, homeport.user("looker", readable))

    assert reader.explain_lifecycle_policy(repositoryName=repository, imageId={"imageTag": "a"})["reasons"]
    assert reader.list_lifecycle_runs(repositoryName=repository)["lifecycleRuns"] == []
    assert refused(reader.start_lifecycle_run, repositoryName=repository)[0] == "AccessDeniedException"
