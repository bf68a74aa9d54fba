"""What a benchmark ran on and with: what explains a figure, and nothing that names a host."""

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
    """The time from the beginning of a benchmark on; knows what else the machine did meanwhile."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._ours = _own_seconds()

    def describe(self) -> dict[str, str]:
        """Give date, processor, cores, memory, system, versions, and the share of other work."""
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
        """Give the share of all cores' time that went to processes other than ours."""
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._ours)
        elapsed = (time.perf_counter() - self._began) * (os.cpu_count() or 1)
        return min(max(others / elapsed, 0), 1) if elapsed else 0


def _share(others: float) -> str:
    """Tell a share of the cores; what is too little to matter is told alike."""
    return "less than 2 % of the cores" if others < 0.02 else f"{100 * others:.0f} % of the cores"


def find_terraform() -> str | None:
    """Find a Terraform, or an OpenTofu, on ``PATH``."""
    return shutil.which("terraform") or shutil.which("tofu")


def terraform_version() -> str | None:
    """Give the version of the Terraform found, ``None`` where there is none."""
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
    """Give the time that all cores together were not idle since the machine started."""
    fields = [int(field) for field in _read("/proc/stat").partition("\n")[0].split()[1:9]]
    idle = sum(fields[3:5])  # idle, and waiting for a disk
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Give the processor time of this process and of all that it started and that have ended."""
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
