"""The process: sockets, worker processes, signals, drain. Knows nothing of what is served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
import socket
import ssl
import sys
import time

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from homeport.app import build_region
from homeport.config import Settings
from homeport.database.clock import DatabaseClock
from homeport.dispatch import Dispatch, complete_headers
from homeport.folder import in_use, prepare
from homeport.kernel.errors import Unavailable
from homeport.outbound.addresses import networks
from homeport.telemetry import configure_logs, log, serve_metrics
from homeport.wire.connection import Server
from homeport.wire.forwarded import Proxies
from homeport.workers.schedule import Schedule

_BACKLOG = 1024
_LAST_REQUESTS_SECONDS = 0.1  # requests that were sent before we refused connections are still read
_PAUSE_SECONDS = 1.0  # before a worker is replaced: one that cannot start must not spin
_EARLY_SECONDS = 5.0  # a worker that dies so soon after the last start could probably not start
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status. Errors: OSError when the port is taken."""
    configure_logs(settings.log_format, node=_node_name(settings))
    with in_use(settings):
        return _serve_as_told(settings)


def _serve_as_told(settings: Settings) -> int:
    tls = _tls(settings)
    if settings.nodes > 1 and settings.storage is None:
        raise SystemExit("Several nodes need a place for layers that all of them reach: --storage s3://...")
    asyncio.run(prepare(settings))
    listener = _listen(settings)
    if settings.workers == 1:
        status = asyncio.run(_serve(settings, listener, tls, 0))
        if settings.storage is not None:
            # The object store's library keeps threads of its own, which may not outlive the interpreter's state.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status
    return _supervise(settings, listener, tls)


def _node_name(settings: Settings) -> str | None:
    """Return what tells this node's log lines from those of others, None where there are no others."""
    if settings.node is not None or settings.database is None:
        return settings.node
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:128]


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SystemExit(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Choose another port with --port or HOMEPORT_PORT."
        ) from error
    listener.setblocking(False)
    return listener


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None and settings.tls_key is None:
        return None
    if settings.tls_certificate is None or settings.tls_key is None:
        raise SystemExit("TLS needs both --tls-certificate and --tls-key.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SystemExit(f"The TLS certificate or key cannot be used: {error}") from error
    return context


async def _serve(
    settings: Settings,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    worker: int,
    supervisor: int | None = None,
) -> int:
    """Serve as one process. `supervisor` is a descriptor that becomes readable when the supervisor is gone."""
    region = build_region(settings)
    timing = None
    if isinstance(region.clock, DatabaseClock):
        with contextlib.suppress(Unavailable):  # it is asked again
            await region.clock.measure()
        timing = asyncio.create_task(region.clock.keep_right())
    dispatch = Dispatch(region, Proxies(networks(settings.trusted_proxies)))
    server = Server(dispatch, complete_headers)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    site = web.SockSite(runner, listener, ssl_context=tls, backlog=_BACKLOG)
    await site.start()
    if settings.metrics_port:
        serve_metrics(settings.metrics_host, settings.metrics_port + worker)
    schedule = Schedule(region)
    schedule.start(alone=worker == 0)
    # What start-up made stays: looking at it again at each full collection would hold up every request for 50 ms.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if supervisor is not None:
        asyncio.get_running_loop().add_reader(supervisor, stop.set)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if tls else 'http'}://{shown}:{port}"
    log.info("serving", url=url, region=region.name, account=region.account, worker=worker, pid=os.getpid())
    await stop.wait()
    if supervisor is not None:
        asyncio.get_running_loop().remove_reader(supervisor)
    log.info("draining", worker=worker)
    dispatch.health.leaving = True
    if settings.drain_notice_seconds:
        stop.clear()  # a second signal is in a hurry
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), settings.drain_notice_seconds)
    drained = asyncio.ensure_future(dispatch.drain())
    await asyncio.sleep(0)  # from here on every answer closes its connection
    await site.stop()
    await asyncio.sleep(_LAST_REQUESTS_SECONDS)
    busy = []
    for connection in server.connections:
        connection.keep_alive(False)
        if _is_sending(connection):
            busy.append(connection)
        else:
            connection.force_close()  # `close` alone would leave it open and silent
    try:
        async with asyncio.timeout(settings.drain_seconds):
            await drained
            # An answer may be complete and its end still on the way to a slow client.
            while any(map(_is_sending, busy)):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.02)
    except TimeoutError:
        log.warning("drain_timeout", seconds=settings.drain_seconds)
    await server.shutdown(1.0)
    await runner.cleanup()
    await schedule.stop()
    if timing is not None:
        timing.cancel()
    await region.db.close()
    region.threads.close()
    log.info("stopped", worker=worker)
    return 0


def _is_sending(connection: RequestHandler) -> bool:
    """Whether an answer is being made, or bytes of one have not been handed to the system yet."""
    transport = connection.transport
    if transport is None:
        return False
    # TLS has a transport of its own below, which asyncio does not count.
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    unsent = [each.get_write_buffer_size() for each in (transport, below) if each is not None]
    return connection._current_request is not None or any(unsent)


def _supervise(settings: Settings, listener: socket.socket, tls: ssl.SSLContext | None) -> int:
    """Keep `settings.workers` processes on one listening socket; a worker that dies is replaced.

    Returns 1 when workers keep dying before they can serve, else 0.
    """
    running: dict[int, int] = {}
    stopping = False
    early_deaths = 0
    began = time.monotonic()
    # Nobody writes to this pipe: its end tells the workers that the supervisor died, however it did.
    alive, held_open = os.pipe()

    def start(worker: int) -> None:
        # No signal between the fork and knowing its pid, nor may a worker run the supervisor's handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork() if not stopping else -1
        if pid:
            if pid > 0:
                running[pid] = worker
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            return
        os.close(held_open)
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        status = 1
        try:
            status = asyncio.run(_serve(settings, listener, tls, worker, alive))
        except Exception:
            log.exception("worker_failed", worker=worker)
        finally:
            sys.stderr.flush()
            os._exit(status)

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        listener.close()  # the last holder: from here on the system refuses connections
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    for worker in range(settings.workers):
        start(worker)
    while running:
        pid, status = os.wait()
        worker = running.pop(pid)
        if not stopping:
            log.error("worker_died", worker=worker, status=os.waitstatus_to_exitcode(status))
            early_deaths = early_deaths + 1 if time.monotonic() - began < _EARLY_SECONDS else 0
            if early_deaths > 2 * settings.workers:
                log.error("workers_cannot_start")
                stop()
                continue
            time.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
            start(worker)
    return 1 if early_deaths > 2 * settings.workers else 0
