"""Write command lines for messages, so that what a user pastes into a shell runs."""

import re
import shlex
from collections.abc import Sequence

GROUPS = ("state", "rejects")
"""Commands that have commands of their own."""

_WITHOUT_WORKSPACE = ("init", "emulator", "schema", "version", "completion", "help")
"""Commands for which the folder of this run means nothing, or something else."""

_IN_TEXT = re.compile(r"`segctl ([a-z][^`\n]*)`")


def command_line(
    command: str,
    *operands: str,
    folder: str = ".",
    env_name: str = "",
    options: Sequence[str] = (),
) -> str:
    """Return a command line, quoted for a shell, that runs in ``folder`` and in an environment.

    ``options`` are further options with their values. An operand is a file or an address. One that
    begins with a dash would be read as an option, so it gets ``./``.
    """
    words = [f"./{operand}" if operand.startswith("-") else operand for operand in operands]
    chosen = _options(folder, env_name)
    return shlex.join(["segctl", *command.split(), *chosen, *options, *words])


def add_run_options(text: str, *, folder: str = ".", env_name: str = "") -> str:
    """Return a message whose commands, in backticks, have the -C and the -e of this run."""
    if folder == "." and not env_name:
        return text

    def add_options(match: re.Match[str]) -> str:
        words = match[1].split(" ")
        if words[0] in _WITHOUT_WORKSPACE or "-C" in words:
            return match[0]
        count = 2 if words[0] in GROUPS else 1
        given = "-e" in words or "--env" in words
        options = map(shlex.quote, _options(folder, "" if given else env_name))
        return f"`{' '.join(['segctl', *words[:count], *options, *words[count:]])}`"

    return _IN_TEXT.sub(add_options, text)


def _options(folder: str, env_name: str) -> list[str]:
    chosen = ["-e", env_name] if env_name else []
    return [*(["-C", folder] if folder != "." else []), *chosen]
