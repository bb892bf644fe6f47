"""A real load balancer in front of three nodes: HAProxy with the settings that operators are given (`deploy`)."""

from __future__ import annotations

import csv
import shutil
import socket
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.harness.process import Background, ProgramFailed
from tests.harness.server import ROOT, clean_environment

SETTINGS = ROOT / "deploy" / "haproxy.cfg"
_SECONDS = 20.0


def program() -> str | None:
    """Where HAProxy is installed; Debian puts it where only root looks."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


class Balancer:
    """HAProxy on loopback; use as a context manager.

    Args:
        nodes: base URLs of three nodes.
        folder: its working directory.
    """

    def __init__(self, nodes: Sequence[str], folder: Path) -> None:
        with socket.socket() as one, socket.socket() as other:
            for probe in (one, other):
                probe.bind(("127.0.0.1", 0))
            self.host, self._stats = (f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other))
        self._folder = folder
        self._environment = clean_environment(
            LISTEN=self.host,
            STATS=self._stats,
            **{f"NODE{number}": urlsplit(url).netloc for number, url in enumerate(nodes, 1)},
        )
        self._process: Background | None = None

    def __enter__(self) -> Self:
        words: list[str | Path] = [program() or "haproxy", "-db", "-f", SETTINGS]
        self._process = Background(words, self._environment, self._folder)
        try:
            self.wait_for_nodes(3)
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()  # else it waits for connections that clients keep open

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://{self.host}"

    def nodes_up(self) -> int:
        """How many nodes are sent requests."""
        with urllib.request.urlopen(f"http://{self._stats}/;csv", timeout=5) as answer:
            rows = csv.DictReader(answer.read().decode().removeprefix("# ").splitlines())
        return sum(row["svname"].startswith("node") and row["status"] == "UP" for row in rows)

    def wait_for_nodes(self, count: int) -> None:
        """Return when exactly so many nodes are sent requests."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.running:
            try:
                if self.nodes_up() == count:
                    return
            except OSError:
                pass  # it is starting
            time.sleep(0.1)  # it tells nobody by itself
        story = self._process.story() if self._process is not None else ""
        raise ProgramFailed(f"not {count} nodes up within {_SECONDS} s\n{story}")
