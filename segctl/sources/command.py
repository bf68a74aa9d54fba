"""What a program writes to its standard output, kept in a scratch file.

The output passes through us rather than going to the file by itself: a disk that is
full ends the run then, and is no matter of how well a program checks what it writes.
A program that ends in any other way than with status 0 has given nothing.
"""

import os
import re
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import IO

from segctl.core.disk import create_scratch_file
from segctl.engine.base import FileScan, SourceError
from segctl.manifests.desired import CommandSource

_OURS = "CLEVERTAP_"
"""How the variables begin that a program does not get: the credentials of the account."""

_CHUNK = 1 << 16
_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 2.0
_KEPT_OF_STDERR = 4096
_SHOWN_OF_STDERR = 200

# Words that may be a user's key or a secret: addresses, long numbers, anything very long.
_PERSONAL = re.compile(r"\S*@\S*|\S*\d{5,}\S*|\S{40,}")


def fetch(
    source: CommandSource,
    into: Path,
    *,
    root: Path,
    environment: Mapping[str, str],
    segment_column: str | None = None,
) -> FileScan:
    """Run a program in the folder ``root``; raises ``SourceError`` unless it succeeds.

    ``environment`` holds the variables of our process.  The program has no standard
    input, and whatever it started ends with it when it is stopped.
    """
    with create_scratch_file(into) as out:
        with _started(source, root, environment) as process:
            said = _pump(process, out, source)
        if process.returncode:
            raise _failed(source, process.returncode, said)
    if source.format in ("csv", "tsv", "parquet") and not into.stat().st_size:
        raise SourceError(
            "command-failed",
            f"the command {source.run[0]} gave no output",
            "Where there are no members, a header is expected all the same.",
        )
    return FileScan(
        paths=(into,),
        format=source.format,
        column=source.column,
        kind=source.kind,
        segment_column=segment_column,
    )


@contextmanager
def _started(
    source: CommandSource, root: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; whatever is left of it at the end is killed, with all that it started."""
    try:
        process = subprocess.Popen(  # noqa: S603 - segctl.yaml allows this program, no shell reads it
            source.run,
            cwd=root,
            env={k: v for k, v in environment.items() if not k.startswith(_OURS)},
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
            _kill(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a group of processes: kindly first, then surely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            return


def _pump(process: subprocess.Popen[bytes], out: IO[bytes], source: CommandSource) -> bytes:
    """Write the output as it comes until the program ended; give the end of its messages."""
    deadline = monotonic() + source.timeout_seconds
    said = b""
    with selectors.DefaultSelector() as ready:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                ready.register(stream, selectors.EVENT_READ)
        # Messages may stay open in a process that the program left behind; output may not.
        while _is_open(process.stdout, ready) or process.poll() is None:
            if monotonic() > deadline:
                raise _too_slow(source)
            for key, _ in ready.select(_PAUSE_SECONDS):
                data = os.read(key.fd, _CHUNK)
                if not data:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    out.write(data)
                else:
                    said = (said + data)[-_KEPT_OF_STDERR:]
    return said


def _is_open(stream: IO[bytes] | None, ready: selectors.BaseSelector) -> bool:
    return stream is not None and stream in {key.fileobj for key in ready.get_map().values()}


def _not_started(source: CommandSource, error: Exception) -> SourceError:
    program = source.run[0]
    if isinstance(error, FileNotFoundError):
        return SourceError(
            "command-failed",
            f"the command {program} cannot be found",
            "It is looked for on the PATH, or from the workspace root if it has a slash.",
        )
    reason = error.strerror if isinstance(error, OSError) else None
    return SourceError(
        "command-failed",
        f"the command {program} cannot be started: {(reason or 'an unusable argument').lower()}",
    )


def _too_slow(source: CommandSource) -> SourceError:
    return SourceError(
        "command-failed",
        f"the command {source.run[0]} ran for more than {source.timeout_seconds:g} s, "
        "and was stopped",
        "Raise timeoutSeconds, or ask for less.",
    )


def _failed(source: CommandSource, status: int, said: bytes) -> SourceError:
    how = f"ended with status {status}"
    if status < 0:
        with suppress(ValueError):
            how = f"was ended by {signal.Signals(-status).name}"
    last = _last_line(said)
    return SourceError(
        "command-failed",
        f"the command {source.run[0]} {how}; nothing of its output was used",
        f"Its last words: {last}" if last else "It said nothing.",
    )


def _last_line(said: bytes) -> str:
    """Give what can be shown of the last line: nothing that may be a user's key or a secret."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return ""
    shown = "".join(c if c.isprintable() else " " for c in _PERSONAL.sub("…", lines[-1]))
    return shown if len(shown) <= _SHOWN_OF_STDERR else f"{shown[:_SHOWN_OF_STDERR]}…"
