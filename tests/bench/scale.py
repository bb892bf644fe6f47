"""`make bench-scale`: whether a registry of a million images answers like one of a thousand, on either database.

Run as `python -m tests.bench.scale`. It fills registries of several sizes by bulk insert, serves each and asks the same
questions: latency as a client sees it, and processor time of server and database. Nothing stays behind. With --load it
measures what a registry serves and takes at once (load.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.bench import filling, load, machine
from tests.bench.accounting import exact_cpu_seconds, peak_memory, process_tree
from tests.bench.filling import LARGE, PROBE, Filling
from tests.bench.questions import Asker, Question
from tests.bench.rawclient import BenchmarkError
from tests.bench.servers import Homeport, Server
from tests.harness.postgres import MISSING, Postgres, programs

MEBIBYTE = 1024**2
_WARM_UP = 8
_SETTLE_SECONDS = 0.003  # in which a server ends what it does after an answer
_STARTS = 3
_START_SECONDS = 1.0
_FLAT = 1.2

Cell = tuple[float, float]
"""Milliseconds until the answer, milliseconds of processor time; or what the row says that it is."""


@dataclass(slots=True)
class Column:
    """What was measured on one registry, or in its large repository."""

    title: str
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(slots=True)
class Engine:
    """A kind of database: how it is started, filled, and what it costs."""

    name: str
    options: tuple[str, ...] = ()
    postgres: Postgres | None = None

    def pids(self) -> list[int]:
        """Return the processes of the database server, if it is one."""
        return process_tree(self.postgres.pid) if self.postgres is not None else []

    @contextlib.contextmanager
    def registry(
        self, folder: Path, held: Filling, more: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Homeport, dict[str, str]]]:
        """A registry that holds `held`, not yet served; its product and what `homeport init` said.

        `more` goes into the environment of its server.
        """
        environment = dict(more or {})
        if self.postgres is not None:
            environment["HOMEPORT_DATABASE"] = self.postgres.new_database()
        product = Homeport(self.options, environment)
        keys = product.initialise(folder)
        try:
            say(f"{self.name}: filling a registry with {held.images:,} images")
            if self.postgres is None:
                filling.fill_sqlite(folder / "data" / "homeport.db", keys["accountId"], held, say)
            else:
                filling.fill_postgres(environment["HOMEPORT_DATABASE"], keys["accountId"], held, say)
            yield product, keys
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if self.postgres is not None:
                self.postgres.drop_database(environment["HOMEPORT_DATABASE"])


@contextlib.contextmanager
def engine(name: str, options: tuple[str, ...] = ()) -> Iterator[Engine]:
    """The engine of that name, `sqlite` or `postgresql`; a PostgreSQL server of its own lives as long."""
    if name == "sqlite":
        yield Engine(name, options)
        return
    if programs() is None:
        raise BenchmarkError(MISSING)
    memory = ("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min", "jit=off")
    with Postgres(*memory) as server:
        yield Engine(name, options, server)


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Registry:
    """A registry that is served, and the column of what was measured in one repository of it."""

    server: Server
    asker: Asker
    column: Column
    about: str
    pids: list[int] = field(default_factory=list)


def measure(kind: Engine, folder: Path, held: Sequence[Filling], asked: int, only: str) -> list[Column]:
    """Fill registries, serve them side by side, ask each of them everything `asked` times in turns; return columns."""
    with ExitStack() as stack:
        registries: list[Registry] = []
        for each in held:
            here = folder / f"{each.images}"
            product, keys = stack.enter_context(kind.registry(here, each))
            server, cells = _started(product, here, keys)
            stack.callback(server.end)
            for about in (PROBE, LARGE) if each.large else (PROBE,):
                title = f"{each.images:,} images" if about == PROBE else f"{each.large:,} in one repository"
                asker = Asker(here / "data", keys, server.endpoint, each, about)
                stack.callback(asker.close)
                registries.append(
                    Registry(server, asker, Column(title, cells if about == PROBE else {}), about)
                )
        for titles in zip(*(registry.asker.questions() for registry in registries), strict=True):
            chosen = [
                (registry, question)
                for registry, question in zip(registries, titles, strict=True)
                if only in question.title and not (registry.about == LARGE and question.registry)
            ]
            if chosen:
                say(f"{kind.name}: {titles[0].title}")
                _ask(kind, chosen, asked)
        for registry in registries:
            if registry.about == PROBE:
                registry.column.cells["memory afterwards, MiB"] = _memory(registry.server)
        return [registry.column for registry in registries]


def _started(product: Homeport, folder: Path, keys: dict[str, str]) -> tuple[Server, dict[str, Cell]]:
    spans, costs = [], []
    while True:
        began = time.perf_counter()
        server = product.serve(folder, keys)
        spans.append(server.started - began)
        time.sleep(_START_SECONDS)  # what begins with the server shall count
        costs.append(exact_cpu_seconds(process_tree(server.pid)))
        if len(spans) == _STARTS:
            break
        server.end()
    cells = {
        "start": (min(spans) * 1000, min(costs) * 1000),
        "memory after the start, MiB": _memory(server),
    }
    return server, cells


def _memory(server: Server) -> Cell:
    size = peak_memory(server.pid) / MEBIBYTE
    return size, size


def _ask(kind: Engine, chosen: Sequence[tuple[Registry, Question]], asked: int) -> None:
    """Ask the registries the same question in turns: what else the machine does then meets all of them alike."""
    spans: list[list[float]] = [[] for _ in chosen]
    costs: list[list[float]] = [[] for _ in chosen]
    for registry, _ in chosen:
        registry.asker.connect()
    for turn in range(_WARM_UP + asked):
        for number, (registry, question) in enumerate(chosen):
            if turn in (0, _WARM_UP):
                registry.pids = [*process_tree(registry.server.pid), *kind.pids()]
            with registry.server.explaining():
                span, cost = _once(registry, question, turn)
            if turn >= _WARM_UP:
                spans[number].append(span)
                costs[number].append(cost)
    for (registry, question), waited, used in zip(chosen, spans, costs, strict=True):
        registry.column.cells[question.title] = (
            statistics.median(waited) * 1000,
            statistics.median(used) * 1000,
        )


def _once(registry: Registry, question: Question, turn: int) -> tuple[float, float]:
    asker = registry.asker
    if question.prepare is not None:
        question.prepare(turn)
    time.sleep(_SETTLE_SECONDS)
    began, spent = asker.seconds(), exact_cpu_seconds(registry.pids)
    question.ask(turn)
    time.sleep(_SETTLE_SECONDS)
    return asker.seconds() - began, exact_cpu_seconds(registry.pids) - spent


def table(columns: Sequence[Column]) -> str:
    """Return what was measured in Markdown, with how much dearer the dearest column is than the first."""
    lines = [
        "| | " + " | ".join(column.title for column in columns) + " | most |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for title, first in columns[0].cells.items():
        cells = [column.cells.get(title) for column in columns]
        shown = [_shown(title, cell) for cell in cells]
        most = max(cell[1] for cell in cells if cell is not None) / max(first[1], 1e-9)
        mark = " !" if most > _FLAT else ""
        lines.append(f"| {title} | {' | '.join(shown)} | x{most:.2f}{mark} |")
    return "\n".join(lines)


def _shown(title: str, cell: Cell | None) -> str:
    if cell is None:
        return ""
    if title.endswith("MiB"):
        return f"{cell[0]:.0f}"
    return f"{cell[0]:.2f} ({cell[1]:.2f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-scale", description="Ask registries of growing size the same questions."
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", help="default: both")
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 30_000, 1_000_000], metavar="N")
    parser.add_argument(
        "--large", type=int, default=100_000, metavar="N",
        help="images in one repository of the last registry; 0 is without (default 100000)",
    )  # fmt: skip
    parser.add_argument(
        "--asked", type=int, default=60, metavar="N", help="times that each question is asked"
    )
    parser.add_argument("--load", action="store_true", help="measure load at once instead (see load.py)")
    parser.add_argument("--workers", type=int, default=3, metavar="N", help="of it, processes (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only questions with this in their name")
    parser.add_argument(
        "--folder", type=Path, help="where the registries lie meanwhile (default: a temporary one)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    chosen = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = "127.0.0.1"
    try:
        with tempfile.TemporaryDirectory(prefix="homeport-scale-", dir=chosen.folder) as folder:
            for name in chosen.database or ["sqlite", "postgresql"]:
                (_load if chosen.load else _run)(chosen, name, Path(folder))
    except BenchmarkError as error:
        say(f"bench-scale: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench-scale: interrupted")
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as an interrupt from the keyboard does, so that everything is cleaned up."""
    raise KeyboardInterrupt


def _run(chosen: argparse.Namespace, name: str, folder: Path) -> None:
    busy = os.getloadavg()[0]
    quotas = ("--quotas", "images_per_repository=1000000")
    sizes = sorted(chosen.images)
    held = [Filling(size) for size in sizes[:-1]] + [Filling(sizes[-1], _large(chosen.large, sizes[-1]))]
    with engine(name, quotas) as kind:
        columns = measure(kind, folder, held, chosen.asked, chosen.only)
    print(f"\n## {name}: {machine.processor()}, load average before {busy:.1f}\n")
    print("Milliseconds until the answer (of processor time of server and database), medians.\n")
    print(table(columns), flush=True)


# Addresses are only made: nobody goes there.
_OBJECT_STORE = {
    "HOMEPORT_STORAGE": "s3://bucket/?endpoint=http://127.0.0.1:9",
    "HOMEPORT_DOWNLOAD_MODE": "redirect",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}


def _load(chosen: argparse.Namespace, name: str, folder: Path) -> None:
    busy = os.getloadavg()[0]
    figures: list[load.Figure] = []
    with engine(name, ("--workers", str(chosen.workers))) as kind:
        for more in ({}, _OBJECT_STORE):
            here = folder / ("redirect" if more else "load")
            with kind.registry(here, load.FILLING, more) as (product, keys), ExitStack() as stack:
                server = product.serve(here, keys)
                stack.callback(server.end)
                under = load.Load(server, kind.pids(), folder)
                with server.explaining():
                    for figure in [under.redirects()] if more else under.figures():
                        say(f"  {figure.title}: {figure.value}, {figure.cost:.2f} ms of processor time")
                        figures.append(figure)
    print(f"\n## {name}, {chosen.workers} workers: {machine.processor()}, load average before {busy:.1f}\n")
    print(load.table(figures), flush=True)


def _large(wanted: int, images: int) -> int:
    return wanted if images >= 2 * wanted + filling.PROBE_IMAGES else 0


if __name__ == "__main__":
    sys.exit(main())
