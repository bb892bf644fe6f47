"""`make bench`: Homeport and Debian's docker-registry side by side, in one interleaved run on this machine.

Run as `python -m tests.bench.run`. It prints a table and writes docs/performance.md. It must leave nothing
behind: servers and files are removed however it ends. How the rows are measured is written in the page (see
report.py).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.bench import machine
from tests.bench.material import MEBIBYTE, Source, write_image
from tests.bench.measure import Rig, Row, run_row
from tests.bench.rawclient import BenchmarkError
from tests.bench.report import Facts, document, page, terminal_table
from tests.bench.scenarios import Bench, Scenario, scenarios
from tests.bench.servers import ROOT, DockerRegistry, Homeport, Product

MEMORY_FOLDER = Path("/dev/shm")
IMAGE_LAYERS = 8
# Bytes needed at once for each byte of the blob: the source twice, the image and its copies, and two stores.
ROOM_FACTOR = 8
INTERRUPTED = 130
_SCALE = "\n## At scale\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 0, 1 when a server failed, or 130 when interrupted."""
    chosen = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = "127.0.0.1"  # no proxy may stand between a client and the servers
    try:
        with ExitStack() as stack:
            return _run(chosen, stack)
    except BenchmarkError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; servers stopped, files removed", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Compare Homeport with docker-registry.")
    keys = ",".join(row.key for row in scenarios((0, 0, 0)))
    parser.add_argument("--rows", help=f"only these rows, by comma: {keys}")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="paired rounds (default 5)")
    parser.add_argument("--quick", action="store_true", help="256 MiB instead of 1 GiB, and 2 rounds")
    parser.add_argument("--store", type=Path, help="folder for the stores (default: memory when it has room)")
    parser.add_argument(
        "--serve-options", default="", help="more options for `homeport serve`, in one string"
    )
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "performance.md", help="page to write")
    parser.add_argument("--no-write", action="store_true", help="write no page")
    parser.add_argument("--json", type=Path, help="also write every sample to this file")
    parser.add_argument(
        "--control",
        action="store_true",
        help="docker-registry against itself: how far ratios stray on this machine; writes no page",
    )
    return parser


def _positive(text: str) -> int:
    """Return a number of rounds; argparse shows the error of any other text."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _run(chosen: argparse.Namespace, stack: ExitStack) -> int:
    blob_size = (256 if chosen.quick else 1024) * MEBIBYTE
    part_size, image_size = blob_size // 4, blob_size * 400 // 1024
    rows = _selected(scenarios((blob_size, part_size, image_size)), chosen.rows)
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    load_before = os.getloadavg()[0]
    peer = DockerRegistry()
    ours: Product = peer if chosen.control else Homeport(tuple(shlex.split(chosen.serve_options)))
    stack.callback(_ignore_interrupts)  # runs last, after all folders are gone
    store, scratch = _folders(chosen.store, blob_size * ROOM_FACTOR, stack)
    facts = _facts(chosen, ours, peer, store, rounds, load_before)
    _say(f"{facts.ours} {facts.ours_version} against {facts.peer} {facts.peer_version}; store: {facts.store}")
    _say("making random data")
    bench = Bench(
        source=Source(scratch, blob_size),
        image=write_image(scratch / "image", IMAGE_LAYERS, image_size),
        scratch=scratch,
        blob_size=blob_size,
        part_size=part_size,
        request_seconds=2 if chosen.quick else 4,
    )
    rig = Rig(ours, peer, bench, store, on_disk=machine.file_system(store) != "tmpfs")
    results = [run_row(rig, row, rounds, _say) for row in rows]
    _publish(chosen, results, facts)
    return 0


def _publish(chosen: argparse.Namespace, results: Sequence[Row], facts: Facts) -> None:
    """Print the table and write what was asked for."""
    print(f"\n{terminal_table(results, facts)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(document(results, facts), indent=1) + "\n")
    if not chosen.no_write and not chosen.control:
        chosen.write.parent.mkdir(parents=True, exist_ok=True)
        chosen.write.write_text(page(results, facts) + _of_scale(chosen.write))
        _say(f"wrote {chosen.write}")


def _of_scale(written: Path) -> str:
    """Return the part of the page that `make bench-scale` is the source of: it stays as it is."""
    _, heading, rest = written.read_text().partition(_SCALE) if written.exists() else ("", "", "")
    return heading + rest


def _selected(rows: list[Scenario], keys: str | None) -> list[Scenario]:
    """Return the rows named by `keys`, in the order of the table. Raises BenchmarkError for a wrong name."""
    if keys is None:
        return rows
    wanted = {key.strip() for key in keys.split(",")}
    unknown = wanted - {row.key for row in rows}
    if unknown:
        raise BenchmarkError(f"no such row: {', '.join(sorted(unknown))}")
    return [row for row in rows if row.key in wanted]


def _folders(asked: Path | None, room: int, stack: ExitStack) -> tuple[Path, Path]:
    """Return new folders for the stores and for the client's files; both are removed with the stack."""
    memory = machine.has_room(MEMORY_FOLDER, room)
    parent = asked or (MEMORY_FOLDER if memory else Path(tempfile.gettempdir()))
    if asked:
        asked.mkdir(parents=True, exist_ok=True)
    if not machine.has_room(parent, room):
        raise BenchmarkError(f"{parent} has no room for {room // MEBIBYTE} MiB; try --quick or --store")
    folders = []
    for place in (parent, MEMORY_FOLDER if memory else parent):
        folder = Path(tempfile.mkdtemp(prefix="homeport-bench-", dir=place))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folders.append(folder)
    return folders[0], folders[1]


def _facts(
    chosen: argparse.Namespace, ours: Product, peer: Product, store: Path, rounds: int, load_before: float
) -> Facts:
    kind = machine.file_system(store)
    command = [f"--rows {chosen.rows}"] if chosen.rows else []
    command += [f"--rounds {chosen.rounds}"] if chosen.rounds else []
    command += ["--quick"] if chosen.quick else []
    command += [f"--store <a folder on {kind}>"] if chosen.store else []
    command += [f"--serve-options '{chosen.serve_options}'"] if chosen.serve_options else []
    return Facts(
        ours="control" if chosen.control else ours.name,
        ours_version=ours.version(),
        peer=peer.name,
        peer_version=peer.version(),
        processor=machine.processor(),
        memory=machine.memory(),
        kernel=machine.kernel(),
        python=platform.python_version(),
        skopeo=machine.program_version("skopeo", "--version"),
        store=f"{kind} (in memory)" if kind == "tmpfs" else f"{kind} (on disk)",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=" ".join(["python -m tests.bench.run", *command]) if command else "make bench",
        rounds=rounds,
        load_before=load_before,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as an interrupt from the keyboard does, so that everything is cleaned up."""
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Let nothing interrupt the cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
