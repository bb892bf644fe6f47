"""Facts about the machine that a reader of a benchmark needs, read from /proc (Linux).

It names what the machine is, never which machine it is: no host name, no path.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

GIBIBYTE = 1024**3


def processor() -> str:
    """Return the model of the processor and how many of them the system sees."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return f"{platform.machine()}, {os.cpu_count()} cores"


def memory() -> str:
    """Return the size of the main memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{total / GIBIBYTE:.1f} GiB"


def kernel() -> str:
    """Return the name and the release number of the kernel, without the builder's suffix."""
    return f"{platform.system()} {platform.release().partition('-')[0]}"


def available_memory() -> int:
    """Return how many bytes new programs could use (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds an existing folder, such as ext4 or tmpfs."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, kind = line.partition(" - ")
        if mounted.split()[2] == wanted:
            return kind.split()[0]
    return "unknown"


def has_room(folder: Path, size: int) -> bool:
    """Say whether `size` more bytes fit in a folder, and in memory too if the folder is kept there."""
    if not folder.is_dir() or not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < size:
        return False
    return file_system(folder) != "tmpfs" or available_memory() > size + 2 * GIBIBYTE


def program_version(*command: str) -> str:
    """Return the first line that a program prints about its version, or "not installed"."""
    if not shutil.which(command[0]):
        return "not installed"
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    return (printed.stdout + printed.stderr).partition("\n")[0].strip()
