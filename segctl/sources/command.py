"""Run a program and keep its standard output in a scratch file.

The output passes through segctl instead of going directly to the file, so that a full disk
ends the run even if the program does not check its writes. If the program exits with any
status other than 0, its output is not used.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import IO

from segctl.core.ci import is_pull_request
from segctl.core.disk import create_scratch_file
from segctl.core.git import find_checkout
from segctl.core.process_secrets import CREDENTIAL_PREFIX, hide_variables
from segctl.engine.model import FileScan, SourceError
from segctl.manifests.desired import CommandSource

_CHUNK_BYTES = 1 << 16
_POLL_SECONDS = 0.1
_TERMINATE_SECONDS = 2.0
_MAX_STDERR_BYTES = 4096
_MAX_SHOWN_CHARACTERS = 200

# Words that may be a user's key or a secret: email addresses, long numbers, very long words.
_PERSONAL = re.compile(r"\S*@\S*|\S*\d{5,}\S*|\S{40,}")


def fetch(
    source: CommandSource,
    into: Path,
    *,
    root: Path,
    environment: Mapping[str, str],
    segment_column: str | None = None,
) -> FileScan:
    """Run a program in the folder ``root``. Raises ``SourceError`` unless it succeeds.

    ``environment`` holds the variables of this process. The program has no standard input.
    If it is stopped, all processes that it started are stopped with it.
    """
    if is_pull_request(environment):
        _check_outside(source.run[0], root, environment)
    hide_variables(CREDENTIAL_PREFIX)
    with create_scratch_file(into) as out:
        with _start(source, root, environment) as process:
            stderr = _copy_output(process, out, source)
        if process.returncode:
            raise _failed(source, process.returncode, stderr)
    if not into.stat().st_size:
        raise SourceError(
            "command-failed",
            f"the command {source.run[0]} wrote no output",
            "If there are no members, it must still write a header.",
        )
    return FileScan(
        paths=(into,),
        format=source.format,
        column=source.column,
        kind=source.kind,
        comments=source.comments,
        encoding=source.encoding,
        delimiter=source.delimiter,
        segment_column=segment_column,
    )


def _check_outside(program: str, root: Path, environment: Mapping[str, str]) -> None:
    """Raise ``SourceError`` for a program in the checkout: a pull request can change it."""
    path = root.resolve() / (shutil.which(program, path=environment.get("PATH")) or program)
    checkout = find_checkout(root) or root.resolve()
    # The branch chooses where a link of its own points to.
    if any(p.is_relative_to(checkout) for p in (Path(os.path.normpath(path)), path.resolve())):
        raise SourceError(
            "untrusted",
            f"the program {program} is in the checkout, so it is not run for a pull request",
            "Install it on the machine that plans, or plan after the merge.",
        )


@contextmanager
def _start(
    source: CommandSource, root: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program. If it still runs at the end, it is stopped with all that it started."""
    try:
        process = subprocess.Popen(  # noqa: S603 - segctl.yaml allows this program, no shell reads it
            source.run,
            cwd=root,
            env={k: v for k, v in environment.items() if not k.startswith(CREDENTIAL_PREFIX)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _not_started(source, error) from None
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process group, and kill it if it does not end in time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TERMINATE_SECONDS)
            return


def _copy_output(process: subprocess.Popen[bytes], out: IO[bytes], source: CommandSource) -> bytes:
    """Copy standard output to a file until the program ends. Returns the end of its stderr."""
    deadline = monotonic() + source.timeout_seconds
    stderr = b""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        # Output must be closed. Stderr may stay open in a process that the program left behind.
        while _is_open(process.stdout, selector) or process.poll() is None:
            if monotonic() > deadline:
                raise _timeout(source)
            for key, _ in selector.select(_POLL_SECONDS):
                data = os.read(key.fd, _CHUNK_BYTES)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    out.write(data)
                else:
                    stderr = (stderr + data)[-_MAX_STDERR_BYTES:]
    return stderr


def _is_open(stream: IO[bytes] | None, selector: selectors.BaseSelector) -> bool:
    return stream is not None and stream in {key.fileobj for key in selector.get_map().values()}


def _not_started(source: CommandSource, error: Exception) -> SourceError:
    program = source.run[0]
    if isinstance(error, FileNotFoundError):
        return SourceError(
            "command-failed",
            f"the command {program} was not found",
            "A name without a slash is looked up in PATH, one with a slash from the workspace "
            "root.",
        )
    reason = error.strerror if isinstance(error, OSError) else None
    return SourceError(
        "command-failed",
        f"the command {program} cannot be started: {(reason or 'an argument is invalid').lower()}",
        "Check the program and its arguments in run.",
    )


def _timeout(source: CommandSource) -> SourceError:
    return SourceError(
        "command-failed",
        f"the command {source.run[0]} was stopped after {source.timeout_seconds:g} s, "
        "its time limit",
        "Make it faster, or raise timeoutSeconds.",
    )


def _failed(source: CommandSource, status: int, stderr: bytes) -> SourceError:
    how = f"exited with status {status}"
    if status < 0:
        with suppress(ValueError):
            how = f"was killed by {signal.Signals(-status).name}"
    last = _last_line(stderr)
    return SourceError(
        "command-failed",
        f"the command {source.run[0]} {how}, so its output is not used",
        f"The last line of its stderr: {last}" if last else "It wrote nothing to stderr.",
    )


def _last_line(stderr: bytes) -> str:
    """Return the last line without words that may be a user's key or a secret."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return ""
    shown = "".join(c if c.isprintable() else " " for c in _PERSONAL.sub("…", lines[-1]))
    return shown if len(shown) <= _MAX_SHOWN_CHARACTERS else f"{shown[:_MAX_SHOWN_CHARACTERS]}…"
