"""A real PostgreSQL server of the tests' own: a new cluster in a temporary folder, on loopback, gone afterwards.

It is as durable as one that keeps its data: fsync and synchronous commits stay on. Its databases compare text as a
language does, not byte by byte, so that whoever relies on the order of bytes must say so.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from tests.harness.process import _end_with_the_tests

_ROOM = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs, the newest that is installed; None without any."""
    on_path = shutil.which("initdb")
    found = sorted(_ROOM.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0]))
    return found[-1].parent if found else Path(on_path).parent if on_path else None


MISSING = "no PostgreSQL server is installed (Debian: apt-get install postgresql)"


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as somebody who owns nothing."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            who = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise RuntimeError("neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """One server, started by entering it and stopped by leaving. `settings` such as `max_connections=20`."""

    def __init__(self, *settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="homeport-postgres-"))
        self._data = self._folder / "data"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._who = _unprivileged()
        if self._who:
            os.chown(self._folder, self._who["user"], self._who["group"])

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "--username=homeport", "--auth=trust", "--encoding=UTF8", "--locale-provider=icu",
                      "--icu-locale=en", "--locale=C.UTF-8", "--no-instructions", str(self._data))  # fmt: skip
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _program(self, name: str) -> str:
        folder = programs()
        assert folder is not None, MISSING
        return str(folder / name)

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [self._program(name), *words], cwd=self._folder, capture_output=True, check=False, **self._who
        )
        assert done.returncode == 0, (name, words, done.stdout, done.stderr)

    def start(self) -> None:
        """Start the server and return when it answers."""
        words = [
            "-D", str(self._data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=64MB",
            "-c", "log_min_messages=panic",
        ]  # fmt: skip
        for setting in self._settings:
            words += ["-c", setting]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._program("postgres"), *words],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_the_tests,
                **self._who,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                asyncio.run(self._ask("postgres", "SELECT 1"))
                return
            except (OSError, asyncpg.PostgresError):
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(0.05)  # it has no other way to say that it is ready

    async def _ask(self, database: str, sql: str) -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def url(self, database: str) -> str:
        """The address of a database of this server."""
        return f"postgresql://homeport@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str | None = None) -> str:
        """Make an empty database and return its address; with a `name` that exists it is returned as it is."""
        name = name or f"test_{uuid.uuid4().hex}"
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            asyncio.run(self._ask("postgres", f'CREATE DATABASE "{name}"'))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever uses it."""
        asyncio.run(self._ask("postgres", f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)'))

    @property
    def pid(self) -> int:
        """The server's main process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def suspend(self) -> None:
        """SIGSTOP to the server and all its processes: connections stay, and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for process in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as a power cut would."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._process.kill()
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):  # it noticed by itself
                os.kill(child, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop it without waiting for anybody's transaction, and start it again on the same port."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it, waiting for nobody."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def close(self) -> None:
        """Stop it and remove what it kept."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


_shared: list[Postgres] = []


def shared() -> Postgres:
    """The server of this test process, started when it is first wanted; it ends with the process."""
    if not _shared:
        _shared.append(Postgres())
        atexit.register(_shared[0].close)
        _shared[0].__enter__()
    return _shared[0]
