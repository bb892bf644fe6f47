"""Runs one row: interleaved rounds of both products; each measurement is a sample of speed, CPU and memory.

The order of the two alternates from round to round, so that neither always finds the machine as the other
left it. Nothing is judged or printed here but one line of progress for each round; report.py makes the table.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.accounting import (
    client_seconds,
    cpu_seconds,
    machine_busy_seconds,
    peak_memory,
    reset_peak_memory,
)
from tests.bench.scenarios import REPOSITORIES, Bench, Kind, Scenario, Timed
from tests.bench.servers import Product, Server

SETTLE_SECONDS = 0.1
GIBIBYTE = 1024**3
MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one server.

    amount: bytes or requests; cpu: seconds of the server's process tree; memory: peak in bytes; log: bytes of
    log that the server wrote; others: share (0 to 1) of the machine that neither the server nor the client
    used.
    """

    amount: int
    seconds: float
    cpu: float
    memory: int
    log: int
    others: float

    def value(self, kind: Kind) -> float:
        """Return the figure of the row: MiB/s, requests per second, or seconds."""
        if kind is Kind.COPY:
            return self.seconds
        scale = MEBIBYTE if kind is Kind.TRANSFER else 1
        return self.amount / scale / self.seconds

    def cost(self, kind: Kind) -> float:
        """Return CPU seconds for each GiB, or for each 1,000 requests."""
        return self.cpu / (self.amount / (1000 if kind is Kind.REQUESTS else GIBIBYTE))


@dataclass(frozen=True, slots=True)
class Pair:
    """The two samples of one round: the first product's and its peer's."""

    ours: Sample
    peer: Sample

    @property
    def speed(self) -> float:
        """Return how many times as fast as the peer."""
        return (self.ours.amount / self.ours.seconds) / (self.peer.amount / self.peer.seconds)

    @property
    def cost(self) -> float:
        """Return our CPU time as a share of the peer's for the same work; 0 if the peer's is not a tick."""
        theirs = self.peer.cpu / self.peer.amount
        return self.ours.cpu / self.ours.amount / theirs if theirs else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one scenario."""

    scenario: Scenario
    pairs: tuple[Pair, ...]

    def speeds(self) -> list[float]:
        """Return the speed ratios, lowest first."""
        return sorted(pair.speed for pair in self.pairs)

    def speed(self) -> float:
        """Return the median speed ratio."""
        return statistics.median(self.speeds())

    def cost(self) -> float:
        """Return the median CPU ratio."""
        return statistics.median(pair.cost for pair in self.pairs)

    def others(self) -> float:
        """Return the largest share of the machine that others used in any sample."""
        return max(sample.others for pair in self.pairs for sample in (pair.ours, pair.peer))


@dataclass(frozen=True, slots=True)
class Rig:
    """What all rows run on: the two products, the material, and the folder of the stores."""

    ours: Product
    peer: Product
    bench: Bench
    store: Path
    on_disk: bool


def run_row(rig: Rig, scenario: Scenario, rounds: int, say: Callable[[str], None]) -> Row:
    """Measure one row. Raises BenchmarkError when a server misbehaves; stops its servers in any case."""
    pairs = []
    with ExitStack() as stack:
        kept: dict[int, tuple[Server, Timed]] = {}
        if not scenario.fresh:
            for side, product in enumerate((rig.ours, rig.peer)):
                kept[side] = _prepared(rig, scenario, product, side, stack)
        for number in range(rounds):
            samples: dict[int, Sample] = {}
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                with ExitStack() as once:
                    product = (rig.ours, rig.peer)[side]
                    server, timed = kept.get(side) or _prepared(rig, scenario, product, side, once)
                    samples[side] = _sample(server, timed, settle_disk=rig.on_disk)
            pair = Pair(samples[0], samples[1])
            pairs.append(pair)
            say(_progress(scenario, number + 1, rounds, pair))
    return Row(scenario, tuple(pairs))


def _prepared(
    rig: Rig, scenario: Scenario, product: Product, side: int, stack: ExitStack
) -> tuple[Server, Timed]:
    server = product.start(rig.store / f"side-{side}", REPOSITORIES)
    stack.callback(server.stop)
    with server.explaining():
        return server, scenario.prepare(rig.bench, server)


def _sample(server: Server, timed: Timed, *, settle_disk: bool) -> Sample:
    """Measure one piece of work, with what the server still does for it shortly after the last answer."""
    if settle_disk:
        os.sync()  # else one server pays for writing back what the other left
    log = server.log_size()
    reset_peak_memory(server.pid)
    started, cpu = time.perf_counter(), cpu_seconds(server.pid)
    busy, mine = machine_busy_seconds(), client_seconds()
    with server.explaining():
        work = timed()
    time.sleep(SETTLE_SECONDS)
    used = cpu_seconds(server.pid) - cpu
    others = machine_busy_seconds() - busy - used - (client_seconds() - mine)
    whole = (time.perf_counter() - started) * (os.cpu_count() or 1)
    memory, written = peak_memory(server.pid), server.log_size() - log
    return Sample(work.amount, work.seconds, used, memory, written, max(0.0, others / whole))


def _progress(scenario: Scenario, number: int, rounds: int, pair: Pair) -> str:
    kind = scenario.kind
    ours, peer = pair.ours.value(kind), pair.peer.value(kind)
    return (
        f"{scenario.key:12} {number}/{rounds}: {ours:9.2f} against {peer:9.2f} {kind.value:6}"
        f"  speed x{pair.speed:.2f}  CPU x{pair.cost:.2f}"
    )
