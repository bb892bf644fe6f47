"""A registry whose metadata is in PostgreSQL: what clients do works there, on whichever node they do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.database.migrate import HEAD
from tests.api.calls import policy
from tests.harness.images import random_image
from tests.harness.oci import OciClient
from tests.harness.postgres import Postgres
from tests.harness.process import ProgramFailed
from tests.harness.server import Homeport


@pytest.fixture(scope="module")
def first(postgres: Postgres) -> Iterator[Homeport]:
    """A node with two workers, which made the registry."""
    with Homeport(
        environment={"HOMEPORT_DATABASE": postgres.new_database()}, options=["--workers", "2"]
    ) as node:
        yield node
        assert node.defects == []


def another_node(of: Homeport, folder: Path) -> Homeport:
    """A node of the same registry with a data folder of its own, made as the handbook says: two files are copied."""
    folder.mkdir()
    for name in ("master.key", "homeport.toml"):
        shutil.copy(of.data / name, folder / name)
    node = Homeport(data=folder)
    node.environment.pop("HOMEPORT_DATABASE", None)  # the file says where it is
    return node


@pytest.fixture(scope="module")
def second(first: Homeport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    node = another_node(first, tmp_path_factory.mktemp("second") / "data")
    try:
        node.start()
        yield node
        assert node.defects == []
    finally:
        node.close()


def client(node: Homeport, first: Homeport) -> OciClient:
    return OciClient(node.url, "AWS", first.password())


def test_a_tag_that_one_node_deleted_or_moved_is_never_served_by_another(
    first: Homeport, second: Homeport
) -> None:
    ecr = first.client()
    ecr.create_repository(repositoryName="tags")
    here, there = client(first, first), client(second, first)
    old, new = random_image(), random_image()
    here.push("tags", old, "latest")
    here.push("tags", new, "other")

    for _ in range(20):
        for image in (old, new):
            here.push_manifest("tags", image.manifest, "latest")
            for _ in range(5):
                assert there.pull_manifest("tags", "latest").data == image.manifest.data
        ecr.batch_delete_image(repositoryName="tags", imageIds=[{"imageTag": "latest"}])
        assert there.get_manifest("tags", "latest").status == 404


def test_what_a_registry_does_every_day_works(first: Homeport) -> None:
    ecr: Any = first.client()
    ecr.create_repository(repositoryName="team/app", tags=[{"Key": "team", "Value": "a"}])
    oci = client(first, first)
    images = [random_image() for _ in range(3)]
    for number, image in enumerate(images):
        oci.push("team/app", image, f"v{number}")

    assert oci.pull("team/app", "v1") == {blob.digest: blob.data for blob in images[1].blobs} | {
        images[1].digest: images[1].manifest.data
    }
    assert oci.tags("team/app") == ["v0", "v1", "v2"]
    pages = ecr.get_paginator("list_images").paginate(
        repositoryName="team/app", PaginationConfig={"PageSize": 1}
    )
    assert [image["imageTag"] for page in pages for image in page["imageIds"]] == ["v2", "v1", "v0"]
    found = ecr.describe_images(repositoryName="team/app", imageIds=[{"imageTag": "v2"}])["imageDetails"]
    assert found[0]["imageDigest"] == images[2].digest

    deleted = ecr.batch_delete_image(
        repositoryName="team/app", imageIds=[{"imageDigest": images[0].digest}, {"imageTag": "none"}]
    )
    assert [image["imageDigest"] for image in deleted["imageIds"]] == [images[0].digest]
    assert [failure["failureCode"] for failure in deleted["failures"]] == ["ImageNotFound"]
    assert oci.tags("team/app") == ["v1", "v2"]


def test_rights_change_on_all_nodes_at_once(first: Homeport, second: Homeport) -> None:
    first.client().create_repository(repositoryName="guarded")
    who = first.user("reader", policy("ecr:*"))
    password = first.password(who)
    on_second = OciClient(second.url, "AWS", password)
    iam = first.client("iam")

    for _ in range(10):
        assert on_second.get_manifest("guarded", "none").status == 404
        iam.delete_user_policy(UserName="reader", PolicyName="default")
        assert on_second.get_manifest("guarded", "none").status == 403
        iam.put_user_policy(
            UserName="reader", PolicyName="default", PolicyDocument=json.dumps(policy("ecr:*"))
        )


def test_a_node_with_another_master_key_does_not_start(first: Homeport, tmp_path: Path) -> None:
    stranger = Homeport()
    node = another_node(first, tmp_path / "data")
    try:
        stranger.environment.pop("HOMEPORT_DATABASE", None)
        stranger.init()
        shutil.copy(stranger.data / "master.key", node.data / "master.key")

        with pytest.raises(ProgramFailed, match="Copy the file from another node"):
            node.start()
    finally:
        node.close()
        stranger.close()


def test_a_database_that_holds_a_registry_is_not_initialised_again(first: Homeport, tmp_path: Path) -> None:
    first.client().create_repository(repositoryName="there")
    node = Homeport(
        data=tmp_path / "data", environment={"HOMEPORT_DATABASE": first.environment["HOMEPORT_DATABASE"]}
    )
    try:
        with_own_key = node.command("init", "--account", first.credentials.account_id)
        shutil.copy(first.data / "master.key", node.data / "master.key")
        with_its_key = node.command("init", "--account", first.credentials.account_id)

        assert (with_own_key.code, with_its_key.code) == (1, 1)
        assert "Copy the file from another node" in with_own_key.err
        assert "holds a registry already" in with_its_key.err
        assert not (node.data / "homeport.toml").exists()
        assert first.client().get_authorization_token()["authorizationData"], "the first key is still good"
    finally:
        node.close()


def test_a_node_waits_for_the_migration_that_an_operator_runs(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    node = Homeport(data=tmp_path / "data", environment={"HOMEPORT_DATABASE": url})
    try:
        made = node.command("migrate", "--json")
        again = node.command("migrate")

        assert json.loads(made.out) == {"from": None, "to": HEAD}
        assert f"schema {HEAD} already" in again.out
        node.init()
        node.start()
        node.terminate()
    finally:
        node.close()
