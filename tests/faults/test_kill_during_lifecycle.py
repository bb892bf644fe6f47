"""The server is killed in the midst of a lifecycle run: each image is whole or gone, and the run ends later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.api.calls import put, put_manifest
from tests.api.lifecycle import ANY, PROMPTLY, UNTAGGED, policy_of, rule, tagged
from tests.faults.history import assert_sound, database, expect_death, sweep
from tests.harness.images import Image, artifact, image_of
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

REPOSITORY = "team/app"
IMAGES = 240
KEPT = 10
TAGS = 2
QUIET = {"HOMEPORT_LIFECYCLE_INTERVAL": "0"}

# The writes of one run: 1 start, 2 lease, 3 and 4 the entries, 5 the plan is ready, then the entries, fifty at a time.
# With each, how many images are there then; the signature is among the first fifty.
STEPS = {
    "half of the plan is written": ("write:3:kill-after", IMAGES),
    "the plan is about to be ready": ("write:5:kill-before", IMAGES),
    "the first images are gone": ("write:6:kill-after", IMAGES - 49),
    "the run is complete but its job": ("write:10:kill-after", KEPT),
}


def push(ecr: Any) -> list[str]:
    """Push many images that differ by their manifest alone, one of them signed; return their digests, oldest first."""
    layer = {"file": b"shared by all"}
    images = [image_of([layer], annotations={"number": str(number)}) for number in range(IMAGES)]
    put(ecr, REPOSITORY, images[0])
    for number, image in enumerate(images):
        for tag in (f"v{number}", f"build-{number}"):
            put_manifest(ecr, REPOSITORY, image.manifest, tag)
    sign(ecr, images[0])
    return [image.digest for image in images]


def sign(ecr: Any, image: Image) -> None:
    signature = artifact(b"s", artifact_type="application/vnd.test.signature", subject=image.manifest)
    put(ecr, REPOSITORY, signature)


def assert_images_are_whole(data: Path) -> int:
    """Each image that there is has its tags and its blobs; return how many there are."""
    connection = database(data)
    rows = connection.execute(
        "SELECT (SELECT count(*) FROM image_tag t WHERE t.image_id = i.id),"
        " (SELECT count(*) FROM image_blob b WHERE b.image_id = i.id) FROM image i WHERE i.subject IS NULL"
    ).fetchall()
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()
    assert set(rows) <= {(TAGS, 2)}
    assert orphans == []
    return len(rows)


@pytest.mark.parametrize("step", list(STEPS))
def test_a_run_that_is_cut_off_by_a_crash_is_ended_by_the_next_process(step: str) -> None:
    fault, left = STEPS[step]
    with Homeport(environment=QUIET) as server:
        clean = dict(server.environment)
        ecr: Any = server.client()
        ecr.create_repository(repositoryName=REPOSITORY)
        digests = push(ecr)
        keep = rule(1, tagged("v*"), "imageCountMoreThan", KEPT)
        never = rule(2, UNTAGGED, "sinceImagePushed", 1000), rule(3, ANY, "imageCountMoreThan", 1000)
        ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=policy_of(keep, *never))

        server.environment = clean | {"HOMEPORT_DATABASE_FAULTS": fault}
        server.restart()
        try:
            server.client("homeport").start_lifecycle_run(repositoryName=REPOSITORY)
        except (BotoCoreError, ClientError):
            pytest.fail("the run could not even be started")
        expect_death(server)
        assert assert_images_are_whole(server.data) == left

        with database(server.data) as connection:
            connection.execute("UPDATE job SET run_after = 0, leased_until = NULL")
        connection.close()
        server.environment = clean
        server.start()
        own = server.client("homeport")
        [run] = own.list_lifecycle_runs(repositoryName=REPOSITORY)["lifecycleRuns"]
        named = {"repositoryName": REPOSITORY, "runId": run["runId"]}
        own.get_waiter("lifecycle_run_complete").wait(**named, WaiterConfig=PROMPTLY)

        pages = own.get_paginator("describe_lifecycle_run").paginate(**named)
        outcomes = [entry["outcome"] for page in pages for entry in page["entries"]]
        assert outcomes == ["DONE"] * (IMAGES - KEPT + 1)  # and the signature
        pages = server.client().get_paginator("describe_images").paginate(repositoryName=REPOSITORY)
        there = [image["imageDigest"] for page in pages for image in page["imageDetails"]]
        assert sorted(there) == sorted(digests[-KEPT:])
        server.terminate()
        sweep(server)
        assert_sound(server.data)
        assert server.defects == []
