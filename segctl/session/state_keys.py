"""The keys of an encrypted state, from the environment or from a program."""

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segctl.backends.sealing import NO_SEALING, Sealer, decode_key
from segctl.core.ci import is_pull_request
from segctl.core.errors import OperationError
from segctl.manifests.state_place import Encryption, KeySource

COMMAND_SECONDS = 60.0
_MAX_OUTPUT_BYTES = 4096

_FORM = "A key is 32 random bytes in base64, such as `openssl rand -base64 32` prints."


def open_sealer(encryption: Encryption, *, root: Path, environment: Mapping[str, str]) -> Sealer:
    """Return what seals and opens the state with the keys of ``spec.state.encryption``.

    Raises ``OperationError`` if a key is missing or is none.
    """
    keys = read_keys(encryption, root=root, environment=environment)
    if not keys:
        return NO_SEALING
    return Sealer(keys, is_sealing=encryption.key is not None, is_enforced=encryption.is_enforced)


def read_keys(
    encryption: Encryption, *, root: Path, environment: Mapping[str, str]
) -> tuple[bytes, ...]:
    """Return the keys of ``spec.state.encryption``, the one to encrypt with first."""
    sources = [*([encryption.key] if encryption.key else []), *encryption.old_keys]
    return tuple(_read_key(source, root=root, environment=environment) for source in sources)


def _read_key(source: KeySource, *, root: Path, environment: Mapping[str, str]) -> bytes:
    if source.command:
        text, name = _run(source.command, root=root, environment=environment), "the key command"
    else:
        text, name = environment.get(source.env, ""), source.env
        if not text.strip():
            raise OperationError(
                f"{name} is not set, and spec.state.encryption needs it",
                hint=f"Set it. {_FORM}",
            )
    key = decode_key(text)
    if key is None:
        raise OperationError(f"{name} does not give a key", hint=_FORM)
    return key


def _run(command: tuple[str, ...], *, root: Path, environment: Mapping[str, str]) -> str:
    """Return what the program prints. Its output is a secret and is never shown."""
    if is_pull_request(environment):
        raise OperationError(
            "the key command is not run in a pull request, which could name any program",
            hint="Give the key in an environment variable there, or plan on a trusted branch.",
        )
    program = Path(command[0]).name
    by_hand = "Run it by hand to see why. Its output is not shown, as it may contain the key."
    try:
        process = subprocess.Popen(  # noqa: S603 - the program that the workspace names
            command,
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise OperationError(
            f"the key command {program} cannot be run: {(error.strerror or '').lower()}",
            hint="Correct spec.state.encryption, or install the program.",
        ) from None
    with process, _killed_after(process, COMMAND_SECONDS) as is_killed:
        assert process.stdout  # noqa: S101 - it is a pipe
        output = process.stdout.read(_MAX_OUTPUT_BYTES + 1)
        if len(output) > _MAX_OUTPUT_BYTES:
            process.kill()
            raise OperationError(f"the key command {program} does not print a key", hint=_FORM)
        code = process.wait()
    if is_killed.is_set():
        raise OperationError(
            f"the key command {program} did not end within {COMMAND_SECONDS:.0f} seconds",
            hint=by_hand,
        )
    if code:
        raise OperationError(
            f"the key command {program} failed with exit code {code}", hint=by_hand
        )
    return output.decode("utf-8", "replace")


@contextmanager
def _killed_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """Kill the process if the block takes longer; the event says whether that happened."""
    is_killed = threading.Event()

    def kill() -> None:
        is_killed.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield is_killed
    finally:
        timer.cancel()
