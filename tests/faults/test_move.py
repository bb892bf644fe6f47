"""A registry moves to PostgreSQL and S3, and back, and is restored there; nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.history import History
from tests.faults.test_restore_drill import logged_in, start_backup
from tests.harness.images import bytes_of, random_image, read_layout, write_layout
from tests.harness.postgres import Postgres
from tests.harness.process import Background
from tests.harness.s3 import S3Server, moto
from tests.harness.sandbox import Sandbox, needs
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]

REPOSITORY = "team/app"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with moto() as server:
        yield server


def pushed(server: Homeport, tags: int, what: str = "before") -> History:
    """Push some images."""
    history, client = History(REPOSITORY), logged_in(server)
    for number in range(tags):
        image = random_image(layers=2, layer_bytes=30_000)
        client.push(REPOSITORY, image, f"{what}-{number}")
        history.acknowledge(f"{what}-{number}", image)
    return history


def skopeo_copies_there_and_back(server: Homeport) -> None:
    image = random_image(layers=2, layer_bytes=6_000_000)
    remote = f"docker://{server.host}/{REPOSITORY}:by-skopeo"
    with Sandbox() as sandbox:
        write_layout(sandbox.folder / "there", {"v1": image})
        login = (
            "skopeo",
            "login",
            "--tls-verify=false",
            "--username",
            "AWS",
            "--password-stdin",
            server.host,
        )
        sandbox.run(*login, stdin=server.password())
        sandbox.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{sandbox.folder}/there:v1", remote)
        sandbox.run("skopeo", "copy", "--src-tls-verify=false", remote, f"oci:{sandbox.folder}/back:v1")
        assert read_layout(sandbox.folder / "back") == bytes_of(image)


def clean(server: Homeport) -> None:
    """What the registry says is what it has, to the last byte."""
    done = server.command("fsck", "--digests", "--json")
    assert done.code == 0, done


@pytest.mark.clients
@needs("skopeo", "skopeo")
def test_a_registry_moves_to_postgresql_and_s3_and_back_and_loses_nothing(
    s3: S3Server, postgres: Postgres
) -> None:
    there = ("--database", postgres.new_database(), "--storage", s3.url(s3.new_bucket(), "main"))
    server = Homeport(environment=s3.environment())
    server.environment.pop("HOMEPORT_DATABASE", None)
    with server:
        server.client().create_repository(repositoryName=REPOSITORY)
        before = pushed(server, 4)

        prepare = ["move", *there, "--prepare", "--data", str(server.data)]
        fault = {"HOMEPORT_BLOB_FAULTS": "finish:5:kill-before"}
        killed = Background(
            [sys.executable, "-m", "homeport", *prepare], server.environment | fault, server.data
        )
        assert killed.ended(60) == -signal.SIGKILL, killed.story()
        copied = server.command(*prepare[:-2], "--json")
        assert copied.code == 0, copied
        assert 0 < json.loads(copied.out)["newBlobs"] < json.loads(copied.out)["blobs"]
        during = pushed(server, 2, "since")
        open_upload = logged_in(server).start_upload(REPOSITORY)
        server.terminate()
        moved = server.command("move", *there)
        assert moved.code == 0, moved

        server.start()
        client = logged_in(server)
        before.check(client)
        during.check(client)
        assert client.request("PATCH", open_upload, body=b"more").status == 404
        skopeo_copies_there_and_back(server)
        server.terminate()

        (server.data / "homeport.db").unlink()
        back = server.command("move", "--database", "folder", "--storage", "folder", "--json")
        assert back.code == 0, back
        assert json.loads(back.out)["newBlobs"] == 3  # what skopeo pushed
        server.environment = {name: each for name, each in server.environment.items() if "AWS" not in name}
        server.start()
        client = logged_in(server)
        before.check(client)
        during.check(client)
        clean(server)
        assert server.defects == []


def test_a_registry_on_postgresql_is_backed_up_in_use_and_restored_after_a_total_loss(
    postgres: Postgres, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    with Homeport(environment={"HOMEPORT_DATABASE": postgres.new_database()}) as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        before = pushed(server, 4)
        running = start_backup(server, target, "reader:1:stop")
        _, status = os.waitpid(running.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), running.story()
        pushed(server, 1, "during")
        logged_in(server).delete(REPOSITORY, "before-0").expect(202)
        collected = server.command("gc", "--now")
        assert collected.code == 0, collected
        running.signal(signal.SIGCONT)
        assert running.ended(60) == 0, running.story()

    restored = Homeport(tmp_path / "new")
    restored.environment.pop("HOMEPORT_DATABASE", None)
    try:
        done = restored.command("restore", str(target), "--database", postgres.new_database())
        assert done.code == 0, done
        restored._credentials = server.credentials
        restored.start()
        before.check(logged_in(restored))
        image = random_image()
        logged_in(restored).push(REPOSITORY, image, "afterwards")
        assert logged_in(restored).pull(REPOSITORY, "afterwards") == bytes_of(image)
        restored.terminate()
        assert restored.defects == []
    finally:
        restored.close()
