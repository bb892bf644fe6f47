"""Every log event and every metric, named in one place. Never a secret: nothing here is given one."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from homeport.kernel.clock import SystemClock

_CLOCK = SystemClock()
_quoted = (
    json.encoder.encode_basestring_ascii
)  # a text as JSON; a whole `dumps` for each line costs four times as much
_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)  # seconds, upper bounds


class _Requests(Collector):
    """How many requests were answered, and how long they took.

    Plain numbers that only the event loop changes; the library's own, which lock, cost ten times as much a request.
    """

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str, int], int] = {}
        self._times: dict[
            str, list[float]
        ] = {}  # by front: one count for each bucket and for beyond, then the sum

    def count(self, front: str, operation: str, status: int, seconds: float) -> None:
        key = (front, operation, status)
        self._answered[key] = self._answered.get(key, 0) + 1
        times = self._times.get(front)
        if times is None:
            times = self._times[front] = [0] * (len(_BUCKETS) + 1) + [0.0]
        times[bisect_left(_BUCKETS, seconds)] += 1
        times[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "homeport_requests", "Requests answered.", labels=("front", "operation", "status")
        )
        for (front, operation, status), number in list(self._answered.items()):
            answered.add_metric((front, operation, str(status)), number)
        yield answered
        seconds = HistogramMetricFamily(
            "homeport_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            labels=("front",),
        )
        for front, times in list(self._times.items()):
            *counts, total = list(times)
            bounds = [*map(floatToGoString, _BUCKETS), "+Inf"]
            seconds.add_metric((front,), list(zip(bounds, accumulate(counts), strict=True)), total)
        yield seconds


REGISTRY = CollectorRegistry()
REQUESTS = _Requests()
REGISTRY.register(REQUESTS)
ACTIVE = Gauge("homeport_requests_active", "Requests under way.", registry=REGISTRY)
SWEPT = Counter("homeport_swept_total", "Stale uploads and unreferenced bytes removed.", registry=REGISTRY)
FAILED_ATTEMPTS = Counter(
    "homeport_authentication_failures_total",
    "Failed attempts to prove who is asking: refused, or throttled as one of too many.",
    ("outcome",),
    registry=REGISTRY,
)
JOBS = Counter("homeport_jobs_total", "Jobs by outcome.", ("kind", "outcome"), registry=REGISTRY)
LIFECYCLE_RUNS = Counter(
    "homeport_lifecycle_runs_total", "Runs of lifecycle policies by outcome.", ("outcome",), registry=REGISTRY
)
LIFECYCLE_IMAGES = Counter(
    "homeport_lifecycle_images_total",
    "Images that lifecycle policies acted on, or left alone because they changed meanwhile.",
    ("action", "outcome"),
    registry=REGISTRY,
)
DATABASE_RETRIES = Counter(
    "homeport_database_retries_total",
    "Transactions that met another one and were run again.",
    registry=REGISTRY,
)
COLLECTED_BLOBS = Counter(
    "homeport_collected_blobs_total", "Blobs that nobody referred to any more.", registry=REGISTRY
)
RECLAIMED_BYTES = Counter(
    "homeport_reclaimed_bytes_total", "Bytes of such blobs that were deleted.", registry=REGISTRY
)
COLLECTION_BACKLOG = Gauge(
    "homeport_collection_backlog", "Layers of repositories whose review is due.", registry=REGISTRY
)
COLLECTION_OVERDUE = Gauge(
    "homeport_collection_overdue_seconds", "How long the first of them has been due.", registry=REGISTRY
)
COLLECTION_BURIED = Gauge(
    "homeport_collection_unreclaimed_bytes",
    "Bytes that nobody refers to and that are not deleted yet.",
    registry=REGISTRY,
)
BLOBS_MARKED = Counter(
    "homeport_blobs_marked_damaged_total",
    "Blobs whose stored bytes were found not to be theirs, by what was wrong.",
    ("kind",),
    registry=REGISTRY,
)
BLOBS_DAMAGED = Gauge(
    "homeport_blobs_damaged", "Blobs marked as damaged and not pushed again.", registry=REGISTRY
)
SCRUBBED = Counter(
    "homeport_scrubbed_blobs_total", "Blobs read and hashed in the background.", registry=REGISTRY
)
SCRUBBED_BYTES = Counter(
    "homeport_scrubbed_bytes_total", "Bytes read and hashed in the background.", registry=REGISTRY
)
JOBS_WAITING = Gauge("homeport_jobs_waiting", "Jobs that are not done yet.", registry=REGISTRY)


_json_lines = False
_node_field = ""


def configure_logs(form: str, stream: TextIO | None = None, *, node: str | None = None) -> None:
    """Send log lines to `stream` (standard error by default) as `json`, `console`, or by terminal (`auto`).

    Each line says `node`, unless that is None; it has no character that JSON would escape.
    """
    global _json_lines, _node_field
    _node_field = f'"node": "{node}", ' if node is not None else ""
    stream = stream if stream is not None else sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    _json_lines = not console
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            *([functools.partial(_named_node, node)] if node is not None else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    _route_libraries(stream, console=console)


def _named_node(node: str, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "node": node}


class _LibraryLine(logging.Formatter):
    """What a library logs, as one JSON line; exceptions by their kind alone, since their text may repeat a request."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"event": "library", "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            line["kind"] = record.exc_info[0].__name__
        return json.dumps({**line, "text": record.getMessage().partition("\n")[0][:500]})


def _route_libraries(stream: TextIO, *, console: bool) -> None:
    handler = logging.StreamHandler(stream)
    if not console:
        handler.setFormatter(_LibraryLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def serve_metrics(host: str, port: int) -> None:
    """Serve the metrics at an address, in a thread of their own."""
    start_http_server(port, addr=host, registry=REGISTRY)


log: Any = structlog.get_logger()


_LOGGED = ("id", "method", "path", "principal", "remote", "agent")


class Answered(NamedTuple):
    """What the log and the metrics keep of a request. `front` and `operation` are our own words."""

    front: str
    operation: str
    status: int
    seconds: float
    id: str
    method: str
    path: str
    principal: str
    remote: str
    agent: str


class RequestLog:
    """One line and three metrics for each request.

    The same lines as `log` writes, made directly: on the hot path the general machinery costs five times as much.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._lines: list[str] = []
        self._now = ""

    def write(self, request: Answered) -> None:
        """Record one answered request."""
        front, operation, status, seconds = request.front, request.operation, request.status, request.seconds
        REQUESTS.count(front, operation, status, seconds)
        ms = round(seconds * 1000, 2)
        if not _json_lines:
            fields = {name: getattr(request, name) for name in _LOGGED}
            log.info("request", front=front, operation=operation, status=status, ms=ms, **fields)
            return
        if not self._lines:
            # Requests that are answered in one turn of the event loop share one write, and its time.
            self._now = _CLOCK.now().isoformat()
            asyncio.get_running_loop().call_soon(self._flush)
        self._lines.append(
            f'{{"event": "request", "level": "info", {_node_field}"timestamp": "{self._now}", '
            f'"front": "{front}", "operation": "{operation}", "status": {status}, "ms": {ms}, '
            f'"id": "{request.id}", "method": {_quoted(request.method)}, "path": {_quoted(request.path)}, '
            f'"principal": {_quoted(request.principal)}, "remote": {_quoted(request.remote)}, '
            f'"agent": {_quoted(request.agent)}}}'
        )

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()
