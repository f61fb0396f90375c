"""CPU time and memory of a process and its children, from Linux."""

from __future__ import annotations

import time
from pathlib import Path

_PROC = Path("/proc")


def cpu_s(pid: int) -> float:
    """User plus system time of a process and its living children so far, all threads, to the nanosecond.

    Reads each process' CPU clock (`clock_getcpuclockid(3)`; /proc/PID/stat has the same figure in ticks of 10 ms).
    """
    return sum(time.clock_gettime((~member << 3) | 2) for member in tree(pid))


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(_rss_bytes(member) for member in tree(pid))


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def _parent(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text()
    except OSError:  # it has ended since
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _rss_bytes(pid: int) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
