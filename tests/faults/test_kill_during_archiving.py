"""The server is killed at each step of a move between storage classes, and no byte is lost, doubled or left over.

Steps and promises: the order of a move in `uploads/placement.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import pytest

from tests.faults.history import assert_sound, database, expect_death, sweep
from tests.harness.images import Image, bytes_of, random_image
from tests.harness.oci import OciClient
from tests.harness.process import ProgramFailed
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(180)]

REPOSITORY = "team/app"
HELD_UP = {"HOMEPORT_BLOB_FAULTS": "reader:*:unavailable"}
"""Jobs fail, so that the next start begins with one that is due."""

# Where the server dies on the way to the archive, and where on the way back; both ways are one function.
# The writes of one job: 1 lease, 2 and 3 the tombstone of the first copy and the switch to it, 4 and 5 the same for the
# second, 6 the end of the job (of a restore: the image is active; then the end).
STEPS = {
    "the job is leased, the second copy is durable": (
        {"HOMEPORT_DATABASE_FAULTS": "write:1:kill-after"},
        {"HOMEPORT_BLOB_FAULTS": "finish:2:kill-after"},
    ),
    "half of the copy is written, the copy is announced": (
        {"HOMEPORT_BLOB_FAULTS": "write:1:kill-half"},
        {"HOMEPORT_DATABASE_FAULTS": "write:2:kill-after"},
    ),
    "the blob is about to be switched, the copy is durable": (
        {"HOMEPORT_DATABASE_FAULTS": "write:3:kill-before"},
        {"HOMEPORT_BLOB_FAULTS": "finish:1:kill-after"},
    ),
    "the last word is written, the blob is switched": (
        {"HOMEPORT_DATABASE_FAULTS": "write:6:kill-after"},
        {"HOMEPORT_DATABASE_FAULTS": "write:3:kill-after"},
    ),
}


def eventually(true: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(400):
        if true():
            return
        pause.wait(0.05)
    raise AssertionError(f"{what} did not happen in time")


def make_due(server: Homeport) -> None:
    """Let the jobs of a stopped server wait for nothing, as if the lease of their dead worker had ended."""
    with database(server.data) as connection:
        connection.execute("UPDATE job SET run_after = 0, leased_until = NULL")
    connection.close()


def jobs_are_done(server: Homeport) -> bool:
    connection = database(server.data)
    left = connection.execute("SELECT 1 FROM job").fetchall()
    connection.close()
    return not left


def areas(server: Homeport) -> set[str]:
    """Where the rows of a server's blobs say that their bytes are."""
    connection = database(server.data)
    rows = connection.execute("SELECT storage_class, storage_key FROM blob").fetchall()
    connection.close()
    return {f"{row[0]} {str(row[1]).split('/')[0]}" for row in rows}


def move(
    server: Homeport, clean: dict[str, str], target: Literal["ARCHIVE", "STANDARD"], step: dict[str, str]
) -> None:
    """Have the image moved by a server that dies at `step`, and the work ended by its successor."""
    server.client().update_image_storage_class(
        repositoryName=REPOSITORY, imageId={"imageTag": "v1"}, targetStorageClass=target
    )
    failed = "job_failed"
    server.wait_for_log(lambda record: record if record.get("event") == failed else None, "the failure")
    server.terminate()

    make_due(server)
    server.environment = clean | step
    try:
        server.start()
    except ProgramFailed:  # dead before it could say that it serves
        pass
    else:
        expect_death(server)

    make_due(server)
    server.environment = clean
    server.start()
    eventually(lambda: jobs_are_done(server), "the end of the jobs")


@pytest.mark.parametrize("steps", list(STEPS))
def test_a_move_that_is_cut_off_by_a_crash_is_ended_by_the_next_process(steps: str) -> None:
    there, back = STEPS[steps]
    with Homeport(environment=HELD_UP) as server:
        clean = {name: value for name, value in server.environment.items() if name not in HELD_UP}
        server.client().create_repository(repositoryName=REPOSITORY)
        image: Image = random_image(layer_bytes=300_000)
        OciClient(server.url, "AWS", server.password()).push(REPOSITORY, image, "v1")

        move(server, clean, "ARCHIVE", there)
        client = OciClient(server.url, "AWS", server.password())
        client.get_manifest(REPOSITORY, "v1").expect(404)
        assert areas(server) == {"ARCHIVE archive"}

        server.environment = clean | HELD_UP
        server.restart()
        move(server, clean, "STANDARD", back)
        client = OciClient(server.url, "AWS", server.password())
        assert client.pull(REPOSITORY, "v1") == bytes_of(image)
        assert areas(server) == {"STANDARD data"}

        server.terminate()
        with database(server.data) as connection:
            connection.execute("UPDATE tombstone SET delete_after = 0")
        connection.close()
        sweep(server)
        assert_sound(server.data)
        for area in ("staging", "data"):
            assert list((server.data / "archive" / area).glob("*/*")) == []
        assert server.defects == []
