"""What the machine has for this process: memory and cores, as its containers limit them.

The size of the machine is not what a container or a CI job may use: the kernel ends a
process that takes more.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from segctl.room import Room, memory_share, thread_share

ROOT = Path("/")


def memory_of(room: Room, *, root: Path = ROOT) -> int:
    """Give the bytes that an engine may hold: as the user says, else a share of what is there."""
    if room.memory is not None:
        return room.memory
    return memory_share(_physical(), _limits(root))


def threads_for(memory: int, *, root: Path = ROOT) -> int:
    """Give how many threads an engine of ``memory`` bytes may run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return thread_share(min([cores or 1, *quotas]), memory)


def _physical() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits(root: Path) -> Iterator[int]:
    """Give the memory limits of every control group around this process, in bytes."""
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            text = _text(folder / name).strip()
            if text.isdecimal() and int(text) > 0:
                yield int(text)


def _quotas(root: Path) -> Iterator[float]:
    """Give the limits on processor time of every control group, in cores."""
    for folder in _groups(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
        if not quota:
            quota = _text(folder / "cpu.cfs_quota_us").strip()
            period = _text(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Give the folders of this process's control groups and of all around them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup"
        if names:
            mount /= controller
        # In a container the path may be the host's; its own limits then stand at the mount.
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeError):
        return path.read_text(encoding="ascii")
    return ""
