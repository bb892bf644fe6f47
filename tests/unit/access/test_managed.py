"""The built-in managed policies."""

from __future__ import annotations

import pytest

from homeport.access.managed import AWS_MANAGED, MANAGED
from homeport.access.operations import OPERATIONS
from homeport.access.policies import parse_identity_policy


@pytest.mark.parametrize("arn", AWS_MANAGED)
def test_every_built_in_policy_is_one_that_we_understand(arn: str) -> None:
    assert parse_identity_policy(AWS_MANAGED[arn]).allows


def test_ids_are_unique_and_of_the_form_that_iam_uses() -> None:
    ids = {policy.policy_id for policy in MANAGED.values()}

    assert len(ids) == len(MANAGED)
    assert all(each.startswith("ANPA") and len(each) == 21 for each in ids)


def test_every_action_of_ecr_is_one_that_exists() -> None:
    known = {row.action for row in OPERATIONS.values()} | {
        "ecr:BatchImportUpstreamImage",
        "sts:GetServiceBearerToken",
    }
    named = {
        word
        for document in AWS_MANAGED.values()
        for word in document.split('"')
        if word.startswith(("ecr:", "ecr-public:", "sts:")) and "*" not in word
    }

    assert named <= known
