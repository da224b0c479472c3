"""What the operating system says of the machine: cores and memory."""

import os
from pathlib import Path


def cores() -> int:
    """Cores that this process may use: those the system gives it, or fewer where OMP_NUM_THREADS says so."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")  # which Ray sets for a worker that shares a machine with others
    return min(given, int(limit)) if limit.isdecimal() and int(limit) else given


def available_memory() -> int:
    """Bytes of memory that a program may still take: of the machine, or less where a container has a limit."""
    free = []
    try:
        machine = _numbers(Path("/proc/meminfo"))
        free.append(machine["MemAvailable"] * 1024)
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free.append(limit - used + _numbers(group / "memory.stat")["inactive_file"])  # the system gives these back
    except (OSError, KeyError, ValueError):  # another system, no container, or no limit ("max")
        pass
    return max(min(free), 0) if free else 4 << 30


def _numbers(path: Path) -> dict[str, int]:
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
