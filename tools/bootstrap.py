"""Makes .venv from the locks: `python3 tools/bootstrap.py runtime` (to serve) or `dev` (to test as well).

Needs Python 3.11 or newer and nothing else, so it must import only the standard library: a fresh Debian has
no pip and no ensurepip, hence the pip wheel in tools/vendor, checked against its digest before it runs. pip's
own configuration (index, proxy, certificates) is the user's and stays in force; no host is named here. Does
nothing when all is up to date; two that run at once wait for each other. Why so: docs/adr/0010.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".homeport"
PIP_WHEEL = ROOT / "tools" / "vendor" / "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
OLDEST = (3, 11)

# What each target installs. dev.lock holds every pin of the other two: a finished dev is a finished runtime.
LOCKS = {
    "runtime": ["runtime.lock", "build.lock"],
    "dev": ["dev.lock"],
}
NEEDS = {"runtime": ["runtime", "dev"], "dev": ["dev"]}

NO_PACKAGES = """\
pip could not install the locked packages; its own message is above.
  No direct network?  Tell pip where packages are, in its usual settings:
                      PIP_PROXY=..., PIP_INDEX_URL=..., PIP_CERT=... or a pip.conf.
  No network at all?  On another machine with the same Python and processor:
                        python3 -m pip download --require-hashes {locks} -d wheels
                      then here: PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels make ...
  "Hashes do not match"?  The index or proxy served other bytes than the locked ones. Never ignore this."""


class BootstrapError(Exception):
    """The environment cannot be made; the message says what to do."""


def say(message: str) -> None:
    print(f"bootstrap: {message}", file=sys.stderr, flush=True)


def newer_python() -> str | None:
    """The path of a fitting Python on PATH when this one is too old."""
    for minor in range(19, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # A version manager's shim may be there without the Python behind it.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def base_python() -> str:
    """The interpreter that the environment is built on, also when this one runs inside an environment."""
    if sys.prefix == sys.base_prefix:
        return sys.executable
    return str(getattr(sys, "_base_executable", sys.executable))


@contextmanager
def only_one() -> Iterator[None]:
    """Holds this file's lock; the kernel lets go of it however the process ends."""
    with Path(__file__).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another one is at work in this folder, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def identity() -> str:
    """What an environment is bound to: Python's minor version, processor, place (scripts hold it)."""
    return f"{sys.implementation.cache_tag} {platform.machine()} {VENV}"


def venv_works() -> bool:
    """Whether .venv is there, starts, and was made by such a Python in this place."""
    probe = "import sys, platform; print(sys.implementation.cache_tag, platform.machine(), sys.prefix)"
    try:
        answer = subprocess.run(
            [VENV_PYTHON, "-I", "-c", probe], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if answer.returncode != 0 or answer.stdout.strip() != identity():
        return False
    place = STAMPS / "place"
    return not place.exists() or place.read_text(encoding="utf-8") == identity()


def make_venv() -> None:
    """Builds an empty .venv, without pip, so that Debian's missing ensurepip does not matter."""
    if VENV.is_symlink():
        raise BootstrapError(f"{VENV} is a symbolic link; remove it and try again")
    if VENV.exists():
        say("replacing .venv: it does not start, was moved, or belongs to another Python")
        shutil.rmtree(VENV)
    say(f"making .venv with Python {platform.python_version()}")
    made = subprocess.run(
        [base_python(), "-m", "venv", "--without-pip", VENV],
        stdin=subprocess.DEVNULL,
        env=clean_environment(),
        check=False,
    )
    if made.returncode != 0 or not venv_works():
        raise BootstrapError(
            f"`{base_python()} -m venv --without-pip` failed. "
            "On Debian or Ubuntu `apt-get install python3` brings the venv module; "
            "or name another Python: make PYTHON=/path/to/python3 ..."
        )


def clean_environment() -> dict[str, str]:
    """The user's environment less what would lead Python or pip out of .venv."""
    unwanted = {
        "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV",
        "PIP_PREFIX", "PIP_REQUIRE_HASHES", "PIP_ROOT", "PIP_TARGET", "PIP_USER",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", **kept}


def pip_install(*arguments: str) -> bool:
    """Runs the vendored pip with .venv's Python; its messages go to the terminal."""
    options = ["-qq", "--no-input", "--progress-bar=off"]
    ran = subprocess.run(
        [VENV_PYTHON, PIP_WHEEL / "pip", "install", *options, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        env=clean_environment(),
        check=False,
    )
    return ran.returncode == 0


def check_pip() -> None:
    """Refuses to run a pip wheel that is not the one this file was written with."""
    try:
        found = hashlib.sha256(PIP_WHEEL.read_bytes()).hexdigest()
    except OSError as error:
        raise BootstrapError(f"cannot read {PIP_WHEEL}: {error}; is the checkout complete?") from error
    if found != PIP_SHA256:
        raise BootstrapError(f"{PIP_WHEEL} has SHA-256 {found}, not {PIP_SHA256}; check it out again")


def key_of(target: str) -> str:
    """Changes whenever the target must be installed anew."""
    digest = hashlib.sha256(identity().encode())
    names = [f"requirements/{lock}" for lock in LOCKS[target]]
    for name in [*names, "pyproject.toml", "tools/bootstrap.py"]:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def up_to_date(target: str) -> bool:
    """Whether the target, or one that includes it, was installed from the present locks."""
    if not (VENV / "bin" / "homeport").exists():
        return False
    for one in NEEDS[target]:
        stamp = STAMPS / one
        if stamp.exists() and stamp.read_text(encoding="utf-8") == key_of(one):
            return True
    return False


def install(target: str) -> None:
    """Installs the target's locks, then this tree as an editable package, then says so in a stamp."""
    started = time.monotonic()
    check_pip()
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / target).unlink(missing_ok=True)
    locks = [ROOT / "requirements" / lock for lock in LOCKS[target]]
    pins = sum(line[:1].isalnum() for lock in locks for line in lock.read_text(encoding="utf-8").splitlines())
    say(f"installing what `{target}` needs: {pins} locked packages at most")
    chosen = [argument for lock in locks for argument in ("-r", str(lock.relative_to(ROOT)))]
    if not pip_install("--require-hashes", *chosen):
        raise BootstrapError(NO_PACKAGES.format(locks=" ".join(chosen)))
    if not pip_install("--no-deps", "--no-build-isolation", "--no-index", "--editable", "."):
        raise BootstrapError("the packages are there but this tree could not be installed; see pip's message")
    (STAMPS / "place").write_text(identity(), encoding="utf-8")
    (STAMPS / target).write_text(key_of(target), encoding="utf-8")
    say(f"ready after {time.monotonic() - started:.0f} s")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        print(f"usage: python3 tools/bootstrap.py {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    if sys.version_info < OLDEST:
        other = newer_python()
        if other is None:
            say(f"Python 3.11 or newer is needed, this is {platform.python_version()} ({sys.executable}).")
            say("Install one (Debian 12, Ubuntu 24.04: apt-get install python3) or name it: make PYTHON=...")
            return 1
        os.execv(other, [other, __file__, *arguments])  # noqa: S606 - a Python found on PATH, no shell
    if sys.platform != "linux":
        say(f"Homeport runs on Linux; going on with {sys.platform}, but nobody tests it there")
    target = arguments[0]
    try:
        with only_one():
            if not venv_works():
                make_venv()
            if not up_to_date(target):
                install(target)
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run it again and it goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
