"""Previews: what a policy would do is told by pages, by filters and by image, and nothing is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.calls import MISSING, refused
from tests.api.lifecycle import ANY, UNTAGGED, Shelf, later, policy_of, rule, shelf, tagged
from tests.harness.images import artifact, image_of
from tests.harness.server import Homeport

__all__ = ["later", "shelf"]

ALL = rule(1, ANY, "sinceImagePushed", 1)


def digests(preview: dict[str, Any]) -> list[str]:
    return [each["imageDigest"] for each in preview["previewResults"]]


def test_a_preview_tells_all_about_each_image_and_does_nothing(shelf: Shelf) -> None:
    old, new = shelf.push_all("v1", "v2")

    found = shelf.preview(rule(7, tagged("v*"), "imageCountMoreThan", 1))

    [result] = found["previewResults"]
    pushed = shelf.ecr.describe_images(repositoryName=shelf.name, imageIds=[{"imageTag": "v1"}])
    assert result == {
        "imageTags": ["v1"],
        "imageDigest": old,
        "imagePushedAt": pushed["imageDetails"][0]["imagePushedAt"],
        "action": {"type": "EXPIRE"},
        "appliedRulePriority": 7,
        "storageClass": "STANDARD",
    }
    assert found["status"] == "COMPLETE"
    assert found["summary"] == {"expiringImageTotalCount": 1}
    assert set(shelf.there()) == {old, new}


def test_a_transition_names_its_target_and_is_summed_apart(shelf: Shelf) -> None:
    shelf.push_all("v1", "", "")

    found = shelf.preview(
        rule(1, UNTAGGED, "sinceImagePushed", 1), rule(2, ANY, "sinceImagePulled", 1, "transition")
    )

    [moved] = [each for each in found["previewResults"] if each["imageTags"]]
    assert moved["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    assert found["summary"] == {
        "expiringImageTotalCount": 2,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


def test_a_preview_of_a_policy_that_does_nothing_is_complete_and_empty(shelf: Shelf) -> None:
    shelf.push("v1")

    found = shelf.preview(rule(1, ANY, "imageCountMoreThan", 1))

    assert (found["status"], found["previewResults"]) == ("COMPLETE", [])
    assert found["summary"] == {"expiringImageTotalCount": 0}


def test_results_come_by_pages_that_together_are_all_of_them(shelf: Shelf) -> None:
    pushed = shelf.push_all(*[f"v{number}" for number in range(5)])
    whole = shelf.preview(ALL)

    pages = list(
        shelf.ecr.get_paginator("get_lifecycle_policy_preview").paginate(
            repositoryName=shelf.name, PaginationConfig={"PageSize": 2}
        )
    )

    assert [len(page["previewResults"]) for page in pages] == [2, 2, 1]
    assert [digest for page in pages for digest in digests(page)] == digests(whole) == pushed
    assert all(page["summary"] == {"expiringImageTotalCount": 5} for page in pages)


def test_a_page_of_a_former_preview_is_refused(shelf: Shelf) -> None:
    shelf.push_all("v1", "v2")
    token = shelf.preview(ALL, maxResults=1)["nextToken"]
    shelf.preview(ALL)

    code, message = refused(
        shelf.ecr.get_lifecycle_policy_preview, repositoryName=shelf.name, nextToken=token, maxResults=1
    )

    assert code == "InvalidParameterException"
    assert "replaced" in message


def test_a_filter_keeps_tagged_or_untagged_images(shelf: Shelf) -> None:
    one, two, three = shelf.push_all("v1", "", "v3")
    shelf.preview(ALL)

    def found(status: str) -> list[str]:
        return digests(
            shelf.ecr.get_lifecycle_policy_preview(repositoryName=shelf.name, filter={"tagStatus": status})
        )

    assert found("TAGGED") == [one, three]
    assert found("UNTAGGED") == [two]
    assert found("ANY") == [one, two, three]


def test_single_images_can_be_asked_for_by_digest_and_by_tag(shelf: Shelf) -> None:
    one, two, three = shelf.push_all("v1", "v2", "stays")
    shelf.preview(rule(1, tagged("v*"), "sinceImagePushed", 1))
    asked = [{"imageTag": "v2"}, {"imageDigest": one}, {"imageDigest": two}, {"imageDigest": three}]

    found = shelf.ecr.get_lifecycle_policy_preview(
        repositoryName=shelf.name, imageIds=[*asked, {"imageDigest": MISSING}]
    )

    assert digests(found) == [one, two]
    assert "nextToken" not in found


@pytest.mark.parametrize(
    "more",
    [{"maxResults": 5}, {"filter": {"tagStatus": "ANY"}}, {"nextToken": "x"}],
    ids=lambda more: next(iter(more)),
)
def test_named_images_cannot_be_paged_or_filtered(shelf: Shelf, more: dict[str, Any]) -> None:
    shelf.preview(ALL)

    code, _ = refused(
        shelf.ecr.get_lifecycle_policy_preview,
        repositoryName=shelf.name,
        imageIds=[{"imageTag": "v1"}],
        **more,
    )

    assert code == "InvalidParameterException"


def test_a_foreign_page_token_is_refused(shelf: Shelf) -> None:
    shelf.preview(ALL)

    code, _ = refused(shelf.ecr.get_lifecycle_policy_preview, repositoryName=shelf.name, nextToken="made-up")

    assert code == "InvalidParameterException"


def test_a_preview_of_another_text_leaves_the_policy_alone(shelf: Shelf) -> None:
    shelf.set_policy(ALL)
    other = rule(7, ANY, "imageCountMoreThan", 9)

    assert shelf.preview(other)["lifecyclePolicyText"] == policy_of(other)

    kept = shelf.ecr.get_lifecycle_policy(repositoryName=shelf.name)
    assert kept["lifecyclePolicyText"] == policy_of(ALL)
    assert "lastEvaluatedAt" not in kept


def test_the_newest_preview_takes_the_place_of_the_former(shelf: Shelf) -> None:
    shelf.push_all("v1", "v2", "v3")
    assert len(shelf.preview(ALL)["previewResults"]) == 3

    assert len(shelf.preview(rule(1, ANY, "imageCountMoreThan", 2))["previewResults"]) == 1


def test_a_repository_without_a_preview_has_none_to_show(shelf: Shelf) -> None:
    account = shelf.server.credentials.account_id

    code, message = refused(shelf.ecr.get_lifecycle_policy_preview, repositoryName=shelf.name)

    assert code == "LifecyclePolicyPreviewNotFoundException"
    assert f"'{shelf.name}' in the registry with id '{account}'" in message


def test_without_a_policy_there_is_nothing_to_preview(shelf: Shelf) -> None:
    code, _ = refused(shelf.ecr.start_lifecycle_policy_preview, repositoryName=shelf.name)

    assert code == "LifecyclePolicyNotFoundException"


def test_savings_count_only_bytes_that_no_other_image_needs(later: Homeport) -> None:
    """Two images share a layer; the one that goes takes only its own layer and configuration along."""
    shelf = Shelf(later)
    shared, own = {"shared": b"s" * 5000}, {"own": b"o" * 3000}
    goes, stays = image_of([shared, own]), image_of([shared])
    shelf.push(image=goes)
    shelf.push("v1", image=stays)

    shelf.preview(rule(1, UNTAGGED, "sinceImagePushed", 1))
    saved = shelf.own.get_lifecycle_policy_preview_savings(repositoryName=shelf.name)

    kept = {blob.digest for blob in stays.blobs}
    assert saved["expiringBytes"] == sum(blob.size for blob in goes.blobs if blob.digest not in kept)
    assert saved["transitioningBytes"] == 0
    assert saved["monthlySavings"]["amountMicros"] == saved["expiringBytes"] * 100_000 // 1024**3


def test_a_transition_moves_bytes_but_saves_nothing(shelf: Shelf) -> None:
    image = image_of([{"file": b"f" * 1000}])
    shelf.push("v1", image=image)

    shelf.preview(rule(1, ANY, "sinceImagePushed", 1, "transition"))
    saved = shelf.own.get_lifecycle_policy_preview_savings(repositoryName=shelf.name)

    assert saved["transitioningBytes"] == sum(blob.size for blob in image.blobs)
    assert (saved["expiringBytes"], saved["monthlySavings"]["amountMicros"]) == (0, 0)


def test_bytes_of_a_pinned_signature_do_not_move_with_its_image(shelf: Shelf) -> None:
    image = image_of([{"file": b"f" * 1000}])
    signature = artifact(b"signature" * 50, artifact_type="application/x.signature", subject=image.manifest)
    shelf.push("v1", image=image)
    shelf.push("signed", image=signature)
    shelf.own.pin_image_tag(repositoryName=shelf.name, imageTag="signed")

    shelf.preview(rule(1, tagged("v*"), "sinceImagePushed", 1, "transition"))
    saved = shelf.own.get_lifecycle_policy_preview_savings(repositoryName=shelf.name)

    assert saved["transitioningBytes"] == sum(blob.size for blob in image.blobs)
