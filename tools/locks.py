"""Writes and checks the locks in requirements/: exact versions with hashes, every platform, no index named.

`python tools/locks.py write [--upgrade]` resolves pyproject.toml anew and keeps present pins unless told to
upgrade. `python tools/locks.py check` needs no network: each declared package is pinned within its range and
hashed, no line names a host or a path, and dev.lock agrees with the locks that it contains.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
# In the order they are resolved; each is bound to the versions of those before it.
SOURCES = {
    "runtime": ["pyproject.toml"],
    "build": ["--group", "pyproject.toml:build"],
    "dev": ["pyproject.toml", "--group", "pyproject.toml:dev"],
}
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def write(upgrade: bool) -> None:
    """Runs uv once for each lock."""
    before: list[str] = []
    for name, source in SOURCES.items():
        command = [
            "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-emit-index-url", "--custom-compile-command", "make lock",
            *source, *before, "--output-file", f"requirements/{name}.lock",
        ]  # fmt: skip
        subprocess.run([*command, *(["--upgrade"] if upgrade else [])], cwd=ROOT, check=True)
        before += ["--constraint", f"requirements/{name}.lock"]
        print(f"requirements/{name}.lock written")


def read(name: str, faults: list[str]) -> dict[str, str]:
    """Package to version of one lock; whatever is not a comment, pin or hash is a fault."""
    pins: dict[str, str] = {}
    hashed: set[str] = set()
    last = ""
    text = (REQUIREMENTS / f"{name}.lock").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if "://" in line or "index" in line:
            faults.append(f"{name}.lock:{number}: names an index or address")
        if pin := PIN.match(line):
            last = pin["name"]
            pins[last] = pin["version"]
        elif HASH.match(line):
            hashed.add(last)
        elif line.strip() and not line.lstrip().startswith("#"):
            faults.append(f"{name}.lock:{number}: neither pin nor hash: {line.strip()}")
    faults.extend(f"{name}.lock: {package} has no hash" for package in pins.keys() - hashed)
    return pins


def declared(project: dict[str, Any], name: str) -> list[Requirement]:
    """The requirements that pyproject.toml states for one lock."""
    groups: dict[str, list[Any]] = project["dependency-groups"]

    def of(group: str) -> list[str]:
        found: list[str] = []
        for entry in groups[group]:
            found += of(entry["include-group"]) if isinstance(entry, dict) else [entry]
        return found

    wanted = {"runtime": [], "build": of("build"), "dev": of("dev")}[name]
    if name != "build":
        wanted = [*project["project"]["dependencies"], *wanted]
    return [Requirement(text) for text in wanted]


def check() -> list[str]:
    """Every disagreement between pyproject.toml and the locks, as lines for a reader."""
    faults: list[str] = []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locks = {name: read(name, faults) for name in SOURCES}
    for name, pins in locks.items():
        for requirement in declared(project, name):
            version = pins.get(canonicalize_name(requirement.name))
            if version is None:
                faults.append(f"{name}.lock: {requirement.name} is declared but not locked")
            elif not requirement.specifier.contains(version, prereleases=True):
                faults.append(f"{name}.lock: {requirement.name} {version} is outside {requirement.specifier}")
    for name in ("runtime", "build"):
        faults.extend(
            f"dev.lock: {package} must be {version} as in {name}.lock"
            for package, version in locks[name].items()
            if locks["dev"].get(package) != version
        )
    return faults


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["write"] and set(arguments[1:]) <= {"--upgrade"}:
        write(upgrade="--upgrade" in arguments)
    elif arguments != ["check"]:
        print("usage: python tools/locks.py check | write [--upgrade]", file=sys.stderr)
        return 2
    faults = check()
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print("pyproject.toml and requirements/ disagree; run `make lock`", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
