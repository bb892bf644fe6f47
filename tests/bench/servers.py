"""Start and stop the two registries that are compared, each on a folder of its own.

A product knows how to start a server and to make a repository ready; everything that differs between Homeport
and docker-registry is here, and the scenarios know nothing of it. Servers listen on 127.0.0.1 only and get
SIGTERM, then SIGKILL. Contract: Homeport's command line and the ECR API; docker-registry's configuration
reference.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import boto3

from tests.bench.rawclient import BenchmarkError, Connection, Endpoint

HOST = "127.0.0.1"
PORTS = (20000, 32000)
START_SECONDS = 60
STOP_SECONDS = 15
LOG_SHOWN = 3000
ROOT = Path(__file__).resolve().parents[2]

DOCKER_REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {store}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: "{address}"}}
"""


@dataclass(slots=True)
class Server:
    """A running registry: its process, its address, and the folder that holds all it writes."""

    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    endpoint: Endpoint
    started: float = 0.0
    """When it first answered, by `time.perf_counter`."""

    @property
    def pid(self) -> int:
        """Return the process id of the root of the server's process tree."""
        return self.process.pid

    def log_size(self) -> int:
        """Return how many bytes of log the server has written."""
        return (self.folder / "log").stat().st_size

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn any failure in the block into a BenchmarkError that ends with the last lines of the log."""
        try:
            yield
        except Exception as error:
            log = (self.folder / "log").read_bytes()[-LOG_SHOWN:].decode(errors="replace")
            raise BenchmarkError(f"{self.name}: {error}\nThe end of its log:\n{log}") from error

    def end(self) -> None:
        """Stop the server; its folder stays."""
        _end(self.process)

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Product(Protocol):
    """A registry that can be started on an empty folder."""

    name: str

    def version(self) -> str:
        """Return the version under test."""

    def start(self, folder: Path, repositories: tuple[str, ...]) -> Server:
        """Start a server on a new folder, with repositories to push to.

        Raises BenchmarkError when it does not come up; then no process and no folder are left behind.
        """


class DockerRegistry:
    """Debian's `docker-registry`, without authentication and with the least logging."""

    name = "docker-registry"

    def __init__(self, program: str = "/usr/bin/docker-registry") -> None:
        """Use that executable. Raises BenchmarkError when it is missing."""
        if not Path(program).exists():
            raise BenchmarkError(f"{program} is missing; install the package docker-registry")
        self._program = program

    def version(self) -> str:
        """Return the version that the program prints."""
        printed = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        return printed.stdout.split()[-1]

    def start(self, folder: Path, repositories: tuple[str, ...]) -> Server:
        """Start it; it makes repositories at the first push."""
        folder.mkdir()
        endpoint = Endpoint(HOST, _free_port())
        settings = folder / "config.yml"
        settings.write_text(DOCKER_REGISTRY.format(store=folder / "store", address=endpoint.address))
        process = _launch([self._program, "serve", str(settings)], folder)
        return _started(Server(self.name, process, folder, endpoint))


class Homeport:
    """Homeport with its defaults: authentication, access log and metrics are on."""

    name = "Homeport"

    def __init__(self, options: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> None:
        """Add `options` to `homeport serve`, and `environment` to that of every command."""
        self._options = options
        self._more = dict(environment or {})

    def version(self) -> str:
        """Return the package's version."""
        asked = [sys.executable, "-c", "import homeport; print(homeport.__version__)"]
        printed = subprocess.run(asked, capture_output=True, text=True, env=_environment(), check=True)
        return printed.stdout.strip()

    def start(self, folder: Path, repositories: tuple[str, ...]) -> Server:
        """Initialise a data folder, serve it, create the repositories and log in as its administrator."""
        return self.serve(folder, self.initialise(folder), repositories)

    def initialise(self, folder: Path) -> dict[str, str]:
        """Make `folder` with a registry in it; return its account, its region and its administrator's key."""
        folder.mkdir()
        made = subprocess.run(
            [sys.executable, "-m", "homeport", "init", "--data", str(folder / "data"), "--json"],
            capture_output=True,
            text=True,
            env=_environment() | self._more,
            check=False,
        )
        if made.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise BenchmarkError(f"homeport init failed:\n{made.stderr}")
        keys: dict[str, str] = json.loads(made.stdout)
        return keys

    def serve(self, folder: Path, keys: dict[str, str], repositories: tuple[str, ...] = ()) -> Server:
        """Serve an initialised folder, create the repositories and log in as the administrator."""
        endpoint = Endpoint(HOST, _free_port())
        serve = [sys.executable, "-m", "homeport", "serve", "--data", str(folder / "data")]
        options = ["--host", HOST, "--port", str(endpoint.port), "--metrics-port", str(_free_port())]
        process = _launch([*serve, *options, "--log-format", "json", *self._options], folder, self._more)
        server = _started(Server(self.name, process, folder, endpoint))
        stopping = contextlib.ExitStack()
        stopping.callback(server.stop)
        with stopping, server.explaining():
            server.endpoint = Endpoint(HOST, endpoint.port, _logged_in(endpoint, keys, repositories))
            stopping.pop_all()  # all went well: it keeps running
        return server


def _logged_in(endpoint: Endpoint, keys: dict[str, str], repositories: tuple[str, ...]) -> str:
    """Create repositories by the ECR API and return the Authorization header of a docker login."""
    ecr = boto3.client(
        "ecr",
        endpoint_url=f"http://{endpoint.address}",
        region_name=keys["region"],
        aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"],
    )
    for repository in repositories:
        ecr.create_repository(repositoryName=repository)
    granted = ecr.get_authorization_token()["authorizationData"][0]
    return f"Basic {granted['authorizationToken']}"


def _launch(
    command: list[str], folder: Path, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own: an interrupt then reaches only the benchmark, which ends it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment() | dict(more or {}),
            start_new_session=True,
        )


def _started(server: Server) -> Server:
    """Wait until the server answers `GET /v2/`. Raises BenchmarkError with its log when it does not."""
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.process.poll() is None:
            with contextlib.suppress(OSError, BenchmarkError), Connection(server.endpoint) as connection:
                if connection.request("GET", "/v2/").status in (200, 401):
                    server.started = time.perf_counter()
                    return server
            time.sleep(0.01)
        with server.explaining():
            raise BenchmarkError("it did not come up")
    except BaseException:
        server.stop()
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end and make sure that it and its session do."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # as a rule nothing is left by now
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """Return the environment of a server: ours, with the source tree on the path and no Homeport settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


def _free_port() -> int:
    """Return a port of the loopback address on which nobody listens now.

    It lies below those that Linux gives to outgoing connections, one of which could else take it first.
    """
    while True:
        port = random.randrange(*PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
