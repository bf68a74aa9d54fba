"""Say what to type instead of an option or a command that segctl does not have.

Many people come from Terraform, which writes options with one dash. click would read ``-env=x`` as
the environment ``nv=x``, so the words are checked before it reads them, and nothing is guessed.
"""

import shlex
from collections.abc import Iterable, Sequence

import click

from segctl.cli.arguments import Level, OptionWord, split_levels

_NO_DOWNLOAD = "segctl downloads no providers and modules. Leave it out."
_SOURCES = (
    "CleverTap cannot be read back, and every plan reads the sources. Leave it out; --reread reads "
    "unchanged files again."
)
_STATE = "spec.state in segctl.yaml says where the state is."
OTHER_OPTIONS = {
    "refresh": _SOURCES,
    "refresh-only": _SOURCES,
    "parallelism": "spec.provider.concurrency in segctl.yaml says how many requests are in flight.",
    "lock": "A run that writes the state always locks it. Leave it out; --lock-timeout waits for "
    "the lock.",
    "replace": "A new customerSegmentId in the manifest replaces a segment.",
    "state": _STATE,
    "state-out": _STATE,
    "backup": "segctl keeps the earlier states: `segctl state history` lists them. Leave it out.",
    "backend": _STATE,
    "backend-config": _STATE,
    "migrate-state": "`segctl state migrate` moves the state.",
    "reconfigure": _STATE,
    "upgrade": _NO_DOWNLOAD,
    "get": _NO_DOWNLOAD,
    "plugin-dir": _NO_DOWNLOAD,
    "lockfile": _NO_DOWNLOAD,
    "input": "segctl asks nothing but for confirmation; --auto-approve applies without it.",
    "compact-warnings": "Warnings of one kind are always combined. Leave it out.",
    "generate-config-out": "Write the manifest; `segctl import` then records what exists.",
    "recursive": "fmt always formats the folders below. Leave it out.",
    "write": "--check writes nothing.",
    "config": "-C DIR names the folder of the workspace.",
    "format": "Print JSON with --json.",
}
"""Options of Terraform and of other commands, and what to do instead of each."""

_NO_PROVIDERS = "segctl has one service and no plugins; spec.provider in segctl.yaml sets it up."
OTHER_COMMANDS = {
    "taint": "There is nothing to taint: `segctl rejects retry` sends again what was refused, and "
    "a new customerSegmentId in the manifest replaces a segment.",
    "untaint": "There is nothing to untaint: segctl marks no segment for replacement.",
    "refresh": "CleverTap cannot be read back. `segctl plan` reads the sources and compares them "
    "with the state.",
    "console": "Variables are shown by `segctl plan`, members by `segctl members`.",
    "workspace": "Environments are in spec.environments of segctl.yaml; choose one with -e NAME. "
    "Other workspaces are other folders; choose one with -C DIR.",
    "output": "A workspace has no outputs. `segctl show --json` prints the state, and `segctl "
    "members` the members of segments.",
    "get": "There are no modules to download.",
    "modules": "There are no modules. `segctl graph` draws which sources fill which segments.",
    "providers": _NO_PROVIDERS,
    "login": "Credentials come from the environment: set CLEVERTAP_ACCOUNT_ID and "
    "CLEVERTAP_PASSCODE.",
    "logout": "Credentials come from the environment: unset CLEVERTAP_ACCOUNT_ID and "
    "CLEVERTAP_PASSCODE.",
    "test": "`segctl validate` checks the manifests, and `segctl plan` what an apply would change. "
    "`segctl emulator` runs a local service to apply to.",
    "metadata": "`segctl schema` prints the JSON Schema of each document.",
    "diff": "`segctl plan` shows what an apply would change.",
    "preview": "`segctl plan` shows what an apply would change.",
    "deploy": "`segctl apply` changes CleverTap's segments to what is declared.",
    "sync": "`segctl apply` changes CleverTap's segments to what is declared.",
    "lint": "`segctl validate` checks the workspace.",
    "check": "`segctl validate` checks the workspace, and `segctl state fsck` the state.",
    "list": "`segctl state list` prints the recorded segments, `segctl members --count` also those "
    "that are not recorded yet.",
    "ls": "`segctl state list` prints the recorded segments.",
    "rm": "`segctl state rm` forgets a segment; without its manifest, `segctl apply` empties it.",
    "mv": "`segctl state mv` moves a recorded segment to another address.",
    "unlock": "`segctl force-unlock` breaks the lock of a run that has died.",
}
"""Commands of Terraform and of other tools, and what to do instead."""

_LIKE_LETTERS = ("exclude",)
"""Options of some commands that begin with the letter of one that all have, and takes a value."""

_HELP = "-help"
"""click reads it as ``-h``: it prints the help, as in Terraform."""

_USER_KEY = "KEY"
"""The metavar of a value that is a user key. It is not repeated."""

_MAX_NAMED = 4


def check_spelling(root: click.Context, arguments: Sequence[str]) -> None:
    """Raise ``UsageError`` for options with one dash, and for those that other programs have."""
    levels = split_levels(root, arguments)
    options = [word for level in levels for word in level.options]
    misspelt = [word for word in options if _has_one_dash(word)]
    unknown = [
        (level, advice)
        for level in levels
        for word in level.options
        if (advice := _advice(level, word, arguments[word.index]))
    ]
    if not misspelt and not unknown:
        return
    lines: list[str] = []
    if misspelt:
        pairs = _listed(f"{word.name} is -{word.name}" for word in misspelt)
        lines.append(f"Options with more than one letter have two dashes: {pairs}.")
        if not unknown:
            lines.append(f"Type: {_respelt(arguments, options)}")
    lines += [advice for _, advice in unknown]
    last = unknown[0][0] if unknown else levels[-1]
    raise click.UsageError("\n".join(dict.fromkeys(lines)), ctx=last.context)


def _has_one_dash(word: OptionWord) -> bool:
    """Whether the word is the long name of an option behind a single dash."""
    option = word.option
    return option is not None and word.name not in (*option.opts, *option.secondary_opts, _HELP)


def _advice(level: Level, word: OptionWord, typed: str) -> str:
    """Return what to do instead of an option that a command does not have; empty if it has it.

    Also for the name of another option behind a single dash, which click would take for ``-e``
    with a value.
    """
    name = typed.partition("=")[0]
    bare = name.lstrip("-")
    is_letter = len(word.name) == len("-e")  # a letter, or letters, or one with its value
    if word.option is not None and not (is_letter and bare in (*OTHER_OPTIONS, *_LIKE_LETTERS)):
        return ""
    if bare in OTHER_OPTIONS:
        return f"segctl has no {name}. {OTHER_OPTIONS[bare]}"
    path = level.context.command_path
    if commands := _commands_with(level.context.find_root(), f"--{bare}"):
        if isinstance(level.context.command, click.Group):
            example = f"`{path} COMMAND --{bare}`"
            return f"--{bare} is an option of a command, and stands after it: {example}"
        others = [f"`segctl {each}`" for each in commands[:_MAX_NAMED]]
        others += ["others"] if len(commands) > _MAX_NAMED else []
        verb = "has" if len(commands) == 1 else "have"
        return f"`{path}` has no {name}; {_listed(others)} {verb} it."
    if name.startswith("--") or len(bare) < len("xy"):
        return ""  # click says it, with similar names
    return f"`{path}` has no {name}. {_nearest(level, bare)}"


def _nearest(level: Level, bare: str) -> str:
    from segctl.core.suggestions import did_you_mean  # noqa: PLC0415 - --help needs none

    options = level.context.command.get_params(level.context)
    names = [name[2:] for option in options for name in option.opts if name.startswith("--")]
    path = level.context.command_path
    return did_you_mean(bare, names, prefix="--") or f"`{path} --help` lists its options."


def _commands_with(root: click.Context, name: str) -> list[str]:
    """Return the commands that have an option of this name, in the order of the program's help."""
    found: list[str] = []
    pending = [("", root)]
    while pending:
        path, context = pending.pop(0)
        command = context.command
        if not isinstance(command, click.Group):
            if any(name in option.opts for option in command.get_params(context)):
                found.append(path)
            continue
        for each in command.list_commands(context):
            if below := command.get_command(context, each):
                child = click.Context(below, info_name=each, parent=context)
                pending.append((f"{path} {each}".strip(), child))
    return found


def _respelt(arguments: Sequence[str], options: Sequence[OptionWord]) -> str:
    """Return the command line with two dashes, quoted for a shell. User keys are left out."""
    words = list(arguments)
    for word in options:
        name = f"-{word.name}" if _has_one_dash(word) else word.name
        if word.value is None or not word.option or word.option.metavar != _USER_KEY:
            words[word.index] = name + words[word.index][len(word.name) :]
        elif words[word.index] == word.name:
            words[word.index : word.index + 2] = [name, _USER_KEY]
        else:
            words[word.index] = f"{name}={_USER_KEY}"
    return shlex.join(["segctl", *words])


def _listed(texts: Iterable[str]) -> str:
    """Return texts as a list in a sentence."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
