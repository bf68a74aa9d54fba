"""The machine and versions a benchmark ran on. Nothing here names the host."""

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path

LIBRARIES = ("segctl", "duckdb", "numpy", "deepdiff", "octodns", "PyYAML", "httpx")


class Session:
    """The time since a benchmark began, and the share of other work on the machine in it."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._ours = _own_seconds()

    def describe(self) -> dict[str, str]:
        """Return date, processor, cores, memory, system, versions, and the share of other work."""
        return {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "other work meanwhile": _share(self._others()),
            "processor": _processor(),
            "cores": str(os.cpu_count()),
            "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
            "system": f"{_system()}, Linux {'.'.join(platform.release().split('.')[:2])}",
            "Python": platform.python_version(),
            **{name: found for name in LIBRARIES if (found := _version(name))},
            **({"Terraform": found} if (found := terraform_version()) else {}),
        }

    def _others(self) -> float:
        """Return the share of all cores' time that other processes used."""
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._ours)
        elapsed = (time.perf_counter() - self._began) * (os.cpu_count() or 1)
        return min(max(others / elapsed, 0), 1) if elapsed else 0


def _share(others: float) -> str:
    """Describe a share of the cores; anything below 2 % counts as idle."""
    return "less than 2 % of the cores" if others < 0.02 else f"{100 * others:.0f} % of the cores"


def find_terraform() -> str | None:
    """Return the path of Terraform or OpenTofu, if one is on ``PATH``."""
    return shutil.which("terraform") or shutil.which("tofu")


def terraform_version() -> str | None:
    """Return the version of Terraform on ``PATH``, or ``None``."""
    program = find_terraform()
    if program is None:
        return None
    told = subprocess.run(
        [program, "version", "-json"], capture_output=True, text=True, check=False
    ).stdout
    try:
        return str(json.loads(told)["terraform_version"])
    except (ValueError, KeyError):
        return None


def _busy_seconds() -> float:
    """Return the seconds that all cores together were busy since the machine started."""
    fields = [int(field) for field in _read("/proc/stat").partition("\n")[0].split()[1:9]]
    idle = sum(fields[3:5])  # idle, and waiting for a disk
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Return the processor time of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return f"{found[1] if found else 'unknown'} ({platform.machine()})"


def _system() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.MULTILINE)
    return found[1] if found else platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
