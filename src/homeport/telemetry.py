"""Every log event and every metric, named in one place. Never a secret: nothing here is given one."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

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


def configure_logs(form: str, stream: TextIO | None = None) -> None:
    """Send log lines to `stream` (standard error by default) as `json`, `console`, or by terminal (`auto`)."""
    stream = stream if stream is not None else sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
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
    logging.basicConfig(
        level=logging.WARNING, stream=stream, format='{"event": "library", "text": "%(message)s"}'
    )


def serve_metrics(port: int) -> None:
    """Serve the metrics on loopback, in a thread of its own."""
    start_http_server(port, addr="127.0.0.1", registry=REGISTRY)


log: Any = structlog.get_logger()
