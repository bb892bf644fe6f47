"""`homeport lifecycle` as an operator meets it, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from homeport.cli.main import main
from tests.api.calls import put
from tests.api.lifecycle import ANY, UNTAGGED, policy_of, rule, tagged
from tests.harness.images import Image, image_of
from tests.harness.process import Finished
from tests.harness.server import Homeport

REPOSITORY = "team/app"
QUIET = {"HOMEPORT_LIFECYCLE_INTERVAL": "0"}


class Folder:
    """A data folder with four images, whose server is stopped unless a test starts it."""

    def __init__(self, server: Homeport) -> None:
        self.server = server
        self.images: list[Image] = []

    def fill(self) -> None:
        ecr: Any = self.server.client()
        ecr.create_repository(repositoryName=REPOSITORY)
        shared = {"shared": b"s" * 4000}
        for number in range(4):
            image = image_of([shared, {"own": str(number).encode() * 3000}])
            put(ecr, REPOSITORY, image, f"v{number}")
            self.images.append(image)

    def put_policy(self, *rules: dict[str, Any]) -> None:
        self.server.client().put_lifecycle_policy(
            repositoryName=REPOSITORY, lifecyclePolicyText=policy_of(*rules)
        )

    def tags(self) -> set[str]:
        listed = self.server.client().list_images(repositoryName=REPOSITORY)["imageIds"]
        return {each["imageTag"] for each in listed}

    def lifecycle(self, *words: str, stdin: str = "") -> Finished:
        """Run a command: in this process where it sets up no logs, which is quick."""
        argv = ["lifecycle", *words, "--data", str(self.server.data)]
        if words[0] == "run":
            return self.server.command(*argv[:-2], stdin=stdin)
        done = CliRunner().invoke(main, argv, input=stdin, catch_exceptions=False)
        return Finished(tuple(argv), done.exit_code, done.stdout, done.stderr)


KEEP_TWO = rule(4, tagged("v*"), "imageCountMoreThan", 2)


@pytest.fixture(scope="module")
def folder(isolated_environment: None) -> Iterator[Folder]:
    """Shared by the tests that change nothing; a server runs on it."""
    with Homeport(environment=QUIET) as server:
        made = Folder(server)
        made.fill()
        made.put_policy(KEEP_TWO, rule(9, UNTAGGED, "sinceImagePushed", 14))
        yield made


@pytest.fixture
def own_folder() -> Iterator[Folder]:
    """A test's own, with a policy that keeps two of four images."""
    with Homeport(environment=QUIET) as server:
        made = Folder(server)
        made.fill()
        made.put_policy(KEEP_TWO)
        yield made


def test_a_preview_shows_each_image_with_its_rule_and_what_is_saved(folder: Folder) -> None:
    shown = folder.lifecycle("preview", REPOSITORY)

    assert shown.code == 3
    first, *_ = shown.out.splitlines()
    assert first == f"{REPOSITORY}: its own policy"
    assert "4 images looked at" in shown.out
    assert "2 expire and free" in shown.out
    rows = [line.split() for line in shown.out.splitlines() if line.startswith("expire")]
    assert [(row[1], row[-1]) for row in rows] == [("4", "v0"), ("4", "v1")]
    assert folder.tags() == {"v0", "v1", "v2", "v3"}


def test_a_preview_as_json_has_the_same_as_figures(folder: Folder) -> None:
    shown = folder.lifecycle("preview", REPOSITORY, "--json")

    said = json.loads(shown.out)
    assert (shown.code, said["source"], said["prefix"]) == (3, "REPOSITORY", None)
    assert [each["imageDigest"] for each in said["images"]] == [image.digest for image in folder.images[:2]]
    kept = {blob.digest for image in folder.images[2:] for blob in image.blobs}
    gone = {blob.digest: blob.size for image in folder.images[:2] for blob in image.blobs}
    freed = sum(size for digest, size in gone.items() if digest not in kept)
    assert said["totals"]["expiringBytes"] == freed
    assert said["monthlySavings"] == {"amountMicros": freed * 100_000 // 1024**3, "currency": "USD"}


def test_another_policy_can_be_tried_from_a_file_or_standard_input(folder: Folder, tmp_path: Path) -> None:
    harmless = policy_of(rule(1, ANY, "imageCountMoreThan", 100))
    file = tmp_path / "policy.json"
    file.write_text(harmless)

    for words, stdin in ((("--policy", str(file)), ""), (("--policy", "-"), harmless)):
        shown = folder.lifecycle("preview", REPOSITORY, *words, stdin=stdin)
        assert shown.code == 0
        assert "0 expire" in shown.out


def test_a_policy_of_a_file_must_be_one_that_the_registry_would_take(folder: Folder) -> None:
    extended = policy_of(rule(1, ANY, "sinceImagePulled", 5))

    refused = folder.lifecycle("preview", REPOSITORY, "--policy", "-", stdin=extended)

    assert refused.code == 1
    assert "Lifecycle policy validation failure" in refused.err


def test_a_description_in_a_policy_cannot_command_the_terminal_of_an_operator(own_folder: Folder) -> None:
    hostile = {**KEEP_TWO, "description": "\x1b]0;owned\x07 été \ud800"}
    own_folder.put_policy(hostile)

    explained = own_folder.lifecycle("explain", REPOSITORY, "v0")

    assert explained.code == 0
    assert r"rule 4 (\x1b]0;owned\x07 été \ud800): acted on" in explained.out


def test_an_explanation_says_what_each_rule_makes_of_an_image(folder: Folder) -> None:
    by_tag = folder.lifecycle("explain", REPOSITORY, "v0")
    by_digest = folder.lifecycle("explain", REPOSITORY, folder.images[3].digest, "--json")

    assert by_tag.code == 0
    assert f"{folder.images[0].digest} under its own policy:" in by_tag.out
    assert "rule 4" in by_tag.out
    assert "acted on" in by_tag.out
    said = json.loads(by_digest.out)
    assert [(each["rulePriority"], each["verdict"]) for each in said["reasons"]] == [
        (4, "KEPT"),
        (9, "NOT_SELECTED"),
    ]


def test_what_does_not_exist_is_named(folder: Folder) -> None:
    for words, about in (
        (("preview", "team/none"), "team/none"),
        (("run", "team/none"), "team/none"),
        (("explain", REPOSITORY, "v77"), "v77"),
    ):
        refused = folder.lifecycle(*words)
        assert refused.code == 1
        assert about in refused.err
        assert "Traceback" not in refused.err


def test_a_run_acts_at_once_beside_a_running_server(own_folder: Folder) -> None:
    done = own_folder.lifecycle("run", REPOSITORY)

    assert done.code == 0, done
    assert "2 expired" in done.out
    assert "lifecycle_image_expired" in done.err
    assert own_folder.tags() == {"v2", "v3"}
    assert own_folder.server.client().get_lifecycle_policy(repositoryName=REPOSITORY)["lastEvaluatedAt"]
    listed = own_folder.lifecycle("runs", REPOSITORY)
    assert "complete  2 expired" in listed.out


def test_a_run_acts_without_a_server_and_tells_it_as_json(own_folder: Folder) -> None:
    own_folder.server.terminate()

    said = json.loads(own_folder.lifecycle("run", REPOSITORY, "--json").out)
    again = json.loads(own_folder.lifecycle("run", REPOSITORY, "--json").out)

    assert (said["status"], said["outcomes"]) == ("COMPLETE", {"expired": 2})
    assert (again["status"], again["outcomes"]) == ("COMPLETE", {})
    runs = json.loads(own_folder.lifecycle("runs", REPOSITORY, "--json").out)["runs"]
    assert [run["runId"] for run in runs] == [again["runId"], said["runId"]]
    own_folder.server.start()
    assert own_folder.tags() == {"v2", "v3"}
