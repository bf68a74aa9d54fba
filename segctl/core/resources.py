"""How much memory and how many threads a run may use, and where its scratch files go.

A container or CI job often allows less than the machine has, and the kernel kills a process
that uses more. The limits of control groups are therefore respected too.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from segctl.core.dataclass import dataclass

ROOT = Path("/")

MIN_MEMORY = 128 << 20
"""In bytes. With less, the engine cannot work."""

MEMORY_SHARE = 0.6
"""The engine's share of the available memory.

The rest is for the packer, which is not bound by the engine's limit, for Python, and for other
processes.
"""

BYTES_PER_THREAD = 256 << 20
"""Each thread of the engine has its own buffers. With less memory per thread, the buffers leave
too little room for data."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT])(I?)B?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """The user's limits: ``memory`` in bytes, and the ``folder`` for scratch files.

    ``None`` means a share of the available memory, and the system's folder for temporary files.
    """

    memory: int | None = None
    folder: Path | None = None


class SizeTooSmall(ValueError):
    """A size below the minimum."""


def parse_size(text: str) -> int:
    """Return a size such as ``2GB``, ``512 MiB`` or ``1.5G`` in bytes; raises ``ValueError``."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size. Examples: 512MB, 2GB, 1.5GiB.")
    number, unit, binary = match.groups()
    count = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.upper()])
    if count < MIN_MEMORY:
        raise SizeTooSmall(f"{text!r} is too small. The minimum is 128MiB.")
    return count


def default_memory(physical: int, limits: Iterable[int]) -> int:
    """Return the engine's memory limit, in bytes, for a user who sets none.

    ``physical`` is the machine's memory, ``limits`` are those of the containers around this
    process; both in bytes.
    """
    return max(MIN_MEMORY, int(MEMORY_SHARE * min([physical, *limits])))


def max_threads(cores: int, memory: int) -> int:
    """Return how many threads ``memory`` bytes are enough for, at least one."""
    return max(1, min(cores, memory // BYTES_PER_THREAD))


def memory_limit(limits: ResourceLimits, *, root: Path = ROOT) -> int:
    """Return the engine's memory limit in bytes: the user's, or a share of what is available."""
    if limits.memory is not None:
        return limits.memory
    return default_memory(_physical_memory(), _memory_limits(root))


def thread_count(memory: int, *, root: Path = ROOT) -> int:
    """Return the number of threads for an engine with ``memory`` bytes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [math.ceil(quota) for quota in _cpu_quotas(root)]
    return max_threads(min([cores or 1, *quotas]), memory)


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits of every control group around this process, in bytes."""
    for folder in _control_groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            text = _read_text(folder / name).strip()
            if text.isdecimal() and int(text) > 0:
                yield int(text)


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the CPU limits of every control group around this process, in cores."""
    for folder in _control_groups(root, "cpu"):
        quota, _, period = _read_text(folder / "cpu.max").strip().partition(" ")
        if not quota:
            quota = _read_text(folder / "cpu.cfs_quota_us").strip()
            period = _read_text(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of their parents."""
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup"
        if names:
            mount /= controller
        # In a container the path may be that of the host. The container's own limits are then at
        # the mount point, which is the last folder of this loop.
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _read_text(path: Path) -> str:
    with suppress(OSError, UnicodeError):
        return path.read_text(encoding="ascii")
    return ""
