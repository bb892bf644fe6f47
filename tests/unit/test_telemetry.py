"""What an operator reads about requests: the lines of the log and the numbers of the metrics."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from homeport import telemetry
from homeport.telemetry import Answered, RequestLog


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> telemetry._Requests:
    """Counters that start at nothing."""
    fresh = telemetry._Requests()
    monkeypatch.setattr(telemetry, "REQUESTS", fresh)
    monkeypatch.setattr(telemetry, "_json_lines", True)
    return fresh


def answered(status: int = 200, seconds: float = 0.002, *, agent: str = "docker/20") -> Answered:
    """A request that went well, mostly."""
    return Answered(
        "oci", "GetManifest", status, seconds, "an-id", "GET", "/v2/a", "user/a", "127.0.0.1", agent
    )


def written(*answers: Answered) -> list[dict[str, object]]:
    """The log lines of requests that were answered in one turn of the event loop."""
    stream = io.StringIO()

    async def scenario() -> None:
        log = RequestLog(stream)
        for each in answers:
            log.write(each)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_request_has_one_line_with_what_an_operator_needs(requests: telemetry._Requests) -> None:
    first, second = written(answered(), answered(404, 1.5, agent='"\n{'))

    assert (first["event"], first["status"], first["ms"], first["id"]) == ("request", 200, 2.0, "an-id")
    assert first["operation"] == "GetManifest"
    assert (second["status"], second["ms"], second["agent"]) == (404, 1500.0, '"\n{')


def test_the_metrics_count_requests_by_status_and_seconds_by_bucket(requests: telemetry._Requests) -> None:
    written(answered(), answered(), answered(404, 700.0))

    registry = CollectorRegistry()
    registry.register(requests)
    shown = generate_latest(registry).decode()
    assert 'homeport_requests_total{front="oci",operation="GetManifest",status="200"} 2.0' in shown
    assert 'homeport_requests_total{front="oci",operation="GetManifest",status="404"} 1.0' in shown
    assert 'homeport_request_seconds_bucket{front="oci",le="0.001"} 0.0' in shown
    assert 'homeport_request_seconds_bucket{front="oci",le="0.005"} 2.0' in shown
    assert 'homeport_request_seconds_bucket{front="oci",le="600.0"} 2.0' in shown
    assert 'homeport_request_seconds_bucket{front="oci",le="+Inf"} 3.0' in shown
    assert 'homeport_request_seconds_count{front="oci"} 3.0' in shown
    assert 'homeport_request_seconds_sum{front="oci"} 700.004' in shown
