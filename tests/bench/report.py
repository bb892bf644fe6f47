"""Turns the rows into what people read: a table for the terminal, and the page docs/performance.md.

Every figure of the page comes from the run that wrote it, so the page is never edited by hand. It must not
flatter: what favours either side is written beside the table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tests.bench.measure import Row, Sample
from tests.bench.scenarios import Kind
from tests.bench.smallrequests import client_name

MEBIBYTE = 1024**2
BUSY_SHARE = 0.05

HEADINGS = (
    "",
    "unit",
    "{ours}",
    "{peer}",
    "speed",
    "min..max",
    "CPU {ours}",
    "CPU {peer}",
    "CPU ratio",
    "memory, MiB",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the table was measured on and with."""

    ours: str
    ours_version: str
    peer: str
    peer_version: str
    processor: str
    memory: str
    kernel: str
    python: str
    skopeo: str
    store: str
    date: str
    command: str
    rounds: int
    load_before: float


def terminal_table(rows: Sequence[Row], facts: Facts) -> str:
    """Return the table with aligned columns."""
    cells = [_headings(facts), *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    notes = [_legend(facts), f"Store: {facts.store}. {_quiet(rows, facts)}"]
    return "\n".join([*lines, "", *notes])


def page(rows: Sequence[Row], facts: Facts) -> str:
    """Return docs/performance.md."""
    headings = _headings(facts)
    table = [headings, ["---", "---", *["---:"] * (len(headings) - 2)], *(_cells(row) for row in rows)]
    return PAGE.format(
        facts=facts,
        table="\n".join(f"| {' | '.join(line)} |" for line in table),
        legend=_legend(facts),
        quiet=_quiet(rows, facts),
        log=_log_note(rows, facts),
        get_client=client_name("GET"),
        head_client=client_name("HEAD"),
    )


def document(rows: Sequence[Row], facts: Facts) -> dict[str, object]:
    """Return every sample of the run as JSON values."""
    return {
        "facts": asdict(facts),
        "rows": [
            {
                "key": row.scenario.key,
                "title": row.scenario.title,
                "unit": row.scenario.kind.value,
                "speed": row.speed(),
                "cpuRatio": row.cost(),
                "rounds": [asdict(pair) for pair in row.pairs],
            }
            for row in rows
        ],
    }


def _headings(facts: Facts) -> list[str]:
    return [heading.format(ours=facts.ours, peer=facts.peer) for heading in HEADINGS]


def _cells(row: Row) -> list[str]:
    kind, speeds = row.scenario.kind, row.speeds()
    ours = [pair.ours for pair in row.pairs]
    peer = [pair.peer for pair in row.pairs]
    return [
        row.scenario.title,
        kind.value,
        _figure(_median(ours, lambda sample: sample.value(kind))),
        _figure(_median(peer, lambda sample: sample.value(kind))),
        f"x{row.speed():.2f}",
        f"{speeds[0]:.2f}..{speeds[-1]:.2f}",
        _figure(_median(ours, lambda sample: sample.cost(kind))),
        _figure(_median(peer, lambda sample: sample.cost(kind))),
        f"x{row.cost():.2f}",
        f"{_peak(ours):.0f} / {_peak(peer):.0f}",
    ]


def _median(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return statistics.median(figure(sample) for sample in samples)


def _peak(samples: Sequence[Sample]) -> float:
    return max(sample.memory for sample in samples) / MEBIBYTE


def _figure(value: float) -> str:
    """Return three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _legend(facts: Facts) -> str:
    return (
        f"Medians of {facts.rounds} paired rounds. Speed: how many times as fast as {facts.peer} (above 1 is "
        "faster), median and range of the rounds. CPU: seconds of user and system time of the server per "
        "GiB, or per 1,000 requests; below x1 is cheaper. Memory: highest peak of any round, "
        f"{facts.ours} / {facts.peer}."
    )


def _quiet(rows: Sequence[Row], facts: Facts) -> str:
    busiest = max(rows, key=lambda row: row.others())
    share = busiest.others()
    verdict = "quiet" if share < BUSY_SHARE else "BUSY, so trust the ratios less"
    return (
        f"Other programs used at most {share:.0%} of the machine during a measurement "
        f"({busiest.scenario.key}); load average before the run {facts.load_before:.1f}: {verdict}."
    )


def _log_note(rows: Sequence[Row], facts: Facts) -> str:
    """Prove from the run, rather than claim, that the access log was on."""
    samples = [pair.ours for row in rows if row.scenario.kind is Kind.REQUESTS for pair in row.pairs]
    if not samples:
        return f"{facts.ours}'s log was not measured in this run."
    per_request = sum(sample.log for sample in samples) / sum(sample.amount for sample in samples)
    if per_request < 1:
        return f"BUT in this run {facts.ours} wrote no access log, which favours it."
    return f"{facts.ours} wrote {per_request:.0f} bytes of log for each of the small requests."


PAGE = """\
# Performance

Written by `{facts.command}`; do not edit, run it again. {facts.ours} {facts.ours_version} and {facts.peer}
{facts.peer_version} take turns in one run on one machine, with the same client, data and kind of store.

{table}

{legend}

{quiet}

| | |
|---|---|
| Processor | {facts.processor} |
| Memory | {facts.memory} |
| Kernel | {facts.kernel} |
| Python | {facts.python} |
| Store of both | {facts.store} |
| Image client | {facts.skopeo} |
| Rounds | {facts.rounds} |
| Date | {facts.date} |

## How it is measured

- Rounds are interleaved and the order alternates. A ratio is taken within a round, then the median of the
  rounds.
- Each push round starts a new server on an empty store, pushes 4 MiB in both ways to warm it up, and sends
  bytes that the server has never seen. The other rows keep one server through all rounds.
- Before anything is timed, each server must give back what it was sent, compared by SHA-256 (blobs) or byte
  for byte (manifests). skopeo checks every digest itself.
- Pushes leave by `sendfile` from memory. A PATCH stream is chunked transfer coding in chunks of 32 KiB, as
  clients written in Go send it. The time runs from sending the POST to receiving the last 201.
- Pulls are received and dropped in the kernel (`MSG_TRUNC`) and counted, so that the client takes little of
  the processor that it shares with the server.
- Small requests: eight kept-alive connections, one request in flight on each. GET by {get_client}; HEAD by
  {head_client}, because wrk waits for the body that a HEAD response never has.
- skopeo copies an image of eight gzip layers of random bytes between the server and a folder in memory, with
  `--preserve-digests`.
- CPU is read from `/proc/<pid>/stat` of the whole process tree, from just before the first byte to 0.1 s
  after the last; its clock ticks every 10 ms. Memory is `VmHWM`, reset before each measurement and summed
  over processes.

## What is unfair, and to whom

- To {facts.ours}: it authenticates every request with the password that `docker login` uses, writes an access
  log and keeps metrics. {facts.peer} runs without authentication, without an access log, at log level error.
  {log}
- To both: client and server share the cores of one machine, and no network lies between them. A client that
  uses less processor leaves more to the server, so speeds on a real network differ; CPU for each GiB carries
  over best.
- To servers that copy: a pull that is dropped in the kernel never reads the bytes. Real clients do, and then
  find memory warm that a copying server has just touched. The skopeo rows show what a whole client sees.
- To {facts.peer}: this is the release that Debian packages. Its version 3 is known to be faster, for
  manifests above all.
- A store on tmpfs shows the servers' own limits. A disk is slower and blurs the difference between them.
"""
