"""What the operating system says of the machine, or of the container: cores and memory."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Linux' control groups (version 2), which limit containers and jobs of a cluster: the tree, and the own place in it.
GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may use: those the system gives it, or fewer where a limit or OMP_NUM_THREADS says so."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups():
        with suppress(OSError, ValueError):  # no limit: "max"
            quota, period = (group / "cpu.max").read_text().split()
            given = min(given, max(1, math.ceil(int(quota) / int(period))))
    limit = os.environ.get("OMP_NUM_THREADS", "")  # which Ray sets for a worker that shares a machine with others
    return min(given, int(limit)) if limit.isdecimal() and int(limit) else given


def available_memory() -> int:
    """Bytes of memory that a program may still take: of the machine, or less where a container or a job has a limit."""
    free = []
    with suppress(OSError, KeyError, ValueError):  # another system
        free.append(_numbers(Path("/proc/meminfo"))["MemAvailable"] * 1024)
    for group in _groups():
        with suppress(OSError, KeyError, ValueError):  # no limit: "max"
            limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
            free.append(limit - used + _numbers(group / "memory.stat")["inactive_file"])  # the system gives these back
    return max(min(free), 0) if free else 4 << 30


def _groups() -> Iterator[Path]:
    """The own control group and those above it; the limits of all of them hold."""
    try:
        place = next(line[3:] for line in OWN_GROUP.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return
    group = Path(os.path.normpath(f"{GROUPS}/{place}"))
    if group.is_relative_to(GROUPS):  # else seen from inside a container it lies above the tree
        yield from (above for above in (group, *group.parents) if above.is_relative_to(GROUPS))


def _numbers(path: Path) -> dict[str, int]:
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
