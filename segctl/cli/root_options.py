"""Options that stand before the command too: ``segctl -C DIR plan``. Light: ``--help`` needs them.

They may stand on both sides of the command. Folders are then joined, as git joins them, and two
different environments are an error.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from segctl.cli.value_types import EMPTY

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

LEVELS = ("debug", "info", "warning", "error", "off")
FORMATS = ("text", "json")


class Folder(click.ParamType[str]):
    """The path of a folder, which shells complete."""

    name = "folder"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Let the shell complete folders."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for shells only

        del ctx, param
        return [CompletionItem(incomplete, type="dir")]


FOLDER_OPTION: Callable[..., Any] = click.option(
    "-C",
    "--chdir",
    "folders",
    metavar="DIR",
    type=Folder(),
    multiple=True,
    help="Work in this folder; other paths are relative to it.",
)
ENVIRONMENT_OPTION: Callable[..., Any] = click.option(
    "-e",
    "--env",
    "env_names",
    metavar="NAME",
    multiple=True,
    help="Choose one of spec.environments. Also SEGCTL_ENV.",
)
OUTPUT_OPTIONS: Sequence[Callable[..., Any]] = (
    click.option("--no-color", is_flag=True, help="Print without colors, as NO_COLOR does."),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        help="How much to log to standard error. Also SEGCTL_LOG.  [default: warning]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        help="How to log: json has one object per line. Also SEGCTL_LOG.  [default: text]",
    ),
)
"""How to print and how to log."""

ROOT_OPTIONS = (FOLDER_OPTION, ENVIRONMENT_OPTION, *OUTPUT_OPTIONS)
"""All of them, the same before and after the command."""


def workspace_folder(ctx: click.Context) -> str:
    """Return the folder that every ``-C`` of the command line leads to, ``.`` without one.

    Each is relative to the one before it. Does not check that the folder exists.
    """
    folders = _on_both_sides(ctx, "folders")
    return os.path.join(*folders) if folders else "."  # noqa: PTH118 - as check_folder


def check_folder(ctx: click.Context) -> str:
    """Return ``workspace_folder``. Raises ``BadParameter`` if it is not a folder."""
    folder = workspace_folder(ctx)
    if "" in _on_both_sides(ctx, "folders"):
        problem = EMPTY
    elif os.path.isdir(folder):  # noqa: PTH112 - pathlib is not imported for --help
        return folder
    else:
        what = "is a file" if os.path.lexists(folder) else "does not exist"
        problem = f"Directory {folder!r} {what}."
    raise click.BadParameter(problem, ctx=ctx, param_hint=["-C", "--chdir"])


def environment_name(ctx: click.Context) -> str | None:
    """Return the environment that the command line chooses.

    Raises ``BadParameter`` for two different ones and for an empty name.
    """
    names = _on_both_sides(ctx, "env_names")
    if "" not in names and len(set(names)) <= 1:
        return names[0] if names else None
    problem = EMPTY if "" in names else f"{names[0]!r} and {names[1]!r} differ; choose one."
    raise click.BadParameter(problem, ctx=ctx, param_hint=["-e", "--env"])


def root_value(ctx: click.Context, name: str) -> Any:
    """Return the value of an option before the command, ``None`` without one."""
    return _root_params(ctx).get(name)


def _on_both_sides(ctx: click.Context, name: str) -> tuple[str, ...]:
    return (*_root_params(ctx).get(name, ()), *ctx.params.get(name, ()))


def _root_params(ctx: click.Context) -> dict[str, Any]:
    root = ctx.find_root()
    return {} if root is ctx else root.params
