"""A home for a client program: every place where it keeps logins, images or settings is temporary.

Two tests with two sandboxes share nothing with each other or with the machine, apart from the cache of
blob locations that programs built on containers/image keep for root.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.harness.process import Finished, ProgramFailed, finish
from tests.harness.server import Credentials, clean_environment


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed, saying which Debian or Python package brings it."""
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed: install the package {package}")


def needs_root(why: str) -> pytest.MarkDecorator:
    """Skip where the tests do not run as root."""
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"{why}: run the tests as root")


class Sandbox:
    """A temporary folder, and an environment that keeps programs inside it.

    `environment` may be added to. The folder's path is short, because sockets are made below it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hp-"))
        home = self._made("home")
        self.auth_file = self.folder / "auth.json"
        self.environment = clean_environment(
            HOME=str(home),
            LANG="C.UTF-8",
            TMPDIR=str(self._made("tmp")),
            XDG_CONFIG_HOME=str(self._made("home/.config")),
            XDG_DATA_HOME=str(self._made("home/.local/share")),
            XDG_CACHE_HOME=str(self._made("home/.cache")),
            XDG_RUNTIME_DIR=str(self._made("run")),
            DOCKER_CONFIG=str(self._made("docker")),
            REGISTRY_AUTH_FILE=str(self.auth_file),
            CONTAINERS_STORAGE_CONF=str(self._storage_settings()),
            CONTAINERS_CONF=str(self._engine_settings()),
            CONTAINERS_REGISTRIES_CONF=str(self._write("registries.conf", "short-name-mode = 'disabled'\n")),
            AWS_CONFIG_FILE=os.devnull,
            AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_PAGER="",
        )
        policy = self._made("home/.config/containers") / "policy.json"
        policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        (self.folder / "run").chmod(0o700)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def _storage_settings(self) -> Path:
        places = f'graphroot = "{self.folder}/images"\nrunroot = "{self.folder}/running"\n'
        return self._write("storage.conf", f'[storage]\ndriver = "vfs"\n{places}')

    def _engine_settings(self) -> Path:
        lines = [
            "[engine]",
            'cgroup_manager = "cgroupfs"',
            'events_logger = "file"',
            'lock_type = "file"',
            f'static_dir = "{self.folder}/libpod"',
            f'tmp_dir = "{self.folder}/libpod-run"',
            f'volume_path = "{self.folder}/volumes"',
            "[network]",
            f'network_config_dir = "{self._made("networks")}"',
        ]
        return self._write("containers.conf", "\n".join(lines) + "\n")

    def act_as(self, who: Credentials) -> None:
        """Let AWS programs in this sandbox sign as a user."""
        self.environment.update(who.environment())

    def attempt(self, *argv: str | Path, stdin: str = "", seconds: float = 50) -> Finished:
        """Run a program to its end; its exit code may be anything."""
        return finish(argv, self.environment, folder=self.folder, stdin=stdin, seconds=seconds)

    def run(self, *argv: str | Path, stdin: str = "", seconds: float = 50) -> Finished:
        """Run a program that must succeed.

        Raises:
            ProgramFailed: it did not exit with 0; the text has all that it said.
        """
        done = self.attempt(*argv, stdin=stdin, seconds=seconds)
        if done.code != 0:
            raise ProgramFailed(str(done))
        return done

    def refused(self, *argv: str | Path, stdin: str = "", seconds: float = 50) -> str:
        """Run a program that must fail; returns everything that it said.

        Raises:
            ProgramFailed: it exited with 0.
        """
        done = self.attempt(*argv, stdin=stdin, seconds=seconds)
        if done.code == 0:
            raise ProgramFailed(f"expected a failure\n{done}")
        return done.out + done.err
