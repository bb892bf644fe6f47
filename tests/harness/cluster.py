"""Several nodes of one registry, each in its own process and on loopback, as an operator runs them on several machines.

Nodes share PostgreSQL and an object store, the key file and the settings file; each has a data folder of its own.
Without an object store they share one folder, as processes of one machine can; with neither its SQLite file too.
"""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.harness import postgres
from tests.harness.ceph import Ceph
from tests.harness.oci import OciClient
from tests.harness.s3 import S3Server, moto
from tests.harness.server import Credentials, Homeport

_JOINING = ("master.key", "homeport.toml")

_running: dict[str, Any] = {}


def shared_moto() -> S3Server:
    """The quick object store of this test process, started when it is first wanted."""
    if "moto" not in _running:
        stack = ExitStack()
        atexit.register(stack.close)
        _running["moto"] = stack.enter_context(moto())
    server: S3Server = _running["moto"]
    return server


def shared_ceph() -> Ceph:
    """The real object store of this test process, started when it is first wanted, which takes fifteen seconds."""
    if "ceph" not in _running:
        found = Ceph()
        atexit.register(found.close)
        found.__enter__()
        _running["ceph"] = found
    server: Ceph = _running["ceph"]
    return server


class Cluster:
    """Nodes of one registry; use as a context manager, which starts them and ends what still runs.

    Args:
        size: how many nodes.
        database: address of a PostgreSQL database; by default a new one of the shared server. With "sqlite" the nodes
            share the file in their folder.
        storage: the value of the setting `storage`, as `S3Server.url` gives it, with `credentials` in `environment`; by
            default the nodes share a folder.
        options: further words for `serve` on every node.
        environment: further variables for every node.
        each: further variables for one node, by its index.
        data: folder of the first node; by default a temporary one.
        running: how many of them start at once; by default all.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        database: str | None = None,
        storage: str | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        each: Callable[[int], Mapping[str, str]] = lambda _: {},
        data: Path | None = None,
        running: int | None = None,
    ) -> None:
        chosen = postgres.shared().new_database() if database is None else database
        shared = dict(environment or {})
        if chosen != "sqlite":
            shared["HOMEPORT_DATABASE"] = chosen
        if storage is not None:
            shared["HOMEPORT_STORAGE"] = storage
        self.database = chosen
        self._to_start = size if running is None else running
        self.nodes = [Homeport(data=data, options=options, environment=shared)]
        for _ in range(1, size):
            folder = self.nodes[0].data if storage is None or chosen == "sqlite" else None
            self.nodes.append(Homeport(data=folder, options=options, environment=shared))
        for index, node in enumerate(self.nodes):
            if chosen == "sqlite":
                node.environment.pop("HOMEPORT_DATABASE", None)  # whatever the tests run on
            node.environment |= each(index)
        self._password = ""

    def __enter__(self) -> Self:
        try:
            first = self.nodes[0]
            first.init()
            for node in self.nodes[1:]:
                self._join(node)
            for node in self.nodes[: self._to_start]:
                node.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _join(self, node: Homeport) -> None:
        first = self.nodes[0]
        if node.data != first.data:
            node.data.mkdir(mode=0o700, parents=True)
            for name in _JOINING:
                shutil.copy2(first.data / name, node.data / name)
        node._credentials = first.credentials

    # --- Life of a node ---

    def start(self, index: int) -> None:
        """Start a node again, at the address that it had."""
        node = self.nodes[index]
        node.start(urlsplit(node.url).port or 0)

    def kill(self, index: int) -> None:
        """SIGKILL to a node: it gets no chance to tidy up."""
        self.nodes[index].kill()

    def restart(self, index: int) -> None:
        """End a node as an upgrade does, and start it again at the same address."""
        self.nodes[index].restart(same_port=True)

    def close(self) -> None:
        """End what runs and remove what is temporary."""
        for node in reversed(self.nodes):
            node.close()

    # --- Clients ---

    def url(self, index: int) -> str:
        """Base URL of a node; it keeps it over `start` and `restart`."""
        return self.nodes[index].url

    @property
    def credentials(self) -> Credentials:
        """The administrator."""
        return self.nodes[0].credentials

    def password(self) -> str:
        """What a client logs in with, on every node; asked for once, from the first node that runs."""
        if not self._password:
            self._password = next(node for node in self.nodes if node._process is not None).password()
        return self._password

    def oci(self, index: int, *, seconds: float = 30) -> OciClient:
        """A bare OCI client of one node, logged in as the administrator."""
        return OciClient(self.url(index), "AWS", self.password(), seconds=seconds)

    def everywhere(self) -> list[OciClient]:
        """A client of each node that runs."""
        return [self.oci(index) for index, node in enumerate(self.nodes) if node._process is not None]

    @property
    def defects(self) -> list[str]:
        """Errors that any node logged, and whatever is not a log record."""
        return [line for node in self.nodes for line in node.defects]
