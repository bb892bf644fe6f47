"""What a server costs: processor time and peak memory of a process and all its descendants.

Read from /proc only (Linux), so that every server is measured in the same way, whatever its language.
Contract: proc(5). Must not start or stop anything.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KIBIBYTE = 1024


def process_tree(root: int) -> list[int]:
    """Return `root` and the process ids of all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """Return user plus system seconds of the tree, with those of children that it has already reaped."""
    ticks = 0
    for pid in process_tree(root):
        fields = _stat_fields(pid)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / TICKS_PER_SECOND


def exact_cpu_seconds(pids: Iterable[int]) -> float:
    """Return user plus system seconds of living processes, to the nanosecond; those that ended count nothing."""
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), which Python does not have
        except OSError:
            continue
    return total


def reset_peak_memory(root: int) -> None:
    """Make the peak memory of each process of the tree start again from what it uses now."""
    for pid in process_tree(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(root: int) -> int:
    """Return the peak resident memory in bytes (VmHWM), summed over the processes of the tree."""
    total = 0
    for pid in process_tree(root):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # it ended meanwhile
            continue
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * KIBIBYTE
    return total


def machine_busy_seconds() -> float:
    """Return the user, nice and system seconds that all processors have spent since the machine started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return sum(int(field) for field in fields[1:4]) / TICKS_PER_SECOND


def client_seconds() -> float:
    """Return user plus system seconds of this process and of the clients that it ran and has reaped."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from `state` on, or nothing when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()  # the name in brackets may itself hold blanks
