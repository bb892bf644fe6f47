"""`homeport image`: an operator restores deleted images and pins tags, also while the server runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from homeport.cli.main import main
from tests.api.calls import MISSING, at_registry, new_name, put
from tests.harness.images import bytes_of, random_image
from tests.harness.server import Credentials, Homeport

Run = Callable[..., Result]


@pytest.fixture
def owner(homeport: Homeport) -> Credentials:
    """The administrator of an account of the test's own."""
    return homeport.account()


@pytest.fixture
def ecr(homeport: Homeport, owner: Credentials) -> Any:
    """Its client; the registry keeps deleted images."""
    client = homeport.client(credentials=owner)
    client.put_account_setting(name="IMAGE_RECOVERY", value="ENABLED")
    return client


@pytest.fixture
def name(ecr: Any) -> str:
    """The name of an empty repository of that registry."""
    made = new_name("cli")
    ecr.create_repository(repositoryName=made)
    return made


@pytest.fixture
def run(homeport: Homeport, owner: Credentials) -> Run:
    """`run("pins", NAME)` runs a command of `homeport image` on the data folder of the running server."""

    def run_(*words: str) -> Result:
        where = ["--data", str(homeport.data), "--account", owner.account_id]
        result = CliRunner().invoke(main, ["image", *words, *where], catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return run_


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    return result.stderr


def delete(ecr: Any, name: str, digest: str) -> None:
    answer = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageDigest": digest}])
    assert answer["failures"] == []


def test_a_deleted_image_is_listed_and_restored(
    homeport: Homeport, ecr: Any, owner: Credentials, name: str, run: Run
) -> None:
    image = random_image()
    put(ecr, name, image, "v1", "latest")
    delete(ecr, name, image.digest)

    shown = said(run("deleted", name))
    assert f"{image.digest}  latest, v1  " in shown
    assert f" by {owner.user_arn}\n" in shown
    [listed] = json.loads(said(run("deleted", name, "--json")))
    assert (listed["imageDigest"], listed["imageTags"]) == (image.digest, ["latest", "v1"])
    assert listed["deletedAt"] < listed["recoverableUntil"]

    assert said(run("restore", name, image.digest)) == f"restored {image.digest}  latest, v1\n"
    assert at_registry(homeport, owner).pull(name, "v1") == bytes_of(image)
    assert said(run("deleted", name)) == ""
    assert "already exists" in refusal(run("restore", name, image.digest))


def test_a_restore_says_which_former_tags_others_have_by_now(ecr: Any, name: str, run: Run) -> None:
    old = put(ecr, name, random_image(), "latest", "v1")
    delete(ecr, name, old)
    put(ecr, name, random_image(), "latest")

    answer = json.loads(said(run("restore", name, old, "--json")))
    assert answer == {"imageDigest": old, "imageTags": ["v1"], "tagsInUse": ["latest"]}

    delete(ecr, name, old)
    put(ecr, name, random_image(), "v1")
    assert said(run("restore", name, old)) == (
        f"restored {old}  (untagged)\n  other images have its former tags: v1\n"
    )


def test_a_restored_image_gets_the_tags_that_are_asked_for(ecr: Any, name: str, run: Run) -> None:
    digest = put(ecr, name, random_image(), "v1")
    delete(ecr, name, digest)

    assert said(run("restore", name, digest, "--tag", "b", "--tag", "a")) == f"restored {digest}  a, b\n"
    [found] = ecr.describe_images(repositoryName=name)["imageDetails"]
    assert found["imageTags"] == ["a", "b"]


def test_a_pinned_tag_is_listed_protects_its_image_and_can_be_unpinned(ecr: Any, name: str, run: Run) -> None:
    digest = put(ecr, name, random_image(), "release")

    said(run("pin", name, "release"))

    assert said(run("pins", name)).startswith(f"release  {digest}  since 20")
    [listed] = json.loads(said(run("pins", name, "--json")))
    assert (listed["imageTag"], listed["imageDigest"], listed["pinnedBy"]) == (
        "release",
        digest,
        "command line",
    )
    answer = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "release"}])
    assert [each["failureCode"] for each in answer["failures"]] == ["ImageTagPinned"]

    said(run("unpin", name, "release"))
    assert said(run("pins", name)) == ""
    delete(ecr, name, digest)


def test_what_is_not_there_is_said_in_one_line(name: str, run: Run) -> None:
    assert "does not exist" in refusal(run("deleted", "no/such/repository"))
    assert f"no deleted image with digest '{MISSING}'" in refusal(run("restore", name, MISSING))
    assert "imageTag:'absent'" in refusal(run("pin", name, "absent"))
    assert "'absent' is not pinned" in refusal(run("unpin", name, "absent"))
    assert said(run("pins", name)) == said(run("deleted", name)) == ""
