"""Ask git about the repository that a folder is in."""

import os
import shutil
from pathlib import Path

_SECONDS = 10.0


def run_git(folder: Path, *arguments: str) -> bytes | None:
    """Return what git prints.

    ``None`` outside of a repository, without git, or if git fails. Nothing that the repository
    configures runs.
    """
    git = shutil.which("git")
    if git is None or not _is_in_repository(folder):
        return None
    import subprocess  # noqa: PLC0415 - heavy, and only needed in a repository

    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            [git, *safe, "-C", str(folder), *arguments],
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if not done.returncode else None


def _is_in_repository(folder: Path) -> bool:
    path = folder.resolve()
    return any(os.path.lexists(parent / ".git") for parent in (path, *path.parents))
