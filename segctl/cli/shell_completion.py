"""What a shell completes: the names of the workspace, without importing a command.

A command's module takes half a second to import, and a shell asks at every key. Values are
therefore completed by the tables here, and everything else by click.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from segctl.core.command_line import GROUPS
from segctl.core.dataclass import dataclass

_ANY = frozenset(("declared", "recorded"))
_FILES = (
    *("--out", "--var-file", "--json-into", "--report", "--members", "--code-quality"),
    *("--faults", "--settings", "--plan", "--approved", "--trusted-config"),
)
_OPTIONS = {
    "--target": _ANY,
    "--exclude": _ANY,
    "--overlap": _ANY,
    "-e": {"environments"},
    "--env": {"environments"},
    "--var": {"variables"},
    "-C": {"dir"},
    "--chdir": {"dir"},
    "--temp-dir": {"dir"},
    "--data": {"dir"},
    **{name: {"file"} for name in _FILES},
}
"""What the value of an option can be, in all commands that have it."""

_OPERANDS = {
    ("members",): _ANY,
    ("import",): {"declared"},
    ("state", "list"): {"recorded"},
    ("state", "show"): {"recorded"},
    ("state", "rm"): {"recorded"},
    ("state", "mv"): _ANY,
    ("state", "push"): {"file"},
    ("rejects", "load"): {"file"},
    ("apply",): {"file"},
    ("show",): {"file"},
    ("verify",): {"file"},
    ("fmt",): {"file"},
    ("init",): {"dir"},
}
"""What the operands of a command can be."""

_PLAIN_WORD = re.compile(r"[\w.-]+=?")
"""A name that a shell takes as it is: what it completes stands in the command line unquoted.

Only a workspace that is not valid has other names, such as ``$(rm -r .)``.
"""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """The complete words of a command line, without the program: its options and operands."""

    operands: tuple[str, ...]
    folder: str
    env_name: str
    option: str
    """The option that waits for its value, empty if none does."""

    @classmethod
    def read(cls, words: Iterable[str]) -> "_Line":
        """Read the words. bash gives an equals sign as a word of its own."""
        operands, folders, option = [], ["."], ""
        env_name = os.environ.get("SEGCTL_ENV", "")
        for word in words:
            name, equals, value = word.partition("=")
            if word == "=":
                continue
            if option:
                name, value, option = option, word, ""
            elif not word.startswith("-"):
                operands.append(word)
                continue
            elif not equals:
                option = word if _takes_value(word) else ""
                continue
            if name in {"-C", "--chdir"}:
                folders.append(value)
            elif name in {"-e", "--env"}:
                env_name = value
        return cls(
            operands=tuple(operands),
            folder=str(Path(*folders)),
            env_name=env_name,
            option=option,
        )


_FLAGS = frozenset(
    "--json --count --recorded --desired --dry-run --force --no-color --check --diff "
    "--auto-approve --reread --".split()
)
"""Options that wait for no value, in the commands of ``_OPERANDS``."""


def _takes_value(option: str) -> bool:
    return option in _OPTIONS or option in {"--log-level", "--log-format", "--identities"}


def complete_value(words: Sequence[str], incomplete: str) -> list[CompletionItem[str]] | None:
    """Return the completions of a value; ``None`` if the tables do not have it."""
    line, prefix = _Line.read(words), ""
    option, equals, value = incomplete.partition("=")
    if incomplete == "=":
        incomplete = ""
    elif incomplete.startswith("--") and equals:  # as zsh and fish give it
        line = _Line.read([*words, option])
        prefix, incomplete = f"{option}=", value
    if line.option:
        kinds = _OPTIONS.get(line.option)
    elif words and words[-1].startswith("-") and words[-1].partition("=")[0] not in _FLAGS:
        return None  # it may wait for a value
    else:
        path = line.operands[: 2 if line.operands[:1] and line.operands[0] in GROUPS else 1]
        kinds = None if incomplete.startswith("-") else _OPERANDS.get(path)
    if kinds is None:
        return None
    for kind in ("file", "dir"):
        if kind in kinds:
            # The shell looks below the current folder, and -C names another one.
            is_here = line.folder == "." or line.option in {"-C", "--chdir"}
            return [CompletionItem(incomplete, type=kind)] if is_here else []
    return [CompletionItem(prefix + name) for name in _names(line, kinds, incomplete)]


def _names(line: _Line, kinds: Iterable[str], incomplete: str) -> list[str]:
    """Return the names in the workspace that begin as typed, sorted."""
    from segctl.core.address import segment_name  # noqa: PLC0415 - commands are completed without
    from segctl.workflows import completion  # noqa: PLC0415 - as above

    root = Path(line.folder)
    if "environments" in kinds:
        names = completion.environment_names(root)
    elif "variables" in kinds:
        names = {f"{name}=" for name in completion.variable_names(root)}
    else:
        names = set()
        if "declared" in kinds:
            names |= completion.declared_addresses(root)
        if "recorded" in kinds:
            names |= completion.recorded_addresses(root, line.env_name)
        # A name without its prefix is an address too, but not what people begin with.
        if incomplete and line.operands[:2] != ("state", "mv"):
            names |= {segment_name(address) for address in names}
    words = (name for name in names if _PLAIN_WORD.fullmatch(name))
    return sorted(name for name in words if name.startswith(incomplete))


class _Quiet(ShellComplete):
    """Completes nothing and prints nothing if the workspace, or anything else, is broken."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the completions of the word that is being typed."""
        try:
            found = complete_value(args, incomplete)
            return super().get_completions(args, incomplete) if found is None else found
        except Exception:  # noqa: BLE001 - a traceback in the middle of a command line helps nobody
            return []


class _Bash(_Quiet, BashComplete):
    pass


class _Zsh(_Quiet, ZshComplete):
    pass


class _Fish(_Quiet, FishComplete):
    pass


def install_completion() -> None:
    """Let click use the completions of this module."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
