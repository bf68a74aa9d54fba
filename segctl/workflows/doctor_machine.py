"""Checks of the installation and of the machine: versions, extras, memory, disk, clock."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from segctl import __version__
from segctl.core.clock import Clock
from segctl.core.dataclass import dataclass
from segctl.core.disk import to_operation_error
from segctl.core.health import Check, Status
from segctl.core.resources import ResourceLimits, memory_limit, thread_count

_PACKAGE = "segctl"
EXTRAS = ("remote", "postgres", "encryption", "emulator")
_REQUIREMENT = re.compile(
    r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*?)\s*(?:;.*\bextra == ['\"](\w+)['\"])?"
)
_SPECIFIER = re.compile(r"(>=|<)\s*([\d.]+)")

_LOW_MEMORY = 512 << 20
_LOW_DISK = 1 << 30
_NO_DISK = 64 << 20
_SKEW_SECONDS = 60.0

_NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs|cifs|smb|9p|afs|ceph|glusterfs|sshfs|drvfs|virtiofs|lustre"
)


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A library that segctl needs; ``extra`` is empty if it always does."""

    name: str
    versions: str
    extra: str

    def find_problem(self) -> str:
        """Return why the installed library cannot be used, or an empty text."""
        try:
            found = metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return f"{self.name} is not installed"
        for operator, bound in _SPECIFIER.findall(self.versions):
            if (_numbers(found) >= _numbers(bound)) != (operator == ">="):
                return f"{self.name} {found} is installed, and segctl needs {self.versions}"
        return ""


def _numbers(version: str) -> list[int]:
    """Return the numbers of a release; what follows them does not count."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in release[0].split(".")] if release else []


def read_requirements(lines: Iterable[str] | None = None) -> list[Requirement]:
    """Return the libraries that the installed package names. Empty if it is not installed."""
    if lines is None:
        try:
            lines = metadata.requires(_PACKAGE) or ()
        except metadata.PackageNotFoundError:
            return []
    matches = (_REQUIREMENT.fullmatch(line) for line in lines)
    return [
        Requirement(name=m[1], versions=m[2], extra=m[3] or "")
        for m in matches
        if m and (m[3] or "") in ("", *EXTRAS)
    ]


def check_installation(
    requirements: Iterable[Requirement], needed: Mapping[str, str]
) -> Iterator[Check]:
    """Yield the checks of Python and of the libraries.

    ``needed`` says why the workspace needs an extra, by its name.
    """
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Check(topic="python", summary=f"Python {python}, segctl {__version__}")
    required = list(requirements)
    if not required:
        yield Check(
            topic="libraries",
            status=Status.WARNING,
            summary="segctl is not installed as a package, so versions are not checked",
            advice="Install it with pip, pipx or uv.",
        )
        return
    wrong = [text for each in required if not each.extra and (text := each.find_problem())]
    if wrong:
        yield Check(
            topic="libraries",
            status=Status.PROBLEM,
            summary="; ".join(wrong),
            advice="Install segctl again, in an environment of its own.",
        )
    else:
        count = sum(not each.extra for each in required)
        yield Check(topic="libraries", summary=f"all {count} have the versions that segctl needs")
    for extra in EXTRAS:
        yield _check_extra(extra, [r for r in required if r.extra == extra], needed.get(extra, ""))


def _check_extra(extra: str, required: Iterable[Requirement], reason: str) -> Check:
    wrong = [text for each in required if (text := each.find_problem())]
    topic, why = f"extra {extra}", f"; needed for {reason}" if reason else ""
    if not wrong:
        return Check(topic=topic, summary=f"installed{why}")
    if not reason:
        return Check(topic=topic, summary="not installed, and not needed here")
    return Check(
        topic=topic,
        status=Status.PROBLEM,
        summary=f"{'; '.join(wrong)}{why}",
        advice=f"Install it: pip install 'segctl[{extra}]'.",
    )


def check_memory(limits: ResourceLimits) -> Check:
    """Return the check of the memory that a run may use."""
    memory = memory_limit(limits)
    threads = thread_count(memory)
    origin = "set" if limits.memory is not None else "60% of what machine and container have"
    summary = f"{_size(memory)} for queries and comparisons ({origin}), threads: {threads}"
    if memory >= _LOW_MEMORY:
        return Check(topic="memory", summary=summary)
    return Check(
        topic="memory",
        status=Status.WARNING,
        summary=summary,
        advice="Large segments spill to disk and take longer. Give the machine or the container "
        "more, or set --memory-limit.",
    )


def check_folder(topic: str, folder: Path, clock: Clock, *, is_state: bool) -> Iterator[Check]:
    """Yield the checks of a folder that segctl writes to: it is writable, and has free space.

    A file without a name is written to it, and is gone afterwards.
    """
    if is_state and not folder.exists():
        yield Check(
            topic=topic,
            status=Status.WARNING,
            summary=f"{folder} does not exist",
            advice="The first apply creates it. If a state was there, restore it from a backup.",
        )
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
            file.flush()
            changed = os.fstat(file.fileno()).st_mtime
        free = shutil.disk_usage(folder).free
    except OSError as error:
        other = "" if is_state else "Or name another folder with --temp-dir."
        yield Check(
            topic=topic,
            status=Status.PROBLEM,
            summary=f"{folder} cannot be written to: {(error.strerror or 'error').lower()}",
            advice=f"{to_operation_error(error, '').hint} {other}".strip(),
        )
        return
    yield _check_space(topic, folder, free)
    kind = _file_system(folder)
    if is_state and _NETWORK_FILE_SYSTEMS.search(kind):
        yield Check(
            topic=topic,
            status=Status.WARNING,
            summary=f"{folder} is on a network file system ({kind}), whose locks may not hold "
            "between machines",
            advice="Let one machine alone apply, or keep the state in a bucket.",
        )
    skew = changed - clock.now()
    if abs(skew) > _SKEW_SECONDS:
        yield Check(
            topic="clock",
            status=Status.WARNING,
            summary=f"the clock is {abs(skew):,.0f} s {'behind' if skew > 0 else 'ahead of'} that "
            f"of the file system at {folder}",
            advice="Set both clocks, such as with NTP.",
        )


def _check_space(topic: str, folder: Path, free: int) -> Check:
    summary = f"{folder} has {_size(free)} free"
    if free >= _LOW_DISK:
        return Check(topic=topic, summary=summary)
    status = Status.PROBLEM if free < _NO_DISK else Status.WARNING
    return Check(topic=topic, status=status, summary=summary, advice="Free some space there.")


def _file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on, empty if it is not known."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    path, found, longest = folder.resolve(), "", -1
    for line in lines.splitlines():
        _, place, kind, *_ = f"{line}   ".split(" ")
        mount = place.replace("\\040", " ")
        if path.is_relative_to(mount) and len(mount) >= longest:
            found, longest = kind, len(mount)
    return found


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
