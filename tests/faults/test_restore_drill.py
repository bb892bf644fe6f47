"""The drill: a registry is backed up while it is used, everything is lost, and what was promised is there again.

Promise: every image that was acknowledged before the backup began can be pulled from what is restored, byte by byte.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.history import History, stored
from tests.harness.images import bytes_of, random_image
from tests.harness.oci import OciClient
from tests.harness.process import Background, Finished
from tests.harness.server import Homeport

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]

REPOSITORY = "team/app"


def logged_in(server: Homeport) -> OciClient:
    return OciClient(server.url, "AWS", server.password())


@contextmanager
def life_goes_on(server: Homeport) -> Iterator[History]:
    """Push and delete images until the block ends; yields those that were pushed and not deleted meanwhile."""
    client, ended, history = logged_in(server), threading.Event(), History(REPOSITORY)
    failures: list[BaseException] = []

    def live() -> None:
        number = 0
        try:
            while not ended.is_set():
                number += 1
                kept, passing = random_image(layer_bytes=20_000), random_image(layer_bytes=20_000)
                client.push(REPOSITORY, kept, f"during-{number}")
                history.acknowledge(f"during-{number}", kept)
                client.push(REPOSITORY, passing, "passing")
                client.delete(REPOSITORY, passing.digest).expect(202)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield history
    finally:
        ended.set()
        thread.join()
    assert failures == []
    assert len(history) > 0


def backup(server: Homeport, target: Path) -> Finished:
    done = server.command("backup", str(target), "--json")
    assert done.code == 0, done
    return done


@contextmanager
def restored(server: Homeport, target: Path, data: Path) -> Iterator[OciClient]:
    """A server on what the backup in `target` holds, which was inspected down to the last byte."""
    with_same_users = Homeport(data)
    try:
        done = with_same_users.command("restore", str(target))
        assert done.code == 0, done
        done = with_same_users.command("fsck", "--digests", "--json")
        assert done.code == 0, done
        with_same_users._credentials = server.credentials
        with_same_users.start()
        yield logged_in(with_same_users)
        with_same_users.terminate()
        assert with_same_users.defects == []
    finally:
        with_same_users.close()


def start_backup(server: Homeport, target: Path, fault: str) -> Background:
    argv = [sys.executable, "-m", "homeport", "backup", str(target), "--data", str(server.data)]
    return Background(argv, server.environment | {"HOMEPORT_BLOB_FAULTS": fault}, target.parent)


def test_what_was_acknowledged_before_a_backup_is_there_after_a_total_loss(tmp_path: Path) -> None:
    before = History(REPOSITORY)
    with Homeport() as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = logged_in(server)
        for number in range(10):
            image = random_image(layers=2, layer_bytes=30_000)
            client.push(REPOSITORY, image, f"before-{number}")
            before.acknowledge(f"before-{number}", image)

        with life_goes_on(server) as during:
            backup(server, tmp_path / "backup")
            backup(server, tmp_path / "backup")
        backup(server, tmp_path / "last")
        before.check(client)
        during.check(client)

        with restored(server, tmp_path / "backup", tmp_path / "new-1") as found:
            before.check(found)
        with restored(server, tmp_path / "last", tmp_path / "new-2") as found:
            before.check(found)
            during.check(found)
            image = random_image()
            found.push(REPOSITORY, image, "afterwards")
            assert found.pull(REPOSITORY, "afterwards") == bytes_of(image)


def test_what_is_deleted_while_a_backup_runs_is_in_the_backup(tmp_path: Path) -> None:
    target = tmp_path / "backup"
    with Homeport() as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = logged_in(server)
        images = {f"v{number}": random_image(layer_bytes=30_000) for number in range(5)}
        for tag, image in images.items():
            client.push(REPOSITORY, image, tag)

        running = start_backup(server, target, "reader:1:stop")
        _, status = os.waitpid(running.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), running.story()
        for image in images.values():
            client.delete(REPOSITORY, image.digest).expect(202)
        collected = server.command("gc", "--now")
        assert collected.code == 0, collected
        assert len(stored(server.data, "data")) == 10
        running.signal(signal.SIGCONT)
        assert running.ended(60) == 0, running.story()

        collected = server.command("gc", "--now")
        assert collected.code == 0, collected
        assert stored(server.data, "data") == set()
        with restored(server, target, tmp_path / "new") as found:
            for tag, image in images.items():
                assert found.pull(REPOSITORY, tag) == bytes_of(image)


@pytest.mark.parametrize("fault", ["reader:1:kill-before", "read:12:kill-after"])
def test_a_backup_that_is_killed_leaves_the_earlier_one_valid_and_the_next_one_goes_on(
    tmp_path: Path, fault: str
) -> None:
    target = tmp_path / "backup"
    before, later = History(REPOSITORY), History(REPOSITORY)
    with Homeport() as server:
        server.client().create_repository(repositoryName=REPOSITORY)
        client = logged_in(server)
        for history in (before, later):
            for number in range(4):
                image = random_image(layers=2, layer_bytes=30_000)
                tag = f"{'before' if history is before else 'later'}-{number}"
                client.push(REPOSITORY, image, tag)
                history.acknowledge(tag, image)
            if history is before:
                backup(server, target)
        taken = json.loads((target / "backup.json").read_text())["taken_at"]

        killed = start_backup(server, target, fault)
        assert killed.ended(60) == -signal.SIGKILL, killed.story()

        assert json.loads((target / "backup.json").read_text())["taken_at"] == taken
        with restored(server, target, tmp_path / "earlier") as found:
            before.check(found)
        backup(server, target)
        with restored(server, target, tmp_path / "later") as found:
            before.check(found)
            later.check(found)
        assert server.defects == []
