"""The harness itself: a failing server must be seen as such, with its log, and never outlive its test."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from tests.harness.process import Background, ProgramFailed, finish

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}


def python(code: str, folder: Path) -> Background:
    return Background([sys.executable, "-c", code], ENVIRONMENT, folder)


def number_after(word: str, line: str) -> int | None:
    return int(line.removeprefix(word)) if line.startswith(word) else None


def test_waiting_returns_what_the_announcing_line_says(tmp_path: Path) -> None:
    program = python("import signal; print('noise'); print('port 80'); signal.pause()", tmp_path)

    port = program.wait_for(lambda line: number_after("port ", line), "a port")
    program.stop()

    assert port == 80
    assert program.lines() == ["noise", "port 80"]


def test_a_program_that_ends_early_fails_with_its_own_words(tmp_path: Path) -> None:
    program = python("import sys; sys.exit('no such folder')", tmp_path)

    with pytest.raises(ProgramFailed, match=r"it ended \(1\) without a port\n(.|\n)*no such folder"):
        program.wait_for(lambda line: number_after("port ", line), "a port")

    assert program.ended() == 1


def test_a_silent_program_fails_when_the_time_has_passed(tmp_path: Path) -> None:
    program = python("import signal; signal.pause()", tmp_path)

    with pytest.raises(ProgramFailed, match=r"0\.2 s passed without a port"):
        program.wait_for(lambda line: number_after("port ", line), "a port", seconds=0.2)
    program.kill()

    assert program.ended() == -signal.SIGKILL


def test_killing_a_program_takes_its_children_along(tmp_path: Path) -> None:
    code = "import os, signal\nchild = os.fork()\nif child: print('child', child)\nsignal.pause()"
    program = python(code, tmp_path)
    child = program.wait_for(lambda line: number_after("child ", line), "a child")

    program.kill()

    # The pipes close only when no process of the group holds them any more.
    assert not program.running
    assert all(not reader.is_alive() for reader in program._readers)
    assert child != program.pid


def test_stopping_does_not_wait_forever_for_a_deaf_program(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\n"
    code = deaf + "while True: signal.pause()"
    program = python(code, tmp_path)
    program.wait_for(lambda line: line == "ready" or None, "readiness")

    program.stop(seconds=0.2)

    assert program.ended() == -signal.SIGKILL


def test_a_finished_program_is_reported_with_both_outputs(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read().upper()); sys.exit('bad')"

    done = finish([sys.executable, "-c", code], ENVIRONMENT, folder=tmp_path, stdin="word")

    assert (done.code, done.out, done.err) == (1, "WORD\n", "bad\n")
    assert "exit 1" in str(done)


def test_a_program_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import signal; print('here'); signal.pause()"]

    with pytest.raises(ProgramFailed, match=r"not done after 0\.5 s\n(.|\n)*"):
        finish(argv, ENVIRONMENT, folder=tmp_path, seconds=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_a_program_does_not_outlive_a_killed_test_run(tmp_path: Path) -> None:
    run = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.harness.process import Background\n"
        "code = 'import os, signal; print(os.getpid()); signal.pause()'\n"
        "program = Background([sys.executable, '-c', code], dict(os.environ), Path.cwd())\n"
        "print('ready', program.wait_for(lambda line: line, 'its number'))\n"
        "signal.pause()\n"
    )
    root = Path(__file__).resolve().parents[2]
    tests = Background([sys.executable, "-c", run], {**ENVIRONMENT, "PYTHONPATH": str(root)}, tmp_path)
    program = tests.wait_for(lambda line: number_after("ready ", line), "a started program")
    watched = os.pidfd_open(program)

    os.kill(tests.pid, signal.SIGKILL)
    tests.ended()

    # A pidfd becomes readable when its process has ended.
    ended, _, _ = select.select([watched], [], [], 10)
    os.close(watched)
    assert ended == [watched]
