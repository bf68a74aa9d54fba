"""Ask git about the repository that a folder is in."""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from segctl.core.errors import OperationError
from segctl.core.process_secrets import CREDENTIAL_PREFIX, hide_variables

_LOG = logging.getLogger(__name__)
_SECONDS = 10.0
_FATAL = 128
_SAFE = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")
"""Nothing that the repository configures may run."""


def find_checkout(folder: Path) -> Path | None:
    """Return the root of the checkout that a folder is in, or ``None``. The folder need not exist.

    A folder that only looks like a repository, as anybody can commit one, does not count.
    """
    path = folder.resolve()
    roots = (parent for parent in (path, *path.parents) if os.path.lexists(parent / ".git"))
    return next(roots, None)


def path_in_repository(folder: Path, environment: Mapping[str, str]) -> str | None:
    """Return the path of a folder in its repository, with slashes and empty for the root itself.

    Without a checkout, the root is the folder that a CI job names as the repository. ``None`` if
    there is neither.
    """
    root = find_checkout(folder)
    if root is None:
        named = environment.get("GITHUB_WORKSPACE") or environment.get("CI_PROJECT_DIR")
        root = Path(named).resolve() if named else None
    path = folder.resolve()
    if root is None or not path.is_relative_to(root):
        return None
    inside = path.relative_to(root).as_posix()
    return "" if inside == "." else inside


def run_git(checkout: Path, *arguments: str, is_question: bool = False) -> bytes | None:
    """Return what git prints in the root of a checkout; ``None`` if it answers no (exit code 1).

    To a question about a name that may be anything, exit code 128 is a no as well. Also ``None``,
    with a warning, without git. Raises ``OperationError`` if git cannot read the repository.
    Credentials are taken out of this process's visible environment first.
    """
    git = shutil.which("git")
    if git is None:
        _LOG.warning(
            "git is not installed, so the repository in %s is not checked; install it, or keep "
            "the state outside of the checkout",
            checkout,
        )
        return None
    import subprocess  # noqa: PLC0415 - heavy, and only needed in a repository

    hide_variables(CREDENTIAL_PREFIX)
    # Without --git-dir, git would take a folder whose files look like a repository for one, and
    # run the programs that its configuration names.
    where = [f"--git-dir={checkout / '.git'}", f"--work-tree={checkout}", "-C", str(checkout)]
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
    except subprocess.TimeoutExpired:
        raise _failed(checkout, f"it did not answer within {_SECONDS:g} s") from None
    except OSError as error:
        raise _failed(checkout, error.strerror or "it cannot be run") from None
    if done.returncode not in (0, 1) and not (is_question and done.returncode == _FATAL):
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        message = lines[0].removeprefix("fatal: ") if lines else f"exit code {done.returncode}"
        raise _failed(checkout, message)
    return None if done.returncode else done.stdout


def _failed(checkout: Path, message: str) -> OperationError:
    return OperationError(
        f"git cannot read the repository in {checkout}: {message}",
        hint=f"`git -C {checkout} status` shows what is wrong. Repair the checkout, or clone it "
        "again.",
    )
