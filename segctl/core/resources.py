"""How much of the machine a run may use: memory, threads, and a folder for scratch files.

Containers and CI jobs often allow less than the machine has, and the kernel ends a process
that takes more, so the limits of control groups count too.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")

MIN_MEMORY = 128 << 20
"""Bytes; the engine does nothing useful with less."""

MEMORY_SHARE = 0.6
"""Of the memory there is: what the engine may hold.

The rest is for the packer, which works outside of that limit, for Python, and for
whatever else runs on a small machine.
"""

BYTES_PER_THREAD = 256 << 20
"""Each of the engine's threads holds buffers of its own; with less they crowd out the data."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT])(I?)B?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """What the user allows: bytes of memory, and where scratch files go.

    ``None`` means a share of what the machine has, and the system's temporary folder.
    """

    memory: int | None = None
    folder: Path | None = None


def parse_size(text: str) -> int:
    """Read a size such as ``2GB``, ``512 MiB`` or ``1.5G``, in bytes; raises ``ValueError``."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no size; write 512MB, 2GB or 1.5GiB.")
    number, unit, binary = found.groups()
    count = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.upper()])
    if count < MIN_MEMORY:
        raise ValueError(f"{text!r} is too little: the least is 128MiB.")
    return count


def default_memory(physical: int, limits: Iterable[int]) -> int:
    """Give the bytes for the engine where the user names none.

    ``physical`` is the machine's memory, ``limits`` what containers around this process
    allow; both in bytes.
    """
    return max(MIN_MEMORY, int(MEMORY_SHARE * min([physical, *limits])))


def max_threads(cores: int, memory: int) -> int:
    """Give how many threads ``memory`` bytes are enough for, one at least."""
    return max(1, min(cores, memory // BYTES_PER_THREAD))


def memory_limit(limits: ResourceLimits, *, root: Path = ROOT) -> int:
    """Give the bytes that an engine may hold: as the user says, else a share of what is there."""
    if limits.memory is not None:
        return limits.memory
    return default_memory(_physical(), _limits(root))


def thread_count(memory: int, *, root: Path = ROOT) -> int:
    """Give how many threads an engine of ``memory`` bytes may run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max_threads(min([cores or 1, *quotas]), memory)


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
