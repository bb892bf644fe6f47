"""Every log event and every metric, named in one place. Never a secret: nothing here is given one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from homeport.kernel.clock import SystemClock

_CLOCK = SystemClock()
_quoted = (
    json.encoder.encode_basestring_ascii
)  # a text as JSON; a whole `dumps` for each line costs four times as much
REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "homeport_requests_total", "Requests answered.", ("front", "operation", "status"), registry=REGISTRY
)
SECONDS = Histogram(
    "homeport_request_seconds",
    "Seconds from the head of a request to the end of its answer.",
    ("front",),
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600),
    registry=REGISTRY,
)
ACTIVE = Gauge("homeport_requests_active", "Requests under way.", registry=REGISTRY)
SWEPT = Counter("homeport_swept_total", "Stale uploads and unreferenced bytes removed.", registry=REGISTRY)


_json_lines = False


def configure_logs(form: str, stream: TextIO | None = None) -> None:
    """Send log lines to `stream` (standard error by default) as `json`, `console`, or by terminal (`auto`)."""
    global _json_lines
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


def serve_metrics(port: int) -> None:
    """Serve the metrics on loopback, in a thread of its own."""
    start_http_server(port, addr="127.0.0.1", registry=REGISTRY)


log: Any = structlog.get_logger()


class RequestLog:
    """One line and three metrics for each request.

    The same lines as `log` writes, made directly: on the hot path the general machinery costs five times as much.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._lines: list[str] = []
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def write(self, front: str, operation: str, status: int, seconds: float, **fields: str | None) -> None:
        """Record one answered request; `front` and `operation` are our own words, `fields` go to the log only."""
        key = (front, operation, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = REQUESTS.labels(front, operation, str(status))
            self._timers.setdefault(front, SECONDS.labels(front))
        counter.inc()
        self._timers[front].observe(seconds)
        ms = round(seconds * 1000, 2)
        if not _json_lines:
            log.info("request", front=front, operation=operation, status=status, ms=ms, **fields)
            return
        more = "".join(
            f', "{name}": {"null" if value is None else _quoted(value)}' for name, value in fields.items()
        )
        self._lines.append(
            f'{{"event": "request", "level": "info", "timestamp": "{_CLOCK.now().isoformat()}", '
            f'"front": "{front}", "operation": "{operation}", "status": {status}, "ms": {ms}{more}}}'
        )
        if len(self._lines) == 1:
            # Requests that are answered in one turn of the event loop share one write.
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()
