"""A real S3 server: Ceph's gateway with one monitor and one disk in memory, all of it the test's own and on loopback.

Debian brings it: `tools/install-clients radosgw ceph-mon ceph-osd ceph`. It takes about fifteen seconds to start. What
the options prevent: a disk that waits for its place in a map that nobody keeps, answers that wait 40 ms for an
acknowledgement (tcp_nodelay), more than one copy of each object.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness.process import Background, ProgramFailed, finish
from tests.harness.s3 import S3Server
from tests.harness.server import clean_environment

PROGRAMS = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "monmaptool")
_KEY, _SECRET = "CEPHACCESSKEY0000000", "cephsecretcephsecretcephsecretcephsecret"

_CONF = """[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{mon}
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
osd_class_update_on_start = false
osd_crush_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 4294967296
ms_bind_msgr2 = false
public_addr = 127.0.0.1
run_dir = {folder}
admin_socket = {folder}/$name.asok
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
mon_data = {folder}/mon
mon_cluster_log_file = {folder}/cluster.log
osd_data = {folder}/osd
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw_dns_name = localhost
"""


def missing() -> str:
    """Return why Ceph cannot run here; empty when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if not absent:
        return ""
    return f"{', '.join(absent)} not installed: tools/install-clients radosgw ceph-mon ceph-osd ceph"


needs_ceph = pytest.mark.skipif(bool(missing()), reason=missing() or "Ceph is installed")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Ceph:
    """One cluster in a temporary folder; use as a context manager."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ceph-"))
        self._mon, self._gateway = _free_ports(2)
        self._fsid = str(uuid.uuid4())
        self._running: list[Background] = []
        self._conf = self._folder / "ceph.conf"
        self.server = S3Server(f"http://127.0.0.1:{self._gateway}", _KEY, _SECRET)

    def _run(self, *words: str, seconds: float = 50) -> None:
        done = finish(
            [words[0], "-c", str(self._conf), *words[1:]],
            clean_environment(),
            folder=self._folder,
            seconds=seconds,
        )
        if done.code:
            raise ProgramFailed(str(done))

    def _ask_monitor(self, *words: str) -> None:
        """Run `ceph WORDS...`, again while the monitor answers without having told itself yet what it allows."""
        for left in reversed(range(15)):
            try:
                self._run("ceph", "--connect-timeout", "40", *words)
            except ProgramFailed as error:
                if "EPERM" not in str(error) or not left:
                    raise
            else:
                return

    def _daemon(self, *words: str) -> Background:
        process = Background(
            [words[0], "-c", str(self._conf), "-f", *words[1:]], clean_environment(), self._folder
        )
        self._running.append(process)
        return process

    def __enter__(self) -> S3Server:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self.server

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        folder = self._folder
        self._conf.write_text(
            _CONF.format(fsid=self._fsid, mon=self._mon, gateway=self._gateway, folder=folder)
        )
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        monmap = str(folder / "monmap")
        self._run(
            "monmaptool",
            "--create",
            "--fsid",
            self._fsid,
            "--addv",
            "a",
            f"[v1:127.0.0.1:{self._mon}]",
            monmap,
        )
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._daemon("ceph-mon", "-i", "a")
        self._ask_monitor("osd", "create")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--no-mon-config")
        self._daemon("ceph-osd", "-i", "0")
        self._ask_monitor("osd", "crush", "add", "0", "1.0", "root=default", "host=here")
        user = ["--uid", "tests", "--display-name", "tests", "--access-key", _KEY, "--secret-key", _SECRET]
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *user, seconds=100)
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start the gateway, also after `kill_gateway`, and wait until it answers."""
        self._gateway_process = self._daemon("radosgw", "-n", "client.rgw")
        for _ in range(600):
            try:
                urllib.request.urlopen(self.server.endpoint, timeout=10).close()
                return
            except urllib.error.HTTPError:
                return  # any answer will do
            except OSError:
                # It opens its port when it is ready; its end, or a tenth of a second, is what can be awaited.
                with contextlib.suppress(ProgramFailed):
                    self._gateway_process.ended(0.1)
                    break
        raise ProgramFailed(f"the gateway does not answer\n{self._gateway_process.story()}")

    def kill_gateway(self) -> None:
        """SIGKILL for the gateway; returns when it is gone."""
        self._gateway_process.kill()
        self._running.remove(self._gateway_process)

    def close(self) -> None:
        """End everything and remove the folder."""
        for process in reversed(self._running):
            process.kill()
        self._running.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def ceph() -> Iterator[S3Server]:
    """A running cluster's S3 server."""
    with Ceph() as server:
        yield server
