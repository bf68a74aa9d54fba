"""The values of variables on the command line: ``--var`` and ``--var-file``, in their order."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from segctl.cli.arguments import OptionWord, command_options
from segctl.cli.screen import Screen
from segctl.cli.value_types import NonEmptyText

if TYPE_CHECKING:
    from segctl.core.diagnostics import Diagnostic
    from segctl.manifests.variable_files import FileValue

STANDARD_INPUT = "-"


def _check_pairs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        name, equals, _ = value.partition("=")
        if not equals or not name:
            raise click.BadParameter("write it as NAME=VALUE.", ctx=ctx, param=param)
    return values


VARIABLE_OPTIONS: Sequence[Callable[..., Any]] = (
    click.option(
        "--var",
        "variables",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_check_pairs,
        help="Set a variable. Can be repeated.",
    ),
    click.option(
        "--var-file",
        "variable_files",
        metavar="FILE",
        type=NonEmptyText(),
        multiple=True,
        help="Set the variables in this YAML or JSON file; - is standard input. Can be repeated: "
        "of --var and --var-file, the last one counts.",
    ),
)


def read_variables(screen: Screen, ctx: click.Context) -> Mapping[str, str]:
    """Return the variables that the command line sets; of two values, the later one counts.

    Raises ``InvalidInput`` with the problems of all files, and ``WrongUsage`` for standard input
    that is named twice.
    """
    if not ctx.params.get("variable_files"):
        pairs: Sequence[str] = ctx.params.get("variables", ())
        return {name: text for name, _, text in (pair.partition("=") for pair in pairs)}
    from segctl.core.errors import InvalidInput, WrongUsage  # noqa: PLC0415 - --help needs none

    if ctx.params["variable_files"].count(STANDARD_INPUT) > 1:
        raise WrongUsage("--var-file - is given twice, and standard input can be read once")
    values: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for word in _words(ctx):
        if word.name == "--var":
            variable, _, text = (word.value or "").partition("=")
            values[variable] = text
        else:
            found, wrong = _read_file(screen, word.value or "")
            values |= found
            problems += wrong
    if problems:
        raise InvalidInput(problems)
    return values


def variable_words(ctx: click.Context) -> tuple[str, ...]:
    """Return the options that set variables, with their values, as they were typed."""
    if not (ctx.params.get("variables") or ctx.params.get("variable_files")):
        return ()
    return tuple(part for word in _words(ctx) for part in (word.name, word.value or ""))


def _words(ctx: click.Context) -> list[OptionWord]:
    """Return ``--var`` and ``--var-file`` in the order of the command line."""
    return [word for word in command_options(ctx) if word.name in {"--var", "--var-file"}]


def _read_file(screen: Screen, file: str) -> "tuple[Mapping[str, FileValue], Sequence[Diagnostic]]":
    from segctl.core.diagnostics import Diagnostic, Location  # noqa: PLC0415 - --help needs none
    from segctl.manifests import variable_files  # noqa: PLC0415 - as above

    try:
        if file == STANDARD_INPUT:
            content = sys.stdin.buffer.read(variable_files.MAX_BYTES + 1)
        else:
            with screen.path(file).open("rb") as stream:
                content = stream.read(variable_files.MAX_BYTES + 1)
    except OSError as error:
        problem = Diagnostic(
            code="unreadable",
            summary=f"--var-file cannot be read: {error.strerror or type(error).__name__}.",
            detail="Check the path; it is relative to the folder of -C.",
            location=Location(file=file),
        )
        return {}, [problem]
    return variable_files.read_variables("standard input" if file == "-" else file, content)
