"""Whether git tracks the files of a state: then any branch can replace them on checkout."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 10.0


def tracked_files(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return the files that git tracks, of ``names`` and below them, in ``folder``.

    Empty outside of a repository, without git, or if git refuses to look.
    """
    git = shutil.which("git")
    if git is None or not _is_in_repository(folder):
        return ()
    import subprocess  # noqa: PLC0415 - heavy, and only needed in a repository

    # Nothing that the repository configures may run.
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [git, *safe, "-C", str(folder), "ls-files", "-z", "--", *names],
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = done.stdout.decode("utf-8", "backslashreplace").split("\0")
    return tuple(name for name in found if name) if not done.returncode else ()


def _is_in_repository(folder: Path) -> bool:
    path = folder.resolve()
    return any(os.path.lexists(parent / ".git") for parent in (path, *path.parents))
