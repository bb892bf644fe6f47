"""The rows by which /v2/ decides about public repositories."""

from __future__ import annotations

from homeport.access.operations import OPERATIONS, PUBLIC_ROUTES, On


def test_every_route_has_a_row_for_public_repositories() -> None:
    assert PUBLIC_ROUTES.keys() == {name for front, name in OPERATIONS if front == "oci"}


def test_reading_needs_no_permission_and_nothing_else_is_free() -> None:
    free = {name for name, row in PUBLIC_ROUTES.items() if row.on is On.NOBODY}

    assert free == {
        "Ping", "ListTags", "HeadManifest", "GetManifest", "HeadBlob", "GetBlob", "ListReferrers", "MountBlobSource",
    }  # fmt: skip


def test_changes_need_actions_of_ecr_public_that_its_model_has() -> None:
    actions = {
        action
        for row in PUBLIC_ROUTES.values()
        if row.on is not On.NOBODY and row.name != "ListRepositories"  # which the public host does not serve
        for action in (row.action, *row.also)
    }

    assert actions
    assert all(action.startswith("ecr-public:") for action in actions)
    assert {action.removeprefix("ecr-public:") for action in actions} <= {
        name for front, name in OPERATIONS if front == "ecr-public"
    }
