"""Ask git about the repository that a folder is in."""

import logging
import os
import shutil
from pathlib import Path

from segctl.core.errors import OperationError
from segctl.core.process_secrets import CREDENTIALS, hide_variables

_LOG = logging.getLogger(__name__)
_SECONDS = 10.0
_SAFE = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")
"""Nothing that the repository configures may run."""


def run_git(folder: Path, *arguments: str) -> bytes | None:
    """Return what git prints in a folder.

    ``None`` outside of a repository, if git answers no (exit code 1), and, with a warning, without
    git. Raises ``OperationError`` if git cannot read the repository.
    """
    repository = _find_repository(folder)
    if repository is None:
        return None
    git = shutil.which("git")
    if git is None:
        _LOG.warning("%s is in a repository, which is not checked: git is not installed", folder)
        return None
    import subprocess  # noqa: PLC0415 - heavy, and only needed in a repository

    hide_variables(CREDENTIALS)
    # Without --git-dir, a folder whose files look like a repository would be taken for one, with
    # the programs that its configuration names. Anybody can commit such files.
    where = [f"--git-dir={repository}", f"--work-tree={repository.parent}", "-C", str(folder)]
    settings = [word for setting in _SAFE for word in ("-c", setting)]
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            [git, *settings, "--no-pager", *where, *arguments],
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(repository, str(error)) from None
    if done.returncode > 1:
        raise _failed(repository, done.stderr.decode("utf-8", "replace"))
    return done.stdout if not done.returncode else None


def _find_repository(folder: Path) -> Path | None:
    """Return the ``.git`` of the repository that a folder is in, or ``None``."""
    path = folder.resolve()
    found = (parent / ".git" for parent in (path, *path.parents))
    return next((git for git in found if os.path.lexists(git)), None)


def _failed(repository: Path, message: str) -> OperationError:
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    return OperationError(
        f"git cannot read the repository {repository}: {first.removeprefix('fatal: ')}",
        hint="segctl asks git whether it tracks the state. Repair the checkout, or clone it anew.",
    )
